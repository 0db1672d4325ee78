"""Rate limits per caller and route group: one token bucket in the service's database for all of its processes.

    @router.post("/orders", dependencies=[limited("orders")])

Requests are not limited until an operator sets a limit; until then a request costs a dictionary lookup. A process takes
a few tokens at a time from the bucket and spends them without another query. Tokens not spent within
`LEASE_SECONDS` are lost. So in any `t` seconds at most `burst + rate * (t + LEASE_SECONDS)` requests of a partner get
through, for any number of processes. The bucket uses the database's clock; tokens that a process holds expire by its
monotonic clock. While the database is away requests are not limited, because requests that need it fail anyway.

A caller is a partner, or an operator by its token's subject. Operators have the limit of `ANY_PARTNER`.
"""

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.unit import Database
from crossdock_chassis.http.auth import authenticate
from crossdock_chassis.http.concurrency import TOO_MANY_AT_ONCE
from crossdock_chassis.http.dependencies import Dependency
from crossdock_chassis.http.request import Fields, state_of
from crossdock_chassis.observability import metrics
from crossdock_chassis.problems import Problem, Refusal

ANY_PARTNER: Final = "*"
"""A limit of this partner applies to each caller without its own limit. Each caller still has its own bucket."""

LEASE_SECONDS: Final = 1.0
TAKE_SECONDS: Final = 0.1
"""A process takes the tokens of this many seconds at once. After an empty bucket it waits this long before the next
query. Ten round trips a second serve any rate if the burst is large enough."""

MAX_SHARE: Final = 1 / 20
"""The most of a bucket that a process takes at once: other processes lack the tokens that an idle process holds."""

PATIENCE_SECONDS: Final = 1.0
"""Requests wait this long for the bucket, then they pass without a token."""

RATE_LIMITED: Final = Problem(
    429,
    "rate-limited",
    "Too many requests; wait before sending more",
    headers={
        name: partial(lambda name, error: str(error.headers[name]), name)
        for name in ("Retry-After", "RateLimit-Policy", "RateLimit")
    },
)

ALL: Final = "SELECT partner, route_group, rate, burst FROM rate_limit"

_RATE, _BURST, _WANTED = "$3::float8", "$4::float8", "$5::float8"
_FULL: Final = f"make_interval(secs => {_BURST} / {_RATE})"  # how long an empty bucket takes to fill
_EMPTY_AT: Final = f"greatest(bucket.empty_at, now() - {_FULL})"
# now() is the start of the transaction. Another process may have taken tokens since then, so that `empty_at` is later
# than now(). Without the outer greatest() the grant would be negative and give these tokens back.
_GRANTED: Final = f"greatest(0, least({_WANTED}, floor({_RATE} * extract(epoch FROM now() - {_EMPTY_AT}))))"
TAKE: Final = f"""
    INSERT INTO rate_bucket AS bucket (partner, route_group, empty_at, granted)
    VALUES ($1, $2, now() - {_FULL} + make_interval(secs => {_WANTED} / {_RATE}), {_WANTED})
    ON CONFLICT (partner, route_group) DO UPDATE
    SET empty_at = {_EMPTY_AT} + make_interval(secs => {_GRANTED} / {_RATE}), granted = {_GRANTED}
    RETURNING granted, ({_RATE} * extract(epoch FROM now() - empty_at))::float8 AS remaining
"""
"""A bucket is one row with the time at which it was empty: it has `rate` tokens for each second since, at most `burst`.
`$5` is at most `burst`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """`rate`: tokens a second. `burst`: tokens in a full bucket."""

    rate: float
    burst: int

    @property
    def share(self) -> int:
        """Return how many tokens a process takes at once."""
        return max(1, int(min(self.rate * TAKE_SECONDS, self.burst * MAX_SHARE)))

    @property
    def pause(self) -> float:
        """Return how many seconds a process waits after an empty bucket: less than the bucket takes to fill."""
        return min(TAKE_SECONDS, self.burst / self.rate / 2)


class Lease:
    """The tokens of one bucket that this process holds. Pure: callers pass the time."""

    __slots__ = ("_asked", "_closed_until", "_expires", "_remaining", "_tokens", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._tokens = 0.0
        self._expires = self._closed_until = self._asked = -math.inf
        self._remaining = float(limit.burst)  # in the bucket at the last query

    def spend(self, now: float) -> bool:
        if self._tokens < 1 or now >= self._expires:
            return False
        self._tokens -= 1
        return True

    def closed(self, now: float) -> bool:
        """Return whether the bucket is known to be empty, so that no query is needed."""
        return now < self._closed_until

    def renew(self, granted: float, remaining: float, *, wanted: int, asked: float) -> None:
        """Hold the granted tokens. `asked` is the time before the query."""
        self._tokens, self._expires = granted, asked + LEASE_SECONDS
        self._remaining, self._asked = remaining, asked
        if granted < wanted:
            self._closed_until = asked + max((1 - remaining) / self.limit.rate, self.limit.pause)

    def retry_after(self, now: float) -> int:
        return max(1, math.ceil(self._closed_until - now))

    def left(self, now: float) -> tuple[int, int]:
        """Return how many requests the partner has left, and in how many seconds the next token arrives."""
        refilled = max(0.0, self._remaining) + self.limit.rate * max(0.0, now - self._asked)
        held = self._tokens if now < self._expires else 0.0
        tokens = min(float(self.limit.burst), refilled + held)
        return int(tokens), max(1, math.ceil((1 - tokens % 1) / self.limit.rate))


Take = Callable[[int], Awaitable[tuple[int, float]]]
"""Take at most this many tokens from the bucket; return how many it granted and how many remain."""


class Bucket:
    """One partner's bucket for one route group, as this process sees it."""

    def __init__(self, group: str, limit: Limit, take: Take, clock: Callable[[], float]) -> None:
        self.limit = limit
        self._group, self._take, self._clock = group, take, clock
        self._lease = Lease(limit)
        self._asking = asyncio.Lock()
        self._waiting = 0
        self._policy = f'"{group}";q={limit.burst};w={math.ceil(limit.burst / limit.rate)}'

    async def spend(self) -> Fields:
        """Spend a token and return header fields with the remaining requests. Raise Refusal 429."""
        if await self._admits():
            left, seconds = self._lease.left(self._clock())
            return (b"ratelimit-policy", self._policy.encode()), (b"ratelimit", self._state(left, seconds).encode())
        metrics.RATE_LIMITED.labels(self._group).inc()
        wait = self._lease.retry_after(self._clock())
        raise Refusal(
            RATE_LIMITED,
            f"At most {self.limit.rate:g} a second and {self.limit.burst} at once. Send it again in {wait} s",
            extra={"violated-policies": [self._group]},
            headers={
                "Retry-After": str(wait),
                "RateLimit-Policy": self._policy,
                "RateLimit": self._state(0, wait),
            },
        )

    def _state(self, left: int, seconds: int) -> str:
        return f'"{self._group}";r={left};t={seconds}'

    async def _admits(self) -> bool:
        now = self._clock()
        if self._lease.spend(now):
            return True
        if self._lease.closed(now):
            return False
        self._waiting += 1
        try:
            async with self._asking:  # one request renews the lease for all that wait
                now = self._clock()
                if self._lease.spend(now):
                    return True
                if self._lease.closed(now):
                    return False
                await self._renew(now)
                return self._lease.spend(now)
        finally:
            self._waiting -= 1

    async def _renew(self, now: float) -> None:
        wanted = min(self.limit.burst, max(self.limit.share, self._waiting))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                granted, remaining = await self._take(wanted)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("%s is not limited: %s: %s", self._group, type(error).__name__, error)
            metrics.UNLIMITED.labels(self._group).inc()
            self._lease.renew(math.inf, float(self.limit.burst), wanted=wanted, asked=self._clock())
            return
        self._lease.renew(granted, remaining, wanted=wanted, asked=now)


