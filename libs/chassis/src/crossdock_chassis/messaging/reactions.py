"""A service's table of reactions to events, and the order in which a batch runs through it."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from crossdock_chassis.database.unit import Unit
from crossdock_events import Catalogue, Envelope, Event, name_of

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Reaction:
    event: type[Event]
    do: Callable[[Unit, Sequence[Envelope[Any]]], Awaitable[object]]
    optimistic: bool = False

    @property
    def verb(self) -> str:
        return getattr(self.do, "__name__", type(self.do).__name__)


def on(
    event: type[E], do: Callable[[Unit, Sequence[Envelope[E]]], Awaitable[object]], *, optimistic: bool = False
) -> Reaction:
    """Return a row of the reaction table. A topic's base class means all its events, `Event` means all events.

    An `optimistic` reaction can work in an optimistic unit, which is tried first for a batch of this reaction alone.
    """
    return Reaction(event, do, optimistic)


Start: TypeAlias = Literal["beginning", "now"]
"""Where a group starts on a topic that is new to it: at the first record, or at the records published from now on."""

Locks: TypeAlias = Callable[[Unit, Sequence[Envelope[Any]]], Awaitable[object]]
"""Take the locks that the reactions to these events need, in the service's lock order."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation of a projection that a group builds, and the schema of its tables."""

    number: int
    version: int
    schema: str


@dataclass(frozen=True)
class Subscription:
    """The events that one consumer group reads, and its reactions.

    A `reaction` changes state and publishes: it uses inbox and outbox and is never replayed. A `projection` does not
    publish. It skips events up to the last sequence of each (source, topic, key). It writes the tables of its
    `generation`, which it builds from the first record. A `log` keeps whole records of all topics of the catalogue, and
    of the topics in `also`. It has no reactions.

    `start` is the place on a topic that the group has never read. A group that mails starts at `now`, because
    it must not mail history.

    `locks` runs before the reactions if a batch has events of several types. Reactions run type by type. If one batch
    locked a row for its first type and another batch for its second type, they could deadlock.
    """

    group: str
    kind: Literal["reaction", "projection", "log"]
    reactions: Sequence[Reaction]
    catalogue: Catalogue
    locks: Locks | None = None
    start: Start = "beginning"
    generation: Generation | None = None
    also: Collection[str] = ()

    def __post_init__(self) -> None:
        events = [event for event in self.catalogue if any(issubclass(event, r.event) for r in self.reactions)]
        names = frozenset(name_of(event.ce_type) for event in events)
        # Old versions of an event are upgraded to the newest version, and reactions name only that version.
        versions = [event for event in self.catalogue if name_of(event.ce_type) in names]
        read = self.catalogue if self.kind == "log" else versions
        object.__setattr__(self, "topics", frozenset(self.also).union(event.topic.name for event in read))
        object.__setattr__(self, "types", frozenset(event.ce_type for event in versions))
        object.__setattr__(self, "names", names)

    @property
    def packages(self) -> frozenset[str]:
        """Return the packages whose lines count as ours in a failure: the service's own and the shared ones."""
        own = {reaction.do.__module__.partition(".")[0] for reaction in self.reactions}
        return frozenset(own | {"crossdock_chassis", "crossdock_events"})

    topics: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


def react_in_order(
    reactions: Sequence[Reaction], envelopes: Iterable[Envelope[Event]]
) -> Iterable[tuple[Reaction, list[Envelope[Event]]]]:
    """Yield batches of one type each. Events of one key keep their order: the key's next type starts a new wave."""
    waves: list[dict[type[Event], list[Envelope[Event]]]] = []
    seen: dict[tuple[str, str], tuple[int, type[Event]]] = {}
    for envelope in envelopes:
        kind = type(envelope.event)
        aggregate = (envelope.event.topic.name, envelope.event.key)
        depth, last = seen.get(aggregate, (0, kind))
        depth += last is not kind
        seen[aggregate] = depth, kind
        if depth == len(waves):
            waves.append({})
        waves[depth].setdefault(kind, []).append(envelope)
    for wave in waves:
        for kind, batch in wave.items():
            for reaction in reactions:
                if issubclass(kind, reaction.event):
                    yield reaction, batch
