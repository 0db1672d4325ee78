"""Inventory's answers, in any order and repeated, and the effect on the order."""

import asyncio
import itertools
import json
import random
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import asyncpg
import pytest
from shop import OpenShop, Shop
from uuid_utils.compat import uuid7

from crossdock_chassis import Moved, Unmatched
from crossdock_chassis.testing import Violations, published, scanned
from crossdock_events import CATALOGUE, Envelope, Event, Message
from crossdock_events.orders import OrderBackordered, OrderConfirmed, OrderRejected
from crossdock_events.reservations import StockReserved
from order_service.orders import decide
from order_service.orders.model import NEXT, Status


async def test_reserved_stock_confirms_the_order(shop: Shop) -> None:
    order_id = await shop.placed()
    answer = shop.reserved(order_id)
    [said] = await shop.hears(answer)
    assert isinstance(said, OrderConfirmed)
    shown = await shop.show(order_id)
    assert (shown["status"], shown["version"], shown["waiting"]) == ("confirmed", 2, None)
    assert shown["decided_at"] is not None
    placed, confirmed = await shop.timeline(order_id)
    assert (placed["type"], placed["sequence"], placed["because"]["kind"]) == ("crossdock.OrderPlaced.v1", 1, "request")
    assert confirmed["because"] == {
        "kind": "event",
        "type": "crossdock.StockReserved.v1",
        "id": str(answer.id),
        "time": answer.time.isoformat().replace("+00:00", "Z"),
    } | {"time": confirmed["because"]["time"]}
    rows = await published(shop.service)
    assert [str(row["event_id"]) for row in rows] == [placed["id"], confirmed["id"]]


async def test_backordered_order_shows_missing_lines_since_and_until(open_shop: OpenShop) -> None:
    shop = await open_shop(backorder_days=2)
    order_id = await shop.placed()
    first = shop.line("SKU-1", 3, 0)
    [said] = await shop.hears(shop.backordered(order_id, first, shop.line("SKU-2", 3, 3, "2")))
    assert isinstance(said, OrderBackordered)
    waiting = (await shop.show(order_id))["waiting"]
    assert waiting["for"] == "stock"
    assert waiting["lines"] == [{"line_id": "1", "item_id": "SKU-1", "requested": 3, "reserved": 0, "missing": 3}]
    assert waiting["since"][:10] < waiting["until"][:10]
    [said] = await shop.hears(shop.reserved(order_id, shop.line("SKU-1", 3, 2), shop.line("SKU-2", 3, 3, "2")))
    assert isinstance(said, OrderBackordered)
    later = (await shop.show(order_id))["waiting"]
    assert (later["since"], later["until"], later["lines"][0]["missing"]) == (waiting["since"], waiting["until"], 1)
    [said] = await shop.hears(shop.reserved(order_id))
    assert isinstance(said, OrderConfirmed)
    shown = await shop.show(order_id)
    assert (shown["status"], shown["version"], shown["waiting"]) == ("confirmed", 4, None)
    assert await shop.count("waiting_items") == 0
    assert [each["lines"][0]["backordered"] for each in await shop.timeline(order_id) if each["lines"]] == [3, 1]


async def test_history_has_only_the_lines_that_changed(shop: Shop, violations: Violations) -> None:
    """With all lines in each entry, the history of 2,000 lines served in 200 steps had 18 MB."""
    order_id = await shop.placed(items=["SKU-1"] * 8, partial=True)

    async def served(*reserved: int) -> None:
        lines = [shop.line("SKU-1", 3, quantity, str(n)) for n, quantity in enumerate(reserved, 1)]
        assert len(await shop.hears(shop.reserved(order_id, *lines))) == 1
        await agrees(shop, order_id)
        assert await violations(shop.service) == {}

    await served(0, 0, 0, 0, 0, 0, 0, 3)
    await served(3, 0, 0, 2, 0, 0, 0, 3)
    await served(3, 0, 1, 2, 0, 0, 0, 0)  # stock of the last line was written off
    await served(3, 3, 3, 3, 3, 3, 3, 0)
    await served(3, 3, 3, 3, 3, 3, 3, 3)
    await shop.hears(shop.backordered(order_id, *(shop.line("SKU-1", 3, 0, str(n)) for n in range(1, 9))))
    assert await violations(shop.service) == {}
    _, *entries = await shop.timeline(order_id)
    changed = [{line["line_id"]: line["backordered"] for line in entry["lines"] or ()} for entry in entries]
    assert changed == [
        {str(n): 3 for n in range(1, 8)},
        {"1": 0, "4": 1},
        {"3": 2, "8": 3},
        {str(n): 0 for n in range(2, 8)},
        {},
        {str(n): 3 for n in range(1, 9)},
    ]


