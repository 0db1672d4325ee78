"""Invariants 3 and 7, across the two services: orders hold what they were told, and nobody waits beside free stock."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg

from crossdock_cli.verify.log import Log
from crossdock_cli.verify.report import Check, Findings
from crossdock_events.reservations import (
    ReservationEvent,
    StockBackordered,
    StockRejected,
    StockReleased,
    StockReserved,
)

NOT_AGREED = Check(3, "other", "orders that order-service and inventory-service see differently")
HOLDS_AFTER_END = Check(3, "other", "ended orders that still hold stock")
NOT_ASKED = Check(3, "other", "reservations of other lines than their order asked for")
NO_ORDER = Check(3, "other", "reservations of no order")
RESERVED_TWICE = Check(4, "duplicated", "orders reserved again after their end, or released twice")
NOT_SAID = Check(5, "other", "reservations that are not what their events say")
WAITS_IN_VAIN = Check(7, "other", "backorders that wait although unpromised stock could serve them")

RESERVATIONS = """
    SELECT order_id::text AS order_id, status, sequence, lines.lines::text AS lines, held.held::text AS held
    FROM reservations
    LEFT JOIN (
        SELECT order_id, json_agg(json_build_array(line_id, item_id, requested, reserved)) AS lines
        FROM reservation_lines GROUP BY order_id
    ) AS lines USING (order_id)
    LEFT JOIN (
        SELECT order_id, json_agg(json_build_array(line_id, location_id, quantity)) AS held
        FROM allocations GROUP BY order_id
    ) AS held USING (order_id)
"""

WAITING = """
    SELECT order_id::text AS order_id, partial, placed_at < now() - $1::interval AS old,
           array_agg(item_id) AS items, array_agg(waiting) AS quantities,
           bool_and(coalesce(item.status, '') = 'active') AS active,
           array_agg(coalesce(item.status, '') = 'active') AS possible
    FROM reservations AS reservation JOIN reservation_lines AS line USING (order_id)
    LEFT JOIN items AS item USING (item_id)
    WHERE reservation.status = 'waiting' AND line.waiting > 0
    GROUP BY order_id, partial, placed_at, reservation.priority
    ORDER BY reservation.priority DESC, placed_at, order_id
