"""Which order gets how much from where: the rules as examples, then as properties over generated orders."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock_events.reservations import StockBackordered
from inventory_service.reservations.model import (
    MAX_SPLITS,
    Allocation,
    Demand,
    Free,
    Holder,
    Outcome,
    Reservation,
    Status,
    Turn,
    Want,
    allocate,
    servable,
    withdraw,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLACES = ("north", "south", "west")


def demand(
    n: int, *lines: tuple[str, int], priority: int = 5, minute: int = 0, partial: bool = False, earmarks: bool = False
) -> Demand:
    wants = [Want(str(i), item, quantity) for i, (item, quantity) in enumerate(lines, 1)]
    return Demand(UUID(int=n), priority, NOON + timedelta(minutes=minute), partial, wants, earmarks)


def served(outcome: Outcome) -> list[int]:
    return [order.int for order in outcome.granted]


def test_priority_wins_and_a_refused_order_blocks_no_other() -> None:
    free = {"a": {"north": 5}}
    outcome = allocate(
        free, [demand(1, ("a", 3), priority=1), demand(2, ("a", 4), ("b", 1), priority=9), demand(3, ("a", 2))], PLACES
    )
    assert served(outcome) == [3, 1]


def test_equal_priorities_are_served_by_age_then_id() -> None:
    free = {"a": {"north": 2}}
    orders = [demand(3, ("a", 1), minute=1), demand(2, ("a", 1), minute=1), demand(1, ("a", 1), minute=2)]
    assert served(allocate(free, orders, PLACES)) == [2, 3]


def test_lines_of_one_item_are_summed() -> None:
    assert not allocate({"a": {"north": 3}}, [demand(1, ("a", 2), ("a", 2))], PLACES).granted
    assert allocate({"a": {"north": 4}}, [demand(1, ("a", 2), ("a", 2))], PLACES).granted


def test_one_location_is_preferred_for_the_order_then_for_a_line() -> None:
    order = demand(1, ("a", 2), ("b", 2))
    whole = {"a": {"north": 2, "south": 2}, "b": {"north": 1, "south": 2}}
    assert allocate(whole, [order], PLACES).granted[order.order_id] == [
        Allocation("1", "a", "south", 2),
        Allocation("2", "b", "south", 2),
    ]
    lines = {"a": {"north": 2}, "b": {"north": 1, "south": 2}}
    assert allocate(lines, [order], PLACES).granted[order.order_id] == [
        Allocation("1", "a", "north", 2),
        Allocation("2", "b", "south", 2),
    ]
    split = {"a": {"north": 2}, "b": {"west": 1, "south": 1}}
    assert allocate(split, [order], PLACES).granted[order.order_id] == [
        Allocation("1", "a", "north", 2),
        Allocation("2", "b", "south", 1),
        Allocation("2", "b", "west", 1),
    ]


def test_order_that_needs_too_many_allocations_takes_nothing() -> None:
    places = [str(n) for n in range(MAX_SPLITS + 2)]
    free = {"a": dict.fromkeys(places, 1)}
    too_many, fits = demand(1, ("a", MAX_SPLITS + 2)), demand(2, ("a", MAX_SPLITS + 1), minute=1)
    assert served(allocate(free, [too_many, fits], places)) == [2]
    [granted] = allocate(free, [too_many._replace(partial=True), fits], places).granted.values()
    assert sum(each.quantity for each in granted) == MAX_SPLITS + 1


def test_partial_order_takes_free_stock_line_by_line() -> None:
    order = demand(1, ("a", 2), ("b", 5), ("b", 5), ("c", 1), partial=True)
    granted = allocate({"a": {"north": 9}, "b": {"north": 4, "south": 3}}, [order], PLACES).granted[order.order_id]
    assert [(each.line_id, each.quantity) for each in granted] == [("1", 2), ("2", 4), ("2", 1), ("3", 2)]


def test_new_order_takes_only_stock_beyond_the_backorders_ahead() -> None:
    free = {"a": {"north": 10}}
    ahead = {"a": [0, 0, 0, 2, 0, 3, 0, 4, 0, 0]}
    for priority, most in ((9, 10), (7, 6), (6, 6), (5, 3), (3, 1)):
        fits = allocate(free, [demand(1, ("a", most), priority=priority)], PLACES, ahead)
        assert served(fits) == [1] and not fits.behind
        over = allocate(free, [demand(1, ("a", most + 1), priority=priority)], PLACES, ahead)
        assert not over.granted and over.behind == ({UUID(int=1)} if most < 10 else set())


def test_waiting_new_order_keeps_its_turn_before_later_orders() -> None:
    ahead = {"a": [0, 0, 0, 0, 0, 6, 0, 0, 0, 0]}
    orders = [demand(1, ("a", 5)), demand(2, ("a", 4), minute=1), demand(3, ("a", 1), minute=2, partial=True)]
    outcome = allocate({"a": {"north": 10}}, orders, PLACES, ahead)
    assert not outcome.granted and outcome.behind == {UUID(int=n) for n in (1, 2, 3)}


def test_old_order_earmarks_the_stock_it_can_use() -> None:
    free = {"a": {"north": 8}, "c": {"north": 1}}
    large, small = demand(1, ("a", 20)), demand(2, ("a", 1), minute=1)
    assert served(allocate(free, [large, small], PLACES)) == [2]
    assert served(allocate(free, [large._replace(earmarks=True), small], PLACES)) == []
    lacks_another = demand(1, ("a", 5), ("b", 1), earmarks=True)
    after = [demand(2, ("a", 4), minute=1), demand(3, ("a", 3), minute=2), demand(4, ("c", 1), minute=3)]
    assert served(allocate(free, [lacks_another, *after], PLACES)) == [3, 4]
    urgent = demand(9, ("a", 8), priority=6)
    assert served(allocate(free, [lacks_another, urgent], PLACES)) == [9]


def test_grants_of_one_order_add_up() -> None:
    subject = Reservation(UUID(int=1), 5, [Want("1", "a", 5), Want("2", "b", 1)])
    assert subject.to_event().lines[0].backordered == 5
    subject.grant([Allocation("1", "a", "north", 2)])
    subject.grant([Allocation("1", "a", "north", 1), Allocation("1", "a", "south", 2)])
    before = subject.status
    answer = subject.to_event()
    assert [(line.requested, line.reserved, line.backordered) for line in answer.lines] == [(5, 5, 0), (1, 0, 1)]
    assert [(each.location_id, each.quantity) for each in answer.lines[0].allocations] == [("north", 3), ("south", 2)]
    subject.grant([Allocation("2", "b", "north", 1)])
    assert (before, subject.status) == (Status.WAITING, Status.OPEN)


def holder(n: int, *held: tuple[str, str, int], priority: int = 5, minute: int = 0, partial: bool = False) -> Holder:
    allocations = [Allocation(str(i), *each) for i, each in enumerate(held, 1)]
    return Holder(Turn(-priority, NOON + timedelta(minutes=minute), UUID(int=n)), partial, allocations)


def test_withdrawal_takes_the_lowest_priority_then_the_youngest() -> None:
    orders = [
        holder(1, ("a", "north", 2), priority=6, minute=9),
        holder(2, ("a", "north", 2), minute=2),
        holder(3, ("a", "north", 2), ("b", "south", 4), minute=3),
        holder(4, ("a", "north", 1), priority=1),
        holder(5, ("a", "south", 9), priority=0),
    ]
    withdrawn = withdraw({("a", "north"): 2}, orders)
    assert [order.int for order in withdrawn] == [4, 3]
    assert withdrawn[UUID(int=3)] == orders[2].held


def test_partial_order_gives_up_its_last_lines_first() -> None:
    order = holder(1, ("a", "north", 2), ("b", "north", 1), ("a", "north", 2), partial=True)
    assert withdraw({("a", "north"): 3}, [order])[UUID(int=1)] == [
        Allocation("3", "a", "north", 2),
        Allocation("1", "a", "north", 1),
    ]


def test_withdrawn_stock_is_no_longer_held() -> None:
    subject = Reservation(UUID(int=1), 5, [Want("1", "a", 3), Want("2", "b", 1)])
    subject.grant([Allocation("1", "a", "north", 3), Allocation("2", "b", "north", 1)])
    subject.withdraw([Allocation("1", "a", "north", 1)])
    assert (subject.status, subject.held) == (Status.WAITING, {"1": {"north": 2}, "2": {"north": 1}})
    subject.withdraw([Allocation("1", "a", "north", 2), Allocation("2", "b", "north", 1)])
    assert isinstance(subject.to_event(), StockBackordered)


held_places = st.tuples(st.sampled_from("ab"), st.sampled_from(PLACES[:2]))
holders = st.lists(
    st.builds(
        lambda n, held, priority, minute, partial: holder(
            n, *((*place, units) for place, units in held), priority=priority, minute=minute, partial=partial
        ),
        st.integers(1, 10_000),
        st.lists(st.tuples(held_places, st.integers(1, 6)), min_size=1, max_size=4),
        st.integers(0, 3),
        st.integers(0, 2),
        st.booleans(),
    ),
    max_size=10,
    unique_by=lambda each: each.turn.order_id,
)


def units(allocations: Iterable[Allocation]) -> Counter[tuple[str, str]]:
    at: Counter[tuple[str, str]] = Counter()
    for _, item, location, quantity in allocations:
        at[item, location] += quantity
    return at


@given(holders, st.dictionaries(held_places, st.integers(1, 20)), st.randoms())
def test_withdrawal_frees_missing_units_from_the_queues_end(
    orders: list[Holder], wanted: dict[tuple[str, str], int], chance: Random
) -> None:
    reserved = units(each for order in orders for each in order.held)
    missing = {place: min(lost, reserved[place]) for place, lost in wanted.items() if reserved[place]}
    withdrawn = withdraw(missing, orders)
    freed = units(each for lost in withdrawn.values() for each in lost)
    assert all(freed[place] >= lost for place, lost in missing.items())
    behind: Counter[tuple[str, str]] = Counter()
    for order in sorted(orders, key=lambda each: each.turn, reverse=True):
        held, lost = units(order.held), units(withdrawn.get(order.turn.order_id, ()))
        needed = Counter({place: min(held[place], missing[place] - behind[place]) for place in missing})
        needed = +needed  # the units that the orders behind this one do not free
        assert lost == (needed if order.partial else held if needed else Counter())
        behind += held
    shuffled = list(orders)
    chance.shuffle(shuffled)
    assert withdraw(missing, shuffled) == withdrawn


items = st.sampled_from("abcd")
shelves = st.dictionaries(items, st.dictionaries(st.sampled_from(PLACES), st.integers(1, 12), max_size=3), max_size=4)
orders = st.lists(
    st.builds(
        demand,
        st.integers(1, 10_000),
        st.tuples(items, st.integers(1, 8)),
        priority=st.integers(0, 9),
        minute=st.integers(0, 3),
        partial=st.booleans(),
        earmarks=st.booleans(),
    )
    | st.builds(
        lambda n, lines, priority, earmarks, partial: demand(
            n, *lines, priority=priority, earmarks=earmarks, partial=partial
        ),
        st.integers(1, 10_000),
        st.lists(st.tuples(items, st.integers(1, 8)), min_size=1, max_size=5),
        st.integers(0, 9),
        st.booleans(),
        st.booleans(),
    ),
    max_size=14,
    unique_by=lambda each: each.order_id,
)
queues = st.none() | st.dictionaries(items, st.lists(st.integers(0, 4), min_size=10, max_size=10), max_size=4)


def remaining(free: Free, outcome: Outcome) -> dict[str, dict[str, int]]:
    left = {item: dict(places) for item, places in free.items()}
    for allocations in outcome.granted.values():
        for _, item, location, quantity in allocations:
            left[item][location] -= quantity
    return left


def still_wanted(demands: Sequence[Demand], outcome: Outcome) -> list[Demand]:
    rest = []
    for each in demands:
        got: Counter[str] = Counter()
        for line, _, _, quantity in outcome.granted.get(each.order_id, ()):
            got[line] += quantity
        lines = [want._replace(quantity=want.quantity - got[want.line_id]) for want in each.lines]
        rest.append(each._replace(lines=[want for want in lines if want.quantity]))
    return [each for each in rest if each.lines]


@given(shelves, orders, queues)
def test_allocation_never_exceeds_free_stock_or_demand(
    free: Free, demands: list[Demand], ahead: dict[str, list[int]] | None
) -> None:
    before = {item: dict(places) for item, places in free.items()}
    outcome = allocate(free, demands, PLACES, ahead)
    assert free == before
    assert all(quantity >= 0 for places in remaining(free, outcome).values() for quantity in places.values())
    by_id = {each.order_id: each for each in demands}
    for order, allocations in outcome.granted.items():
        wanted = {want.line_id: want for want in by_id[order].lines}
        got: Counter[str] = Counter()
        for line, item, _, quantity in allocations:
            assert item == wanted[line].item_id and quantity > 0
            got[line] += quantity
        assert all(quantity <= wanted[line].quantity for line, quantity in got.items())
        if not by_id[order].partial:
            assert got == {line: want.quantity for line, want in wanted.items()}
        assert len({(line, location) for line, _, location, _ in allocations}) == len(allocations)


@given(shelves, orders, queues, st.randoms())
def test_allocation_does_not_depend_on_input_order(
    free: Free, demands: list[Demand], ahead: dict[str, list[int]] | None, chance: Random
) -> None:
    shuffled = list(demands)
    chance.shuffle(shuffled)
    assert allocate(free, shuffled, PLACES, ahead) == allocate(free, demands, PLACES, ahead)


@given(shelves, orders)
def test_no_order_waits_for_stock_that_is_left(free: Free, demands: list[Demand]) -> None:
    outcome = allocate(free, demands, PLACES)
    assert servable(remaining(free, outcome), still_wanted(demands, outcome), PLACES) == []


@given(shelves, orders)
def test_later_order_does_not_change_earlier_allocations(free: Free, demands: list[Demand]) -> None:
    ordered = sorted(demands, key=lambda each: each.turn)
    everyone = allocate(free, ordered, PLACES)
    for count in range(len(ordered)):
        first = allocate(free, ordered[:count], PLACES)
        assert first.granted == {order: everyone.granted[order] for order in first.granted}
        assert not {each.order_id for each in ordered[:count]} & (everyone.granted.keys() - first.granted.keys())


@given(shelves, orders, st.integers(0, 13))
def test_higher_priority_never_reduces_an_allocation(free: Free, demands: list[Demand], which: int) -> None:
    if which >= len(demands):
        return
    chosen = demands[which]
    raised = [each._replace(priority=9, placed_at=NOON - timedelta(1)) if each is chosen else each for each in demands]
    before = allocate(free, demands, PLACES).granted.get(chosen.order_id, [])
    after = allocate(free, raised, PLACES).granted.get(chosen.order_id, [])
    assert sum(each.quantity for each in after) >= sum(each.quantity for each in before)


@given(shelves, orders, queues)
def test_only_servable_orders_are_reported_behind_the_queue(
    free: Free, demands: list[Demand], ahead: dict[str, list[int]] | None
) -> None:
    outcome = allocate(free, demands, PLACES, ahead or {})
    unserved = [each for each in still_wanted(demands, outcome) if each.order_id not in outcome.behind]
    fresh = [each._replace(earmarks=False) for each in unserved]
    assert servable(remaining(free, outcome), fresh, PLACES) == []


@given(st.lists(st.tuples(items, st.integers(1, 8)), min_size=1, max_size=4), st.lists(shelves, min_size=1, max_size=4))
def test_partial_order_never_holds_too_many_allocations(
    lines: list[tuple[str, int]], receipts: list[Mapping[str, dict[str, int]]]
) -> None:
    """The job serves the order again and again, and gives it what it holds and has in full."""
    order = demand(1, *lines, partial=True)
    subject = Reservation(order.order_id, 5, order.lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inventory_service.reservations.model.MAX_SPLITS", 2)
        for free in receipts:
            wants = [
                want._replace(quantity=want.quantity - subject.reserved(want.line_id))
                for want in order.lines
                if subject.reserved(want.line_id) < want.quantity
            ]
            held = sum(map(len, subject.held.values()))
            again = order._replace(lines=wants, more_lines=len(lines) - len(wants) - held)
            subject.grant(allocate(free, [again], PLACES).granted.get(order.order_id, []))
            assert sum(map(len, subject.held.values())) <= len(lines) + 2
