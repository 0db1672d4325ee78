"""Run the chassis's relay alone on a database: `python -m bench.relaying`, one job per line.

A job has the DSN, the Kafka address and the topic. `published`: messages that an earlier relay has sent. `counts`: the
messages of each measured run.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import uvloop

from bench.helper import serve
from crossdock_chassis import Broker
from crossdock_chassis.database import outbox
from crossdock_chassis.messaging.relay import Relay

UNIT: Final = 50
"""Messages in one row of `outbox_pending`, about as many as a unit writes under load."""
VALUE_BYTES: Final = 700
SECONDS: Final = 60.0

APPEND: Final = """
    WITH appended AS (
        INSERT INTO outbox (event_id, topic, key, value, headers)
        SELECT gen_random_uuid(), $1, convert_to(number::text, 'UTF8'), convert_to(repeat('x', $4), 'UTF8'),
               json_build_object('ce_type', 'bench.Nothing.v1', 'ce_subject', number::text)
        FROM generate_series(1, $2::int) AS number RETURNING id
    )
    INSERT INTO outbox_pending (ids)
    SELECT array_agg(id ORDER BY id) FROM (SELECT id, row_number() OVER (ORDER BY id) / $3 AS part FROM appended) AS x
    GROUP BY part ORDER BY part
"""


def handle(job: dict[str, Any]) -> dict[str, Any]:
    """Return the rows a second of each run, and the processor seconds of this process for a row."""
    return uvloop.run(_measured(job))


async def _measured(job: Mapping[str, Any]) -> dict[str, Any]:
    connection = await asyncpg.connect(job["dsn"])
    reader = await asyncpg.connect(job["dsn"])
    # An old snapshot: PostgreSQL keeps every row that is deleted from now on.
    snapshot = reader.transaction(isolation="repeatable_read")
    await snapshot.start()
    await reader.fetchval("SELECT count(*) FROM outbox_pending")
    await connection.execute(APPEND, job["topic"], job["published"], UNIT, VALUE_BYTES)
    await connection.execute("DELETE FROM outbox_pending")
    stopping = asyncio.Event()
    relaying = asyncio.create_task(Relay(job["dsn"], Broker(job["kafka"]), "bench").run(stopping))
    try:
        await _send(connection, job["topic"], UNIT)  # the relay takes its lease and starts its producer
        cpu = time.process_time()
        rates = [count / await _send(connection, job["topic"], count) for count in job["counts"]]
        cpu = time.process_time() - cpu
    finally:
        stopping.set()
        await relaying
        await snapshot.rollback()
        await reader.close()
        await connection.close()
    return {"rates": rates, "cpu": cpu / sum(job["counts"])}


async def _send(connection: asyncpg.Connection, topic: str, count: int) -> float:
    """Append messages, and return the seconds until the relay has sent them all."""
    async with connection.transaction():
        await connection.execute(APPEND, topic, count, UNIT, VALUE_BYTES)
        await connection.execute("SELECT pg_notify($1, '')", outbox.CHANNEL)
    began = time.monotonic()
    async with asyncio.timeout(SECONDS):
        while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox_pending)"):
            await asyncio.sleep(0.01)
    return time.monotonic() - began


if __name__ == "__main__":
    serve(handle)
