"""Documents of stock over HTTP: invalid ones are refused."""

from typing import Any

import httpx
from warehouse import Warehouse, line, receipt

INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("receipts", receipt(line("a", 0)), "/lines/0/quantity"),
    ("receipts", receipt(line("a", -1)), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 10**12)), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 1) | {"quantity": 1.5}), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 1) | {"quantity": "1"}), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 1) | {"quantity": True}), "/lines/0/quantity"),
    ("receipts", receipt(), "/lines"),
    ("receipts", receipt(*[line("a", 1)] * 501), "/lines"),
    ("receipts", receipt(line("a", 1), line("what", 1)), "/lines/1/item_id"),
    ("receipts", receipt(line("a", 1), location_id="nowhere"), "/location_id"),
    ("receipts", receipt(line("a", 1), reference=" blank first"), "/reference"),
    ("receipts", {"lines": []}, "/reference"),
    ("adjustments", receipt(line("a", 1)), "/reason"),
    ("adjustments", receipt(line("a", 0), reason="count"), "/lines/0/quantity"),
    ("adjustments", receipt(line("a", 1), reason="It broke"), "/reason"),
    ("adjustments", receipt(line("a", 10**9), line("a", 10**9 + 1), reason="count"), "/lines/1/quantity"),
    ("transfers", receipt(line("a", 1)), "/from_location_id"),
]


async def test_invalid_stock_document_is_refused_and_stores_nothing(
    warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    await warehouse.open("a")
    await warehouse.refuses(client, INVALID)
