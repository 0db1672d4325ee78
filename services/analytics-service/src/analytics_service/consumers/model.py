"""Derive from one look at Kafka, and from what was known before, how far each consumer group is."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import exp
from typing import Final, NamedTuple

SMOOTHED_SECONDS: Final = 20.0
"""Rates are averages in which what is this old counts a third."""
LONGEST_PAUSE: Final = timedelta(minutes=2)
"""After a longer pause between two looks the rates are not known."""
SLOWEST: Final = 0.01
"""A lower rate is shown as none."""


class Place(NamedTuple):
    topic: str
    partition: int


class Unread(NamedTuple):
    """The next record that a group has to read."""

    topic: str
    partition: int
    position: int


@dataclass(frozen=True, slots=True)
class Position:
    """A group in a partition. Without a position it reads the partition and has committed nothing yet."""

    position: int | None = None
    unread_since: datetime | None = None
    rate: float | None = None
    moved_at: datetime | None = None
    reads: bool = True
    member: str | None = None
    forgotten_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The end of a partition, and the records a second that are written there."""

    end: int
    inflow: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A group as Kafka shows it now. None means that Kafka did not show it: see `GroupSeen` of the chassis."""

    state: str | None
    members: int | None
    assigned: Mapping[Place, str] | None
    positions: Mapping[Place, int] | None


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has for all groups: the ends now and at the look before, and the times of unread records."""

    now: datetime
    before_at: datetime | None
    ends: Mapping[Place, End]
    before: Mapping[Place, End]
    times: Mapping[Unread, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """A group and its partitions. Sums are over the partitions that it reads and that have a position."""

    name: str
    owner: str | None
    first_seen_at: datetime
    kafka_state: str | None = None
    members: int | None = None
    replaced: bool = False
    lag: int | None = None
    unread_since: datetime | None = None
    rate: float | None = None
    inflow: float | None = None
    uncommitted: int = 0
    active_at: datetime | None = None
    answered_at: datetime | None = None
    forgotten_at: datetime | None = None
    positions: Mapping[Place, Position] = field(default_factory=dict)

    @property
    def topics(self) -> list[str]:
        return sorted({place.topic for place, at in self.positions.items() if at.reads})

    @property
    def partitions(self) -> int:
        return sum(at.reads for at in self.positions.values())


def owner_of(group: str, services: Collection[str]) -> str | None:
    """Return the service of a group: its reactions have the service's name, its other groups begin with it."""
    service = group.partition(".")[0]
    return service if service in services else None


def next_end(before: End | None, end: int, since: datetime | None, now: datetime) -> End:
    """Return the end of a partition with its smoothed inflow."""
    if before is None:
        return End(end)
    return End(end, smoothed(before.inflow, end - before.end, since, now) or 0.0)


def smoothed(before: float | None, moved: int, since: datetime | None, now: datetime) -> float | None:
    """Return records a second: the rate before, drawn towards that of the time since then. None if it is not known."""
    if since is None or not timedelta() < now - since <= LONGEST_PAUSE:
        return None
    seconds = (now - since).total_seconds()
    latest = max(0, moved) / seconds
    rate = latest if before is None else before + (latest - before) * (1 - exp(-seconds / SMOOTHED_SECONDS))
    return rate if rate >= SLOWEST else 0.0


def to_look_up(group: Group | None, seen: Seen | None, look: Look) -> list[Unread]:
    """Return the unread records whose time must be looked up in the log.

    A position that has not moved has its time. If all that was there at the last look is read, what is unread has
    arrived since then.
    """
    known = {} if group is None else group.positions
    positions = {place: at.position for place, at in known.items() if at.position is not None}
    positions |= {} if seen is None or seen.positions is None else seen.positions
    wanted = []
    for place, position in positions.items():
        if place not in look.ends or position >= look.ends[place].end:
            continue
        old = known.get(place)
        if old is not None and old.position == position and old.unread_since is not None:
            continue
        if place in look.before and position >= look.before[place].end:
            continue
        wanted.append(Unread(*place, position))
    return wanted


def next_group(group: Group, seen: Seen | None, look: Look) -> Group:
    """Return the group after a look. Without `seen`, Kafka has forgotten the group: its lag still grows."""
    now = look.now
    positions = _next_positions(group, seen, look)
    moves = any(at.moved_at == now for place, at in positions.items() if place in group.positions)
    if seen is None:
        return summed(
            replace(
                group,
                kafka_state=None,
                members=None,
                answered_at=now,
                forgotten_at=group.forgotten_at or now,
                positions=positions,
            ),
            look.ends,
        )
    return summed(
        replace(
            group,
            kafka_state=seen.state,
            members=seen.members,
            active_at=now if seen.members or moves else group.active_at,
            answered_at=group.answered_at if seen.positions is None else now,
            forgotten_at=None,
            positions=positions,
        ),
        look.ends,
    )


def _next_positions(group: Group, seen: Seen | None, look: Look) -> dict[Place, Position]:
    """Return all positions. One that Kafka no longer has is kept: a position expires before its group does."""
    committed = {} if seen is None or seen.positions is None else seen.positions
    assigned = None if seen is None else seen.assigned
    found = {}
    for place in {*group.positions, *committed, *(assigned or {})}:
        old = group.positions.get(place)
        position = committed.get(place, None if old is None else old.position)
        member = None if assigned is None else assigned.get(place)
        if position is None and assigned is not None and member is None:
            continue
        at = Position(reads=old is None or old.reads) if position is None else _moved(group, old, place, position, look)
        expired = position is not None and place not in committed and (seen is None or seen.positions is not None)
        found[place] = replace(
            at,
            member=member,
            reads=at.reads if assigned is None else place.topic in {each.topic for each in assigned},
            forgotten_at=((old.forgotten_at if old else None) or look.now) if expired else None,
        )
    return found


def _moved(group: Group, old: Position | None, place: Place, position: int, look: Look) -> Position:
    """Return a committed position, with the time of the next record if there is one."""
    now, end, before = look.now, look.ends.get(place), look.before.get(place)
    same = old is not None and old.position == position
    unread_since: datetime | None
    if end is None or position >= end.end:
        unread_since = None
    elif old is not None and same and old.unread_since is not None:
        unread_since = old.unread_since
    elif before is not None and look.before_at is not None and position >= before.end:
        unread_since = look.before_at
    else:
        unread_since = look.times.get(Unread(*place, position), old.unread_since if old else None) or now
    rate = None
    if old is not None and old.position is not None:
        rate = smoothed(old.rate, position - old.position, group.answered_at, now)
    return Position(
        position=position,
        unread_since=None if unread_since is None else min(unread_since, now),
        rate=rate,
        moved_at=old.moved_at if old is not None and same else now,
        reads=old is None or old.reads,
    )


def summed(group: Group, ends: Mapping[Place, End]) -> Group:
    """Return the group with its sums. Its lag is not known while no partition that it reads has a position."""
    reading = {place: at for place, at in group.positions.items() if at.reads}
    lags, unread, rates, inflows, uncommitted = [], [], [], [], 0
    for place, at in reading.items():
        end = ends.get(place)
        if at.position is None:
            uncommitted += end is None or end.end > 0
            continue
        if end is not None:
            lags.append(max(0, end.end - at.position))
            inflows.append(end.inflow)
        rates.append(at.rate)
        if at.unread_since is not None:
            unread.append(at.unread_since)
    known_rates = [rate for rate in rates if rate is not None]
    return replace(
        group,
        lag=sum(lags) if lags else None,
        unread_since=min(unread, default=None),
        rate=sum(known_rates) if known_rates else None,
        inflow=sum(inflows) if inflows else None,
        uncommitted=uncommitted,
    )


def replaced(groups: Iterable[Group]) -> set[str]:
    """Return the groups of other generations: `service.projection.N` without a member while another one has some.

    A group stays replaced until it has members, because later the whole worker may be away.
    """
    live, idle = set(), {}
    for group in groups:
        beginning, _, generation = group.name.rpartition(".")
        if group.owner is None or not beginning or not generation.isdecimal():
            continue
        if group.members:
            live.add(beginning)
        else:
            idle[group.name] = beginning, group.replaced
    return {name for name, (beginning, was) in idle.items() if was or beginning in live}


def seconds_to_clear(lag: int | None, rate: float | None, inflow: float | None) -> float | None:
    """Return how long the lag lasts at the present rates. None if it does not shrink or is not known."""
    if lag == 0:
        return 0.0
    if lag is None or rate is None or rate <= (inflow or 0.0):
        return None
    return lag / (rate - (inflow or 0.0))
