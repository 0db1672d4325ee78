"""A run on a Dask cluster of two workers, one of them killed: every series is forecast, and published once.

Dask is not among the locked packages of a development install, so the test installs it into a folder of its own.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from forecasting import FORECASTS, in_stock, requested, sell, until_ended
from harness import Body, Harness, eventually

from crossdock_events.forecasts import ForecastUpdated
from crossdock_local.ports import Ports
from crossdock_local.servers import engine_for_tests
from crossdock_local.stack import Stack

ROOT = Path(__file__).parents[2]
SERIES = 40
LONGEST_SECONDS = 1_200.0


async def test_run_survives_a_killed_dask_worker() -> None:
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of PostgreSQL must be able to enter the folder
        environment = {"PYTHONPATH": str(await asyncio.to_thread(_install_dask, folder / "dask"))}
        async with AsyncExitStack() as processes:
            scheduler = await processes.enter_async_context(_dask("scheduler", folder, environment))
            workers = [await processes.enter_async_context(_dask("worker", folder, environment)) for _ in range(2)]
            environment |= {
                "CROSSDOCK_FORECAST_ENGINE": f"dask://{await _address(folder)}",
                "CROSSDOCK_CHUNK_SERIES": "2",
            }
            ports = Ports.free()
            with Stack(folder, ports, engine=engine_for_tests(), environment=environment) as stack:
                await _run_while_a_worker_dies(Harness(stack), workers[0])
            assert scheduler.returncode is None and workers[1].returncode is None


def _install_dask(folder: Path) -> Path:
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "-q", "--no-deps", "--require-hashes"]
    lock = str(ROOT / "requirements-dask.lock")
    subprocess.run([*uv, "--python", sys.executable, "--target", str(folder), "-r", lock], check=True, timeout=300)
    return folder


@asynccontextmanager
async def _dask(role: str, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    options = ["--port", "0"] if role == "scheduler" else ["--nthreads", "1", "--no-nanny"]
    program = [sys.executable, "-m", f"distributed.cli.dask_{role}", "--host", "127.0.0.1", *options, "--no-dashboard"]
    program += ["--scheduler-file", str(folder / "scheduler.json")]
    process = await asyncio.create_subprocess_exec(
        *program, env={**environment, "PATH": "/usr/bin:/bin"}, cwd=folder, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _address(folder: Path) -> str:
    async def written() -> str | None:
        try:
            return str(json.loads((folder / "scheduler.json").read_text())["address"])
        except (FileNotFoundError, ValueError):
            return None

    return (await eventually(written)).removeprefix("tcp://")


async def _run_while_a_worker_dies(harness: Harness, worker: asyncio.subprocess.Process) -> None:
    category, items = await in_stock(harness, SERIES)
    async with harness.client(FORECASTS, scopes=("forecasts:read", "forecasts:write")) as client:
        await sell(harness, client, items, days=120)
        run = await requested(client, category=category)

        async def begun() -> Body | None:
            shown: Body = (await client.get(f"/v1/runs/{run['id']}")).json()
            return shown if shown["done"] else None

        assert (await eventually(begun, 300))["left"] > 0
        worker.kill()
        done = await until_ended(client, run["id"], LONGEST_SECONDS)
    assert (done["state"], done["done"], done["left"], done["failed"]) == ("done", SERIES, 0, 0), done
    await harness.adds_up()  # waits until the relay has published everything
    topic, id = ForecastUpdated.topic.name, run["id"].encode()
    by_series = (await harness.log(topic)).by_key(topic)
    published = Counter(sum(id in entry.value for entry in entries) for entries in by_series.values())
    assert (published[1], published.keys() - {0, 1}) == (SERIES, set())
