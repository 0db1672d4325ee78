"""Chunks on a Dask cluster, whose workers compute them in children of their own.

Dask only chooses a worker. The leases of the runner still decide whose results are stored, and the children give each
series its time limit, because Dask cannot end a fit that hangs.
"""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final, Self

from crossdock_chassis import Child, ChildBroken, ChildFailed, ChildLost
from forecast_service.runs.engine import child

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 150.0
"""How much longer than its child a worker may take to answer: the child may still have to start."""
MISSING: Final = (
    "CROSSDOCK_FORECAST_ENGINE names a Dask cluster, and Dask is not installed: see the README of forecast-service"
)

_free: list[Child[Any]] = []


async def compute(asked: Any, seconds: float) -> Sequence[Any]:
    """Compute a task or a structure on a worker, which runs this on its event loop. Each of its slots has a child."""
    engine = _free.pop() if _free else child()
    try:
        return [answer async for answer in engine.call(asked, seconds=seconds)]
    finally:
        _free.append(engine)


class DaskEngine:
    """All slots of the workers of a scheduler, such as `dask://scheduler:8786`."""

    look_seconds = 5.0

    def __init__(self, address: str) -> None:
        self._address = address.replace("dask://", "tcp://")
        self._connecting = asyncio.Lock()
        self._client: Client | None = None

    async def slots(self) -> int:
        client = await self._connected()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return sum((await client.nthreads()).values())
        except (OSError, TimeoutError) as error:
            raise self._away(error) from error

    async def call(self, asked: Any, *, seconds: float) -> AsyncIterator[Any]:
        from distributed import KilledWorker  # noqa: PLC0415  (only installed where a cluster is used)

        client = await self._connected()
        future = client.submit(compute, asked, seconds, pure=False)
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                answers = await future
        except (ChildLost, ChildFailed, ChildBroken, ConnectionError):
            raise
        except KilledWorker as error:
            raise ChildLost(str(error)) from error
        except (CancelledError, OSError, TimeoutError) as error:  # Dask's own error, if the connection was lost
            raise self._away(error) from error
        except Exception as error:
            raise ChildBroken(f"a Dask worker: {type(error).__name__}: {error}") from error
        finally:
            future.release()
        for answer in answers:
            yield answer

    async def _connected(self) -> "Client":
        """Return the client. A client that gave up is replaced. Raise ConnectionError."""
        from distributed import Client  # noqa: PLC0415

        async with self._connecting:
            if self._client is None or self._client.status == "closed":
                try:
                    self._client = await Client(self._address, asynchronous=True, timeout=CONNECT_SECONDS)
                except (OSError, TimeoutError) as error:
                    raise self._away(error) from error
            return self._client

    def _away(self, why: object) -> ConnectionError:
        return ConnectionError(f"the Dask scheduler at {self._address} does not answer: {why}")

    async def __aenter__(self) -> Self:
        if importlib.util.find_spec("distributed") is None:
            raise ChildBroken(MISSING)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close(CLOSE_SECONDS)
