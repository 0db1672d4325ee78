"""Reconciled forecasts: coherent, not negative, and nearer to the forecasts that are more certain."""

import platform
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast_service.fitting.answer import answer
from forecast_service.fitting.structure import Coherent, Structure
from forecast_service.hierarchy.model import TOTAL, ItemForecast, summed, usable
from forecast_service.places import series_id

pytestmark = pytest.mark.skipif(
    sys.platform == "darwin" and platform.machine() == "arm64", reason="hierarchicalforecast has no wheel there"
)


def reconciled(structure: Structure) -> Coherent:
    (found,) = answer(structure)
    assert isinstance(found, Coherent)
    return found


@st.composite
def structures(draw: st.DrawFn) -> tuple[Structure, list[ItemForecast]]:
    """Return a total with up to three categories and eight items, some without a category."""
    days, names = draw(st.integers(1, 4)), [TOTAL, *draw(st.sets(st.sampled_from("abc")))]
    values = st.floats(0, 1e4) | st.just(0.0)
    rows = st.lists(values, min_size=days, max_size=days)
    items = [
        ItemForecast(series_id(str(n)), draw(st.sampled_from([None, *names[1:]])), draw(rows), draw(values))
        for n in range(draw(st.integers(1, 8)))
    ]
    above = [[names.index(name) for name in (TOTAL, item.category) if name in names] for item in items]
    means, spreads = [draw(rows) for _ in names], [draw(values) for _ in names]
    return Structure(above, means, spreads, [i.mean for i in items], [i.spread for i in items]), items


@settings(max_examples=40, deadline=None)  # the first one imports the library
@given(made=structures())
def test_reconciled_means_are_coherent_and_not_negative(made: tuple[Structure, list[ItemForecast]]) -> None:
    structure, items = made
    found = reconciled(structure)
    assert usable(found, items)
    new = [
        ItemForecast(each.series, each.category, mean, 0) for each, mean in zip(items, found.item_means, strict=True)
    ]
    names = [TOTAL, *sorted({each.category for each in items if each.category})]
    nodes = {node.name: node for node in summed(names, new, {}, "min_trace", None)}
    for name, node in nodes.items():
        parts = np.array([each.mean for each in new if name in (TOTAL, each.category)])
        assert node.mean == pytest.approx(parts.sum(axis=0), abs=1e-6)
    assert all(value >= 0 for mean in found.item_means for value in mean)


def test_coherent_forecasts_stay_as_they_are() -> None:
    found = reconciled(Structure([[0], [0]], [[5.0, 8.0]], [2.0], [[2.0, 0.0], [3.0, 8.0]], [1.0, 1.0]))
    assert [*found.item_means[0], *found.item_means[1]] == pytest.approx([2, 0, 3, 8], abs=1e-3)


def test_less_certain_items_move_more() -> None:
    """Of two items with variances 1 and 3 under a certain total, the gap of 4 is shared 1 to 3."""
    found = reconciled(Structure([[0], [0]], [[14.0]], [0.0], [[5.0], [5.0]], [1.0, 3**0.5]))
    assert [mean[0] for mean in found.item_means] == pytest.approx([6, 8], abs=0.05)
    falls = reconciled(Structure([[0], [0]], [[0.0]], [0.0], [[5.0], [5.0]], [1.0, 1.0]))
    assert [mean[0] for mean in falls.item_means] == pytest.approx([0, 0], abs=0.05)
