"""Decide whether an unknown item is really unknown: ask again when the known items are up to date."""

import time
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from crossdock_chassis import CatchUp, Coalescer, CommandResult
from order_service.orders.model import ItemsBehind, UnknownItems

C = TypeVar("C")
R = TypeVar("R", bound=BaseModel)
FRESH_SECONDS: Final = 5.0
"""A batch of orders waits for the known items at most once in this time. Otherwise each group of lines would wait."""


class UpToDate(Generic[C, R]):
    """A coalescer that refuses an order for its items only if it knows every item that was registered before.

    An order of known items passes without any wait. Raise ItemsBehind if the known items may be behind.
    """

    def __init__(self, coalescer: Coalescer[C, R], catch_up: CatchUp) -> None:
        self._coalescer, self._catch_up = coalescer, catch_up

    async def __call__(self, command: C, request: Any = None) -> CommandResult[R]:
        since = time.monotonic()
        try:
            return await self._coalescer(command, request)
        except UnknownItems as refused:
            if not await self._catch_up.caught_up(since, refused.items):
                raise ItemsBehind(refused) from None
        return await self._coalescer(command, request)

    async def many(self, commands: Sequence[C], began: float) -> list[R | Exception]:
        """Handle commands of one request, which began at a time of the monotonic clock."""
        since = max(began, time.monotonic() - FRESH_SECONDS)
        answers = await self._coalescer.many(commands)
        refused = {i: answer for i, answer in enumerate(answers) if isinstance(answer, UnknownItems)}
        if refused:
            items = {item for answer in refused.values() for item in answer.items}
            if await self._catch_up.caught_up(since, items):
                again: Sequence[R | Exception] = await self._coalescer.many([commands[i] for i in refused])
            else:
                again = [ItemsBehind(answer) for answer in refused.values()]
            for i, answer in zip(refused, again, strict=True):
                answers[i] = answer
        return answers
