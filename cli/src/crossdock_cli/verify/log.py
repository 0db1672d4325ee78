"""Hold the records of the Kafka log on disk, so that memory stays bounded for any number of events."""

import json
import sqlite3
from collections.abc import Collection, ItemsView, Iterable, Iterator, Mapping, Sequence
from itertools import count, groupby, islice
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from crossdock_events import Event, Message

Place: TypeAlias = tuple[str, int, int]
"""Topic, partition, offset."""

CHUNK: Final = 1_000
"""How many rows or ids are compared at once."""

T = TypeVar("T")


def chunks(each: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(each)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


class Entry(NamedTuple):
    """One record. If it is no readable event, `type` and `source` are "", `id` is None and `sequence` is 0."""

    topic: str
    partition: int
    offset: int
    milliseconds: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    type: str
    id: str | None
    sequence: int
    source: str

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset

    @property
    def name(self) -> str:
        """Return a readable description: type, sequence, key and place."""
        what = f"{self.type.removeprefix('crossdock.')} #{self.sequence}" if self.type else "a record"
        return f"{what} of {text(self.key)} ({self.topic}/{self.partition}/{self.offset})"

    @property
    def stated_type(self) -> str:
        """Return the type in the header, which consumers look at before they decode. "" if they must decode it."""
        if self.type or (self._header("content-type") or "").lower().startswith("application/cloudevents"):
            return self.type
        return self._header("ce_type") or ""

    @property
    def time(self) -> str:
        return self._header("ce_time") or ""

    @property
    def correlation_id(self) -> str | None:
        return self._header("ce_correlationid")

    @property
    def causation_id(self) -> str | None:
        return self._header("ce_causationid")

    def _header(self, name: str) -> str | None:
        return next((text(value) for each, value in self.headers if each == name), None)

    @property
    def data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = json.loads(self.value)
        return data

    @property
    def message(self) -> Message:
        return Message(self.topic, self.key, self.value, dict(self.headers))


def text(key: bytes | None) -> str:
    return "no key" if key is None else key.decode("utf-8", "backslashreplace")


SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -65536;
    CREATE TABLE entry (
        topic TEXT, partition INTEGER, offset INTEGER, milliseconds INTEGER, key BLOB, value BLOB, headers TEXT,
        type TEXT, id TEXT, sequence INTEGER, source TEXT, name TEXT
    );
"""
INDEXES = """
    CREATE UNIQUE INDEX by_place ON entry (topic, partition, offset);
    CREATE INDEX by_id ON entry (id, topic);
    CREATE INDEX by_name ON entry (topic, name, partition, offset);
"""
INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
COLUMNS = "topic, partition, offset, milliseconds, key, value, headers, type, id, sequence, source"
REPEATED = """
    CREATE TABLE repeated_{view} AS SELECT row FROM (
        SELECT rowid AS row, row_number() OVER (PARTITION BY topic, id ORDER BY partition, offset) AS nth FROM entry
        WHERE id IN (SELECT id FROM entry WHERE id IS NOT NULL GROUP BY id, topic HAVING count(*) > 1) {seen}
    ) WHERE nth > 1
"""


class Log:
    """All records by topic, each partition in the order of its offsets.

    They are in a temporary SQLite file, which SQLite deletes when the log is no longer used. One event takes about as
    much disk as on Kafka. `extend` adds records; the first question about them builds the indexes.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._sql = sqlite3.connect("", isolation_level=None)
        self._sql.executescript(SCHEMA)
        self._views = count(1)
        self._view = 0
        self._seen = ""
        self.extend(entries)

    def extend(self, entries: Iterable[Entry]) -> None:
        self._sql.execute("BEGIN")
        self._sql.executemany(INSERT, map(_row, entries))
        self._sql.execute("COMMIT")

    def without(self, places: Collection[Place]) -> "Log":
        """Return the same log, as if these records had never been written."""
        if not places:
            return self
        self._index()
        other = object.__new__(Log)
        other._sql, other._views, other._view = self._sql, self._views, next(self._views)
        other._seen = f"{self._seen} AND rowid NOT IN (SELECT row FROM hidden_{other._view})"
        self._sql.execute(f"CREATE TABLE hidden_{other._view} (row INTEGER PRIMARY KEY)")
        self._sql.executemany(
            f"INSERT INTO hidden_{other._view} SELECT rowid FROM entry WHERE (topic, partition, offset) = (?, ?, ?)",
            places,
        )
        other._find_repeated()
        return other

    @property
    def topics(self) -> list[str]:
        """Return the topics that have records."""
        return [topic for (topic,) in self._query("SELECT DISTINCT topic FROM entry ORDER BY topic")]

    def everything(self) -> Iterator[Entry]:
        """Yield every record by topic, partition and offset."""
        return self._entries("true ORDER BY topic, partition, offset")

    def records(self, topic: str) -> Iterator[Entry]:
        """Yield the records of the topic, by partition and offset."""
        return self._entries("topic = ? ORDER BY partition, offset", topic)

    def firsts(self, topic: str) -> Iterator[Entry]:
        """Yield each event once, as a consumer that ignores repeated ids handles them."""
        return self._entries(f"topic = ? AND {self._once} ORDER BY partition, offset", topic)

    def by_key(self, topic: str) -> "Keys":
        """Return the events of `firsts` by their key."""
        return Keys(self, topic)

    def events(self, of: type[Event]) -> "Keys":
        """Return `by_key` for the topic of this event class. The checks of services call it."""
        return self.by_key(of.topic.name)

    def find(self, ids: Collection[str]) -> dict[str | None, Entry]:
        """Return the first records with these ids, outside the dead-letter topics. At most CHUNK ids."""
        marks = ", ".join("?" * len(ids))
        found = self._entries(f"id IN ({marks}) AND {self._once} AND topic NOT LIKE '%.dlq'", *ids)
        return {entry.id: entry for entry in found}

    def at(self, place: Place) -> Entry | None:
        return next(self._entries("(topic, partition, offset) = (?, ?, ?)", *place), None)

    def of_key(self, topic: str, key: bytes) -> Iterator[Entry]:
        """Yield all records of the key, repeated ones too."""
        return self._entries("topic = ? AND name = ? ORDER BY partition, offset", topic, text(key))

    def last_sequence(self, source: str, topic: str, key: str) -> int:
        """Return the highest sequence of the key, 0 without an event."""
        condition = f"topic = ? AND name = ? AND source = ? {self._seen}"
        ((last,),) = self._query(f"SELECT max(sequence) FROM entry WHERE {condition}", topic, key, source)
        return last or 0

    def newest(self, topics: Collection[str]) -> int:
        """Return the newest timestamp in milliseconds, 0 without a record."""
        marks = ", ".join("?" * len(topics))
        ((newest,),) = self._query(
            f"SELECT max(milliseconds) FROM entry WHERE topic IN ({marks}) {self._seen}", *topics
        )
        return newest or 0

    @property
    def _once(self) -> str:
        return f"id IS NOT NULL AND rowid NOT IN (SELECT row FROM repeated_{self._view})"

    def _entries(self, condition: str, *values: object) -> Iterator[Entry]:
        where, order, by = condition.partition(" ORDER BY ")
        rows = self._query(f"SELECT {COLUMNS} FROM entry WHERE {where} {self._seen} {order} {by}", *values)
        return map(_entry, rows)

    def _query(self, statement: str, *values: object) -> sqlite3.Cursor:
        self._index()
        return self._sql.execute(statement, values)

    def _index(self) -> None:
        if not self._sql.execute("SELECT count(*) FROM sqlite_master WHERE name = 'by_place'").fetchone()[0]:
            self._sql.executescript(INDEXES)
            self._find_repeated()

    def _find_repeated(self) -> None:
        self._sql.execute(REPEATED.format(view=self._view, seen=self._seen))


class Keys(Mapping[str, Sequence[Entry]]):
    """The events of a topic by key, read from disk when they are asked for. Iteration goes by the order of the keys."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log, self._topic = log, topic

    def __getitem__(self, key: str) -> Sequence[Entry]:
        condition = f"topic = ? AND name = ? AND {self._log._once} ORDER BY partition, offset"
        found = _in_time(self._log._entries(condition, self._topic, key))
        if not found:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._grouped())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def items(self) -> "Items":
        """Return each key with its events, read in one pass."""
        return Items(self)

    def _grouped(self) -> Iterator[tuple[str, Sequence[Entry]]]:
        condition = f"topic = ? AND name IS NOT NULL AND {self._log._once} ORDER BY name, partition, offset"
        found = self._log._entries(condition, self._topic)
        return ((key, _in_time(entries)) for key, entries in groupby(found, lambda entry: text(entry.key)))


class Items(ItemsView[str, Sequence[Entry]]):
    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self._keys = keys

    def __iter__(self) -> Iterator[tuple[str, Sequence[Entry]]]:
        return self._keys._grouped()


def _in_time(entries: Iterable[Entry]) -> list[Entry]:
    """Return the events of one key in their order. A topic that has grown may have them in two partitions."""
    parts = [list(each) for _, each in groupby(entries, lambda entry: entry.partition)]
    return [entry for part in sorted(parts, key=lambda each: each[0].milliseconds) for entry in part]


def _row(entry: Entry) -> tuple[object, ...]:
    headers = json.dumps([(name, value.decode("latin-1")) for name, value in entry.headers])
    name = None if entry.key is None else text(entry.key)
    return (*entry[:6], headers, *entry[7:], name)


def _entry(row: tuple[Any, ...]) -> Entry:
    headers = tuple((name, value.encode("latin-1")) for name, value in json.loads(row[6]))
    return Entry._make((*row[:6], headers, *row[7:]))
