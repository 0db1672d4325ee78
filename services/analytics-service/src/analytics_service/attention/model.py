"""What needs a person: rows by cause, made from facts. Nothing here asks, so that each cause has a test of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field

Cause = Literal[
    "service_silent",
    "broker_away",
    "process_dead",
    "consumer_stopped",
    "outbox_blocked",
    "dead_letters",
    "key_parked",
    "log_behind",
    "consumer_behind",
    "answer_overdue",
    "backordered",
]
"""What is wrong, the gravest first: a silent service hides all that it would report."""

SEVERITY: Final[Mapping[str, int]] = {cause: place for place, cause in enumerate(Cause.__args__)}  # type: ignore[attr-defined]

OUTBOX_SECONDS: Final = 5.0
"""A message is sent within milliseconds. An older one is blocked, not just new."""
BEHIND_SECONDS: Final = 15.0
SEEN_SECONDS: Final = 90.0
"""A consumer that lives stores its progress at least once a minute."""
ANSWER_SECONDS: Final = 15.0
"""Inventory answers an order within a second. order-service cancels an order after a minute."""


# --- facts


class Outbox(BaseModel):
    depth: int
    age_seconds: float
    relay_runs: bool


class Partition(BaseModel):
    topic: str
    partition: int
    lag: int | None


class Group(BaseModel):
    group: str
    kind: str | None
    lag: int | None
    lag_seconds: float | None
    seen_at: datetime | None
    parked: int
    blocked: int
    held_keys: int
    partitions: list[Partition]


class Operations(BaseModel):
    """The part of `/v1/operations` that is needed here. Other fields are ignored, so newer services are understood."""

    at: datetime
    outbox: Outbox
    groups: list[Group]


class Example(BaseModel):
    group: str
    topic: str
    type: str | None


class Failure(BaseModel):
    """An entry of `/v1/dead-letters/causes`."""

    fingerprint: str
    reason: str
    records: int
    keys: int
    first_at: datetime
    example: Example


class Stop(BaseModel):
    """An entry of `/v1/stopped`."""

    id: int
    group: str
    kind: str
    topic: str | None
    partition: int | None
    type: str | None
    reason: str
    since: datetime
    decision: str | None


class Failures(BaseModel):
    items: list[Failure]
    next: str | None


class Stops(BaseModel):
    items: list[Stop]
    next: str | None


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What a service has answered. A part is None if it gave no answer, and `silent` then has the reason."""

    name: str
    operations: Operations | None = None
    failures: Failures | None = None
    stops: Stops | None = None
    silent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Orders that wait, and the sum of their totals by currency. It is None if the total of an order is not known."""

    orders: int
    since: datetime
    amounts: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class ItemWaits(Waiting):
    """Orders that wait for an item."""

    item: str
    units: int


@dataclass(frozen=True, slots=True)
class Facts:
    """`all_counted` is false if more orders wait than were counted, `all_items` if more items lack units."""

    at: datetime
    services: Sequence[ServiceFacts] = ()
    backorders: Sequence[ItemWaits] = ()
    all_counted: bool = True
    all_items: bool = True
    unanswered: Waiting | None = None
    broker_away: str | None = None
    broker_away_since: datetime | None = None


# --- rows


class Figures(BaseModel):
    """More figures of a row. Null means that the cause does not have it, or that it is not known."""

    amounts: Annotated[dict[str, str] | None, Field(description="Totals of the orders concerned, by currency")] = None
    units: Annotated[int | None, Field(description="In base units")] = None
    keys: Annotated[int | None, Field(description="Keys whose later events wait")] = None
    events: Annotated[int | None, Field(description="Events that wait")] = None
    seconds: Annotated[float | None, Field(description="How far it is behind")] = None


class Remedy(BaseModel):
    """A call that fixes the cause. `body` lacks the reason, which the person states."""

    service: str
    method: Literal["POST"]
    url: Annotated[str, Field(description="A path of the service")]
    scope: str
    dry_run: Annotated[bool, Field(description="Whether `?dry_run=true` shows the result first")]
    body: dict[str, Any]


class AttentionRow(BaseModel):
    cause: Cause
    service: str | None
    subject: Annotated[str | None, Field(description="An item, a fingerprint, a consumer group or a process")] = None
    count: Annotated[
        int | None, Field(description="Orders, events, keys or messages, as the sentence has it; null if not known")
    ] = None
    value: Figures | None = None
    since: Annotated[datetime | None, Field(description="The oldest of them; null if not known")] = None
    detail: Annotated[str | None, Field(description="The reason as a service or a library states it")] = None
    explain: Annotated[str, Field(description="The page of the console that explains it")]
    action: Remedy | None = None
    sentence: str


class Checked(BaseModel):
    """Something that was looked at: `orders`, `backorders`, `broker`, or `service/part`."""

    what: str
    at: datetime
    answered: bool


class Attention(BaseModel):
    rows: list[AttentionRow]
    checked: list[Checked]
    at: datetime


def rows_of(facts: Facts) -> list[AttentionRow]:
    """Return what needs attention: the gravest cause first, and the oldest of each."""
    found = [*_broker(facts), *_orders(facts), *_backorders(facts)]
    for service in facts.services:
        found += [*_silent(service), *_failures(service), *_stops(service)]
        if service.operations is not None:
            found += _processes(service.name, service.operations, away=facts.broker_away is not None)
            found += [*_outbox(service.name, service.operations), *_keys(service)]
            found += _lags(service.name, service.operations, service.stops)
    latest = facts.at + timedelta(days=1)
    return sorted(
        found, key=lambda row: (SEVERITY[row.cause], row.since or latest, row.service or "", row.subject or "")
    )


def _silent(service: ServiceFacts) -> Iterator[AttentionRow]:
    if service.silent:
        reason = next(iter(service.silent.values()))
        parts = ", ".join(sorted(service.silent))
        yield AttentionRow(
            cause="service_silent",
            service=service.name,
            detail=reason,
            explain=_page("/consumers", service=service.name),
            sentence=f"{service.name} does not answer ({reason}). Unknown: {parts}.",
        )


def _broker(facts: Facts) -> Iterator[AttentionRow]:
    if facts.broker_away is not None:
        yield AttentionRow(
            cause="broker_away",
            service=None,
            since=facts.broker_away_since,
            detail=facts.broker_away,
            explain="/consumers",
            sentence=f"Kafka does not answer ({facts.broker_away}). Events wait in the outbox of their service.",
        )


def _orders(facts: Facts) -> Iterator[AttentionRow]:
    if (found := facts.unanswered) is not None:
        yield AttentionRow(
            cause="answer_overdue",
            service="inventory-service",
            count=found.orders,
            value=Figures(amounts=_amounts(found)),
            since=found.since,
            explain=_page("/orders", status="placed"),
            sentence=f"{_some(found.orders, 'order')} without an answer of inventory-service for more than "
            f"{ANSWER_SECONDS:g} seconds.",
        )


def _backorders(facts: Facts) -> Iterator[AttentionRow]:
    for each in facts.backorders:
        yield AttentionRow(
            cause="backordered",
            service="inventory-service",
            subject=each.item,
            count=each.orders,
            value=Figures(units=each.units, amounts=_amounts(each)),
            since=each.since,
            explain=f"/stock/{quote(each.item, safe='')}",
            sentence=f"{'' if facts.all_counted else 'At least '}{_some(each.orders, 'order')} wait"
            f"{'s' if each.orders == 1 else ''} for {_some(each.units, 'unit')} of {each.item}.",
        )
    if not facts.all_items:
        yield AttentionRow(
            cause="backordered",
            service="inventory-service",
            explain=_page("/stock", view="backorders"),
            sentence=f"Orders wait for more than {len(facts.backorders)} items.",
        )


def _failures(service: ServiceFacts) -> Iterator[AttentionRow]:
    if service.failures is None:
        return
    for each in service.failures.items:
        yield AttentionRow(
            cause="dead_letters",
            service=service.name,
            subject=each.fingerprint,
            count=each.records,
            value=Figures(keys=each.keys),
            since=each.first_at,
            detail=each.reason,
            explain=_page("/dead-letters", service=service.name, fingerprint=each.fingerprint),
            action=_redrive(service.name, each.fingerprint),
            sentence=f"{_some(each.records, 'event')} failed in {service.name} for one reason: {each.reason}",
        )
    if service.failures.next is not None:
        yield AttentionRow(
            cause="dead_letters",
            service=service.name,
            explain=_page("/dead-letters", service=service.name, state="poison"),
            sentence=f"{service.name} has dead letters for more than {len(service.failures.items)} reasons.",
        )


def _redrive(service: str, fingerprint: str) -> Remedy:
    return Remedy(
        service=service,
        method="POST",
        url="/v1/dead-letters:resolve",
        scope="ops:act",
        dry_run=True,
        body={"action": "redrive", "records": {"fingerprint": fingerprint}},
    )


def _keys(service: ServiceFacts) -> Iterator[AttentionRow]:
    assert service.operations is not None
    failures = [] if service.failures is None else service.failures.items
    for each in service.operations.groups:
        if not (waiting := each.parked + each.blocked):
            continue
        causes = [failure for failure in failures if failure.example.group == each.group]
        yield AttentionRow(
            cause="key_parked",
            service=service.name,
            subject=each.group,
            count=each.held_keys,
            value=Figures(events=waiting),
            since=min((failure.first_at for failure in causes), default=None),
            explain=_page("/dead-letters", service=service.name, state="parked" if each.parked else "blocked"),
            action=_redrive(service.name, causes[0].fingerprint) if len(causes) == 1 and each.parked else None,
            sentence=f"{_some(waiting, 'event')} of {_some(each.held_keys, 'key')} wait in {each.group} behind an "
            f"event that {'failed' if each.parked else 'is retried'}.",
        )


def _stops(service: ServiceFacts) -> Iterator[AttentionRow]:
    for each in [] if service.stops is None else service.stops.items:
        place = each.group if each.topic is None else f"{each.group} at {each.topic}/{each.partition}"
        if each.decision is None:
            fix = "park" if each.kind in ("version", "breaker") else "skip"
            sentence = f"{place} is stopped: {each.reason}"
        else:
            fix, sentence = "end", f"The decision to {each.decision} still stands for {place}: {each.reason}"
        yield AttentionRow(
            cause="consumer_stopped",
            service=service.name,
            subject=each.group,
            count=_lag_at(service.operations, each),
            since=each.since,
            detail=each.reason,
            explain=_page("/consumers", service=service.name, group=each.group),
            action=Remedy(
                service=service.name,
                method="POST",
                url=f"/v1/stopped/{each.id}:{fix}",
                scope="ops:act",
                dry_run=True,
                body={},
            ),
            sentence=sentence,
        )


def _lag_at(operations: Operations | None, stop: Stop) -> int | None:
    """Return how many records wait: those of the stopped partition, or of the whole group."""
    for group in [] if operations is None else operations.groups:
        if group.group == stop.group:
            if stop.topic is None:
                return group.lag
            places = {(each.topic, each.partition): each.lag for each in group.partitions}
            return places.get((stop.topic, stop.partition or 0))
    return None


def _processes(service: str, seen: Operations, *, away: bool) -> Iterator[AttentionRow]:
    last = [each.seen_at for each in seen.groups if each.seen_at is not None]
    if not seen.outbox.relay_runs:
        yield AttentionRow(
            cause="process_dead",
            service=service,
            subject="worker",
            since=max(last, default=None),
            explain=_page("/consumers", service=service),
            sentence=f"No worker of {service} runs: it sends no events and handles none.",
        )
        return
    # Without the broker a consumer that starts anew stores nothing, and the broker has a row of its own.
    for each in [] if away else seen.groups:
        if each.kind and each.seen_at and (seen.at - each.seen_at).total_seconds() > SEEN_SECONDS:
            yield AttentionRow(
                cause="process_dead",
                service=service,
                subject=each.group,
                count=each.lag,
                since=each.seen_at,
                explain=_page("/consumers", service=service, group=each.group),
                sentence=f"No consumer of {each.group} has been seen since {each.seen_at:%Y-%m-%d %H:%M:%S} UTC.",
            )


def _outbox(service: str, seen: Operations) -> Iterator[AttentionRow]:
    if seen.outbox.depth and seen.outbox.age_seconds > OUTBOX_SECONDS:
        yield AttentionRow(
            cause="outbox_blocked",
            service=service,
            count=seen.outbox.depth,
            value=Figures(seconds=seen.outbox.age_seconds),
            since=seen.at - timedelta(seconds=seen.outbox.age_seconds),
            explain=_page("/consumers", service=service),
            sentence=f"{_some(seen.outbox.depth, 'message')} wait in the outbox of {service} for Kafka.",
        )


def _lags(service: str, seen: Operations, stops: Stops | None) -> Iterator[AttentionRow]:
    # A group that is stopped as a whole has its lag in the row of the stop.
    stopped = {each.group for each in ([] if stops is None else stops.items) if not each.decision and not each.topic}
    for each in seen.groups:
        if each.group in stopped or not each.lag or (each.lag_seconds or 0.0) <= BEHIND_SECONDS:
            continue
        log = each.kind == "log"
        yield AttentionRow(
            cause="log_behind" if log else "consumer_behind",
            service=service,
            subject=each.group,
            count=each.lag,
            value=Figures(seconds=each.lag_seconds),
            since=seen.at - timedelta(seconds=each.lag_seconds or 0.0),
            explain=_page("/consumers", service=service, group=each.group),
            sentence=f"{'The log' if log else each.group} is {_some(each.lag, 'record')} behind."
            + (" Live events, orders and stock are shown late." if log else ""),
        )


def _amounts(waiting: Waiting) -> dict[str, str] | None:
    return None if waiting.amounts is None else dict(waiting.amounts)


def _some(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _page(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}"
