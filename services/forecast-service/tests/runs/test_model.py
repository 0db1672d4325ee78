from datetime import date
from math import nan
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from forecast_service.fitting.series import History
from forecast_service.runs.model import Filter, fallback, plan, usable

values = st.one_of(st.floats(0, 1e12), st.just(nan))


@given(count=st.integers(0, 200), size=st.integers(1, 60), cheap_first=st.booleans())
def test_each_series_is_in_one_chunk_of_each_level(count: int, size: int, cheap_first: bool) -> None:
    series = [UUID(int=n) for n in range(count)]
    chunks = plan(series, size, cheap_first=cheap_first)
    levels = ["cheap", "full"] if cheap_first else ["full"]
    assert [chunk.number for chunk in chunks] == [*range(len(chunks))]
    assert all(0 < len(chunk.series) <= size for chunk in chunks)
    for level in levels:
        assert [each for chunk in chunks if chunk.level == level for each in chunk.series] == series
    assert [chunk.level for chunk in chunks] == sorted(chunk.level for chunk in chunks)


@given(history=st.lists(values, max_size=60), horizon=st.integers(1, 366), whole=st.booleans())
def test_fallback_is_usable_for_any_history(history: list[float], horizon: int, whole: bool) -> None:
    outcome = fallback(History("s", date(2024, 1, 1), history, whole), horizon, "it died")
    assert usable(outcome, horizon) and outcome.why == "it died"
    assert not usable(outcome, horizon + 1)
    if whole:
        assert all(value == int(value) for row in outcome.fan.cumulative for value in row)


ids = st.lists(st.uuids(), min_size=1, max_size=3)
texts = st.one_of(st.none(), st.sampled_from(["", "a", "a', None", "None"]))
filters = st.builds(Filter, texts, texts, st.one_of(st.none(), ids.map(tuple)))


@given(one=filters, other=filters)
def test_scope_differs_exactly_if_the_filter_does(one: Filter, other: Filter) -> None:
    def content(each: Filter) -> tuple[object, ...]:
        return each.item_prefix, each.category, each.series and frozenset(each.series)

    assert (one.scope == other.scope) == (content(one) == content(other))
