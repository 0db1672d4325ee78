"""Test posting, subscribing and the summary against a fake of the HTTP API. `make up` uses real services."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from io import StringIO
from random import Random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crossdock_cli.errors import CommandError
from crossdock_cli.replay import after, posting, registering
from crossdock_cli.replay.after import Stock
from crossdock_cli.replay.data import THE_DAY, Basket, Day, Product, Sale
from crossdock_cli.replay.orders import Order, clean, order_of
from crossdock_cli.replay.posting import Failed, Pace, Posted, Sender, post_all
from crossdock_cli.replay.registering import Registered, register, wait_until_known
from crossdock_cli.replay.subscriber import Seen
from crossdock_cli.replay.summary import Latency, Summary, show
from crossdock_cli.replay.waiting import Backorder, Scarce, scarcest
from crossdock_events.orders import OrderBackordered, OrderConfirmed, OrderPlaced

URL = "http://orders.test"
MIDNIGHT = datetime(2017, 12, 23)
AT_ONCE = Pace(MIDNIGHT, 0)

Answer = Callable[[httpx.Request], httpx.Response]


def an_order(number: int = 1, hour: int = 9) -> Order:
    return order_of(Basket(number, 330, 900, MIDNIGHT.replace(hour=hour), (Sale(7, 1, 250),)))


def created(request: httpx.Request) -> httpx.Response:
    return httpx.Response(201, json={"id": f"id-of-{json.loads(request.content)['reference']}", "status": "placed"})


async def post(order: Order, answer: Answer) -> Posted | Failed:
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await Sender(client, URL, {order.partner: "token-of-330"}, "run").post(order)


def in_turn(*answers: Answer | Exception) -> tuple[Answer, list[httpx.Request]]:
    """Return a service that sends these answers in order, and the list of its requests."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        this = answers[len(requests) - 1]
        if isinstance(this, Exception):
            raise this
        return this(request)

    return answer, requests


async def test_an_order_is_posted_as_its_store() -> None:
    service, requests = in_turn(created)
    posted = await post(an_order(), service)
    assert isinstance(posted, Posted)
    assert (posted.order_id, posted.existing) == ("id-of-1", False)
    assert posted.sent <= posted.accepted
    assert requests[0].url == f"{URL}/v1/orders"
    assert requests[0].headers["Authorization"] == "Bearer token-of-330"
    assert json.loads(requests[0].content) == an_order().body


async def test_an_unseen_answer_is_asked_for_again_under_the_same_key() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "0"})
    in_flight = httpx.Response(409, headers={"Retry-After": "0"})
    service, requests = in_turn(httpx.ReadError("gone"), lambda _: busy, lambda _: in_flight, created)
    assert isinstance(await post(an_order(), service), Posted)
    assert {request.headers["Idempotency-Key"] for request in requests} == {"run-1"}
    assert len(requests) == 4


async def test_another_run_finds_the_order_there() -> None:
    posted = await post(an_order(), lambda _: httpx.Response(200, json={"id": "id-of-1", "status": "backordered"}))
    assert isinstance(posted, Posted)
    assert (posted.existing, posted.status) == (True, "backordered")


@pytest.mark.parametrize("status", [409, 422, 401, 500])
async def test_a_refusal_is_final_and_says_why(status: int) -> None:
    problem = {
        "type": "urn:crossdock:problem:wrong",
        "detail": "One place is wrong",
        "errors": [{"pointer": "/lines/0/item_id", "detail": "unknown item"}],
    }
    service, requests = in_turn(lambda _: httpx.Response(status, json=problem))
    failed = await post(an_order(), service)
    assert isinstance(failed, Failed)
    assert failed.problem == (
        f"{status} urn:crossdock:problem:wrong · One place is wrong · /lines/0/item_id unknown item"
    )
    assert len(requests) == 1


async def test_it_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.2)
    failed = await post(an_order(), lambda _: httpx.Response(503, text="full"))
    assert isinstance(failed, Failed)
    assert failed.problem == "503 full"


