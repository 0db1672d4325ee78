"""Levels, ledger and reservations compared."""

import httpx
from warehouse import Warehouse, placed


async def test_reconciliation_lists_every_difference(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 3), ("b", 3)])
    order = placed(("b", 2))
    await warehouse.reserve(order)
    agrees = (await client.get("/v1/reconciliation")).json()
    assert (agrees["outcome"], agrees["levels"], agrees["reservations"]) == ("agrees", 2, 1)
    await warehouse.fetch("UPDATE levels SET on_hand = 4 WHERE item_id = 'a'")
    await warehouse.fetch("UPDATE allocations SET quantity = 1")
    differs = (await client.get("/v1/reconciliation")).json()
    assert differs["outcome"] == "differs"
    a, b = differs["differences"]
    assert (a["item_id"], a["level_on_hand"], a["ledger_on_hand"]) == ("a", 4, 3)
    assert (b["item_id"], b["level_reserved"], b["ledger_reserved"], b["held"]) == ("b", 2, 2, 1)
    assert [(each["order_id"], each["reserved"], each["held"]) for each in differs["orders"]] == [
        (str(order.order_id), 2, 1)
    ]