async def test_rejected_order_shows_the_reason(shop: Shop) -> None:
    order_id = await shop.placed()
    [said] = await shop.hears(shop.rejected(order_id))
    assert isinstance(said, OrderRejected)
    shown = await shop.show(order_id)
    assert (shown["status"], shown["reason"]) == ("rejected", "discontinued_item")


async def test_confirmed_order_that_loses_its_stock_waits_again(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id))
    [said] = await shop.hears(shop.backordered(order_id, shop.line("SKU-1", 3, 0)))
    assert isinstance(said, OrderBackordered)
    shown = await shop.show(order_id)
    assert (shown["status"], shown["version"], shown["waiting"]["lines"][0]["missing"]) == ("backordered", 3, 3)
    assert shown["waiting"]["since"] == shown["decided_at"]
    assert await shop.count("waiting_items") == 1
    [said] = await shop.hears(shop.reserved(order_id))
    assert isinstance(said, OrderConfirmed)
    assert (await shop.show(order_id))["waiting"] is None
    await agrees(shop, order_id)


async def test_answer_of_an_old_sequence_changes_nothing(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id, sequence=5))
    for late in (shop.backordered(order_id, sequence=4), shop.backordered(order_id, sequence=5)):
        assert await shop.hears(late) == [], "the order stays confirmed"
    assert (await shop.show(order_id))["version"] == 2


async def test_older_answer_does_not_undo_a_newer_one(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id, shop.line("SKU-1", 3, 2), sequence=3))
    assert await shop.hears(shop.backordered(order_id, shop.line("SKU-1", 3, 0), sequence=2)) == []
    assert await shop.hears(shop.reserved(order_id, sequence=1)) == []
    shown = await shop.show(order_id)
    assert (shown["status"], shown["version"], shown["waiting"]["lines"][0]["missing"]) == ("backordered", 2, 1)


async def test_answer_for_a_cancelled_order_is_ignored(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.client.post(f"/v1/orders/{order_id}:cancel")
    assert await shop.hears(shop.reserved(order_id), shop.released(order_id)) == []
    assert (await shop.show(order_id))["status"] == "cancelled"


async def test_several_answers_in_one_batch_apply_in_order(shop: Shop) -> None:
    order_id = await shop.placed()
    lines = [shop.line("SKU-1", 3, reserved) for reserved in (0, 1, 2, 3)]
    said = await shop.hears(*(shop.reserved(order_id, line) for line in lines))
    assert [type(each).__name__ for each in said] == ["OrderBackordered"] * 3 + ["OrderConfirmed"]
    assert (await shop.show(order_id))["version"] == 5
    assert [each["sequence"] for each in await shop.timeline(order_id)] == [1, 2, 3, 4, 5]


async def test_answer_for_an_unknown_order_is_poison(shop: Shop) -> None:
    good = await shop.placed()
    with pytest.raises(Unmatched):
        await shop.hears(shop.reserved(good), shop.reserved(uuid7()))
    assert (await shop.show(good))["status"] == "placed"


async def test_stock_given_back_for_a_lost_order_is_no_poison(shop: Shop) -> None:
    good = await shop.placed()
    [confirmed] = await shop.hears(shop.released(uuid7(), reason="lost"), shop.reserved(good))
    assert isinstance(confirmed, OrderConfirmed)
    with pytest.raises(Unmatched):
        await shop.hears(shop.released(uuid7()))


async def test_release_of_an_uncancelled_order_is_only_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id))
    assert await shop.hears(shop.released(order_id)) == []
    assert (await shop.show(order_id))["status"] == "confirmed"
    assert str(order_id) in caplog.text


async def test_concurrent_answers_and_cancels_keep_log_and_row_equal(shop: Shop) -> None:
    """Real concurrency on real rows: whichever comes first, the log, the row and the history agree."""
    order_ids = [await shop.placed() for _ in range(20)]
    backwards = list(reversed(order_ids))
    await asyncio.gather(
        shop.hears(*(shop.backordered(order_id) for order_id in order_ids)),
        *(shop.client.post(f"/v1/orders/{order_id}:cancel") for order_id in backwards),
        shop.hears(*(shop.reserved(order_id) for order_id in backwards)),
    )
    for order_id in order_ids:
        await agrees(shop, order_id)


