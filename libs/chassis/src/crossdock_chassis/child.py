"""Compute in a process of its own, because computing would block the event loop, and libraries crash or hang."""

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

from crossdock_chassis import child_process
from crossdock_chassis.child_process import HEAD
from crossdock_chassis.deadlines import within

START_SECONDS: Final = 120.0
"""The longest time to spawn the process and make its function. Libraries for numbers take seconds to import."""

AHEAD: Final = 256 << 10
"""Bytes of answers, roughly, that the process may be ahead of its parent, so that neither waits for the other."""

A = TypeVar("A")


class ChildLost(Exception):
    """The process died, or took too long and was killed. What it had in hand is lost; the next call starts another."""


class ChildFailed(Exception):
    """The function raised. The message is the type and the text of its error."""


class ChildBroken(Exception):
    """The function cannot be made: the installation is at fault, and no call can succeed."""


class Child(Generic[A]):
    """A process that is spawned, never forked, and calls one function, one call at a time.

    `make` returns the function; it is called once in each process. The function returns or yields answers. Both are
    found by their names, so they are at the top level of a module. Arguments and answers are pickled.

    The process starts with the first call. It ends with its parent, after `calls` calls, and after `idle_seconds`
    without a call, so that its memory is free. `memory` limits its address space, in bytes. It ignores SIGINT and
    SIGTERM. `nice` lowers its priority.

    >>> async with Child(make) as child:
    ...     answers = [answer async for answer in child.call(task, seconds=60)]
    """

    def __init__(
        self,
        make: Callable[[], Callable[..., Iterable[A]]],
        *,
        idle_seconds: float | None = None,
        calls: int | None = None,
        memory: int | None = None,
        nice: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._make, self._idle_seconds, self._calls, self._memory = make, idle_seconds, calls, memory
        self._nice, self._environment = nice, dict(environment or {})
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._called = 0
        self._idle: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid, or None while there is no process."""
        return None if self._process is None else self._process.pid

    async def call(self, *arguments: object, seconds: float) -> AsyncIterator[A]:
        """Call the function and yield its answers. Wait at most `seconds` for each.

        Raise ChildLost, ChildFailed if the function raised, or ChildBroken if it cannot be made. A call that is not
        awaited to its end ends the process.
        """
        async with self._turn:
            whole = False
            try:
                process = await self._running()
                self._called += 1
                await _send(process, arguments, seconds)
                while (frame := await _receive(process, seconds))[0] == "answer":
                    yield frame[1]
                whole = True
            finally:
                if not whole or self._called == self._calls:
                    await self._end()
                elif self._idle_seconds is not None:
                    self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._kill)
            if frame[0] == "failed":
                raise ChildFailed(frame[1])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _running(self) -> Process:
        """Return the process. If there is none, spawn one and wait until it has made the function."""
        if self._idle is not None:
            self._idle.cancel()
        if self._process is not None and self._process.returncode is None:
            return self._process
        self._called = 0
        program = (sys.executable, "-P", str(Path(child_process.__file__)))
        self._process = process = await asyncio.create_subprocess_exec(
            *program, stdin=PIPE, stdout=PIPE, env=os.environ | self._environment, limit=AHEAD
        )
        await _send(process, sys.path, START_SECONDS)  # the process finds the same modules
        await _send(process, (self._make, self._memory, self._nice), START_SECONDS)
        kind, value = await _receive(process, START_SECONDS)
        if kind == "failed":
            raise ChildBroken(value)
        return process

    def _kill(self) -> Process | None:
        """Kill the process, if there is one, and return it."""
        process, self._process = self._process, None
        if self._idle is not None:
            self._idle.cancel()
        if process is not None and process.returncode is None:
            process.kill()
        return process

    async def _end(self) -> None:
        if (process := self._kill()) is not None:
            await asyncio.shield(process.wait())


async def _send(process: Process, message: object, seconds: float) -> None:
    assert process.stdin is not None
    content = pickle.dumps(message)
    try:
        process.stdin.write(HEAD.pack(len(content)) + content)
        await within(seconds, process.stdin.drain())
    except ConnectionError:
        raise await _lost(process) from None
    except TimeoutError:
        raise ChildLost(f"it took no task for {seconds:g} s and was killed") from None


async def _receive(process: Process, seconds: float) -> tuple[str, Any]:
    """Return the kind of the next frame (`answer`, `end` or `failed`) and its value. Raise ChildLost."""
    assert process.stdout is not None
    try:
        head = await within(seconds, process.stdout.readexactly(HEAD.size))
        content = await within(seconds, process.stdout.readexactly(HEAD.unpack(head)[0]))
    except (asyncio.IncompleteReadError, ConnectionError):
        raise await _lost(process) from None
    except TimeoutError:
        raise ChildLost(f"it took longer than {seconds:g} s and was killed") from None
    frame: tuple[str, Any] = pickle.loads(content)
    return frame


async def _lost(process: Process) -> ChildLost:
    code = await process.wait()
    return ChildLost(f"signal {-code} ended it" if code < 0 else f"it ended by itself with {code}")
