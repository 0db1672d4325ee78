"""Run the whole replay, from an empty stack to its summary."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from datetime import time as time_of_day
from decimal import Decimal
from uuid import uuid4

import httpx
from aiokafka.errors import KafkaError
from rich.console import Console

from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation
from crossdock_cli.replay.after import Stock
from crossdock_cli.replay.data import Day, load
from crossdock_cli.replay.orders import Cleaned, clean
from crossdock_cli.replay.posting import SENDERS, Failed, Pace, Posted, Sender, post_all
from crossdock_cli.replay.progress import bar
from crossdock_cli.replay.registering import Registered, register, wait_until_known
from crossdock_cli.replay.subscriber import OUTCOMES, TOPICS, Seen, listening
from crossdock_cli.replay.summary import Latency, Summary
from crossdock_cli.replay.waiting import Scarce, scarcest
from crossdock_events.items import ItemEvent
from crossdock_events.stock import StockEvent

PACED_SECONDS = 60.0
DECIDED_SECONDS = 60.0
TOLD_SECONDS = 20.0
MAX_PROBLEMS = 5
OPERATOR = "crossdock-replay"
OPERATOR_SCOPES = ("stock:read", "stock:write")
STORE_SCOPES = ("orders:read", "orders:write")


def replay(there: Installation, *, fast: bool, console: Console) -> Summary:
    """Replay the day into a running stack. A second replay finds every order and changes nothing.

    A paced day takes a minute. It is not paced if `fast`, without a terminal, or in CI. Raise CommandError if the data
    is missing, if a service refuses a request that the day needs, or if a service does not answer.
    """
    day = load()
    paced = not fast and console.is_terminal and not os.environ.get("CI")
    try:
        return asyncio.run(play(there, day, clean(day.baskets), PACED_SECONDS if paced else 0.0, console))
    except (httpx.HTTPError, KafkaError, TimeoutError) as error:
        what = f"{type(error).__name__} {error}".strip()
        raise CommandError(f"The replay stopped because a service did not answer ({what}): run it again.") from error


async def play(there: Installation, day: Day, cleaned: Cleaned, seconds: float, console: Console) -> Summary:
    """Replay the day within `seconds`; 0 means as fast as possible."""
    orders_url, stock_url = there.url("order-service"), there.url("inventory-service")
    partners = sorted({order.partner for order in cleaned.orders})
    pace = Pace(datetime.combine(day.date, time_of_day()), seconds)
    limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
    async with httpx.AsyncClient(limits=limits, timeout=15.0) as client, listening(there.kafka) as seen:
        operator = (await asyncio.to_thread(there.tokens, [OPERATOR], OPERATOR_SCOPES))[OPERATOR]
        # The import runs while the tokens of a hundred stores are requested.
        tokens, registered = await asyncio.gather(
            asyncio.to_thread(there.tokens, partners, STORE_SCOPES),
            register(client, stock_url, operator, day, cleaned.orders),
        )
        await wait_until_known(client, orders_url, tokens, cleaned.orders)
        await _announced(registered, seen)
        console.print(f"Opening stock of {registered.items:,} items is there (synthetic, from the four weeks before).")
        sender = Sender(client, orders_url, tokens, run=uuid4().hex)
        started = time.perf_counter()
        with bar(console, pace, len(cleaned.orders), seen) as answered:
            answers = await post_all(sender, cleaned.orders, pace, answered)
            posting_seconds = time.perf_counter() - started
            posted = [answer for answer in answers if isinstance(answer, Posted)]
            # An existing order has a status already. If the status is `placed`, its outcome event is still to come.
            undecided = {each.order_id for each in posted if each.status == "placed"}
            await seen.until(lambda: undecided <= seen.latest.keys(), DECIDED_SECONDS)
        waiting, scarce = await _what_waits(Stock(client, stock_url, operator), seen)
        outcomes = [seen.latest.get(each.order_id, each.status) for each in posted]
    new = [each for each in posted if not each.existing]
    confirmed = [(each, seen.confirmed[each.order_id]) for each in new if each.order_id in seen.confirmed]
    failed = [answer for answer in answers if isinstance(answer, Failed)]
    return Summary(
        date=day.date,
        baskets=len(day.baskets),
        lines=day.lines,
        stores=len(tokens),
        value=sum((each.order.total for each in posted), Decimal(0)),
        outcomes=_counted(outcomes, len(failed)),
        existing=len(posted) - len(new),
        skipped={str(rule): count for rule, count in cleaned.skipped_baskets.items()},
        skipped_lines={str(rule): count for rule, count in cleaned.skipped_lines.items()},
        events={topic: seen.events[topic] for topic in TOPICS},
        accepted_to_confirmed=Latency.of([max(0.0, at - each.accepted) for each, at in confirmed]),
        posted_to_confirmed=Latency.of([at - each.sent for each, at in confirmed]),
        posting_seconds=posting_seconds,
        waiting=waiting,
        scarcest=scarce,
        scarcest_name=_name(day, scarce),
        problems=tuple(f"{each.order.reference}: {each.problem}" for each in failed[:MAX_PROBLEMS]),
    )


async def _announced(registered: Registered, seen: Seen) -> None:
    """Wait for the events of the opening stock; otherwise they would delay the first orders and distort latencies."""
    items, stock = ItemEvent.topic.name, StockEvent.topic.name
    await seen.until(
        lambda: seen.events[items] >= registered.item_events and seen.events[stock] >= registered.stock_events,
        TOLD_SECONDS,
    )


async def _what_waits(stock: Stock, seen: Seen) -> tuple[int, Scarce | None]:
    """Return the number of orders that lack stock, and the receipt that would release most of them."""
    await stock.settled()
    backorders = await stock.backorders()
    waiting = {each.order_id for each in backorders}
    await seen.until(lambda: seen.orders("backordered") <= waiting, TOLD_SECONDS)
    items = sorted({item for backorder in backorders for item in backorder.needs})
    return len(backorders), scarcest(backorders, await stock.available(items))


def _counted(statuses: Iterable[str], failed: int) -> dict[str, int]:
    """Count orders by outcome, with a zero for an outcome without orders."""
    counted = Counter("undecided" if status == "placed" else status for status in statuses)
    return {outcome: counted[outcome] for outcome in (*OUTCOMES.values(), "undecided")} | {"failed": failed}


def _name(day: Day, scarce: Scarce | None) -> str:
    product = day.products.get(int(scarce.item_id)) if scarce and scarce.item_id.isdigit() else None
    return product.name if product else ""
