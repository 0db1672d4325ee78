"""Hold a process back: the supervisor does not restart it while the hold is valid.

A hold is a lease. It ends with the program that made it, and after its time. So a killed drill leaves nothing broken:
the supervisor drops the hold within a second and starts the process.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from crossdock_local.layout import write
from crossdock_local.processes import CLOCK_STEP_SECONDS


@dataclass(frozen=True, slots=True)
class Hold:
    """`owner` and `owner_started` identify the program, `until` is in seconds since the epoch."""

    name: str
    why: str
    owner: int
    owner_started: float
    until: float

    @property
    def valid(self) -> bool:
        """Return whether the time is not over and the owner still runs."""
        if time.time() > self.until:
            return False
        try:
            owner = psutil.Process(self.owner)
            alive = owner.status() != psutil.STATUS_ZOMBIE
            return alive and abs(owner.create_time() - self.owner_started) <= CLOCK_STEP_SECONDS
        except psutil.NoSuchProcess:
            return False

    @property
    def mine(self) -> bool:
        return self.owner == os.getpid() and self.valid


class Holds:
    """The holds of a stack, a file each. Looking creates no folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, why: str, seconds: float) -> Hold:
        """Hold the process `name` for at most `seconds`. A later hold of this name replaces an earlier one."""
        hold = Hold(name, why, os.getpid(), psutil.Process().create_time(), time.time() + seconds)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write(self._file(name), json.dumps(asdict(hold)))
        return hold

    def of(self, name: str) -> Hold | None:
        """Return the hold of the process, or None. A file that cannot be read is a hold that is not valid."""
        try:
            found = json.loads(self._file(name).read_text())
            return Hold(
                name, str(found["why"]), int(found["owner"]), float(found["owner_started"]), float(found["until"])
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return Hold(name, "", 0, 0.0, 0.0)

    def all(self) -> list[Hold]:
        names = sorted(each.stem for each in self._folder.glob("*.json"))
        return [hold for name in names if (hold := self.of(name))]

    @contextmanager
    def released(self, why: str, seconds: float) -> Iterator[None]:
        """End every hold with the block, which starts the processes. Meanwhile the supervisor leaves them alone."""
        held = [self.put(hold.name, why, seconds).name for hold in self.all()]
        try:
            yield
        finally:
            for name in held:
                self.drop(name)

    def drop(self, name: str) -> None:
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"
