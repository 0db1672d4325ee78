"""Edits by hand of the databases of a stack at rest, each with the checks of `crossdock verify` that report it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import asyncpg
from harness import ANALYTICS, FORECAST, INVENTORY, ORDERS, Harness

from crossdock_chassis.commands.idempotency import UNANSWERED_KEY
from crossdock_chassis.database.outbox import PENDING_NOTHING
from crossdock_cli.verify import Known, Report, Subject, Violation, delivery, examine
from crossdock_cli.verify.books import Books
from crossdock_cli.verify.log import Log
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderEvent
from inventory_service.items.checks import NOT_THE_ITEM
from inventory_service.reservations import checks as held
from inventory_service.stock import checks as stock
from order_service.known_items.checks import NOT_THE_ITEMS
from order_service.orders import checks as orders

WAITS_IN_VAIN = held.waits_in_vain(timedelta(days=1))


@dataclass
class Case:
    """A stack at rest with an order of each kind, and an open transaction on each database."""

    harness: Harness
    subject: Subject
    log: Log
    sql: dict[str, asyncpg.Connection]
    items: Sequence[str]
    confirmed: UUID
    backordered: UUID
    cancelled: UUID
    touched: set[str] | None = field(default=None, init=False)
    """The services whose databases were changed since it was set. `examine` leaves out the own checks of the others,
    which read nothing else than their database and the log, and analytics-service. None: it leaves out nothing.
    """

    async def books(self) -> list[Books]:
        books = []
        for source in self.subject.sources:
            if self.touched is None or source.name in self.touched:
                books.append(Books(source, self.sql[source.name]))
            elif source.name != ANALYTICS:  # it would compare its whole log with Kafka each time
                books.append(Books(replace(source, checks=()), self.sql[source.name]))
        for each in books:
            await each.look_at_positions()
        return books

    async def examine(self, known: Known | None = None, log: Log | None = None) -> Report:
        return await examine(await self.books(), log or self.log, known or self.harness.known())

    @asynccontextmanager
    async def rolled_back(self) -> AsyncIterator[None]:
        """Undo what the block changes."""
        for sql in self.sql.values():
            await sql.execute("SAVEPOINT before")
        yield
        for sql in self.sql.values():
            await sql.execute("ROLLBACK TO before")

    async def edit(self, service: str, statement: str, *values: object) -> None:
        if self.touched is not None:
            self.touched.add(service)
        await self.sql[service].execute(statement, *values)

    async def analytics(self, statement: str, *values: object) -> None:
        await self.edit(ANALYTICS, statement, *values)

    async def forecast(self, statement: str, *values: object) -> None:
        await self.edit(FORECAST, statement, *values)

    async def orders(self, statement: str, *values: object) -> None:
        await self.edit(ORDERS, statement, *values)

    async def redriven(self, service: str, topic: str, key: str) -> None:
        """Make the events of the key dead letters that were redriven without an effect."""
        books = next(each for each in await self.books() if each.service == service)
        group = next(each.name for each in books.groups if topic in each.topics)
        entries = self.log.by_key(topic)[key]
        for entry in entries:
            headers = json.dumps({name: value.decode() for name, value in entry.headers})
            await self.edit(
                service,
                'INSERT INTO dead_letter (consumer_group, topic, partition, "offset", key, value, headers, state, '
                "reason, fingerprint, resolved_at, resolution) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, 'redriven', 'x', 'x', now(), '{}')",
                group,
                *entry.place,
                entry.key,
                entry.value,
                headers,
            )
        await self.edit(service, "DELETE FROM inbox WHERE event_id = ANY($1::uuid[])", [e.id for e in entries])
        await self.edit(service, "DELETE FROM projection_head WHERE key = $1", key)

    async def document(self, path: str, value: str) -> None:
        """Change the document of the confirmed order."""
        await self.orders(
            "UPDATE orders SET document = jsonb_set(document, $2::text[], $3::jsonb) WHERE id = $1",
            self.confirmed,
            path.strip("{}").split(","),
            value,
        )

    async def inventory(self, statement: str, *values: object) -> None:
        await self.edit(INVENTORY, statement, *values)


Tamper = Callable[[Case], Awaitable[object]]
ORPHAN = "00000000-0000-7000-8000-000000000000"


async def _unchecked(case: Case, statement: str, *values: object) -> None:
    await case.inventory("ALTER TABLE levels DROP CONSTRAINT levels_reserved_is_there")
    await case.inventory(statement, *values)


async def _unfolded(case: Case, statement: str, *values: object) -> None:
    """Undo what the job that folds the ledger has done so far, because it differs from run to run."""
    await case.inventory("UPDATE ledger_mark SET folded_to = 0")
    await case.inventory("DELETE FROM ledger_sums")
    await case.inventory(statement, *values)


TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "an order is deleted": (
        lambda c: c.orders("DELETE FROM orders WHERE id = $1", c.confirmed),
        {orders.MISSING, orders.NOT_ITS_EVENTS, orders.NOT_FED, orders.OTHERS_KEY},
    ),
    "an order has another id": (
        lambda c: c.orders("UPDATE orders SET id = $2::uuid WHERE id = $1", c.confirmed, ORPHAN),
        {orders.ANOTHER, orders.NOT_ITS_EVENTS, orders.NOT_FED, orders.OTHERS_KEY},
    ),
    "a decision is forgotten": (
        lambda c: c.orders(
            "WITH mark AS (DELETE FROM sweeps) "
            "UPDATE orders SET status = 'placed', decided_at = NULL, version = 1, history = history - 1 WHERE id = $1",
            c.confirmed,
        ),
        {orders.UNDECIDED, orders.NOT_ITS_EVENTS, orders.NOT_FED},
    ),
    "a backorder names no lines": (
        lambda c: c.orders("UPDATE orders SET waiting = NULL WHERE id = $1", c.backordered),
        {orders.NAMELESS, orders.NOT_ITS_HISTORY},
    ),
    "a backorder is not found by its item": (
        lambda c: c.orders("DELETE FROM waiting_items WHERE order_id = $1", c.backordered),
        {orders.NAMELESS},
    ),
    "a confirmed order names lines that it waits for": (
        lambda c: c.orders(
            "UPDATE orders SET waiting = (SELECT waiting FROM orders WHERE id = $2) WHERE id = $1",
            c.confirmed,
            c.backordered,
        ),
        {orders.NAMELESS, orders.NOT_ITS_HISTORY},
    ),
    "a backorder waits for other lines than its event has": (
        lambda c: c.orders(
            "UPDATE orders SET waiting = jsonb_set(waiting, '{lines,0,requested}', '77') WHERE id = $1", c.backordered
        ),
        {orders.NOT_ITS_HISTORY},
    ),
    "a history lacks an event": (
        lambda c: c.orders("UPDATE orders SET history = history - 1 WHERE id = $1", c.confirmed),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY, orders.NOT_FED},
    ),
    "an answer was not applied": (
        lambda c: c.orders("UPDATE orders SET reservation_sequence = 0 WHERE id = $1", c.confirmed),
        {orders.UNHEARD},
    ),
    "an answer was applied that is not on the topic": (
        lambda c: c.orders("UPDATE orders SET reservation_sequence = 9 WHERE id = $1", c.confirmed),
        {orders.NOT_ITS_EVENTS},
    ),
    "an order has another partner": (
        lambda c: c.orders(
            "WITH feed AS (UPDATE order_changes SET partner = 'globex' WHERE order_id = $1) "
            "UPDATE orders SET partner = 'globex' WHERE id = $1",
            c.confirmed,
        ),
        {orders.MISSING, orders.NOT_ITS_EVENTS, orders.OTHERS_KEY},
    ),
    "an order has another currency": (
        lambda c: c.document("{currency}", '"EUR"'),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY, orders.OTHERS_KEY},
    ),
    "an order has another priority": (
        lambda c: c.document("{priority}", "9"),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY},
    ),
    "an order may be served in parts": (
        lambda c: c.document("{partial}", "true"),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY},
    ),
    "an order has another total": (
        lambda c: c.document("{total}", '"7.51"'),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY, orders.OTHERS_KEY},
    ),
    "an order has another unit price": (
        lambda c: c.document("{lines,0,unit_price}", '"2.51"'),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY},
    ),
    "an order has another fingerprint": (
        lambda c: c.orders("UPDATE orders SET fingerprint = 'x' WHERE id = $1", c.confirmed),
        {orders.NOT_ITS_HISTORY},
    ),
    "an order has another customer": (
        lambda c: c.orders("UPDATE orders SET customer_id = 'C-2' WHERE id = $1", c.confirmed),
        {orders.NOT_ITS_EVENTS, orders.NOT_ITS_HISTORY},
    ),
    "an order has other times": (
        lambda c: c.orders(
            "UPDATE orders SET placed_at = '2026-01-01Z', decided_at = '2026-01-01Z' WHERE id = $1", c.confirmed
        ),
        {orders.NOT_ITS_HISTORY, orders.OTHERS_KEY},
    ),
    "an order has another time in its history": (
        lambda c: c.orders(
            "UPDATE orders SET history = jsonb_set(history, '{1,because,time}', '\"2026-01-01T00:00:00+00:00\"') "
            "WHERE id = $1",
            c.confirmed,
        ),
        {orders.NOT_ITS_EVENTS},
    ),
    "an order is not in the feed": (
        lambda c: c.orders("DELETE FROM order_changes WHERE order_id = $1", c.confirmed),
        {orders.NOT_FED},
    ),
    "a sweep mark is beyond all orders": (
        lambda c: c.orders("INSERT INTO sweeps VALUES ('beyond', 'ffffffff-ffff-7fff-bfff-ffffffffffff')"),
        {orders.NEVER_SWEPT},
    ),
    "a key names no order": (
        lambda c: c.orders(
            "UPDATE idempotency_key SET answer = jsonb_set(answer::jsonb, '{order_id}', to_jsonb($2::text)) "
            "WHERE answer ->> 'order_id' = $1",
            str(c.confirmed),
            ORPHAN,
        ),
        {orders.OTHERS_KEY},
    ),
    "a key has no answer": (
        lambda c: c.orders(
            "UPDATE idempotency_key SET answer = NULL WHERE answer ->> 'order_id' = $1", str(c.confirmed)
        ),
        {UNANSWERED_KEY},
    ),
    "a message to send is gone": (
        lambda c: c.orders("INSERT INTO outbox_pending (ids) VALUES ('{9223372036854775807}')"),
        {PENDING_NOTHING},
    ),
    "an item is forgotten": (
        lambda c: c.orders("DELETE FROM known_items WHERE item_id = $1", c.items[0]),
        {NOT_THE_ITEMS},
    ),
    "a projection is behind": (
        lambda c: c.orders("UPDATE projection_head SET sequence = 0 WHERE key = $1", c.items[0]),
        {delivery.PROJECTION_BEHIND},
    ),
    "a projection is ahead": (
        lambda c: c.orders("UPDATE projection_head SET sequence = sequence + 1 WHERE key = $1", c.items[0]),
        {delivery.PROJECTION_AHEAD},
    ),
    "a projection has a key that is not on the topic": (
        lambda c: c.orders(
            "INSERT INTO projection_head SELECT consumer_group, source, topic, 'nothing', 1 "
            "FROM projection_head LIMIT 1"
        ),
        {delivery.PROJECTION_AHEAD},
    ),
    "an event of the outbox has another header": (
        lambda c: c.orders(
            "UPDATE outbox SET headers = jsonb_set(headers::jsonb, '{ce_time}', '\"2026-01-01T00:00:00+00:00\"') "
            "WHERE key = $1",
            str(c.confirmed).encode(),
        ),
        {delivery.ALTERED},
    ),
    "a redriven event had no effect": (
        lambda c: c.redriven(INVENTORY, OrderEvent.topic.name, str(c.confirmed)),
        {delivery.NO_EFFECT, delivery.NO_MIRROR},
    ),
    "a redriven event had no effect on a projection": (
        lambda c: c.redriven(ORDERS, ItemEvent.topic.name, c.items[0]),
        {delivery.NO_EFFECT},
    ),
    "a movement is deleted": (
        lambda c: _unfolded(c, "DELETE FROM movements WHERE item_id = $1 AND kind = 'receipt'", c.items[0]),
        {stock.LEDGER, stock.DOCUMENT},
    ),
    "a receipt is counted twice": (
        lambda c: c.inventory(
            "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at) "
            "SELECT item_id, location_id, on_hand, reserved, kind, reference, cause, at FROM movements "
            "WHERE item_id = $1 AND kind = 'receipt'",
            c.items[0],
        ),
        {stock.LEDGER, stock.DOCUMENT},
    ),
    "a level is bumped": (
        lambda c: c.inventory("UPDATE levels SET on_hand = on_hand + 1 WHERE item_id = $1", c.items[0]),
        {stock.LEDGER, stock.NOT_SAID},
    ),
    "reserved is bumped": (
        lambda c: c.inventory("UPDATE levels SET reserved = reserved + 1 WHERE item_id = $1", c.items[0]),
        {stock.LEDGER, held.HELD, stock.NOT_SAID},
    ),
    "more is promised than is there": (
        lambda c: _unchecked(c, "UPDATE levels SET reserved = on_hand + 1 WHERE item_id = $1", c.items[0]),
        {stock.OVERSOLD, stock.LEDGER, held.HELD, stock.NOT_SAID},
    ),
    "a level is below zero": (
        lambda c: _unchecked(c, "UPDATE levels SET on_hand = -1, reserved = -2 WHERE item_id = $1", c.items[0]),
        {stock.NEGATIVE, stock.LEDGER, held.HELD, stock.NOT_SAID},
    ),
    "an order is reserved twice": (
        lambda c: c.inventory(
            "WITH again AS (UPDATE levels SET reserved = reserved + 2 WHERE item_id = $1) "
            "INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, line_id, cause, at) "
            "SELECT item_id, location_id, on_hand, reserved, kind, reference, line_id, cause, at FROM movements "
            "WHERE item_id = $1 AND reference = $2::text AND kind = 'reservation'",
            c.items[0],
            str(c.confirmed),
        ),
        {held.EFFECT, held.HELD, stock.NOT_SAID},
    ),
    "an allocation is lost": (
        lambda c: c.inventory("DELETE FROM allocations WHERE order_id = $1 AND item_id = $2", c.confirmed, c.items[0]),
        {held.HELD, held.LINES, held.EFFECT, held.NOT_ASKED, held.NOT_SAID},
    ),
    "a line is lost": (
        lambda c: c.inventory(
            "DELETE FROM reservation_lines WHERE order_id = $1 AND item_id = $2", c.confirmed, c.items[0]
        ),
        {held.ORPHANS, held.NOT_ASKED},
    ),
    "a line asks for more than its order": (
        lambda c: c.inventory("UPDATE reservation_lines SET requested = 9 WHERE order_id = $1", c.confirmed),
        {held.LINES, held.NOT_ASKED},
    ),
    "a reservation outlives its order": (
        lambda c: c.inventory(
            "WITH moved AS ("
            "    UPDATE allocations SET order_id = $2 WHERE order_id = $1 AND item_id = $3"
            ") UPDATE reservation_lines SET reserved = 0 WHERE order_id = $1 AND item_id = $3",
            c.confirmed,
            c.cancelled,
            c.items[0],
        ),
        {held.LINES, held.EFFECT, held.HOLDS_AFTER_END, held.NOT_ASKED, held.NOT_SAID},
    ),
    "a reservation is of no order": (
        lambda c: c.inventory(
            "INSERT INTO reservations (order_id, status, sequence, partial, correlation_id, changed_at) "
            "VALUES ($1::uuid, 'released', 1, false, $1::uuid, now())",
            ORPHAN,
        ),
        {held.NO_ORDER, held.NOT_SAID},
    ),
    "a reservation is gone": (
        lambda c: c.inventory("DELETE FROM reservations WHERE order_id = $1", c.backordered),
        {held.NOT_SAID, held.LINES},
    ),
    "an open reservation waits": (
        lambda c: c.inventory("UPDATE reservations SET status = 'waiting' WHERE order_id = $1", c.confirmed),
        {held.NOT_SAID, held.LINES},
    ),
    "a reservation has another priority": (
        lambda c: c.inventory("UPDATE reservations SET priority = 9 WHERE order_id = $1", c.confirmed),
        {held.NOT_ASKED, held.LINES},
    ),
    "a reservation may be served in parts": (
        lambda c: c.inventory("UPDATE reservations SET partial = true WHERE order_id = $1", c.confirmed),
        {held.NOT_ASKED, held.LINES},
    ),
    "a reservation has other times": (
        lambda c: c.inventory(
            "UPDATE reservations SET placed_at = '2026-01-01Z', changed_at = '2026-01-01Z' WHERE order_id = $1",
            c.confirmed,
        ),
        {held.NOT_ASKED, held.LINES, held.NOT_SAID},
    ),
    "the lines of a reservation have another priority": (
        lambda c: c.inventory("UPDATE reservation_lines SET priority = 9 WHERE order_id = $1", c.confirmed),
        {held.LINES},
    ),
    "an item has another unit": (
        lambda c: c.inventory("UPDATE items SET unit_of_measure = 'g' WHERE item_id = $1", c.items[0]),
        {NOT_THE_ITEM},
    ),
    "a document has another partner": (
        lambda c: c.inventory(
            "UPDATE documents SET partner = 'globex' WHERE body -> 'lines' @> jsonb_build_array(jsonb_build_object("
            "'item_id', $1::text))",
            c.items[0],
        ),
        {stock.DOCUMENT},
    ),
    "a document has a quantity that is none": (
        lambda c: c.inventory(
            "UPDATE documents SET body = jsonb_set(body, '{lines,0,quantity}', '\"much\"') "
            "WHERE body -> 'lines' @> jsonb_build_array(jsonb_build_object('item_id', $1::text))",
            c.items[0],
        ),
        {stock.DOCUMENT},
    ),
    "a folded sum is bumped": (
        lambda c: c.inventory("INSERT INTO ledger_sums VALUES ('nothing', 'EAST', 1, 0)"),
        {stock.SUMS},
    ),
    "changed levels are not in the set of changed items": (
        lambda c: c.inventory(
            "UPDATE stock_heads SET causes = '{receipt}', cause = 'x' WHERE item_id = $1", c.items[0]
        ),
        {stock.UNLISTED},
    ),
    "a movement is beyond its feed": (
        lambda c: c.inventory(
            "UPDATE movements SET changed_in = changed_in + 1000000000 WHERE item_id = $1 AND kind = 'receipt'",
            c.items[0],
        ),
        {stock.UNREACHED},
    ),
    "a key names no item": (
        lambda c: c.inventory(
            "INSERT INTO idempotency_key (partner, route, key, fingerprint, answer) "
            """VALUES ('acme', 'POST /v1/items', 'K', 'x', '{"resource": {"item_id": "nothing"}}')"""
        ),
        {stock.OTHERS_KEY},
    ),
    "stock lies free beside who waits for it": (
        lambda c: c.inventory(
            "WITH more AS ("
            "    INSERT INTO movements (item_id, location_id, on_hand, reserved, kind, reference, cause, at)"
            "    SELECT $1::text, 'EAST', 100, 0, 'adjustment', 'found', $2::uuid, now()"
            ") UPDATE levels SET on_hand = on_hand + 100 WHERE item_id = $1::text",
            c.items[1],
            ORPHAN,
        ),
        {WAITS_IN_VAIN, stock.DOCUMENT, stock.NOT_SAID},
    ),
    "an item has another sequence than its event": (
        lambda c: c.inventory("UPDATE items SET sequence = 5 WHERE item_id = $1", c.items[0]),
        {NOT_THE_ITEM},
    ),
}
