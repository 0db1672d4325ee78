"""Print those of the addresses that take a connection, as a JSON list: `python -c "$(cat reach.py)" HOST:PORT …`."""

import asyncio
import json
import sys

SECONDS = 5


async def reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (TimeoutError, ConnectionRefusedError):
        return False
    writer.close()
    return True


async def main(addresses: list[str]) -> None:
    answers = await asyncio.gather(*map(reached, addresses))
    print(json.dumps([each for each, answer in zip(addresses, answers, strict=True) if answer]))


asyncio.run(main(sys.argv[1:]))