async def test_many_at_once_and_each_is_told() -> None:
    orders = [an_order(number) for number in range(100)]
    told: list[str] = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(created)) as client:
        sender = Sender(client, URL, {"store-330": "token"}, "run")
        answers = await post_all(sender, orders, AT_ONCE, lambda answer: told.append(answer.order.reference))
    assert sorted(told) == sorted(order.reference for order in orders)
    assert len(answers) == 100


async def test_a_paced_day_keeps_its_hours() -> None:
    pace = Pace(MIDNIGHT, 0.5)
    orders = [an_order(1, hour=0), an_order(2, hour=12), an_order(3, hour=23)]
    async with httpx.AsyncClient(transport=httpx.MockTransport(created)) as client:
        answers = await post_all(Sender(client, URL, {"store-330": "token"}, "run"), orders, pace, lambda _: None)
    sent = [answer.sent for answer in answers if isinstance(answer, Posted)]
    assert sent[1] - sent[0] > 0.2
    assert sent[2] - sent[1] > 0.15
    assert [pace.clock(elapsed) for elapsed in (0, 0.25, 9)] == ["00:00", "12:00", "24:00"]


def a_day() -> Day:
    basket = Basket(1, 330, 900, MIDNIGHT.replace(hour=9), (Sale(7, 1, 250), Sale(8, 1, 100)))
    return Day(
        THE_DAY, (basket,), {7: 28}, {7: Product(7, "BACON", "FLAVORED", "16 OZ"), 8: Product(8, None, None, None)}
    )


