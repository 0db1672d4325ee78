"""Performers of effects: the function, its retry schedule and the circuit breaker of its targets."""

import math
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

MAX_DEADLINE_SECONDS: Final = 300.0
MAX_RETRY_AFTER_SECONDS: Final = 86_400.0

_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Effect:
    """One attempt at an effect.

    An effect is performed at least once. `id` is the same in every attempt: send it to the target as the idempotency
    key, so that the target drops repeats.
    """

    id: UUID
    kind: str
    target: str
    key: str | None
    payload: dict[str, Any]
    attempt: int
    created_at: datetime


class Permanent(Exception):
    """The target refused the effect and would refuse a retry too: give the effect up now."""


class Retry(Exception):
    """The attempt failed. `retry_after` is the target's own hint: the seconds until a retry."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Exponential back-off with full jitter: before attempt n + 1 pass 0 to `first` · 2ⁿ⁻¹ seconds, at most `longest`.

    An effect is given up after `max_attempts`, or once it has been pending for `max_age` seconds. While the
    circuit of its target is open, an effect uses no attempts, but its age still grows.
    """

    first: float = 5.0
    longest: float = 3_600.0
    max_attempts: int = 20
    max_age: float = 3 * 86_400.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest or self.max_attempts < 1 or self.max_age <= 0:
            raise ValueError(f"not a retry schedule: {self}")

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds from a failed attempt to the next. The target's hint is a minimum, with jitter above."""
        delay = random.uniform(0, min(self.longest, self.first * 2.0 ** min(attempt - 1, 60)))
        return max(delay, (retry_after or 0.0) * random.uniform(1.0, 1.1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """After `failures` consecutive failures a target is left alone for `first` seconds, then one effect probes it.

    Each failed probe doubles the time, up to `longest`. The real time is 50 to 100 % of it, so that workers do not
    probe together.
    """

    failures: int = 5
    first: float = 5.0
    longest: float = 300.0

    def __post_init__(self) -> None:
        if self.failures < 1 or not 0 < self.first <= self.longest:
            raise ValueError(f"not a circuit: {self}")


Do = Callable[[Effect], Awaitable[Mapping[str, object] | None]]
Describe = Callable[[Mapping[str, Any]], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Performer:
    kind: str
    do: Do
    retry: Schedule = field(default_factory=Schedule)
    circuit: Circuit = field(default_factory=Circuit)
    deadline: float = 10.0
    concurrency: int = 64
    target_concurrency: int = 4
    describe: Describe | None = None

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise ValueError(f"not the kind of an effect: {self.kind!r}")
        if not 0 < self.deadline <= MAX_DEADLINE_SECONDS:
            raise ValueError(f"{self.kind}: the deadline is {self.deadline} s, not 0 to {MAX_DEADLINE_SECONDS:.0f} s")
        if not 1 <= self.target_concurrency <= self.concurrency:
            raise ValueError(f"{self.kind}: target_concurrency is 1 to concurrency")


def perform(
    kind: str,
    do: Do,
    *,
    retry: Schedule | None = None,
    circuit: Circuit | None = None,
    deadline: float = 10.0,
    concurrency: int = 64,
    target_concurrency: int = 4,
    describe: Describe | None = None,
) -> Performer:
    """Return a row of `Service(effects=[…])`: `do` performs the effects of this kind.

    `do` gets no unit. It returns None or a small JSON object to record. It raises Permanent to give the effect up, and
    any other exception to retry it. After `deadline` seconds it is cancelled and not awaited. Each worker runs at most
    `concurrency` at a time, and `target_concurrency` to one target. `describe` returns the part of a payload
    that operators may see; without it they see nothing.
    """
    return Performer(
        kind=kind,
        do=do,
        retry=retry or Schedule(),
        circuit=circuit or Circuit(),
        deadline=deadline,
        concurrency=concurrency,
        target_concurrency=target_concurrency,
        describe=describe,
    )


def retry_after(error: BaseException) -> float | None:
    """Return the `retry_after` of an exception, limited to 0 s to a day; None if it has none or no number."""
    hint = getattr(error, "retry_after", None)
    if not isinstance(hint, (int, float)) or math.isnan(hint):
        return None
    return min(max(0.0, float(hint)), MAX_RETRY_AFTER_SECONDS)
