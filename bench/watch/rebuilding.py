"""Measure how fast all projections are rebuilt from the first event, as `crossdock rebuild analytics-service` does."""

import time
from typing import Any, Final

import httpx

from bench.cpu import used
from bench.results import Row
from bench.stack import BenchFailed
from bench.watch.watching import SERVICE, WAIT_SECONDS, Watch

LEAST: Final = 8_000
LOOK_SECONDS: Final = 0.1
ENDED: Final = ("done", "failed", "stopped")


def measure(watch: Watch) -> None:
    count = watch.size.events
    watch.stage(f"rebuilding the projections from {count:,} events")
    meter = watch.meter()
    headers = {"Authorization": f"Bearer {watch.stack.operator_token(['ops:read', 'ops:act'])}"}
    with httpx.Client(base_url=f"{watch.stack.url(SERVICE)}/v1", headers=headers, timeout=30) as client:
        before, began = meter.read(), time.monotonic()
        names = [each["name"] for each in _asked(client.get("/projections"))["items"]]
        jobs = [_asked(client.post(f"/projections/{name}:rebuild"))["id"] for name in names]
        while running := [job for job in jobs if not _done(_asked(client.get(f"/jobs/{job}")))]:
            if time.monotonic() - began > WAIT_SECONDS:
                raise BenchFailed(f"{len(running)} projections are not rebuilt after {WAIT_SECONDS:.0f} s.")
            time.sleep(LOOK_SECONDS)
        spent, seconds = used(before, meter.read()), time.monotonic() - began
    micros = [spent.get(name, 0.0) * 1e6 / count for name in (f"{SERVICE}.worker", "postgres analytics_service")]
    watch.add(
        Row("Rebuild of all projections", [count / seconds], "events/s", LEAST),
        Row("CPU an event, rebuild, worker", micros[:1], "µs", better="less"),
        Row("CPU an event, rebuild, PostgreSQL", micros[1:], "µs", better="less"),
    )


def _done(job: dict[str, Any]) -> bool:
    if job["status"] in ENDED and job["status"] != "done":
        raise BenchFailed(f"The rebuild {job['status']}: {job['error']}")
    return bool(job["status"] == "done")


def _asked(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise BenchFailed(f"{answer.request.url}: {answer.status_code} {answer.text[:200]}")
    found: dict[str, Any] = answer.json()
    return found
