"""Draw plots with matplotlib. It runs in a child of the API, which must not import libraries for numbers.

The same plot gives the same bytes: colours, fonts and ids depend on nothing outside of this module.
"""

import io
import warnings
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any, Final, Literal, TypeAlias
from xml.sax.saxutils import escape

import matplotlib.dates
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forecast_service.series.model import Line, Plot, printable

Format: TypeAlias = Literal["svg", "png"]

DPI: Final = 96
EPOCH: Final = date(1970, 1, 1)
"""Day 0 of matplotlib."""
SETTINGS: Final[Any] = {
    "svg.hashsalt": "crossdock",
    "svg.fonttype": "none",  # text stays text, so that it can be read aloud, and an id may have any letters
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,  # an id may have dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
}
GREY, BLUE, ORANGE, GREEN, PURPLE = "#555555", "#0072b2", "#d55e00", "#009e73", "#cc79a7"
"""Colours of Okabe and Ito, which colour-blind people can distinguish."""
MARKS: Final = {"holiday": ("v", ORANGE), "promotion": ("^", GREEN), "closed": ("x", GREY), "cleaned": ("o", PURPLE)}
BANDS: Final = ((0.1, 0.9, 0.3), (0.9, 0.98, 0.12))


def draw(plot: Plot, format: Format) -> Sequence[bytes]:
    """Return one file."""
    _use_own_fonts()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fonts do not have each letter of each id
        matplotlib.rcdefaults()  # the machine may have settings
        matplotlib.rcParams.update(SETTINGS)
        return [_file(plot, format)]


@cache
def _use_own_fonts() -> None:
    """Use only the fonts that come with matplotlib, because each machine has others."""
    fonts = font_manager.fontManager
    fonts.ttflist = [font for font in fonts.ttflist if font.fname.startswith(matplotlib.get_data_path())]


def _file(plot: Plot, format: Format) -> bytes:
    figure = Figure(figsize=(plot.width / DPI, plot.height / DPI), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    _demand(axes, plot)
    _forecasts(axes, plot)
    _marks(axes, plot)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    axes.set_ylabel(printable(plot.unit))
    axes.set_title(f"{plot.title} ({printable(plot.model)})", loc="left", fontsize=10)
    dates: Any = matplotlib.dates
    locator = dates.AutoDateLocator(maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    figure.legend(loc="outside lower left", ncols=8, frameon=False, fontsize=8)
    file = io.BytesIO()
    described = {"Title": plot.title, "Description": printable(plot.description)}
    figure.savefig(file, format=format, metadata=described | ({"Date": None} if format == "svg" else {}))
    return _accessible(file.getvalue(), plot) if format == "svg" else file.getvalue()


def _demand(axes: Axes, plot: Plot) -> None:
    origin = plot.mean.first
    known = (origin - plot.demand.first).days
    days = _days(plot.demand)
    axes.step(days[:known], plot.demand.values[:known], where="mid", color=GREY, linewidth=1, label="demand")
    if came := plot.demand.values[known:]:
        axes.plot(days[known:], came, "o", color="black", markersize=3, label="what came")
    if plot.ordered:
        ordered = [_number(day) for day in plot.ordered], list(plot.ordered.values())
        axes.plot(*ordered, "o", color="black", markersize=3, fillstyle="none", label="ordered so far")
    axes.axvline(_number(origin) - 0.5, color=GREY, linewidth=0.8, linestyle=":")


def _forecasts(axes: Axes, plot: Plot) -> None:
    days = _days(plot.mean)
    for low, high, alpha in BANDS:
        axes.fill_between(
            days,
            plot.fan[low],
            plot.fan[high],
            step="mid",
            color=BLUE,
            alpha=alpha,
            linewidth=0,
            label=f"p{low * 100:g} to p{high * 100:g}",
        )
    for number, each in enumerate(plot.past):
        label = "past forecasts" if number == 0 else None
        axes.plot(_days(each), each.values, color=PURPLE, linewidth=0.8, linestyle="--", label=label)
    if plot.without_overrides is not None:
        model = plot.without_overrides.values
        axes.plot(days, model, color=ORANGE, linewidth=1, linestyle=":", label="without overrides")
    axes.plot(days, plot.mean.values, color=BLUE, linewidth=1.5, label="mean")


def _marks(axes: Axes, plot: Plot) -> None:
    """Mark days on the baseline. Each kind has a shape of its own, because colours are not enough for everyone."""
    for kind, days in plot.marks.items():
        shape, colour = MARKS.get(kind, ("s", GREY))
        axes.plot([_number(day) for day in days], [0] * len(days), shape, color=colour, clip_on=False, label=kind)


def _accessible(svg: bytes, plot: Plot) -> bytes:
    """Add what a screen reader reads. matplotlib writes the title and puts the description where no reader looks."""
    text = svg.decode()
    title = f"<title>{escape(plot.title)}</title>"
    at = text.index(title) + len(title)
    text = f"{text[:at]}\n <desc>{escape(printable(plot.description))}</desc>{text[at:]}"
    return text.replace("<svg ", '<svg role="img" ', 1).encode()


def _days(line: Line) -> list[float]:
    return [_number(line.first + timedelta(days=number)) for number in range(len(line.values))]


def _number(day: date) -> float:
    return float((day - EPOCH).days)
