"""Assignment as a pure function over any queue and agents."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from crm_service.queues.model import Agent, Waiting, assign

SKILLS = ("", "german", "chinese")
waiting = st.lists(st.sampled_from(SKILLS), max_size=12).map(
    lambda skills: [Waiting(UUID(int=number), skill) for number, skill in enumerate(skills)]
)
agents = st.lists(
    st.tuples(st.sets(st.sampled_from(SKILLS[1:])), st.integers(1, 4), st.integers(0, 5), st.booleans()), max_size=5
).map(lambda rows: [Agent(f"a{number}", frozenset(row[0]), *row[1:]) for number, row in enumerate(rows)])


def can(agent: Agent, case: Waiting) -> bool:
    return agent.available and (not case.skill or case.skill in agent.skills)


@given(waiting, agents)
def test_only_able_agents_get_cases_within_their_capacity(waiting: list[Waiting], agents: list[Agent]) -> None:
    found = dict(assign(waiting, agents))
    given = Counter(found.values())
    for each in agents:
        assert given[each.who] <= max(0, each.capacity - each.load) * each.available
    by_name = {each.who: each for each in agents}
    assert all(can(by_name[found[case.case_id]], case) for case in waiting if case.case_id in found)


@given(waiting, agents)
def test_no_case_waits_for_an_agent_who_has_room(waiting: list[Waiting], agents: list[Agent]) -> None:
    found = dict(assign(waiting, agents))
    given = Counter(found.values())
    room = [each for each in agents if each.load + given[each.who] < each.capacity]
    for case in waiting:
        assert case.case_id in found or not any(can(each, case) for each in room)


@given(waiting, agents)
def test_of_one_skill_the_oldest_case_is_assigned_first(waiting: list[Waiting], agents: list[Agent]) -> None:
    found = dict(assign(waiting, agents))
    for skill in SKILLS:
        assigned = [case.case_id in found for case in waiting if case.skill == skill]
        assert assigned == sorted(assigned, reverse=True)


@given(waiting, agents, st.randoms())
def test_order_of_agents_does_not_matter(waiting: list[Waiting], agents: list[Agent], random: st.DataObject) -> None:
    other = list(agents)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert assign(waiting, agents) == assign(waiting, other)


def test_least_loaded_agent_is_chosen() -> None:
    busy, idle = Agent("ann", frozenset(), 10, 5, True), Agent("ben", frozenset(), 4, 1, True)
    assert [who for _, who in assign([Waiting(UUID(int=n), "") for n in range(3)], [busy, idle])] == [
        "ben",
        "ann",
        "ben",
    ]