async def registered(created: Mapping[str, int]) -> tuple[Registered, dict[str, list[str]]]:
    files: dict[str, list[str]] = {}

    def service(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            kind = request.url.path.removeprefix("/v1/imports/id-of-")
            return httpx.Response(200, json={"state": "done", "created": created[kind]})
        kind = request.url.path.removeprefix("/v1/").removesuffix(":import")
        assert request.headers["Content-Type"] == "text/csv"
        files[kind] = request.content.decode().splitlines()
        return httpx.Response(202, json={"state": "queued", "id": f"id-of-{kind}"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as client:
        return await register(client, "http://stock.test", "token", a_day(), clean(a_day().baskets).orders), files


async def test_locations_and_items_are_registered_before_stock() -> None:
    result, files = await registered({"locations": 2, "items": 2, "opening-stock": 4})
    assert result == Registered(items=2, item_events=2, stock_events=2)
    assert list(files) == ["locations", "items", "opening-stock"]
    assert files["items"] == [
        "item_id,description,unit_of_measure,category",
        '7,"BACON: FLAVORED, 16 OZ",each,BACON',
        "8,unnamed product,each,",
    ]
    assert files["opening-stock"][:3] == [
        "reference,location_id,item_id,quantity",
        "opening-2017-12-23,dc-north,7,3",
        "opening-2017-12-23,dc-south,7,3",
    ]


async def test_a_second_time_no_events_are_awaited() -> None:
    result, _ = await registered({"locations": 0, "items": 0, "opening-stock": 0})
    assert result == Registered(items=2, item_events=0, stock_events=0)


async def test_what_is_not_taken_is_said_with_its_place() -> None:
    problem = {"type": "urn:crossdock:problem:too-many-imports"}
    wrong = [{"row": 2, "column": "rank", "detail": "no"}]
    refused = {"state": "refused", "kind": "locations", "wrong": 1, "errors": wrong}
    for answer, said in (
        (httpx.Response(429, json=problem), "did not take the locations .*too-many-imports"),
        (httpx.Response(200, json=refused), "The import of locations was not done. 1 rows are wrong"),
    ):
        transport = httpx.MockTransport(lambda _, answer=answer: answer)
        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(CommandError, match=said) as raised:
                await register(client, "http://stock.test", "token", a_day(), clean(a_day().baskets).orders)
    assert "row 2, rank: no" in raised.value.details


async def test_it_waits_until_every_item_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "POLL_SECONDS", 0)
    unknown = httpx.Response(422, json={"type": "urn:crossdock:problem:invalid"})
    service, requests = in_turn(lambda _: unknown, lambda _: unknown, lambda _: httpx.Response(200, json={}))
    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as client:
        await wait_until_known(client, URL, {"store-330": "token"}, [an_order()])
    assert {str(request.url) for request in requests} == {f"{URL}/v1/orders:validate"}
    assert len(requests) == 3


async def test_items_that_stay_unknown_end_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "POLL_SECONDS", 0)
    monkeypatch.setattr(registering, "KNOWN_SECONDS", 0)
    answer = httpx.Response(422, json={"type": "urn:crossdock:problem:invalid"})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        with pytest.raises(CommandError, match="does not know the day's items"):
            await wait_until_known(client, URL, {"store-330": "token"}, [an_order()])


def headers(ce_type: str, event_id: str) -> tuple[tuple[str, bytes], ...]:
    return (("ce_type", ce_type.encode()), ("ce_id", event_id.encode()))


async def test_subscriber_counts_events_once_and_keeps_latest_outcome() -> None:
    seen = Seen()
    seen.record("crossdock.orders.v1", b"o-1", headers(OrderPlaced.ce_type, "1"), 1.0)
    seen.record("crossdock.orders.v1", b"o-1", headers(OrderBackordered.ce_type, "2"), 2.0)
    assert seen.orders("backordered") == {"o-1"}
    seen.record("crossdock.orders.v1", b"o-1", headers(OrderConfirmed.ce_type, "3"), 3.0)
    seen.record("crossdock.orders.v1", b"o-1", headers(OrderConfirmed.ce_type, "3"), 3.5)
    assert seen.events == {"crossdock.orders.v1": 3}
    assert seen.latest == {"o-1": "confirmed"}
    assert seen.confirmed == {"o-1": 3.0}
    assert seen.orders("backordered") == set()


async def test_wait_for_events_ends_at_the_event_or_the_deadline() -> None:
    seen = Seen()

    async def decide() -> None:
        for order_id in ("o-1", "o-2"):
            await asyncio.sleep(0)
            seen.record("crossdock.orders.v1", order_id.encode(), headers(OrderConfirmed.ce_type, order_id), 1.0)

    both, _ = await asyncio.gather(seen.until(lambda: len(seen.latest) == 2, 30), decide())
    assert both
    assert not await seen.until(lambda: len(seen.latest) == 3, 0.05)


def test_scarcest_item_is_the_one_whose_receipt_releases_most() -> None:
    backorders = [
        Backorder("a", {"bacon": 2, "milk": 1}),
        Backorder("b", {"bacon": 1}),
        Backorder("c", {"cola": 5, "bacon": 1}),
        Backorder("d", {"cola": 5}),
    ]
    assert scarcest(backorders, {"bacon": 1, "milk": 9}) == Scarce("bacon", waiting=3, released=2, quantity=3)


def test_nothing_is_scarce_when_nobody_waits() -> None:
    assert scarcest([], {"bacon": 0}) is None


items = st.sampled_from(["a", "b", "c", "d"])
queues = st.lists(st.dictionaries(items, st.integers(1, 5), min_size=1), min_size=1, max_size=8)


@given(queues, st.dictionaries(items, st.integers(0, 12)), st.randoms())
def test_receipt_releases_at_least_what_it_promises(
    queue: list[dict[str, int]], available: dict[str, int], random: Random
) -> None:
    backorders = [Backorder(str(number), needs) for number, needs in enumerate(queue)]
    scarce = scarcest(backorders, available)
    if scarce is None:
        return
    left = Counter(available)
    left[scarce.item_id] += scarce.quantity
    random.shuffle(backorders)
    released = 0
    for backorder in backorders:
        if all(left[item] >= quantity for item, quantity in backorder.needs.items()):
            left.subtract(backorder.needs)
            released += scarce.item_id in backorder.needs
    assert released >= scarce.released


async def test_backorders_are_read_page_by_page_and_a_line_each() -> None:
    def service(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer token"
        if request.url.path == "/v1/availability":
            assert request.url.params.get_list("item_id") == ["7", "8"]
            return httpx.Response(200, json={"items": [{"item_id": "7", "available": 1}], "next": None})
        if "cursor" in request.url.params:
            rows = [{"order_id": "b", "item_id": "8", "quantity": 2}]
            return httpx.Response(200, json={"items": rows, "next": None})
        rows = [{"order_id": "a", "item_id": "7", "quantity": 2}, {"order_id": "a", "item_id": "7", "quantity": 1}]
        return httpx.Response(200, json={"items": rows, "next": "more"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as client:
        stock = Stock(client, "http://stock.test", "token")
        assert await stock.backorders() == [Backorder("a", {"7": 3}), Backorder("b", {"8": 2})]
        assert await stock.available(["7", "8"]) == {"7": 1}


async def test_the_day_is_settled_when_nobody_waits_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after, "POLL_SECONDS", 0)
    queued, overdue, settled = (
        {"queued_items": 2, "orders": []},
        {"queued_items": 0, "orders": ["a"]},
        {"queued_items": 0, "orders": []},
    )
    bodies = iter((queued, overdue, settled))
    service, requests = in_turn(*[lambda _: httpx.Response(200, json=next(bodies))] * 3)
    async with httpx.AsyncClient(transport=httpx.MockTransport(service)) as client:
        await Stock(client, "http://stock.test", "token").settled()
    assert len(requests) == 3


async def test_what_inventory_service_refuses_is_said() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(403, text="no"))) as client:
        with pytest.raises(CommandError, match="refused /v1/backorders/orders: 403 no"):
            await Stock(client, "http://stock.test", "token").backorders()


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200))
def test_percentiles_are_measured_values_in_order(seconds: list[float]) -> None:
    latency = Latency.of(seconds)
    assert latency is not None
    assert latency.p50 <= latency.p99
    assert {latency.p50, latency.p99} <= {each * 1_000 for each in seconds}


