"""A worker process that runs the job `load`, to be killed: `jobs_child.py DSN [CHUNK]`.

With CHUNK it stops inside that chunk: the statements are done, the commit is not.
"""

import asyncio
import sys

import toy

from crossdock_chassis import JobRun, queued
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.server import signals


async def load(run: JobRun, hang_in: int | None = None) -> dict[str, object]:
    """Mark each row in a chunk of its own, and continue after the last row that was committed."""
    run.total = run.arguments["rows"]
    while (row := run.state.get("next", 0)) < run.arguments["rows"]:
        async with run.unit() as unit:
            await unit.sql.execute(toy.MARK, [f"row {row}"])
            run.done, run.state = run.done + 1, {"next": row + 1}
            if row == hang_in:
                print("in the chunk", flush=True)
                await asyncio.Event().wait()
    return {"loaded": run.done}


async def main(dsn: str, *chunk: str) -> None:
    hang_in = int(chunk[0]) if chunk else None
    service = toy.build(toy.Settings(postgres=dsn, kafka="127.0.0.1:1", issuer="http://127.0.0.1:1"))
    with signals() as stop:
        await Jobs(service.database, [queued("load", lambda run: load(run, hang_in))]).run(stop)
    await service.database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
