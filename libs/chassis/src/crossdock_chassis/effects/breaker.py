"""Circuit breakers: send nothing to a target while it fails.

Each worker has its own state in memory and loses it at a restart. So a dead target costs each worker `failures`
attempts, but no row that all workers write is needed.
"""

import random
import time
from dataclasses import dataclass

from crossdock_chassis.effects.performer import Circuit


@dataclass(slots=True)
class _Failing:
    """A target that has failed since it last succeeded."""

    failures: int = 0
    openings: int = 0
    opened: float = 0.0
    until: float = 0.0
    last: float = 0.0


class Breakers:
    """The circuits of all targets of one kind. A closed circuit without failures takes no memory."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._failing: dict[str, _Failing] = {}

    def room(self, target: str, in_flight: int, limit: int) -> int:
        """Return how many more effects may be sent to the target while `in_flight` are under way."""
        failing = self._failing.get(target)
        if failing is None or not failing.openings:
            return limit - in_flight
        if time.monotonic() < failing.until:
            return 0
        return 0 if in_flight else 1

    def succeeded(self, target: str) -> None:
        self._failing.pop(target, None)

    def failed(self, target: str, began: float, retry_after: float | None) -> float | None:
        """Count a failed attempt. Return the pause if it opens the circuit. `began` is by `time.monotonic`."""
        failing = self._failing.setdefault(target, _Failing())
        if began < failing.opened:
            return None  # the attempt began before the circuit opened, so it is no probe
        failing.failures += 1
        failing.last = time.monotonic()
        if failing.failures < self._circuit.failures:
            return None
        pause = min(self._circuit.longest, self._circuit.first * 2.0 ** min(failing.openings, 60))
        pause = max(pause * random.uniform(0.5, 1.0), min(retry_after or 0.0, self._circuit.longest))
        failing.openings += 1
        failing.opened, failing.until = failing.last, failing.last + pause
        return pause

    def forget_idle(self) -> None:
        """Drop targets whose last failure is longer ago than twice the longest pause."""
        idle = time.monotonic() - 2 * self._circuit.longest
        for target in [target for target, failing in self._failing.items() if failing.last < idle]:
            del self._failing[target]

    @property
    def open(self) -> int:
        return sum(1 for failing in self._failing.values() if failing.openings)