def test_percentiles_by_nearest_rank() -> None:
    assert Latency.of([each / 1_000 for each in range(1, 101)]) == Latency(100, 50.0, 99.0)
    assert Latency.of([]) is None


def a_summary(outcomes: Mapping[str, int], scarce: Scarce | None) -> Summary:
    return Summary(
        date=THE_DAY,
        baskets=606,
        lines=7_110,
        stores=110,
        value=Decimal("23592.28"),
        outcomes=outcomes,
        existing=0,
        skipped={"zero quantity": 1, "fuel": 47},
        skipped_lines={"zero quantity": 45, "fuel": 48},
        events={"crossdock.orders.v1": 1_116},
        accepted_to_confirmed=Latency(511, 21.4, 80.2),
        posted_to_confirmed=Latency(511, 31.4, 90.2),
        posting_seconds=3.2,
        waiting=outcomes["backordered"],
        scarcest=scarce,
        scarcest_name="BACON, 16 OZ",
        problems=(),
    )


def shown(summary: Summary) -> str:
    text = StringIO()
    show(summary, Console(file=text, width=120))
    return text.getvalue()


def test_the_summary_shows_what_adds_up_and_what_to_type() -> None:
    outcomes = {"confirmed": 511, "backordered": 47, "rejected": 0, "cancelled": 0, "undecided": 0, "failed": 0}
    summary = a_summary(outcomes, Scarce("933067", 5, 4, 9))
    assert summary.accounted_for
    assert summary.clean
    text = shown(summary)
    for part in ("511", "47 orders wait", "crossdock receive 933067 9", "releases 4 of them", "BACON", "p99 80 ms"):
        assert part in text
    assert "rejected" not in text


@pytest.mark.parametrize(
    ("released", "said"), [(5, "releases them."), (4, "releases 4 of them."), (0, "each of them lacks something else")]
)
def test_it_says_no_more_than_the_receipt_does(released: int, said: str) -> None:
    summary = a_summary({"confirmed": 511, "backordered": 47}, Scarce("933067", 5, released, 9))
    assert said in shown(summary)


def test_an_order_without_a_decision_is_not_a_clean_end() -> None:
    outcomes = {"confirmed": 557, "backordered": 0, "undecided": 1, "failed": 0}
    summary = a_summary(outcomes, None)
    assert summary.accounted_for
    assert not summary.clean
    assert "undecided" in shown(summary)
    assert "nothing, no order waits" in shown(summary)
