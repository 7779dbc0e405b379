"""F5: line and bar plots as inline SVG. Colours are the page's (classes `s1`, `s2`, ...), figures the document's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from xml.sax.saxutils import escape

WIDTH: Final = 560
HEIGHT: Final = 250
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 12, 34
TICKS: Final = 5
STEPS: Final = (1, 2, 2.5, 5, 10)

Points: TypeAlias = Sequence[tuple[float, float | None]]
Show: TypeAlias = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    """A line, its area, or bars. `style` is a class of the page's style sheet; a value of None leaves a gap."""

    name: str
    style: str
    points: Points
    kind: Literal["line", "area", "dashes", "bars"] = "line"


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places along one side of a plot.

    pixels: the plot's whole width, of an x axis. ticks: where they are not numbers like others.
    """

    title: str
    low: float
    high: float
    show: Show
    log: bool = False
    pixels: int = WIDTH
    ticks: tuple[tuple[float, str], ...] | None = None

    def share(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.log:
            value = max(value, self.low)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marks(self) -> list[tuple[float, str]]:
        if self.ticks is not None:
            return list(self.ticks)
        values = _log_ticks(self.low, self.high) if self.log else _even_ticks(self.low, self.high)
        return [(value, self.show(value)) for value in values]


def plain(value: float) -> str:
    """A tick's number: as many digits as it has."""
    return f"{value:,.10g}"


def values_axis(title: str, values: Sequence[float], show: Show = plain) -> Axis:
    """From 0 to a round number above all values."""
    high = max(values, default=0) or 1
    step = _step(high)
    return Axis(title, 0, math.ceil(high / step - 1e-9) * step, show)


def log_axis(title: str, values: Sequence[float], show: Show) -> Axis:
    """Whole parts of decades (1, 2, 5) around all values that are above 0."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = _round_log(min(positive), up=False), _round_log(max(positive), up=True)
    return Axis(title, low, high if high > low else low * 10, show, log=True)


def plot(
    title: str, x: Axis, y: Axis, series: Sequence[Series], tips: Points | Sequence[tuple[float, str]] = ()
) -> str:
    """One `<svg>`. tips: what is told where the pointer is, by place on the x axis, ascending."""
    body = [*_grid(x, y), *(_drawn(one, x, y) for one in series), *_tips(x, tips)]
    return (
        f'<svg viewBox="0 0 {x.pixels} {HEIGHT}" role="img" aria-label={_quoted(title)} '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )


def _grid(x: Axis, y: Axis) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, x.pixels - RIGHT
    for value, label in y.marks():
        at = _y(y, value)
        yield f'<line class="grid" x1="{LEFT}" y1="{at}" x2="{right}" y2="{at}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{at}" dy="0.32em" text-anchor="end">{escape(label)}</text>'
    for value, label in x.marks():
        at = _x(x, value)
        yield f'<line class="mark" x1="{at}" y1="{bottom}" x2="{at}" y2="{bottom + 4}"/>'
        yield f'<text class="tick" x="{at}" y="{bottom + 16}" text-anchor="middle">{escape(label)}</text>'
    yield f'<line class="axis" x1="{LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>'
    middle = (LEFT + right) / 2
    yield f'<text class="name" x="{middle}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x.title)}</text>'


def _drawn(series: Series, x: Axis, y: Axis) -> str:
    if series.kind == "bars":
        return "".join(_bars(series, x, y))
    parts = list(_parts(series.points))
    lines = "".join(_path(part, x, y) for part in parts)
    dots = "".join(  # a point alone is no line
        f'<circle class="{series.style} dot" cx="{_x(x, part[0][0])}" cy="{_y(y, part[0][1])}" r="2.5"/>'
        for part in parts
        if len(part) == 1
    )
    line = (
        f'<path class="{series.style} {"dashes" if series.kind == "dashes" else "line"}" d="{lines}"/>' if lines else ""
    )
    if series.kind != "area" or not lines:
        return line + dots
    floor = HEIGHT - BOTTOM
    areas = "".join(
        f"{_path(part, x, y)}L{_x(x, part[-1][0])} {floor}L{_x(x, part[0][0])} {floor}Z" for part in parts if part[1:]
    )
    return f'<path class="{series.style} area" d="{areas}"/>{line}{dots}'


def _bars(series: Series, x: Axis, y: Axis) -> Iterator[str]:
    width = max(1.0, min(24.0, (x.pixels - LEFT - RIGHT) / max(1, len(series.points)) - 1))
    floor = HEIGHT - BOTTOM
    for at, value in series.points:
        if value:
            top = min(_y(y, value), floor - 1.5)  # few are seen beside many
            left = min(max(_x(x, at) - width / 2, LEFT), x.pixels - RIGHT - width)
            yield (
                f'<rect class="{series.style} bar" x="{left:.2f}" y="{top}" width="{width:.2f}" '
                f'height="{floor - top:.2f}"/>'
            )


def _parts(points: Points) -> Iterator[list[tuple[float, float]]]:
    """Runs of points without a gap."""
    part: list[tuple[float, float]] = []
    for at, value in points:
        if value is not None:
            part.append((at, value))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _path(part: list[tuple[float, float]], x: Axis, y: Axis) -> str:
    if len(part) < 2:
        return ""
    return "M" + "L".join(f"{_x(x, at)} {_y(y, value)}" for at, value in part)


def _tips(x: Axis, tips: Points | Sequence[tuple[float, str]]) -> Iterator[str]:
    """Columns without colour, each as wide as half way to its neighbours."""
    places = [_x(x, at) for at, _ in tips]
    for number, (_, told) in enumerate(tips):
        left = LEFT if number == 0 else (places[number - 1] + places[number]) / 2
        right = x.pixels - RIGHT if number == len(tips) - 1 else (places[number] + places[number + 1]) / 2
        if right > left:
            yield (
                f'<rect class="tip" x="{left:.2f}" y="{TOP}" width="{right - left:.2f}" '
                f'height="{HEIGHT - TOP - BOTTOM}"><title>{escape(str(told))}</title></rect>'
            )


def _x(axis: Axis, value: float) -> float:
    return round(LEFT + axis.share(value) * (axis.pixels - LEFT - RIGHT), 2)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM), 2)


def _step(high: float) -> float:
    """A round distance of which `TICKS` or fewer reach `high`."""
    rough = high / TICKS
    decade = 10.0 ** math.floor(math.log10(rough))
    return next(step * decade for step in STEPS if step * decade >= rough * (1 - 1e-9))


def _even_ticks(low: float, high: float) -> list[float]:
    step = _step(high - low)
    return [low + number * step for number in range(int((high - low) / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Decades; where they are few, 2 and 5 as well."""
    factors = (1, 2, 5) if math.log10(high / low) <= 2.5 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [factor * 10.0**decade for decade in range(first, last + 1) for factor in factors]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def _round_log(value: float, *, up: bool) -> float:
    decade = 10.0 ** math.floor(math.log10(value))
    steps = [decade * factor for factor in (1, 2, 5, 10)]
    if up:
        return next(step for step in steps if step >= value * (1 - 1e-9))
    return max(step for step in steps if step <= value * (1 + 1e-9))


def _quoted(text: str) -> str:
    return f'"{escape(text, {chr(34): "&quot;"})}"'
