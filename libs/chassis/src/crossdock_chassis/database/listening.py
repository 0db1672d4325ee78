"""Listen to notifications of a database on a connection of its own."""

import asyncio
from collections.abc import Callable

import asyncpg

from crossdock_chassis.database.unit import Database


async def hear(database: Database, channel: str, name: str, heard: Callable[[str], None]) -> None:
    """Call `heard` with the payload of each notification until the connection is lost. Raise if none can be made.

    It is called with "" when listening begins, because notifications before that are missed. `name` is shown as part of
    the connection's name.
    """
    lost = asyncio.Event()
    connection = await asyncpg.connect(
        database.dsn,
        timeout=5,
        server_settings={"application_name": f"{database.source}-{name}", "tcp_keepalives_idle": "5"},
    )
    try:
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(channel, lambda *notified: heard(str(notified[-1])))
        heard("")
        await lost.wait()
    finally:
        connection.terminate()
