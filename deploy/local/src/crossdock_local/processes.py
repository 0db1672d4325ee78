"""Processes that outlive the command which started them. A recycled pid is never taken for such a process."""

import json
import os
import signal as signals
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from crossdock_cli.errors import CommandError
from crossdock_cli.waiting import wait_until
from crossdock_local.layout import OWNER_ONLY, Home, private, write

# The kernel counts start times from boot. psutil adds the boot time, so a clock step changes its result.
CLOCK_STEP_SECONDS = 2.0
TAIL_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command with its environment. If root must not run it, `user` and `group` name the account that does."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None = None
    user: int | None = None
    group: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """One process, as `status` shows it."""

    name: str
    state: str
    pid: int | None
    memory: int
    url: str


class Process:
    """One named process of a stack, started in a session of its own.

    Its pid file holds the start time too. After a reboot or a wrap-around another process may have the same pid. The
    start times then differ, so this process counts as stopped and the other one is never signalled.
    """

    def __init__(
        self,
        name: str,
        home: Home,
        program: Callable[[], Program],
        *,
        ready: Callable[[], bool],
        ready_seconds: float = 60,
        stop_signal: signals.Signals = signals.SIGTERM,
        stop_seconds: float = 30,
        failed_because: Callable[[str], str | None] = lambda log: None,
    ) -> None:
        """Describe the process; nothing starts yet.

        Every start calls `program`. `failed_because` may turn the log of a failed start into a sentence.
        """
        self.name = name
        self._program, self._ready, self._ready_seconds = program, ready, ready_seconds
        self._stop_signal, self._stop_seconds = stop_signal, stop_seconds
        self._failed_because, self._home = failed_because, home
        self._pidfile = home.run / f"{name}.json"
        self.log = home.logs / f"{name}.log"

    @property
    def pid(self) -> int | None:
        """Return the pid, or None if the process does not run."""
        found = self._find()
        return found.pid if found else None

    @property
    def alive(self) -> bool:
        return self._find() is not None

    @property
    def memory(self) -> int:
        """Return the bytes of RAM of the process and its children. Shared pages count once if the kernel lists them."""
        found = self._find()
        if found is None:
            return 0
        return memory_of(found.pid)

    @property
    def started_at(self) -> float | None:
        """Return the start time in seconds since the epoch, or None if the process does not run."""
        found = self._find()
        return found.create_time() if found else None

    def start(self) -> None:
        """Start the process unless it runs. Do not wait until it is ready."""
        if self.alive:
            return
        program = self._program()
        self._home.make()
        with open(self.log, "ab", opener=private) as log:
            offset = log.tell()
            child = subprocess.Popen(
                program.argv,
                env=dict(program.env),
                cwd=program.cwd,
                user=program.user,
                group=program.group,
                extra_groups=None if program.user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=OWNER_ONLY,
            )
        # The process outlives this object and this interpreter. Without a return code, a collected Popen object warns.
        child.returncode = 0
        try:
            started = psutil.Process(child.pid).create_time()
        except psutil.NoSuchProcess:
            started = 0.0
        record = {"pid": child.pid, "started": started, "log_offset": offset}
        write(self._pidfile, json.dumps(record))

    def wait_ready(self, seconds: float | None = None) -> None:
        """Wait until the process is ready. Raise CommandError with the end of its log if it stops or takes too long."""
        limit = self._ready_seconds if seconds is None else seconds
        stopped = False

        def settled() -> bool:
            nonlocal stopped
            if self._ready():
                return True
            stopped = not self.alive
            return stopped

        in_time = wait_until(settled, limit)
        if in_time and not stopped:
            return
        log = self.log_since_start()
        what = "stopped while starting" if stopped else f"was not ready within {limit:.0f} s"
        raise CommandError(
            self._failed_because(log) or f"{self.name} {what}; its whole log is {self.log}.",
            "\n".join(log.splitlines()[-TAIL_LINES:]),
        )

    def ready(self) -> bool:
        return self.alive and self._ready()

    def kill(self, signal: signals.Signals = signals.SIGKILL) -> None:
        """Send the signal to the process alone, and after SIGKILL wait for its end. Do nothing if it does not run."""
        found = self._find()
        if found is None:
            return
        with suppress(psutil.NoSuchProcess):
            found.send_signal(signal)
        if signal == signals.SIGKILL:
            wait_until(lambda: not self.alive, 10)

    def stop(self) -> None:
        """Send the stop signal. After the grace period kill the process and its children."""
        found = self._find()
        if found is not None:
            with suppress(psutil.NoSuchProcess):
                found.send_signal(signals.SIGCONT)
                found.send_signal(self._stop_signal)
            if not wait_until(lambda: not self.alive, self._stop_seconds):
                family = [found, *_children(found)]
                for each in family:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
                wait_until(lambda: not self.alive, 10)
        self._pidfile.unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()
        self.wait_ready()

    def log_since_start(self) -> str:
        try:
            offset = int(json.loads(self._pidfile.read_text())["log_offset"])
            with self.log.open("rb") as stream:
                stream.seek(offset if offset <= self.log.stat().st_size else 0)  # the log may have been trimmed
                return stream.read().decode(errors="replace")
        except (FileNotFoundError, ValueError, KeyError):
            return ""

    def _find(self) -> psutil.Process | None:
        try:
            record = json.loads(self._pidfile.read_text())
            found = psutil.Process(int(record["pid"]))
            if abs(found.create_time() - float(record["started"])) > CLOCK_STEP_SECONDS:
                return None
            if found.status() != psutil.STATUS_ZOMBIE:
                return found
        except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
            return None
        with suppress(ChildProcessError):
            os.waitpid(found.pid, os.WNOHANG)
        return None


def memory_of(pid: int) -> int:
    """Return the bytes of RAM of a process and its children, or 0 if it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return sum(_own_memory(each) for each in [process, *_children(process)])
    return 0


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _own_memory(process: psutil.Process) -> int:
    with suppress(psutil.Error, AttributeError, OSError):
        return int(process.memory_full_info().pss)
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
