"""Who gets which case. Pure: presence, shifts and loads are arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case of a queue that nobody works on. `skill` is what its queue needs; empty is anybody's."""

    case_id: UUID
    skill: str


@dataclass(frozen=True, slots=True)
class Agent:
    """A person of the desk. `load` are active cases, at most `capacity`. `available` is present and on shift."""

    who: str
    skills: frozenset[str]
    capacity: int
    load: int
    available: bool


def assign(waiting: Sequence[Waiting], agents: Iterable[Agent]) -> list[tuple[UUID, str]]:
    """Return the cases to assign, each with its agent.

    The first case is the oldest. Each goes to the available agent with its skill who has the least part of the
    capacity in use; of equals, to the first by name. No agent gets more than the capacity.
    """
    free = [each for each in agents if each.available and each.load < each.capacity]
    load = {each.who: each.load for each in free}
    found = []
    for case in waiting:
        able = [
            each for each in free if load[each.who] < each.capacity and (not case.skill or case.skill in each.skills)
        ]
        if able:
            chosen = min(able, key=lambda each: (load[each.who] / each.capacity, each.who))
            load[chosen.who] += 1
            found.append((case.case_id, chosen.who))
    return found
