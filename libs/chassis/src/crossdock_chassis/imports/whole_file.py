"""A format whose files are read as a whole, because their last bytes name their parts."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import IO

from crossdock_chassis.imports.sheet import Broken


class WholeFile(ABC):
    """A file that is being read. It is kept on the disk until its last piece has come."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the object)

    def read(self, piece: bytes, *, last: bool) -> Iterator[Sequence[str] | Broken]:
        """Yield the names of the columns and the rows with the last piece. An empty file has none."""
        self._file.write(piece)
        if not last:
            return
        with self._file:
            if self._file.tell():
                self._file.seek(0)
                yield from self.records(self._file)

    @abstractmethod
    def records(self, file: IO[bytes]) -> Iterator[Sequence[str] | Broken]:
        """Yield the names of the columns and the rows. A file that is too large or damaged ends with Broken."""
