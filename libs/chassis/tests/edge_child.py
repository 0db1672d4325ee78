"""A server process without routes, to be flooded. It prints its port."""

import asyncio

from crossdock_chassis import Settings
from crossdock_chassis.http.application import Api
from crossdock_chassis.server import listening
from crossdock_chassis.testing.signing import Signer


async def main() -> None:
    settings = Settings(postgres="postgresql://r:p@127.0.0.1/db", kafka="127.0.0.1:1", issuer="http://127.0.0.1:1")
    api = Api("tests", [], verifier=Signer.generate().verifier())
    async with listening(api, settings, 0, "PORT") as port:
        print(port, flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
