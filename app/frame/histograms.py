"""The geometry of server-rendered histograms: bars, axes and a text alternative."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from app.core.wording import count
from app.frame.figures import Tick

WIDTH, HEIGHT = 360.0, 112.0
LEFT, TOP, BOTTOM = 30.0, 8.0, 90.0
PLOT = (LEFT, WIDTH, TOP, BOTTOM)  # left, right, top and bottom of the bars
BINS = 24
SPARK_WIDTH, SPARK_HEIGHT = 120.0, 22.0


@dataclass(frozen=True)
class Bar:
    """One bar."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Histogram:
    """Bars on one axis."""

    name: str
    unit: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    maximum: int  # count of the fullest bin
    summary: str


def histogram(
    values: Sequence[float | None],
    *,
    name: str,
    unit: str = "",
    is_logarithmic: bool = False,
    texts: Sequence[str] | None = None,
) -> Histogram | None:
    """Make the histogram of values; None if fewer than two are known.

    Unknown values are left out, and on a logarithmic axis also values of 0 or less. ``texts`` label
    the two ends of the axis instead of the numbers.
    """
    finite = np.array(
        [value for value in values if value is not None and math.isfinite(value)], dtype=np.float64
    )
    if is_logarithmic:
        finite = np.log10(finite[finite > 0])
    if len(finite) < 2:
        return None
    low, high = float(finite.min()), float(finite.max())
    if high == low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(finite, bins=BINS, range=(low, high))

    def shown(value: float) -> str:
        number = 10**value if is_logarithmic else value
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"

    labels = [count(int(number), "member") for number in counts]
    summary = f"{name} of {len(finite):,} members"
    if texts is None:
        ranges = (f"{shown(a)} to {shown(b)} {unit}".strip() for a, b in pairwise(edges))
        labels = [f"{interval}: {number}" for interval, number in zip(ranges, labels, strict=True)]
        ticks = tuple(
            Tick(LEFT + (WIDTH - LEFT) * share, shown(value))
            for share, value in ((0, low), (0.5, (low + high) / 2), (1, high))
        )
        summary += f", median {shown(float(np.median(finite)))} {unit}".rstrip()
    else:
        ticks = ticks_at_ends(texts)
        summary += f", {texts[0]} to {texts[1]}"
    bars = bars_of(counts, labels, PLOT)
    return Histogram(name, unit, bars, ticks, int(counts.max()), f"{summary}.")


def ticks_at_ends(texts: Sequence[str]) -> tuple[Tick, ...]:
    """Make labels for the two ends of the axis."""
    return Tick(LEFT, texts[0]), Tick(WIDTH, texts[1])


@dataclass(frozen=True)
class Timeline:
    """Counts of similar glitches over time, above the counts of all glitches."""

    similar: tuple[Bar, ...]
    all_glitches: tuple[Bar, ...]
    max_similar: str
    max_all: str
    summary: str


TIMELINE_WIDTH, TIMELINE_LEFT = 900.0, 40.0
_ALIKE = (TIMELINE_LEFT, TIMELINE_WIDTH, 8.0, 70.0)
_EVERYTHING = (TIMELINE_LEFT, TIMELINE_WIDTH, 84.0, 116.0)


def timeline(counts: Sequence[tuple[int, int, str]], summary: str) -> Timeline | None:
    """Make two rows of bars on one time axis; None if no glitch has a time.

    ``counts`` has, for each interval, the number of similar glitches, the number of all, and the
    interval's name.
    """
    if not any(total for _, total, _ in counts):
        return None
    texts = [f"{name}: {similar:,} of {total:,}" for similar, total, name in counts]
    similar, all_glitches = [one[0] for one in counts], [one[1] for one in counts]
    return Timeline(
        similar=bars_of(similar, texts, _ALIKE) if any(similar) else (),
        all_glitches=bars_of(all_glitches, texts, _EVERYTHING),
        max_similar=f"{max(similar):,}",
        max_all=f"{max(all_glitches):,}",
        summary=summary,
    )


def sparkline(counts: Sequence[int]) -> tuple[Bar, ...]:
    """Draw counts as small bars without axes, for a card; none if there are none."""
    box = (0.0, SPARK_WIDTH, 0.0, SPARK_HEIGHT)
    labels = [count(number, "member") for number in counts]
    return bars_of(counts, labels, box) if any(counts) else ()


def bars_of(
    counts: Sequence[int] | np.ndarray, texts: Sequence[str], box: tuple[float, float, float, float]
) -> tuple[Bar, ...]:
    """Draw counts as bars in a box (left, right, top, bottom), scaled to its height.

    Counts of 0 have no bar.
    """
    left, right, top, bottom = box
    step = (right - left) / len(counts)
    highest = max(int(number) for number in counts)
    bars = []
    for index, (number, text) in enumerate(zip(counts, texts, strict=True)):
        if number:
            height = max(1.5, (bottom - top) * int(number) / highest)
            bars.append(
                Bar(
                    x=round(left + index * step + 0.5, 2),
                    y=round(bottom - height, 2),
                    width=round(max(step - 1, 0.5), 2),
                    height=round(height, 2),
                    text=text,
                )
            )
    return tuple(bars)
