"""The routes that a drill uses: those of customers and operators. All that it creates is named `drill-…`."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.installation import OPERATOR, Installation
from crossdock_cli.waiting import wait_until

ORDERS, INVENTORY, ANALYTICS = "order-service", "inventory-service", "analytics-service"
PARTNER = LOCATION = "drill"
SECONDS = 30.0
LAST_RANK = 1_000_000
MOST_PAGES = 50


class Company:
    """One item, and orders for it, of the partner `drill`."""

    def __init__(self, there: Installation, drill: str) -> None:
        self._there = there
        self.item = f"drill-{drill}-{uuid4().hex[:8]}"
        self.orders: list[str] = []
        self._registered = False

    def stock(self, quantity: int) -> None:
        """Register the item with this stock, and wait until order-service knows it."""
        place = {"location_id": LOCATION, "name": "Drills", "rank": LAST_RANK}
        self._stock("POST", "/v1/locations", place)
        item = {"item_id": self.item, "description": "Made by crossdock drill", "unit_of_measure": "each"}
        self._stock("POST", "/v1/items", item)
        self._registered = True
        if quantity:
            self.receive(quantity)
        if not wait_until(self._is_known, SECONDS):
            raise CommandError("order-service does not learn about the item of the drill: is a consumer behind?")

    def receive(self, quantity: int) -> None:
        lines = [{"item_id": self.item, "quantity": quantity}]
        body = {"reference": f"drill-{uuid4().hex[:12]}", "location_id": LOCATION, "lines": lines}
        self._stock("POST", "/v1/receipts", body)

    def place(self, quantity: int) -> str:
        """Order the item and return the id of the order."""
        order = str(self._order("POST", "/v1/orders", self._body(quantity))["id"])
        self.orders.append(order)
        return order

    def status(self, order: str) -> str:
        return str(self._order("GET", f"/v1/orders/{order}")["status"])

    def await_status(self, order: str, *wanted: str) -> bool:
        return wait_until(lambda: self.status(order) in wanted, SECONDS)

    def cancel(self, order: str) -> None:
        self._order(
            "POST", f"/v1/orders/{order}:cancel", {"reason": "other", "note": f"made by crossdock drill: {self.item}"}
        )

    def letters(self, service: str, key: str) -> list[int]:
        """Return the ids of the open dead letters of this key."""
        found: list[int] = []
        query: dict[str, Any] = {"state": "poison", "limit": 200}
        with client(self._there, None, ["ops:read"]) as opened:
            for _ in range(MOST_PAGES):
                page = asked(opened.get(f"{self._there.url(service)}/v1/dead-letters", params=query))
                found += [each["id"] for each in page["items"] if each["key"] == key]
                if not page.get("next"):
                    break
                query["cursor"] = page["next"]
        return found

    def discard(self, service: str, letter: int) -> None:
        with client(self._there, None, ["ops:read", "ops:act"]) as opened:
            url = f"{self._there.url(service)}/v1/dead-letters/{letter}:discard"
            asked(opened.post(url, json={"reason": f"poison of {self.item}"}))

    def tidy(self) -> None:
        """Cancel the orders, write off the stock, and discontinue the item."""
        for order in self.orders:
            self.await_status(order, "confirmed", "backordered", "rejected", "cancelled")
            if self.status(order) not in ("rejected", "cancelled"):
                self.cancel(order)
        if not self._registered:
            return
        wait_until(lambda: self._level("reserved") == 0, SECONDS)
        if left := self._level("on_hand"):
            body = {
                "reference": f"drill-{uuid4().hex[:12]}",
                "location_id": LOCATION,
                "reason": "drill",
                "lines": [{"item_id": self.item, "quantity": -left}],
            }
            self._stock("POST", "/v1/adjustments", body)
        self._stock("POST", f"/v1/items/{quote(self.item, safe='')}:discontinue")

    def _level(self, name: str) -> int:
        (found,) = self._stock("GET", "/v1/availability", params={"item_id": self.item})["items"]
        return int(found[name])

    def _body(self, quantity: int) -> dict[str, Any]:
        line = {"line_id": "1", "item_id": self.item, "quantity": quantity, "unit_price": "1.00"}
        reference = f"{self.item}-{len(self.orders) + 1}"
        return {"reference": reference, "currency": "USD", "lines": [line], "total": f"{quantity}.00"}

    def _is_known(self) -> bool:
        with client(self._there, PARTNER, ["orders:read", "orders:write"]) as opened:
            return opened.post(f"{self._there.url(ORDERS)}/v1/orders:validate", json=self._body(1)).is_success

    def _order(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return self._call(ORDERS, PARTNER, ["orders:read", "orders:write"], method, path, body)

    def _stock(
        self, method: str, path: str, body: object = None, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return self._call(INVENTORY, OPERATOR, ["stock:read", "stock:write"], method, path, body, params)

    def _call(
        self,
        service: str,
        partner: str,
        scopes: Sequence[str],
        method: str,
        path: str,
        body: object,
        params: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        with client(self._there, partner, scopes) as opened:
            return asked(opened.request(method, f"{self._there.url(service)}{path}", json=body, params=params))
