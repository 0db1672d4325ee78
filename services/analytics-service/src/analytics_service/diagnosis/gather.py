"""Gather the facts of a diagnosis: from the log, and from the services that the order may wait for."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel

from analytics_service.asking import NoAnswer, Services
from analytics_service.diagnosis import views
from analytics_service.diagnosis.facts import (
    INVENTORY,
    ORDERS,
    Facts,
    Letter,
    Line,
    LogState,
    Order,
    Part,
    Place,
    Queue,
    Sent,
    Silent,
    Status,
    Stop,
)
from crossdock_chassis import Database, DeadLetter, GroupState, Operations, OperationsState, Page

LETTERS: Final = 20

T = TypeVar("T", bound=BaseModel)


class Refused(Exception):
    """Nothing is known about the order. `reason` is set if order-service did not answer."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason or "no such order")
        self.reason = reason


# What other services answer, as far as it is needed


class _LackingLine(BaseModel):
    line_id: str
    item_id: str
    requested: int
    reserved: int
    missing: int


class _Waiting(BaseModel):
    since: AwareDatetime
    until: AwareDatetime | None
    lines: list[_LackingLine]


class _Order(BaseModel):
    status: Status
    version: int
    placed_at: AwareDatetime
    decided_at: AwareDatetime | None
    partial: bool
    reason: str | None
    waiting: _Waiting | None


class _QueuedLine(_LackingLine):
    orders_ahead: int
    units_ahead: int
    complete: bool
    available: int
    discontinued: bool


class _Queue(BaseModel):
    status: str
    version: int
    changed_at: AwareDatetime
    partial: bool
    lines: list[_QueuedLine]
    lines_left_out: int


@dataclass(frozen=True, slots=True)
class Gatherer:
    database: Database
    services: Services
    overdue_after: timedelta

    async def facts(self, order_id: UUID, token: str, operations: Operations) -> Facts:
        """Return all facts. A service that is silent takes 2 seconds. Raise Refused if nobody knows the order."""
        # The log is read last: it then has all that the services had published.
        shown, queue, orders_part, inventory_part, own = await asyncio.gather(
            self._ask(ORDERS, f"/v1/orders/{order_id}", token, _Order),
            self._ask(INVENTORY, f"/v1/reservations/{order_id}/queue", token, _Queue),
            self._part(ORDERS, order_id, token),
            self._part(INVENTORY, order_id, token),
            operations.state(),
        )
        records = await views.records(self.database, order_id)
        order = await self._order(order_id, shown, records)
        return Facts(
            now=datetime.now(UTC),
            order=order,
            records=records,
            queue=_queue(queue) if isinstance(queue, _Queue) else queue,
            parts={ORDERS: orders_part, INVENTORY: inventory_part},
            log=_log(own),
            order_service=shown if isinstance(shown, Silent) else None,
            overdue_after=self.overdue_after,
        )

    async def _ask(self, service: str, path: str, token: str, kind: type[T]) -> T | Silent | None:
        """Return what a service answers: None for 404, Silent if there is no answer that can be used."""
        try:
            return await self.services.ask(service, path, kind, token=token)
        except NoAnswer as error:
            return None if error.status == 404 else Silent(error.reason)

    async def _order(self, order_id: UUID, shown: _Order | Silent | None, records: list[Sent]) -> Order:
        if isinstance(shown, _Order):
            return _shown(order_id, shown)
        found = await views.order(self.database, order_id, records)
        if found is None:
            raise Refused(shown.reason if isinstance(shown, Silent) else None)
        return found

    async def _part(self, service: str, order_id: UUID, token: str) -> Part | Silent:
        """Return the state of a service, with the events of the order that it has set aside."""
        state, letters = await asyncio.gather(
            self._ask(service, "/v1/operations", token, OperationsState),
            self._ask(service, f"/v1/dead-letters?key={order_id}&limit={LETTERS}", token, Page[DeadLetter]),
        )
        if not isinstance(state, OperationsState):
            return state or Silent("status 404")
        found = letters.items if isinstance(letters, Page) else []
        return Part(
            runs=state.outbox.relay_runs,
            outbox_depth=state.outbox.depth,
            outbox_seconds=state.outbox.age_seconds,
            places=_places(_reaction(state)),
            stops=_stops(_reaction(state)),
            letters=[Letter(each.id, each.state, each.topic, each.reason, each.created_at) for each in found],
        )


def _reaction(state: OperationsState) -> list[GroupState]:
    return [each for each in state.groups if each.kind == "reaction"]


def _places(groups: list[GroupState]) -> dict[tuple[str, int], Place]:
    return {
        (each.topic, each.partition): Place(each.position, each.seconds_to_clear, each.seen_at)
        for group in groups
        for each in group.partitions
        if each.reads
    }


def _stops(groups: list[GroupState]) -> dict[tuple[str, int] | None, list[Stop]]:
    found: dict[tuple[str, int] | None, list[Stop]] = defaultdict(list)
    for each in (stop for group in groups for stop in group.stopped):
        place = None if each.topic is None or each.partition is None else (each.topic, each.partition)
        found[place].append(Stop(each.id, each.kind, each.reason, each.since, each.decision))
    return found


def _log(state: OperationsState) -> LogState:
    group = next((each for each in state.groups if each.kind == "log"), None)
    if group is None:
        return LogState(runs=state.outbox.relay_runs, lag=None, seconds=None)
    stopped = min((each.since for each in group.stopped), default=None)
    return LogState(state.outbox.relay_runs, group.lag, group.lag_seconds, group.seen_at, stopped)


def _shown(order_id: UUID, shown: _Order) -> Order:
    lines = sorted(shown.waiting.lines, key=lambda each: -each.missing) if shown.waiting else []
    waits = shown.waiting if shown.status in ("placed", "backordered") else None
    return Order(
        id=order_id,
        status=shown.status,
        version=shown.version,
        placed_at=shown.placed_at,
        since=waits.since if waits else shown.decided_at or shown.placed_at,
        partial=shown.partial,
        until=waits.until if waits else None,
        reason=shown.reason,
        lines=[Line(**each.model_dump()) for each in lines[: views.LINES]],
        lines_left_out=max(0, len(lines) - views.LINES),
    )


def _queue(found: _Queue) -> Queue:
    return Queue(
        status=found.status,  # type: ignore[arg-type]  # a new status counts as none of these
        version=found.version,
        changed_at=found.changed_at,
        partial=found.partial,
        lines=[Line(**each.model_dump()) for each in found.lines],
        lines_left_out=found.lines_left_out,
    )