class Limits:
    """The limits of a service as this process last read them, and its buckets. `refresh` reads them anew."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._limits: dict[tuple[str, str], Limit] = {}
        self._buckets: dict[tuple[str, str], Bucket | None] = {}

    async def refresh(self) -> None:
        rows = await self._database.fetch(ALL)
        self._limits = {(row["partner"], row["route_group"]): Limit(row["rate"], row["burst"]) for row in rows}
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if bucket is not None and bucket.limit == self._limit(*key)
        }

    async def spend(self, account: str, group: str) -> Fields:
        """Spend a token of the caller's bucket, if it has one. Raise Refusal 429."""
        if not self._limits:
            return ()
        key = account, group
        try:
            bucket = self._buckets[key]
        except KeyError:
            bucket = self._buckets[key] = self._bucket(account, group)
        return () if bucket is None else await bucket.spend()

    def _limit(self, partner: str, group: str) -> Limit | None:
        return self._limits.get((partner, group)) or self._limits.get((ANY_PARTNER, group))

    def _bucket(self, partner: str, group: str) -> Bucket | None:
        if (limit := self._limit(partner, group)) is None:
            return None
        return Bucket(group, limit, partial(self._take, partner, group, limit), self._clock)

    async def _take(self, partner: str, group: str, limit: Limit, wanted: int) -> tuple[int, float]:
        async with self._database.unit() as unit:
            row = await unit.sql.fetchrow(TAKE, partner, group, limit.rate, limit.burst, wanted)
        return row["granted"], row["remaining"]


class Limited(Dependency):
    """Spend one token for each request, and count those being handled."""

    problems: ClassVar[tuple[Problem, ...]] = (RATE_LIMITED, TOO_MANY_AT_ONCE)

    def __init__(self, group: str, at_once: int | None = None) -> None:
        if not _GROUP.fullmatch(group):
            raise ValueError(f"{group!r} is no route group: lower case letters, digits and hyphens, at most 32")
        self.group, self.at_once = group, at_once

    async def __call__(self, request: Request) -> None:
        state = state_of(request)
        if state.limited:
            return
        state.limited = True
        caller = state.caller or await authenticate(state)
        if self.at_once is not None:
            state.enter(self.group, self.at_once)
        if state.limiter is not None:
            state.fields = await state.limiter.spend(caller.account, self.group)


_GROUP: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def limited(group: str, *, at_once: int | None = None) -> Any:
    """Return the dependency that counts a request against the caller's limit for this route group, or answers 429.

    `at_once`: the requests of one caller that a process handles at the same time, for routes that hold much memory or
    a database connection.

    @router.post("/orders", dependencies=[limited("orders")])
    """
    return Depends(Limited(group, at_once))


def group_of(route: BaseRoute) -> str | None:
    """Return the route's group, None if it has none. Raise TypeError if it has several."""
    dependencies: Sequence[Any] = route.dependant.dependencies if isinstance(route, APIRoute) else ()
    found = [each.call.group for each in dependencies if isinstance(each.call, Limited)]
    if len(found) > 1:
        raise TypeError(f"{route}: a request counts in one route group, not in {', '.join(found)}")
    return found[0] if found else None


def groups_of(routes: Iterable[BaseRoute]) -> frozenset[str]:
    return frozenset(group for route in routes if (group := group_of(route)) is not None)
