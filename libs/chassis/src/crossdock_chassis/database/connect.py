"""Connect to PostgreSQL, directly or through a pooler, and name the reason if that fails."""

from asyncio import CancelledError
from collections.abc import Mapping
from ssl import SSLCertVerificationError
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def open_engine(dsn: str, settings: Mapping[str, Any], *, pooled: bool = False, **options: Any) -> AsyncEngine:
    """Return an engine whose connections asyncpg opens, because only asyncpg reads `sslmode` and others in a DSN.

    `pooled`: a pooler in transaction mode answers. It gives each transaction another connection of the server, so no
    prepared statement may be kept for the next one.
    """

    async def connect(**_: object) -> asyncpg.Connection:
        connection: asyncpg.Connection = await asyncpg.connect(dsn, **settings)
        return connection

    engine = create_async_engine(
        make_url(dsn).set(drivername="postgresql+asyncpg", query={}),
        connect_args={"async_creator_fn": connect, "prepared_statement_cache_size": 0 if pooled else 100},
        **options,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(adapted: Any, record: object, proxy: object) -> None:
    """Make the pool replace a connection that died while idle, without a ping per checkout."""
    if adapted.driver_connection.is_closed():
        raise DisconnectionError


def reason_of(error: BaseException) -> str:
    """Return why a connection failed, with what to do about it."""
    cause: BaseException = error
    while (before := cause.__cause__ or cause.__context__) is not None and not isinstance(before, CancelledError):
        cause = before
    match cause:
        case SSLCertVerificationError():
            reason = cause.verify_message.rstrip(".")
            return f"its certificate is not trusted: {reason}: correct sslrootcert or the host in CROSSDOCK_POSTGRES"
        case asyncpg.InvalidAuthorizationSpecificationError() | asyncpg.InvalidCatalogNameError():
            return f"{cause}: correct CROSSDOCK_POSTGRES, or create the role and its database"
        case FileNotFoundError():
            return "the file of sslrootcert is missing: correct CROSSDOCK_POSTGRES"
        case TimeoutError():
            return "no answer in time: correct CROSSDOCK_POSTGRES, or start PostgreSQL"
        case OSError():
            return f"{cause.strerror or cause}: correct CROSSDOCK_POSTGRES, or start PostgreSQL"
    return f"{type(cause).__name__}: {cause}"
