"""Rate limits: what a bucket lets through, two processes on one bucket, and what operators do."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from on_kafka import running
from prometheus_client import REGISTRY
from pydantic import BaseModel

from crossdock_chassis import Caller, Database, Feature, HotRoute, Operator, Service, Unit, limited, requires, roles
from crossdock_chassis.http.limits import LEASE_SECONDS, TAKE, Bucket, Limit, Limits, group_of
from crossdock_chassis.problems import Refusal
from crossdock_chassis.roles import Watch
from crossdock_chassis.testing.signing import Signer

ISSUER = Signer.generate()
Writer = Annotated[Caller, requires("write")]


class Thing(BaseModel):
    name: str = ""


def with_routes(service: Service) -> Service:
    cold, hot = APIRouter(), APIRouter(route_class=HotRoute)

    @hot.post("/hot", dependencies=[limited("things")])
    async def post_hot(body: Thing, caller: Writer) -> Response:
        return Response(status_code=201)

    @cold.post("/cold", dependencies=[limited("things")])
    async def post_cold(body: Thing, caller: Writer) -> Thing:
        return body

    @cold.get("/others", dependencies=[limited("others")])
    async def get_others(caller: Writer) -> Thing:
        return Thing()

    @cold.post("/operated", dependencies=[limited("things")])
    async def post_operated(body: Thing, caller: Operator) -> Thing:
        return body

    @cold.get("/free")
    async def get_free(caller: Writer) -> Thing:
        return Thing()

    return replace(service, features=[Feature(routers=[cold, hot])])


class Process:
    """One API process: its own application and its own reading of the limits, on the database of the others."""

    def __init__(self, service: Service) -> None:
        self.limits = Limits(service.database)
        transport = httpx.ASGITransport(service.api(ISSUER.verifier(), self.limits), raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://service")

    async def request(
        self,
        method: str,
        path: str,
        partner: str | None = "acme",
        scopes: tuple[str, ...] = ("write",),
        subject: str = "ann",
        **more: Any,
    ) -> httpx.Response:
        token = ISSUER.token(partner, scopes, client_id=f"client-of-{partner or 'us'}", subject=subject)
        headers = {"authorization": f"Bearer {token}"}
        return await self.client.request(method, path, headers=headers, **more)

    async def post(self, partner: str = "acme", path: str = "/hot") -> httpx.Response:
        return await self.request("POST", path, partner, json={})

    async def operate(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.request(method, path, None, ("ops:read", "ops:act"), **more)

    async def limit(self, rate: float, burst: int, partner: str = "acme", group: str = "things") -> None:
        answered = await self.operate("PUT", f"/v1/limits/{group}/{partner}", json={"rate": rate, "burst": burst})
        assert answered.status_code == 200, answered.text


@pytest.fixture
def limited_service(service: Service) -> Service:
    return with_routes(service)


@pytest.fixture
def one(limited_service: Service) -> Process:
    return Process(limited_service)


@pytest.fixture
def other(limited_service: Service) -> Process:
    return Process(limited_service)


async def statuses(*requests: Awaitable[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in await asyncio.gather(*requests)]


# --- the bucket, by a clock in the test's hand


class World:
    """Processes that share a bucket of the real table in one transaction, where the database's clock stands still.
    Moving what is stored back is moving the clock forward."""

    def __init__(self, unit: Unit, limit: Limit, processes: int) -> None:
        self.unit, self.limit, self.now, self.asked = unit, limit, 0.0, 0
        self.processes = [Bucket("things", limit, self.take, lambda: self.now) for _ in range(processes)]

    async def take(self, wanted: int) -> tuple[int, float]:
        self.asked += 1
        row = await self.unit.sql.fetchrow(TAKE, "acme", "things", self.limit.rate, self.limit.burst, wanted)
        return row["granted"], row["remaining"]

    async def advance(self, seconds: float) -> None:
        self.now += seconds
        await self.unit.sql.execute(
            "UPDATE rate_bucket SET empty_at = empty_at - make_interval(secs => $1::float8)", seconds
        )

    async def admits(self, process: int = 0) -> bool:
        try:
            await self.processes[process].spend()
        except Refusal as refused:
            assert refused.headers is not None and int(refused.headers["Retry-After"]) >= 1
            return False
        return True


async def test_partner_gets_its_burst_then_its_rate(service: Service) -> None:
    async with service.database.trial() as unit:
        world = World(unit, Limit(rate=50, burst=100), 1)
        assert sum([await world.admits() for _ in range(300)]) == 100
        admitted = 0
        for _ in range(1000):
            await world.advance(0.01)
            admitted += sum([await world.admits() for _ in range(3)])
        assert 50 * 10 - 5 <= admitted <= 50 * 10 + 1
        await world.advance(60)
        assert sum([await world.admits() for _ in range(300)]) == 100, "a bucket holds no more than its burst"


async def test_round_trips_are_few_however_much_is_asked(service: Service) -> None:
    async with service.database.trial() as unit:
        world = World(unit, Limit(rate=1000, burst=2000), 1)
        assert sum([await world.admits() for _ in range(4000)]) == 2000
        assert world.asked <= 2000 / 100 + 1
        before = world.asked
        for _ in range(1000):
            await world.advance(0.001)
            await world.admits()
        assert world.asked - before <= 11, "ten a second"


async def test_token_held_too_long_is_lost(service: Service) -> None:
    async with service.database.trial() as unit:
        world = World(unit, Limit(rate=100, burst=200), 1)
        assert await world.admits()
        await world.advance(LEASE_SECONDS - 0.001)
        assert await world.admits() and world.asked == 1
        await world.advance(0.001)
        assert await world.admits() and world.asked == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.floats(0.1, 2000),
    burst=st.integers(1, 300),
    steps=st.lists(
        st.tuples(st.one_of(st.just(0.0), st.floats(0.0001, 3)), st.integers(0, 2), st.integers(1, 60)), max_size=30
    ),
)
async def test_no_window_admits_more_than_burst_and_rate_allow(
    service: Service, rate: float, burst: int, steps: list[tuple[float, int, int]]
) -> None:
    admitted: list[float] = []
    async with service.database.trial() as unit:
        world = World(unit, Limit(rate, burst), 3)
        for seconds, process, requests in steps:
            await world.advance(seconds)
            admitted += [world.now for _ in range(requests) if await world.admits(process)]
    for first, begins in enumerate(admitted):
        for last in range(first, len(admitted)):
            window = admitted[last] - begins
            assert last - first + 1 <= burst + rate * (window + LEASE_SECONDS) + 0.01
    if steps:
        assert admitted, "the first request always finds a full bucket"


async def test_transaction_that_began_earlier_gets_no_negative_grant(service: Service) -> None:
    async with service.database.unit() as early:
        await early.sql.execute("SELECT now(), pg_sleep(0.05)")
        async with service.database.unit() as late:
            assert (await late.sql.fetchrow(TAKE, "acme", "things", 1000, 10, 10))["granted"] == 10
        assert (await early.sql.fetchrow(TAKE, "acme", "things", 1000, 10, 10))["granted"] == 0


# --- two processes and HTTP


async def test_without_a_limit_no_bucket_is_asked(one: Process, service: Service) -> None:
    answered = await one.post()
    assert (answered.status_code, "ratelimit" in answered.headers) == (201, False)
    await one.limit(1, 1, partner="else")
    assert await statuses(*(one.post() for _ in range(5))) == [201] * 5
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM rate_bucket") == 0


@pytest.mark.parametrize("path", ["/hot", "/cold"])
async def test_two_processes_share_one_bucket(one: Process, other: Process, path: str) -> None:
    await one.limit(0.01, 10)
    await other.limits.refresh()
    answers = [await process.post(path=path) for _ in range(6) for process in (one, other)]
    assert [answer.status_code < 400 for answer in answers] == [True] * 10 + [False] * 2
    assert await statuses(one.post("else"), other.post("else")) == [201, 201], "another partner is untouched"
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json() == {
        "type": "urn:crossdock:problem:rate-limited",
        "title": "Too many requests; wait before sending more",
        "status": 429,
        "detail": f"At most 0.01 a second and 10 at once. Send it again in {refused.headers['retry-after']} s",
        "violated-policies": ["things"],
        "instance": path,
        "request_id": refused.headers["request-id"],
    }
    assert 99 <= int(refused.headers["retry-after"]) <= 100
    assert refused.headers["ratelimit-policy"] == '"things";q=10;w=1000'
    assert refused.headers["ratelimit"] == f'"things";r=0;t={refused.headers["retry-after"]}'


async def test_concurrent_requests_on_two_processes_share_the_bucket(
    one: Process, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crossdock_chassis.http.limits.PATIENCE_SECONDS", 30)  # a slow machine lets nothing pass
    await one.limit(0.001, 40)
    processes = [Limits(service.database, clock=lambda: 0.0) for _ in range(2)]
    for process in processes:
        await process.refresh()
    spent = [process.spend("acme", "things") for _ in range(40) for process in processes]
    found = await asyncio.gather(*spent, return_exceptions=True)
    assert sum(isinstance(each, Refusal) for each in found) == 40


async def test_admitted_request_says_what_is_left(one: Process) -> None:
    await one.limit(0.1, 3)
    left = [(await one.post()).headers["ratelimit"] for _ in range(3)]
    assert left == ['"things";r=2;t=10', '"things";r=1;t=10', '"things";r=0;t=10']


async def test_limit_of_any_partner_gives_each_a_bucket_of_its_own(one: Process) -> None:
    await one.limit(0.01, 1, partner="*")
    await one.limit(0.01, 2, partner="large")
    partners = ["acme", "acme", "else", "large", "large", "large"]
    assert [(await one.post(partner)).status_code for partner in partners] == [201, 429, 201, 201, 201, 429]


async def test_groups_have_buckets_of_their_own_and_other_routes_none(one: Process) -> None:
    await one.limit(0.01, 1)
    await one.limit(0.01, 1, group="others")
    assert await statuses(one.post(), one.request("GET", "/others")) == [201, 200]
    assert await statuses(one.post(path="/cold"), one.request("GET", "/others")) == [429, 429]
    assert await statuses(*(one.request("GET", "/free") for _ in range(3))) == [200] * 3


async def test_refusal_comes_before_the_body_is_read(one: Process) -> None:
    await one.limit(0.01, 1)
    assert (await one.post(path="/cold")).status_code == 200

    async def body() -> Any:
        raise AssertionError("read")
        yield b""

    for path in ("/cold", "/hot"):
        refused = await one.request("POST", path, content=body())
        assert refused.status_code == 429


async def test_partner_without_the_scope_is_limited_too(one: Process) -> None:
    await one.limit(0.01, 1)
    found = [(await one.request("POST", "/hot", scopes=(), json={})).status_code for _ in range(2)]
    assert found == [403, 429]


async def test_operators_are_limited_each_by_the_subject(one: Process) -> None:
    await one.limit(0.01, 1, partner="*")
    await one.limit(100, 100, partner="ann")
    sent = [("ann", None), ("ann", None), ("bob", None), ("ann", "acme"), ("bob", "acme"), ("x", "ann"), ("x", "ann")]
    found = [
        (await one.request("POST", "/operated", partner, ("ops:act",), subject=subject, json={})).status_code
        for subject, partner in sent
    ]
    assert found == [200, 429, 200, 200, 429, 200, 200]


async def test_requests_pass_while_the_database_is_away(unused_tcp_port: int) -> None:
    away = Database(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none", source="tests")
    limits = Limits(away)
    limits._limits = {("acme", "things"): Limit(1, 1)}

    def count() -> float:
        return REGISTRY.get_sample_value("crossdock_rate_limit_unavailable_total", {"route_group": "things"}) or 0

    before = count()
    for _ in range(20):
        assert await limits.spend("acme", "things")
    assert count() == before + 1, "it is asked again after a second, not for every request"
    await away.close()


# --- operators


async def test_change_takes_effect_in_running_processes(
    one: Process, other: Process, limited_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "IDLE_SECONDS", 0.01)

    async def until(condition: Callable[[int], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition((await other.post()).status_code):
                await asyncio.sleep(0.05)

    async with running(Watch(limited_service, other.limits.refresh)):
        assert (await other.post()).status_code == 201
        await one.limit(0.001, 1)
        await until(lambda status: status == 429)
        await one.limit(1000, 1000)
        await until(lambda status: status == 201)
        assert (await one.operate("DELETE", "/v1/limits/things/acme")).status_code == 204
        async with asyncio.timeout(10):
            while "ratelimit" in (await other.post()).headers:
                await asyncio.sleep(0.05)


async def test_look_that_fails_is_tried_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the task ended instead, the API would never shed again."""
    monkeypatch.setattr(roles, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(roles, "IDLE_SECONDS", 0.01)
    looks = 0

    async def broken() -> None:
        nonlocal looks
        looks += 1
        raise ZeroDivisionError if looks % 2 else asyncio.CancelledError

    async with running(Watch(service, broken)), asyncio.timeout(10):
        while looks < 4:
            await asyncio.sleep(0.01)


async def test_limits_and_their_changes_are_listed(one: Process) -> None:
    await one.limit(5, 10)
    await one.limit(7, 20)
    await one.limit(1.5, 3, partner="a/b;c", group="others")
    page = (await one.operate("GET", "/v1/limits", params={"limit": 1})).json()
    rest = (await one.operate("GET", "/v1/limits", params={"limit": 1, "cursor": page["next"]})).json()
    found = [(each["partner"], each["route_group"], each["rate"], each["burst"]) for each in page["items"]]
    assert found == [("a/b;c", "others", 1.5, 3)]
    assert [(each["partner"], each["rate"], each["changed_by"]) for each in rest["items"]] == [("acme", 7, "ann")]
    assert rest["next"] is None
    gone = await one.operate("DELETE", "/v1/limits/others/a/b;c", params={"reason": "they pay now"})
    assert gone.status_code == 204
    assert (await one.operate("DELETE", "/v1/limits/others/a/b;c")).json()["type"].endswith(":no-such-limit")
    newest = (await one.operate("GET", "/v1/limits/changes", params={"limit": 2})).json()
    older = (await one.operate("GET", "/v1/limits/changes", params={"limit": 2, "cursor": newest["next"]})).json()
    assert [(each["partner"], each["rate"]) for each in newest["items"] + older["items"]] == [
        ("a/b;c", None),
        ("a/b;c", 1.5),
        ("acme", 7),
        ("acme", 5),
    ]
    assert {each["changed_by"] for each in newest["items"] + older["items"]} == {"ann"}


async def test_unknown_route_group_is_refused_with_those_that_exist(one: Process) -> None:
    refused = await one.operate("PUT", "/v1/limits/orderz/acme", json={"rate": 1, "burst": 1})
    assert refused.status_code == 404
    assert (refused.json()["type"], refused.json()["route_groups"]) == (
        "urn:crossdock:problem:no-such-route-group",
        ["others", "things"],
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b'{"rate":1}',
        b'{"rate":1,"burst":0}',
        b'{"rate":0,"burst":1}',
        b'{"rate":-1,"burst":1}',
        b'{"rate":1e-300,"burst":1}',
        b'{"rate":1e300,"burst":1}',
        b'{"rate":NaN,"burst":1}',
        b'{"rate":Infinity,"burst":1}',
        b'{"rate":"1","burst":1}',
        b'{"rate":1,"burst":1.5}',
        b'{"rate":1,"burst":99999999999999999999}',
        b'{"rate":true,"burst":true}',
        b'{"rate":1,"burst":1,"partner":"x"}',
    ],
)
async def test_nonsense_for_a_limit_is_refused_and_sets_nothing(one: Process, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    token = ISSUER.token(None, ["ops:act"])
    refused = await one.client.put(
        "/v1/limits/things/acme", content=body, headers={**headers, "authorization": f"Bearer {token}"}
    )
    assert refused.status_code in (400, 422)
    assert (await one.operate("GET", "/v1/limits")).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/v1/limits/things/" + "x" * 65, 422),
        ("PUT", "/v1/limits/things/a%07b", 422),
        ("PUT", "/v1/limits/things/a%00b", 400),
        ("PUT", "/v1/limits/things/", 422),
        ("PUT", "/v1/limits/" + "x" * 300 + "/acme", 422),
        ("PUT", "/v1/limits/things", 404),
        ("DELETE", "/v1/limits/things/nobody", 404),
        ("DELETE", "/v1/limits/%F0%9F%98%80/nobody", 404),
        ("GET", "/v1/limits?cursor=nonsense", 400),
        ("GET", "/v1/limits/changes?cursor=nonsense", 400),
        ("GET", "/v1/limits?limit=0", 422),
    ],
)
async def test_nonsense_around_limits_is_a_problem(one: Process, method: str, path: str, status: int) -> None:
    answered = await one.operate(method, path, **({"json": {"rate": 1, "burst": 1}} if method == "PUT" else {}))
    assert (answered.status_code, answered.json()["status"]) == (status, status)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/changes"), ("DELETE", "/things/acme")])
