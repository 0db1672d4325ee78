"""Where chunks are computed: in a child of the runner."""

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from pkgutil import resolve_name
from typing import Any, Final, Protocol, Self, TypeAlias

from crossdock_chassis import Child

Forecaster: TypeAlias = Callable[[], Callable[[Any], Iterable[Any]]]
FORECASTER: Final[Forecaster] = partial(resolve_name, "forecast_service.fitting.answer:answer")
"""It is named and not imported, because only the child may import libraries for numbers."""

IDLE_SECONDS: Final = 60.0
"""The child ends after so long without work. Its imports take seconds, so it is not ended between chunks."""
CALLS: Final = 500
NICE: Final = 5
"""The services on the same machine come first."""
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""With more threads, sums are in another order and their last digits differ from run to run."""


class Engine(Protocol):
    """Computes chunks, as many at a time as it has slots."""

    @property
    def look_seconds(self) -> float | None:
        """Return the interval at which the number of slots may change, None if it never does."""
        ...

    async def slots(self) -> int:
        """Return how many calls it can take at a time. Raise ConnectionError while it is away."""
        ...

    def call(self, asked: Any, *, seconds: float) -> AsyncIterator[Any]:
        """Compute a task or a structure within `seconds`. Raise as Child.call does, or ConnectionError."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


def child(forecaster: Forecaster = FORECASTER) -> Child[Any]:
    return Child(forecaster, idle_seconds=IDLE_SECONDS, calls=CALLS, nice=NICE, environment=ONE_THREAD)


class ChildEngine:
    """One child of this process, for one chunk at a time."""

    look_seconds = None

    def __init__(self, forecaster: Forecaster = FORECASTER) -> None:
        self._child = child(forecaster)

    async def slots(self) -> int:
        return 1

    def call(self, asked: Any, *, seconds: float) -> AsyncIterator[Any]:
        return self._child.call(asked, seconds=seconds)

    async def __aenter__(self) -> Self:
        await self._child.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._child.__aexit__(*error)
