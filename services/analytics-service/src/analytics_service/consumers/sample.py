"""Ask Kafka every few seconds how far all consumer groups are, and keep what it shows."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

from aiokafka.structs import TopicPartition

from analytics_service.consumers import store
from analytics_service.consumers.model import (
    End,
    Group,
    Look,
    Place,
    Seen,
    next_end,
    next_group,
    owner_of,
    replaced,
    to_look_up,
)
from crossdock_chassis import KAFKA_TROUBLE, Broker, Database, GroupSeen, GroupsSeen, JobRun, look_at_groups, mirrors
from crossdock_events import CATALOGUE

SAMPLE_SECONDS: Final = 5.0
MAX_GROUPS: Final = 500
"""Each group is a request. Groups of the services, and those seen before, come first."""
MAX_LOOK_UPS: Final = 1_000
ERROR_LIMIT: Final = 300

log = logging.getLogger(__name__)
T = TypeVar("T")


def is_ours(topic: str) -> bool:
    """Return whether the topic is in the catalogue, or mirrors the dead letters of one that is."""
    own = {each.name for each in CATALOGUE.topics()}
    return topic in own or mirrors(topic, own)


@dataclass(frozen=True, slots=True)
class Sampler:
    """The job. It needs no state of its own: any worker can make the next look."""

    database: Database
    kafka: Broker
    services: Collection[str]

    async def sample(self, run: JobRun) -> Mapping[str, object]:
        """Look once. If Kafka does not answer, note it: then nothing is known, and nothing is forgotten."""
        async with self.database.unit() as unit:
            known = await store.load(unit.sql)
        try:
            first = {name for name, each in known.groups.items() if each.owner or each.members}
            seen = await look_at_groups(self.kafka, is_ours, first=first | set(self.services), limit=MAX_GROUPS)
        except KAFKA_TROUBLE as error:
            reason = f"{type(error).__name__}: {error}"[:ERROR_LIMIT].replace("\0", "")
            log.warning("cannot ask Kafka about its consumer groups: %s", reason)
            async with run.unit() as unit:
                await store.save_failure(unit.sql, unit.now, reason)
            return {"error": reason}
        async with run.unit() as unit:
            look = _look_of(unit.now, known, seen)
            found = _groups_of(look, known, seen, self.services)
            unread = {each for group, now in found for each in to_look_up(group, now, look)}
            look = replace(look, times=await store.times_of(unit.sql, sorted(unread)[:MAX_LOOK_UPS]))
            groups = [next_group(group, now, look) for group, now in found]
            old = replaced(groups)
            groups = [replace(each, replaced=each.name in old) for each in groups]
            left_out = len(seen.names) - len(seen.groups)
            await store.save(unit.sql, unit.now, known, look.ends, groups, left_out)
        return {"groups": len(groups)}


def _look_of(now: datetime, known: store.Known, seen: GroupsSeen) -> Look:
    ends: dict[Place, End] = dict(known.ends)
    for tp, end in seen.ends.items():
        place = Place(*tp)
        ends[place] = next_end(known.ends.get(place), end, known.answered_at, now)
    return Look(now, known.answered_at, ends, known.ends)


def _groups_of(
    look: Look, known: store.Known, seen: GroupsSeen, services: Collection[str]
) -> list[tuple[Group, Seen | None]]:
    """Return each group that has something to do with our topics, with what Kafka shows of it: None if it is gone."""
    shown = {name: seen_of(each, look.ends) for name, each in seen.groups.items()}
    found: list[tuple[Group, Seen | None]] = []
    for name, each in shown.items():
        if name in known.groups or each.positions or each.assigned:
            group = known.groups.get(name) or Group(name, owner_of(name, services), look.now)
            found.append((group, each))
    return found + [(group, None) for name, group in known.groups.items() if name not in seen.names]


def seen_of(group: GroupSeen, ends: Mapping[Place, End]) -> Seen:
    """Return the group in the partitions that exist, because a client may write any number into its assignment."""
    return Seen(group.state, group.members, _existing(group.assigned, ends), _existing(group.positions, ends))


def _existing(found: Mapping[TopicPartition, T] | None, ends: Mapping[Place, End]) -> dict[Place, T] | None:
    return None if found is None else {Place(*tp): each for tp, each in found.items() if Place(*tp) in ends}
