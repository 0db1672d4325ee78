"""The audits that existed before the list of operators' actions are moved into it."""

import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from sqlalchemy import text

from crossdock_chassis import migrations
from crossdock_chassis.database.actions import find_actions
from crossdock_chassis.database.migrate import upgrade
from crossdock_chassis.database.unit import schema_change
from crossdock_chassis.ids import new_id

EFFECT = "01a00000-0000-7000-8000-000000000001"
BY_HAND: dict[str, object] = {"action": "discard", "by": "ada", "reason": "a test"}
MORE: tuple[dict[str, object], ...] = ({}, {"behind": 1}, {"job": str(new_id())}, {"stop": 4})
OLD = (
    f"""
    INSERT INTO effect (id, kind, target, payload, resolutions)
    VALUES ('{EFFECT}', 'mail', 'smtp', '{{}}',
            '[{{"action": "redrive", "by": "bob", "reason": "mended", "at": "2026-07-01T12:00:00Z"}}]')
    """,
    """
    INSERT INTO rate_limit (partner, route_group, rate, burst, changed_by)
    VALUES ('acme', 'orders', 1, 2, 'ada'), ('acme', 'orders', 3, 4, 'bob'),
           ('globex', 'orders', 5, 6, 'ada'), ('globex', 'orders', NULL, NULL, 'bob')
    """,
    *(
        f"""
        INSERT INTO dead_letter (consumer_group, topic, partition, "offset", value, headers, state, reason, fingerprint,
                                 resolved_at, resolution)
        VALUES ('g', 't', 0, {offset}, '', '{{}}', 'discarded', 'r', 'f', now(), '{json.dumps(BY_HAND | more)}')
        """
        for offset, more in enumerate(MORE)
    ),
)


@pytest.fixture
async def empty(postgres_admin: str) -> AsyncIterator[str]:
    name = f"t_{new_id().hex}"
    admin = await asyncpg.connect(postgres_admin)
    await admin.execute(f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(postgres_admin)._replace(path=f"/{name}"))
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


async def test_old_audits_become_actions_and_limits_stay(empty: str) -> None:
    async with schema_change(empty) as connection:
        await connection.run_sync(upgrade, migrations, "version", "0018")
        for statement in OLD:
            await connection.execute(text(statement))
        await connection.run_sync(upgrade, migrations, "version")
        sql = (await connection.get_raw_connection()).driver_connection
        assert sql is not None
        found = [
            (each.action, each.target, each.who, each.why, each.before, each.after)
            for each in reversed(await find_actions(sql))
        ]
        limits = await sql.fetch("SELECT partner, route_group, rate, burst, changed_by FROM rate_limit")
    key = {"partner": "acme", "route_group": "orders"}
    other = {"partner": "globex", "route_group": "orders"}
    assert sorted(found, key=lambda each: each[1]) == [
        ("dead-letter:discard", "/v1/dead-letters/1", "ada", "a test", None, None),
        ("effect:redrive", f"/v1/effects/{EFFECT}", "bob", "mended", None, None),
        ("limit:set", "/v1/limits/orders/acme", "ada", None, None, {**key, "rate": 1, "burst": 2}),
        (
            "limit:set",
            "/v1/limits/orders/acme",
            "bob",
            None,
            {**key, "rate": 1, "burst": 2},
            {**key, "rate": 3, "burst": 4},
        ),
        ("limit:set", "/v1/limits/orders/globex", "ada", None, None, {**other, "rate": 5, "burst": 6}),
        ("limit:remove", "/v1/limits/orders/globex", "bob", None, {**other, "rate": 5, "burst": 6}, other),
    ]
    assert [tuple(row) for row in limits] == [("acme", "orders", 3, 4, "bob")]
