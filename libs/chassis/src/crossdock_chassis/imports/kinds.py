"""What a service can import, as values: the columns, the format of the file, and the verb that applies rows."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from crossdock_chassis.database.unit import Unit
from crossdock_chassis.imports.csv_format import Csv
from crossdock_chassis.imports.sheet import Broken, RowError, Sheet
from crossdock_events import Cause


class Format(Protocol):
    """A file of some media type that is being read, piece by piece."""

    def read(self, piece: bytes, *, last: bool) -> Iterator[Sequence[str] | Broken]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A row without errors. `cells` has every known column of the header, with JSON values. Empty cells are None."""

    number: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of an import that are applied in one unit."""

    import_id: UUID
    rows: Sequence[Row]
    arguments: Mapping[str, str]
    partner: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows of a chunk created or changed something, and how many had no effect.

    `suspected` counts those that may name something that is known under another key.
    """

    created: int = 0
    changed: int = 0
    unchanged: int = 0
    suspected: int = 0


class RowsRefused(Exception):
    """Rows that cannot be applied. Raised by the verb; the chunk is then applied without these rows."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        super().__init__(f"{len(errors)} errors, the first in row {errors[0].row}: {errors[0].detail}")
        self.errors = errors


Apply = Callable[[Unit, Chunk], Awaitable[Counts]]


@dataclass(frozen=True, slots=True)
class ImportKind:
    """A kind of file. `sheet` and `format` are module-level functions, because a process of its own calls them.

    A file that is `heavy` is always read in that process, because its format needs large libraries. `apply` may see a
    row twice: in a trial that is rolled back, and then for real. If it `refuses` no row that the sheet lets through,
    only a dry run has a trial.
    """

    name: str
    sheet: Callable[[], Sheet]
    apply: Apply
    format: Callable[[], Format] = field(default=Csv)
    heavy: bool = False
    refuses: bool = True
