"""Test the arithmetic of the bench of forecasts, and the whole path on a tiny pair of files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from bench.__main__ import main
from bench.forecast import m4, night, recorded, runs
from bench.forecast.measuring import cpu, standard_error
from bench.forecast.recorded import Year, weekly
from bench.forecast.run import Forecasts
from bench.results import Row
from bench.stack import BenchFailed
from statsforecast import models as library

from forecast_service.fitting.metrics import owa, smape


def test_naive_2_puts_the_season_back() -> None:
    past = np.resize([1.0, 3.0], 20) * 10
    assert m4.naive2(past, 2, 3) == pytest.approx([10, 30, 10])


def test_naive_2_repeats_the_last_value_without_a_season() -> None:
    for past, season in ((np.array([5.0, 9, 4, 7]), 1), (np.array([5.0, 9, 4, 7]), 4), (np.full(20, 7.0), 4)):
        assert m4.naive2(past, season, 2) == pytest.approx([7, 7])


def test_a_week_that_begins_too_early_is_left_out() -> None:
    assert weekly(np.arange(9.0)[None]).tolist() == [[35.0]]


def test_items_are_chosen_by_what_was_sold_before() -> None:
    items = np.zeros((4, recorded.DAYS))
    items[0, :180] = 1
    items[1, :200] = 5
    items[2, :100] = 9
    items[3, -recorded.HELD_OUT :] = 99  # sold only after the origin
    year = Year(np.arange(4), items, [None] * 4)
    assert year.busiest(9).tolist() == [1, 0]
    assert year.busiest(1).tolist() == [1]
    assert year.slow(9).tolist() == [2]


def test_series_and_days_that_err_together_widen_the_error() -> None:
    draw = np.random.default_rng(1)
    alone = draw.random((200, 7)) < 0.5
    assert standard_error(alone.astype(float)) == pytest.approx(0.5 / np.sqrt(1_400), rel=0.3)
    by_day, by_series = (np.broadcast_to(draw.random(shape) < 0.5, (200, 7)) for shape in ((1, 7), (200, 1)))
    assert standard_error(by_series.astype(float)) == pytest.approx(0.5 / np.sqrt(200), rel=0.1)
    assert standard_error(by_day.astype(float)) > 0.15


def test_copies_of_items_have_their_level_and_no_new_days() -> None:
    items = np.array([[0.0, 50, 60], [9, 0, 7]])
    names, days = runs.series(items, 400)
    assert (len(set(names)), days.shape) == (400, (400, 3))
    assert days[:2].tolist() == items.tolist()
    assert not days[::2, 0].any() and not days[1::2, 1].any()
    assert np.median(days[2::2, 1:].mean(axis=1)) == pytest.approx(55, rel=0.1)
    assert len(np.unique(days[2::2], axis=0)) > 150  # by chance some are alike


def test_time_of_a_library_counts_once_where_models_call_models() -> None:
    with night.library_time() as fits:
        before = cpu()
        library.MSTL(season_length=7).forecast(np.arange(100.0) % 7, 7)
        assert 0 < fits() <= cpu() - before


def pair(folder: Path, actual: list[list[float]]) -> tuple[Path, Path]:
    """Write a pair of two series in the format of M4: as long as each is, ids and numbers in quotes."""
    train, test = folder / "train.csv", folder / "test.csv"
    week = [10.0, 12, 15, 11]
    past = [[value + number / 9 for number, value in enumerate(week * 10)], week * 8]
    for file, rows in ((train, past), (test, actual)):
        longest = max(len(row) for row in rows)
        lines = [",".join(f'"V{number}"' for number in range(1, longest + 2))]
        for name, row in zip(("A1", "A2"), rows, strict=True):
            cells = [f'"{value}"' for value in row] + ['""'] * (longest - len(row))
            lines.append(",".join([f'"{name}"', *cells]))
        file.write_text("\n".join(lines) + "\n")
    return train, test


def test_a_pair_of_files_gets_smape_and_owa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actual = [[14.0, 17, 19, 16], [10.0, 12, 15, 11]]
    train, test = pair(tmp_path, actual)
    file = tmp_path / "found.json"
    arguments = ["--json", str(file), "forecast", "--m4", str(train), str(test), "--season", "4"]
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    main()
    found = json.loads(file.read_text())
    rows = {row["name"]: row["value"] for row in found["rows"]}
    naive = found["forecasts"]["train"]["naive 2"]
    assert naive["OWA"] == 1
    past = np.array(m4.read(train)["A1"])
    expected = [m4.naive2(past, 4, 4), np.array([10.0, 12, 15, 11])]  # the second is constant but for its season
    assert naive["sMAPE"] == pytest.approx(float(smape(np.array(actual), np.stack(expected)).mean()))
    assert rows["OWA"] == pytest.approx(owa(rows["sMAPE"], rows["MASE"], naive["sMAPE"], naive["MASE"]))
    assert rows["CPU per series"] > 0
    assert 50 < rows["Memory"] < 2_000


@pytest.mark.parametrize("actual", [[[1.0], [1.0, 2.0]], [[], [1.0]]], ids=["lengths", "empty"])
def test_files_that_do_not_fit_are_refused(tmp_path: Path, actual: list[list[float]]) -> None:
    with pytest.raises(BenchFailed):
        m4.measure(*pair(tmp_path, actual), 4)


def test_parts_that_ran_before_keep_their_rows(tmp_path: Path) -> None:
    file = tmp_path / "forecast.json"
    rows = {name: Row(name, [1.0], "s") for name in ("a", "b")}
    Forecasts({}, "", [*rows.values()], notes=["rates: quiet", "refit: busy"], measures={"x": {}}).write(file)
    found = Forecasts({}, "", [Row("b", [2.0], "s")], notes=["refit: quiet"])
    found.join(file)
    assert [(row.name, row.value) for row in found.rows] == [("a", 1.0), ("b", 2.0)]
    assert (found.notes, found.measures) == (["rates: quiet", "refit: quiet"], {"x": {}})
