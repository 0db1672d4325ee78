"""A runner process to be killed: `runner_child.py DSN [SEAM]`.

With a SEAM it stops there in its second chunk: `claimed`, `computed`, or `recorded`, where the statements are done and
the commit is not.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import forecasters

from crossdock_chassis.server import signals
from forecast_service.runs import compute, store
from forecast_service.runs.compute import Compute
from forecast_service.runs.engine import ChildEngine
from forecast_service.runs.loop import Loop
from forecast_service.service import Settings, build


def hanging(do: Callable[..., Any], seam: str) -> Callable[..., Any]:
    calls = 0

    async def do_and_hang(*arguments: Any) -> Any:
        nonlocal calls
        found, calls = await do(*arguments), calls + 1
        if calls == 2:
            print(seam, flush=True)
            await asyncio.Event().wait()
        return found

    return do_and_hang


async def main(dsn: str, seam: str = "") -> None:
    match seam:
        case "claimed":
            store.claim = hanging(store.claim, seam)
        case "computed":
            Compute._forecast = hanging(Compute._forecast, seam)  # type: ignore[method-assign]
        case "recorded":
            compute.publish = hanging(compute.publish, seam)  # type: ignore[attr-defined]
    service = build(Settings(postgres=dsn, kafka="127.0.0.1:1", issuer="http://127.0.0.1:1"))
    engine = ChildEngine(forecasters.make)
    with signals() as stop:
        await Loop("runs", service.database, engine, Compute(service.database, 30, engine).turn).run(stop)
    await service.database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