async def test_limits_are_for_operators(one: Process, method: str, path: str) -> None:
    assert (await one.request(method, f"/v1/limits{path}", "acme", ("write",))).status_code == 403


@settings(max_examples=100)
@given(rate=st.floats(0.001, 100_000), burst=st.integers(1, 1_000_000))
def test_what_a_process_holds_fits_the_bucket(rate: float, burst: int) -> None:
    limit = Limit(rate, burst)
    assert 1 <= limit.share <= max(1, burst / 20)
    assert 0 < limit.pause <= 0.1
    assert limit.pause * rate < burst, "it does not overflow while nobody takes from it"


# --- declaring it


def test_a_route_has_one_group_with_a_sane_name() -> None:
    router = APIRouter()

    @router.get("/twice", dependencies=[limited("one"), limited("two")])
    async def get_twice() -> None: ...

    with pytest.raises(TypeError, match="counts in one route group"):
        group_of(router.routes[0])
    for nonsense in ("", "Orders", 'a"b', "a b", "x" * 33):
        with pytest.raises(ValueError):
            limited(nonsense)


def test_description_of_a_limited_route_shows_the_refusal(limited_service: Service) -> None:
    paths = limited_service.api(ISSUER.verifier()).openapi()["paths"]
    assert set(paths["/hot"]["post"]["responses"]["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    assert set(paths["/free"]["get"]["responses"]["429"]["headers"]) == {"Retry-After"}
