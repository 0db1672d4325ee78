"""Events in: a service's table of reactions, and the order in which a batch goes through it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from crossdock_chassis.database.unit import Unit
from crossdock_events import Catalogue, Envelope, Event, name_of

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Reaction:
    event: type[Event]
    do: Callable[[Unit, Sequence[Envelope[Any]]], Awaitable[object]]

    @property
    def verb(self) -> str:
        return getattr(self.do, "__name__", type(self.do).__name__)


def on(event: type[E], do: Callable[[Unit, Sequence[Envelope[E]]], Awaitable[object]]) -> Reaction:
    """One row of a service's reaction table. A topic's base class means all its events, `Event` means all."""
    return Reaction(event, do)


Locks: TypeAlias = Callable[[Unit, Sequence[Envelope[Any]]], Awaitable[object]]
"""Takes the locks that the reactions to these events will need, in the one order of the service."""


@dataclass(frozen=True)
class Subscription:
    """What one consumer group reads and does.

    A `reaction` has effects: inbox, outbox, never replayed. A `projection` has none: it is guarded by the last sequence
    of each (source, topic, key), and rebuilt from offset 0 under a new group name.

    `locks` goes before the reactions to events of several types: those follow type by type, so that two batches that
    lock the same rows, one for its first type and one for its second, would wait for each other in a circle.
    """

    group: str
    kind: Literal["reaction", "projection"]
    reactions: Sequence[Reaction]
    catalogue: Catalogue
    locks: Locks | None = None

    def __post_init__(self) -> None:
        events = [event for event in self.catalogue if any(issubclass(event, r.event) for r in self.reactions)]
        names = frozenset(name_of(event.ce_type) for event in events)
        # Old versions of what is subscribed to arrive as the newest, which alone the reactions name.
        versions = [event for event in self.catalogue if name_of(event.ce_type) in names]
        object.__setattr__(self, "topics", frozenset(event.topic.name for event in versions))
        object.__setattr__(self, "types", frozenset(event.ce_type for event in versions))
        object.__setattr__(self, "names", names)

    topics: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


def react_in_order(
    reactions: Sequence[Reaction], envelopes: Iterable[Envelope[Event]]
) -> Iterable[tuple[Reaction, list[Envelope[Event]]]]:
    """Batches of one type each; two events of one key keep their order (a key's second type starts a new wave)."""
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