"""

FREE = "SELECT item_id, sum(on_hand - reserved)::bigint AS units FROM levels GROUP BY item_id"

EXPECTED = {"confirmed": "open", "backordered": "waiting", "rejected": "rejected", "cancelled": "released"}
Lines: TypeAlias = list[tuple[str, str, int]]


@dataclass(slots=True)
class Held:
    """What inventory-service keeps of one order."""

    status: str
    sequence: int
    lines: list[tuple[str, str, int, int]]
    allocations: list[tuple[str, str, int]]

    @property
    def asked(self) -> Lines:
        return [(line, item, requested) for line, item, requested, _ in self.lines]


async def read(sql: asyncpg.Connection) -> dict[str, Held]:
    return {
        row["order_id"]: Held(
            row["status"],
            row["sequence"],
            sorted(tuple(line) for line in json.loads(row["lines"] or "[]")),
            sorted(tuple(each) for each in json.loads(row["held"] or "[]")),
        )
        for row in await sql.fetch(RESERVATIONS)
    }


def check_agreement(
    orders: Mapping[str, asyncpg.Record], held: Mapping[str, Held], stuck: Collection[str], found: Findings
) -> None:
    """Orders of which an event is a dead letter are left to whoever resolves it."""
    for order_id, order in orders.items():
        reservation, status = held.get(order_id), order["status"]
        if order_id in stuck:
            continue
        there = None if reservation is None else reservation.status
        if there != EXPECTED.get(status):
            found.add(NOT_AGREED, f"{order_id} is {status}, its reservation {there or 'is not there'}")
        if reservation is None:
            continue
        if status in ("rejected", "cancelled") and reservation.allocations:
            found.add(HOLDS_AFTER_END, f"{order_id} is {status} and holds {_pieces(reservation)}")
        asked = _asked(order)
        if reservation.lines and reservation.asked != asked:
            found.add(NOT_ASKED, f"{order_id} asked for {asked}, reserved for {reservation.asked}")
        elif status == "confirmed" and _by_line(reservation) != {line: quantity for line, _, quantity in asked}:
            found.add(NOT_ASKED, f"{order_id} is confirmed and holds {_pieces(reservation)} of {asked}")
    for order_id in sorted(held.keys() - orders.keys()):
        if order_id not in stuck:
            found.add(NO_ORDER, f"{order_id} ({held[order_id].status})")


def _asked(order: asyncpg.Record) -> Lines:
    document = json.loads(order["document"])
    return sorted((line["line_id"], line["item_id"], line["quantity"]) for line in document["lines"])


def _by_line(reservation: Held) -> dict[str, int]:
    held: dict[str, int] = defaultdict(int)
    for line, _, quantity in reservation.allocations:
        held[line] += quantity
    return dict(held)


def _pieces(reservation: Held) -> str:
    return ", ".join(f"{n} for line {line} at {location}" for line, location, n in reservation.allocations) or "nothing"


STATUS = {StockBackordered.ce_type: "waiting", StockRejected.ce_type: "rejected", StockReleased.ce_type: "released"}


def check_said(held: Mapping[str, Held], log: Log, found: Findings) -> None:
    """What the reservations topic says last about an order is what the order holds."""
    events = log.by_key(ReservationEvent.topic.name)
    for order_id in sorted(held.keys() | events.keys()):
        reservation, said = held.get(order_id), events.get(order_id, [])
        if reservation is None or not said:
            there = "has events and no reservation" if said else "has a reservation and no event"
            found.add(NOT_SAID, f"{order_id} {there}")
            continue
        types = [entry.type for entry in said]
        if StockReleased.ce_type in types[:-1] or StockRejected.ce_type in types[1:]:
            found.add(RESERVED_TWICE, f"{order_id}: {', '.join(t.removeprefix('crossdock.') for t in types)}")
        last = said[-1]
        data = json.loads(last.value)
        status = STATUS.get(last.type) or _reserved(data)
        if (status, last.sequence) != (reservation.status, reservation.sequence):
            there = f"{reservation.status} after {reservation.sequence} events"
            found.add(NOT_SAID, f"{order_id} is {there}, the topic says {status} after {last.sequence}")
        elif last.type == StockReserved.ce_type and _allocations(data["lines"]) != reservation.allocations:
            found.add(NOT_SAID, f"{order_id} holds {_pieces(reservation)}, the topic says otherwise")


def _reserved(data: Mapping[str, Any]) -> str:
    return "waiting" if any(line["backordered"] for line in data["lines"]) else "open"


def _allocations(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    return sorted((line["line_id"], a["location_id"], a["quantity"]) for line in lines for a in line["allocations"])


async def check_waiting(sql: asyncpg.Connection, earmark_after: timedelta, found: Findings) -> None:
    """The rule of inventory's reservations, told once more from what it promises: in their turn (priority, age, id), a
    whole order is served when the total of each of its items suffices, a partial one when there is any. A whole order
    older than `earmark_after` sets aside what it can use from all after it. A discontinued item serves nobody."""
    free = {row["item_id"]: row["units"] for row in await sql.fetch(FREE)}
    kept: dict[str, int] = defaultdict(int)
    for row in await sql.fetch(WAITING, earmark_after):
        needs: dict[str, int] = defaultdict(int)
        for item, quantity, possible in zip(row["items"], row["quantities"], row["possible"], strict=True):
            if possible:
                needs[item] += quantity
        usable = {item: min(quantity, max(0, free.get(item, 0) - kept[item])) for item, quantity in needs.items()}
        serves = any(usable.values()) if row["partial"] else row["active"] and usable == needs
        if serves:
            found.add(WAITS_IN_VAIN, f"{row['order_id']}: {usable} is there")
            for item, quantity in usable.items():
                free[item] -= quantity
        elif row["old"] and row["active"] and not row["partial"]:
            for item, quantity in usable.items():
                kept[item] += quantity