async def test_random_answers_and_cancels_keep_the_history_legal(shop: Shop) -> None:
    """The model's property, once more on rows: random walks over answers, late and repeated ones, and cancels."""
    for seed in range(25):
        chance = random.Random(seed)
        order_id = await shop.placed()
        answers = [
            chance.choice(
                [
                    shop.reserved(order_id),
                    shop.reserved(order_id, shop.line("SKU-1", 9, chance.randrange(9))),
                    shop.backordered(order_id),
                    shop.rejected(order_id),
                ]
            )
            for _ in range(chance.randrange(5))
        ]
        for answer in chance.sample(answers, len(answers)):
            if chance.random() < 0.3:
                await shop.client.post(f"/v1/orders/{order_id}:cancel")
            await shop.hears(answer)
        await agrees(shop, order_id)


async def agrees(shop: Shop, order_id: UUID) -> None:
    shown, history = await shop.show(order_id), await shop.timeline(order_id)
    rows = [row for row in await published(shop.service) if row["key"].decode() == str(order_id)]
    decoded = [decode(row) for row in rows]
    assert [each.sequence for each in decoded] == list(range(1, len(decoded) + 1))
    assert [(str(each.id), each.event.ce_type) for each in decoded] == [(each["id"], each["type"]) for each in history]
    assert shown["version"] == len(history)
    path = [Status.PLACED, *(STATUS_OF[each["type"]] for each in history[1:])]
    assert all(after in NEXT[before] for before, after in itertools.pairwise(path))
    assert shown["status"] == path[-1]
    async with shop.service.database.unit() as unit:
        waits = await unit.sql.fetch("SELECT item_id FROM waiting_items WHERE order_id = $1 ORDER BY 1", order_id)
    lacking = {line["item_id"] for line in (shown["waiting"] or {"lines": []})["lines"]}
    assert {row["item_id"] for row in waits} == lacking


STATUS_OF = {
    "crossdock.OrderConfirmed.v1": Status.CONFIRMED,
    "crossdock.OrderBackordered.v1": Status.BACKORDERED,
    "crossdock.OrderRejected.v1": Status.REJECTED,
    "crossdock.OrderCancelled.v1": Status.CANCELLED,
}


def decode(row: asyncpg.Record) -> Envelope[Event]:
    headers = row["headers"]
    named: dict[str, str] = json.loads(headers) if isinstance(headers, str) else headers
    message = Message(row["topic"], row["key"], row["value"], {name: value.encode() for name, value in named.items()})
    decoded = CATALOGUE.decode(message)
    assert isinstance(decoded, Envelope)
    return decoded


async def test_cancel_between_look_and_write_is_not_overwritten(shop: Shop) -> None:
    order_id = await shop.placed()
    answer = cast("Envelope[StockReserved]", shop.reserved(order_id))
    with pytest.raises(Moved):
        async with shop.service.database.optimistic() as unit:
            await decide.reserved(unit, [answer])
            assert [envelope.event.ce_type for envelope in unit.published] == [OrderConfirmed.ce_type]
            assert (await shop.client.post(f"/v1/orders/{order_id}:cancel")).status_code == 200
    assert (await shop.show(order_id))["status"] == "cancelled"
    assert await shop.hears(answer) == []
    assert (await shop.show(order_id))["status"] == "cancelled"


async def test_answer_applied_twice_at_once_has_one_effect(shop: Shop) -> None:
    order_id = await shop.placed()
    answer = cast("Envelope[StockReserved]", shop.reserved(order_id))
    with pytest.raises(Moved):
        async with shop.service.database.optimistic() as first:
            await decide.reserved(first, [answer])
            async with shop.service.database.optimistic() as second:
                await decide.reserved(second, [answer])
    assert (await shop.show(order_id))["version"] == 2


async def test_functions_planned_on_empty_tables_use_indexes(shop: Shop) -> None:
    now = datetime.now(UTC)
    new: list[object] = [[uuid7()], ["acme"], ["PO-1"], [b"f"], [None], ["{}"], ["[]"], [None], [None], now]
    changed: list[object] = [[await shop.placed()], [1], [0], ["confirmed"], [2], [1], [now], [None], ["[{}]"]]
    changed += [[], [], [], []]
    for function, arguments in {"orders_insert": new, "orders_insert_all": new, "orders_update": changed}.items():
        assert await scanned(shop.service.database, function, *arguments) == [], function
