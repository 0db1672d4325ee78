"""Run the groups, and compare what they reached with the goals."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench import results
from bench.forecast import m4, night, rates, recorded, structure
from bench.forecast.measuring import CHUNK, SINGLES, Group, Measured, Measures, in_a_child, refitted
from bench.forecast.recorded import Year
from bench.forecast.size import Size
from bench.results import Results, Row
from forecast_service.fitting.metrics import Array
from forecast_service.fitting.models import NAIVE

FEW: Final = ("ridge", "log_linear", "lightgbm")
COLUMNS: Final = (
    *("sMAPE", "OWA", "MASE", "RMSSE", "WAPE", "bias", "pinball", "p10", "p90", "p95", "p98"),
    *("14-day p90", "worst cell", "CPU s"),
)
DISTANCE: Final = "The row of a bias or a coverage has its distance from the right value."
WITH_PLANS: Final = ", with plans"
ROW: Final = [each.name for each in fields(Row)]
Goals = Callable[[str, Mapping[str, Measures]], list[Row]]


@dataclass(slots=True)
class Forecasts(Results):
    """`measures` by group, then by model."""

    measures: dict[str, dict[str, Measures]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return Results.document(self) | {"forecasts": self.measures}

    def show(self, console: Console) -> None:
        for group, rows in self.measures.items():
            console.print(_table(group, rows))
        Results.show(self, console)

    def join(self, file: Path) -> None:
        """Add what parts that ran before have left in a file, unless it was measured again."""
        if not file.exists():
            return
        before = json.loads(file.read_text())
        names = {row.name for row in self.rows}
        known = [Row(**{key: row[key] for key in ROW}) for row in before["rows"] if row["name"] not in names]
        self.rows = [*known, *self.rows]
        self.measures = before["forecasts"] | self.measures
        again = {DISTANCE, *(note.partition(":")[0] for note in self.notes)}
        self.notes = [*(note for note in before["notes"] if not again & {note, note.partition(":")[0]}), *self.notes]


Stage = Callable[[str], None]


def run(size: Size, console: Console, only: Sequence[str] = ()) -> Forecasts:
    """Measure the recorded year, or some parts."""
    began = time.monotonic()
    found = Forecasts(
        results.machine("not used", "not used"),
        f"The recorded year: {recorded.HELD_OUT} days from {recorded.ORIGIN} on held out, 25 December closed.",
        load_before=results.load_average(),
    )

    def stage(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.0f} s  {what}[/]", highlight=False)

    for name, part in PARTS.items():
        if not only or name in only:
            load, since = results.load_average(), time.monotonic()
            stage(name)
            part(found, size, stage)
            after = results.load_average()
            found.notes.append(f"{name}: load average {load:.1f} to {after:.1f}, {time.monotonic() - since:.0f} s.")
    found.notes.append(DISTANCE)
    found.seconds, found.load_after = time.monotonic() - began, results.load_average()
    return found


@cache
def _year() -> tuple[Year, Mapping[str, Array]]:
    """Return the recorded year with its plans."""
    year = recorded.load()
    plans = recorded.promotions(year)
    for name, days in recorded.holidays().items():
        plans[name] = np.broadcast_to(days, year.items.shape)
    return year, plans


def _rates(found: Forecasts, size: Size, stage: Stage) -> None:
    found.rows += rates.measure(size)


def _busy(found: Forecasts, size: Size, stage: Stage) -> None:
    _items(found, size, stage, "busiest", _year()[0].busiest(size.busiest), _busiest)


def _seldom(found: Forecasts, size: Size, stage: Stage) -> None:
    _items(found, size, stage, "sold on 60-179 days", _year()[0].slow(size.slow), _slow)


def _items(found: Forecasts, size: Size, stage: Stage, name: str, rows: Any, goals: Goals) -> None:
    year, plans = _year()
    for drivers, suffix in ((plans, WITH_PLANS), ({}, "")):
        group = _group(name + suffix, year.items[rows], {key: each[rows] for key, each in drivers.items()})
        measured = _models(group, size, stage, size.all_models and bool(drivers))
        found.measures[group.name] = dict(measured.measures)
        found.rows += [*goals(group.name, measured.measures), *_common(group.name, measured, len(rows))]


def _categories(found: Forecasts, size: Size, stage: Stage) -> None:
    year, plans = _year()
    categories, shares = year.by_category(plans)
    for drivers, suffix in ((shares, WITH_PLANS), ({}, "")):
        first = slice(size.categories)
        name, known = f"categories by week{suffix}", {key: each[first] for key, each in drivers.items()}
        measured = _models(_group(name, categories[first], known, weeks=True), size, stage, False)
        found.measures[name] = dict(measured.measures)
        found.rows += _weeks(name, measured.measures)


def _structure(found: Forecasts, size: Size, stage: Stage) -> None:
    year, _ = _year()
    busiest = year.busiest(size.busiest)
    totals, above = year.sums_of(busiest)
    name = "sums of the busiest, by week"
    stage(f"{name}: {len(totals)} sums")
    of_sums = structure.sums(_group("busiest", year.items[busiest], {}), _group(name, totals, {}, weeks=True), above)
    found.measures[name] = dict(of_sums.measures)
    found.rows += _sums(name, of_sums.measures)
    new = structure.new_items(year)
    found.rows.append(
        Row(
            "New items: squared error, level and weekdays with those of their category",
            [new["category"] / new["flat"] * 100],
            "%",
            100,
            "less",
            f"of that of their mean; {new['items']:.0f} items with 1 to 27 days",
        )
    )


def _two_years(found: Forecasts, size: Size, stage: Stage) -> None:
    year, _ = _year()
    long = np.tile(year.items[year.busiest(size.two_years)], night.YEARS)
    timed, count = in_a_child(_group("two years", long, {})), f"{len(long)} series"
    each = [timed.cpu / len(long)]
    found.rows.append(Row("CPU per series, full choice of two years", each, "s", 0.5, "less", count))
    found.rows.append(Row("Memory of a child", [timed.memory], "MB", 450, "less"))


def _refit(found: Forecasts, size: Size, stage: Stage) -> None:
    year, _ = _year()
    again = refitted(_group("chosen models", year.items[year.busiest(size.refitted)], {}))
    count = f"{size.refitted} series in chunks of {CHUNK}"
    each = [again.cpu / size.refitted]
    found.rows.append(Row("CPU per series, refit of chosen models", each, "s", 0.08, "less", count))
    found.rows.append(Row("Memory of a child that fits again", [again.memory], "MB", 450, "less"))


def _night(found: Forecasts, size: Size, stage: Stage) -> None:
    found.rows += night.measure(size, _year()[0], stage)


def _choice(found: Forecasts, size: Size, stage: Stage) -> None:
    found.rows += night.choose(size, _year()[0], stage)


PARTS: Final[Mapping[str, Callable[[Forecasts, Size, Stage], None]]] = {
    "rates": _rates,
    "busiest": _busy,
    "seldom": _seldom,
    "categories": _categories,
    "structure": _structure,
    "two-years": _two_years,
    "refit": _refit,
    "choice": _choice,
    "night": _night,
}


def run_m4(train: Path, test: Path, season: int, console: Console) -> Results:
    """Measure any pair of files in the format of M4."""
    began = time.monotonic()
    found = Forecasts(results.machine("not used", "not used"), f"{train.name}, season {season}.")
    found.load_before = results.load_average()
    measured = m4.measure(train, test, season)
    found.measures[train.stem] = dict(measured.measures)
    best = measured.measures["portfolio"]
    found.rows += [Row(name, [best[name]], "") for name in ("sMAPE", "MASE", "OWA")]
    found.rows.append(Row("CPU per series", [measured.cpu / best["series"]], "s"))
    found.rows.append(Row("Memory", [measured.memory], "MB"))
    found.seconds, found.load_after = time.monotonic() - began, results.load_average()
    return found


def _group(name: str, items: Array, drivers: Mapping[str, Array], *, weeks: bool = False) -> Group:
    days = items.shape[1]
    closed = np.zeros(days, dtype=bool)
    end = recorded.FIRST.toordinal() + recorded.DAYS
    for day in recorded.CLOSED:
        closed[day.toordinal() - end] = True
    past, actual = items[:, : -recorded.HELD_OUT], items[:, -recorded.HELD_OUT :].copy()
    actual[:, closed[-recorded.HELD_OUT :]] = np.nan
    return Group(name, past, actual, closed, recorded.ORIGIN.toordinal(), drivers, weeks=weeks)


def _models(group: Group, size: Size, stage: Any, all_models: bool) -> Measured:
    stage(f"{group.name}: portfolio of {len(group.past)} series")
    measured = in_a_child(group)
    rows = dict(measured.measures)
    stage(f"  {_short(rows['portfolio'])}, {measured.cpu:.0f} CPU s, {measured.memory:.0f} MB")
    for name in (NAIVE.name, *(SINGLES if all_models else FEW)):
        stage(f"{group.name}: {name}")
        alone = in_a_child(group, name, size.origins)
        rows[name] = alone.measures[name] | {"CPU s": alone.cpu / len(group.past)}
        stage(f"  {_short(rows[name])}")
    rows["portfolio"]["CPU s"] = measured.cpu / len(group.past)
    return Measured(rows, measured.cpu, measured.memory)


def _short(row: Measures) -> str:
    return ", ".join(f"{name} {row[name]:.3f}" for name in COLUMNS if name in row)


def _busiest(name: str, rows: Mapping[str, Measures]) -> list[Row]:
    best = rows["portfolio"]
    return [
        Row(f"{name}: MASE", [best["MASE"]], "", 0.69, "less"),
        Row(f"{name}: RMSSE", [best["RMSSE"]], "", 0.76, "less"),
        Row(f"{name}: bias", [abs(best["bias"]) * 100], "%", 5, "less"),
    ]


def _slow(name: str, rows: Mapping[str, Measures]) -> list[Row]:
    best = rows["portfolio"]
    return [
        Row(f"{name}: RMSSE", [best["RMSSE"]], "", 0.73, "less"),
        Row(f"{name}: bias", [abs(best["bias"]) * 100], "%", 3, "less"),
        Row(f"{name}: 14-day p90 off", [abs(best["14-day p90"] - 0.9) * 100], "points", 2, "less"),
    ]


def _weeks(name: str, rows: Mapping[str, Measures]) -> list[Row]:
    best = rows["portfolio"]
    return [
        Row(f"{name}: RMSSE", [best["RMSSE"]], "", 1.00, "less", "forecasts of days, summed"),
        Row(f"{name}: bias", [abs(best["bias"]) * 100], "%", 3, "less"),
    ]


def _sums(name: str, rows: Mapping[str, Measures]) -> list[Row]:
    best, summed = rows["reconciled"]["RMSSE"], rows["bottom up"]["RMSSE"]
    return [
        Row(f"{name}: RMSSE reconciled", [best], ""),
        Row(f"{name}: against bottom up", [(best / summed - 1) * 100], "%", 0, "less"),
    ]


def _common(name: str, measured: Measured, count: int) -> list[Row]:
    best = measured.measures["portfolio"]
    singles = [rows for model, rows in measured.measures.items() if model in SINGLES]
    found = []
    for measure in ("RMSSE", "pinball"):
        least = min(rows[measure] for rows in singles)
        worse = (best[measure] / least - 1) * 100
        found.append(Row(f"{name}: {measure} against the best single", [worse], "%", 0.5, "less", "in hindsight"))
    note = f"of a class and week, with a standard error of {best['worst cell error'] * 100:.1f} points"
    found.append(Row(f"{name}: worst coverage", [best["worst cell"] * 100], "points", 2, "less", note))
    found.append(Row(f"{name}: CPU per series", [measured.cpu / count], "s", 0.5, "less", "choice and forecast"))
    found.append(Row(f"{name}: memory", [measured.memory], "MB", 450, "less"))
    return found


def _table(group: str, rows: Mapping[str, Measures]) -> Table:
    names = [name for name in COLUMNS if any(name in row for row in rows.values())]
    table = Table(title=group, title_justify="left", box=SIMPLE, padding=0, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    for model, row in sorted(rows.items(), key=lambda each: each[1].get("RMSSE", each[1].get("OWA", 0.0))):
        table.add_row(model, *(f"{row[name]:.3f}" if name in row else "" for name in names))
    return table
