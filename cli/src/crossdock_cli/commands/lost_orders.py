"""`crossdock lost-orders`: after order-service was restored from an older dump, find the orders that it lost."""

from collections.abc import Iterator
from typing import Annotated, Any, Final
from uuid import uuid4

import httpx
import typer
from rich.progress import track

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation
from crossdock_cli.output import AsJson, console, moment, print_json, print_page
from crossdock_events.reservations import ReservationEvent

ORDERS, INVENTORY, ANALYTICS = "order-service", "inventory-service", "analytics-service"
PAGE: Final = 200
DISCARDED: Final = "The order is lost, and its stock was given back"


def lost_orders(
    give_back: Annotated[
        str | None,
        typer.Option("--give-back", metavar="REASON", help="Give their stock back, and discard their dead letters."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List orders that inventory-service answered and order-service does not know, with partner and reference.

    Give their stock back, then ask the partners to send them again under the same references.
    """
    there = installation.current()
    with client(there, None, ["ops:read", "ops:act"]) as opened:
        letters = _letters(opened, there)
        found = [_described(opened, there, id) for id in letters if _is_lost(opened, there, id)]
        if give_back is not None:
            for each in track(found, "Giving stock back", console=console(), disable=as_json):
                _give_back(opened, there, each["id"], letters[each["id"]], give_back)
    if as_json:
        print_json(found)
        return
    print_page(
        {"items": found},
        {
            "order": lambda row: row["id"],
            "partner": lambda row: row["partner"] or "",
            "reference": lambda row: row["reference"] or "",
            "placed (UTC)": lambda row: moment(row["placed_at"]),
        },
        as_json=False,
        none="No order is lost.",
        more="lost-orders",
    )
    if found and give_back is not None:
        console().print("Their stock is free. Ask the partners to send these orders again.")


def _letters(opened: httpx.Client, there: Installation) -> dict[str, list[int]]:
    """Return the ids of the open dead letters of each order that inventory-service answered."""
    found: dict[str, list[int]] = {}
    for each in _pages(opened, f"{there.url(ORDERS)}/v1/dead-letters", {"state": "poison"}):
        if each["topic"] == ReservationEvent.topic.name and each["key"]:
            found.setdefault(each["key"], []).append(each["id"])
    return found


def _pages(opened: httpx.Client, url: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    following: dict[str, str] = {}
    while True:
        page = asked(opened.get(url, params={**query, **following, "limit": PAGE}))
        yield from page["items"]
        if not page.get("next"):
            return
        following = {"cursor": page["next"]}


def _is_lost(opened: httpx.Client, there: Installation, order_id: str) -> bool:
    """Return whether order-service answers that there is no such order. Any other refusal is an error."""
    answer = opened.get(f"{there.url(ORDERS)}/v1/orders/{order_id}")
    if answer.status_code in (404, 422):  # a record of another program may have a key that is no id
        return answer.status_code == 404
    asked(answer)
    return False


def _described(opened: httpx.Client, there: Installation, order_id: str) -> dict[str, Any]:
    """Return what analytics-service knows about the order. Without it, only the id is known."""
    empty = {"id": order_id, "partner": None, "reference": None, "placed_at": None}
    try:
        items = asked(opened.get(f"{there.url(ANALYTICS)}/v1/orders", params={"order_id": order_id}))["items"]
    except (CommandError, httpx.TransportError):
        return empty
    return {name: items[0][name] for name in empty} if items else empty


def _give_back(opened: httpx.Client, there: Installation, order_id: str, letters: list[int], why: str) -> None:
    url, headers = f"{there.url(INVENTORY)}/v1/reservations/{order_id}:release", {"Idempotency-Key": str(uuid4())}
    answer = opened.post(url, json={"reason": why}, headers=headers)
    if answer.status_code != 404:  # inventory-service may have lost it too
        asked(answer)
    for letter in letters:
        asked(opened.post(f"{there.url(ORDERS)}/v1/dead-letters/{letter}:discard", json={"reason": DISCARDED}))
