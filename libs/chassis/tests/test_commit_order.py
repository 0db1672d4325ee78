"""Feeds in commit order, on the real database: no row is missed, however transactions overlap."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import column, select, table

from crossdock_chassis import Feed, Refusal, Service, Unit
from crossdock_chassis.database import commit_order
from crossdock_chassis.testing import restored

FEED = Feed("rows", tuple[int, int, int], 0)
ROWS = table("feed_row", column("changed_in"), column("id"))
GENERATION = 1 << commit_order.GENERATION_BITS
WRITERS = 4


@pytest.fixture
async def feed(service: Service) -> AsyncIterator[Service]:
    async with service.database.unit() as unit:
        await unit.sql.execute(
            """
            CREATE TABLE feed_row (changed_in bigint NOT NULL DEFAULT commit_position(), id bigint NOT NULL,
                                   PRIMARY KEY (changed_in, id))
            """
        )
    yield service


async def write(unit: Unit, *ids: int) -> None:
    await unit.sql.executemany("INSERT INTO feed_row (id) VALUES ($1)", [(id,) for id in ids])


async def page(service: Service, since: str | None, limit: int = 3) -> tuple[list[int], str]:
    async with service.database.reading() as session:
        span = await FEED.span(session, since)
        query = select(ROWS.c.changed_in, ROWS.c.id).where(span.holds(ROWS.c.changed_in, ROWS.c.id))
        rows = (await session.execute(query.order_by(ROWS.c.changed_in, ROWS.c.id).limit(limit))).all()
        return [row.id for row in rows], span.next([(row.changed_in, row.id) for row in rows])


async def rest(service: Service, since: str | None) -> tuple[list[int], str]:
    """Return all that a poller gets until a page is empty."""
    found: list[int] = []
    while True:
        ids, since = await page(service, since)
        if not ids:
            return found, since
        found += ids


@given(
    st.lists(
        st.sampled_from(["write", "commit", "roll back", "poll"]).flatmap(
            lambda step: st.tuples(st.just(step), st.integers(0, WRITERS - 1))
        ),
        max_size=25,
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_poller_sees_each_committed_row_once(feed: Service, steps: Sequence[tuple[str, int]]) -> None:
    async with feed.database.unit() as unit:
        await unit.sql.execute("TRUNCATE feed_row")
    units: dict[int, tuple[AsyncExitStack, Unit, list[int]]] = {}
    expected: set[int] = set()
    seen: list[int] = []
    since: str | None = None
    for id, (step, writer) in enumerate([*steps, *(("commit", writer) for writer in range(WRITERS))]):
        if step == "write":
            if writer not in units:
                stack = AsyncExitStack()
                units[writer] = stack, await stack.enter_async_context(feed.database.unit()), []
            await write(units[writer][1], id)
            units[writer][2].append(id)
        elif step == "poll":
            ids, since = await page(feed, since)
            seen += ids
        elif writer in units:
            stack, unit, ids = units.pop(writer)
            if step == "roll back":
                await unit.sql.execute("ROLLBACK; BEGIN")
            else:
                expected |= set(ids)
            await stack.aclose()
    seen += (await rest(feed, since))[0]
    assert sorted(seen) == sorted(expected)


async def test_open_transaction_delays_the_rows_after_it(feed: Service) -> None:
    async with feed.database.unit() as early:
        await write(early, 1)
        async with feed.database.unit() as late:
            await write(late, 2)
        assert (await rest(feed, None))[0] == []
    assert (await rest(feed, None))[0] == [1, 2]


async def test_empty_page_keeps_the_cursor(feed: Service) -> None:
    _, since = await rest(feed, None)
    assert (await rest(feed, since)) == ([], since)


async def test_restored_database_begins_a_generation(feed: Service) -> None:
    """The positions of the old cluster are larger than the transaction ids of this one."""
    async with feed.database.unit() as unit:
        await unit.sql.execute("INSERT INTO feed_row VALUES ($1, 1)", GENERATION + 10**12)
    before = (await rest(feed, None))[1]
    await restored(feed)
    async with feed.database.unit() as unit:
        await write(unit, 2)
    assert (await rest(feed, None))[0] == [1, 2]
    with pytest.raises(Refusal) as refused:
        await page(feed, before)
    assert (refused.value.problem.status, refused.value.problem.type) == (410, "cursor-expired")
    _, since = await rest(feed, None)
    assert await rest(feed, since) == ([], since)


async def test_transaction_open_as_a_generation_begins_is_not_missed(feed: Service) -> None:
    """Its rows have smaller positions than those of the old cluster, which no page may have before it ends."""
    async with feed.database.unit() as unit:
        await unit.sql.execute("INSERT INTO feed_row VALUES ($1, 1)", GENERATION + 10**12)
    async with feed.database.unit() as early:
        await write(early, 2)
        await restored(feed)
        async with feed.database.unit() as late:
            await write(late, 3)
        assert (await rest(feed, None))[0] == []
    assert (await rest(feed, None))[0] == [2, 1, 3]


async def test_generation_is_kept_while_the_cluster_is_the_same(feed: Service) -> None:
    _, since = await rest(feed, None)
    await commit_order.renew(feed.database)
    assert await rest(feed, since) == ([], since)


async def test_role_without_rights_can_compare_the_cluster(feed: Service) -> None:
    async with feed.database.unit() as unit:
        await unit.sql.execute("CREATE ROLE plain; GRANT SELECT ON commit_generation TO plain; SET LOCAL ROLE plain")
        assert await unit.sql.fetchval(commit_order.CHANGED) is None
        await unit.sql.execute("RESET ROLE; DROP OWNED BY plain; DROP ROLE plain")
