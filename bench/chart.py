"""Draw a chart with two logarithmic axes as SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 400
LEFT: Final = 64
RIGHT: Final = 24
TOP: Final = 44
BOTTOM: Final = 56
COLOURS: Final = ("#2f6f9f", "#b5482f", "#4d7d3a")
STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in the order of x, both above zero."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """A logarithmic axis from `low` to `high`, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        return cls(_step(min(values), down=True), _step(max(values), down=False), start, end)

    def at(self, value: float) -> float:
        share = (log10(value) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
        return [step * 10.0**each for each in decades for step in STEPS if self.low <= step * 10.0**each <= self.high]


def _step(value: float, *, down: bool) -> float:
    """Return the nearest tick below or above the value."""
    decade = floor(log10(value))
    ticks = [step * 10.0**each for each in (decade - 1, decade, decade + 1) for step in STEPS]
    return max(tick for tick in ticks if tick < value) if down else min(tick for tick in ticks if tick > value)


def chart(title: str, x_name: str, y_name: str, lines: Sequence[Line], marks: Mapping[str, float]) -> str:
    """Return the picture. `marks`: vertical lines by their labels."""
    points = [point for line in lines for point in line.points]
    x = _Axis.over([*(point[0] for point in points), *marks.values()], LEFT, WIDTH - RIGHT)
    y = _Axis.over([point[1] for point in points], HEIGHT - BOTTOM, TOP)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name, anchor="middle"),
        _text(LEFT, TOP - 8, y_name),
    ]
    for tick in x.ticks:
        drawn += [_rule(x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM, "#e4e4e4")]
        drawn += [_text(x.at(tick), HEIGHT - BOTTOM + 16, f"{tick:,g}", anchor="middle")]
    for tick in y.ticks:
        drawn += [_rule(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), "#e4e4e4")]
        drawn += [_text(LEFT - 6, y.at(tick) + 4, f"{tick:,g}", anchor="end")]
    for number, (label, value) in enumerate(marks.items()):
        drawn += [_rule(x.at(value), TOP, x.at(value), HEIGHT - BOTTOM, "#555555", dashed=True)]
        drawn += [_text(x.at(value) - 4, HEIGHT - BOTTOM - 8 - 16 * number, label, anchor="end")]
    for line, colour in zip(lines, COLOURS, strict=False):
        places = [(x.at(a), y.at(b)) for a, b in line.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        drawn += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
        drawn += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in places]
        drawn += [
            _text(a, b - 8, f"{value:,.0f}", anchor="middle", colour=colour)
            for (a, b), (_, value) in zip(places, line.points, strict=True)
        ]
        drawn += [_text(places[-1][0] + 8, places[-1][1] + 4, line.name, colour=colour)]
    return "\n".join([*drawn, "</svg>", ""])


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#222222") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
