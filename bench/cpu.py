"""Measure the processor time of each process between two readings."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds so far, of each named process and of each PostgreSQL backend with its database."""

    processes: Mapping[str, float]
    backends: Mapping[int, tuple[str, float]]


class Meter:
    """Reads the CPU times of named processes. For `postgres`, also of its children, running and ended."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}

    def read(self) -> Reading:
        backends: dict[int, tuple[str, float]] = {}
        processes: dict[str, float] = {}
        for name, process in self._processes.items():
            if name == "postgres":
                processes[name], backends = _postgres(process)
            else:
                times = process.cpu_times()
                processes[name] = times.user + times.system
        return Reading(processes, backends)


def used(before: Reading, after: Reading) -> dict[str, float]:
    """Return CPU seconds by process, most first. Backends are named by database, e.g. `postgres order_service`."""
    spent = {name: seconds - before.processes[name] for name, seconds in after.processes.items()}
    if "postgres" in spent:
        for pid, (database, seconds) in after.backends.items():
            own = seconds - before.backends.get(pid, (database, 0.0))[1]
            spent["postgres"] -= own
            spent[f"postgres {database}"] = spent.get(f"postgres {database}", 0.0) + own
    return dict(sorted(spent.items(), key=lambda each: -each[1]))


def _postgres(postmaster: psutil.Process) -> tuple[float, dict[int, tuple[str, float]]]:
    backends: dict[int, tuple[str, float]] = {}
    total = 0.0
    for process in postmaster.children():
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
            if database := backend_of(" ".join(process.cmdline())):
                backends[process.pid] = database, times.user + times.system
    times = postmaster.cpu_times()
    # The time of an ended backend is in the postmaster's children times, so the sum stays complete.
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return total + times.user + times.system + ended, backends


def backend_of(title: str) -> str | None:
    """Return the database in `postgres: role database 127.0.0.1(4711) idle`, or None for other PostgreSQL processes."""
    words = title.split()
    if len(words) >= 4 and words[0] == "postgres:" and "(" in words[3]:
        return words[2]
    return None
