"""The geometry of server-rendered figures: view panels with axes, and the latent chart.

These are only numbers. The templates draw SVG from them, so text stays sharp and follows the colour
scheme.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from glitch.views import Preprocessing

PLOT_LEFT, PLOT_TOP, PLOT_WIDTH, PLOT_HEIGHT = 42.0, 22.0, 290.0, 228.0
FREQUENCY_TICKS_HZ = (16, 32, 64, 128, 256, 512, 1024, 2048)

# viridis at equal steps (matplotlib), lowest first, for the gradient of the colour bar.
VIRIDIS = (
    *("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c"),
    *("#28ae80", "#5ec962", "#addc30", "#fde725"),
)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, in the figure's units."""

    position: float
    text: str


@dataclass(frozen=True)
class ViewPanel:
    """One window of a glitch. ``picture`` is None if that view is absent."""

    duration: str  # "0.5 s"
    picture: str | None
    description: str  # text alternative
    frequency_ticks: tuple[Tick, ...]
    time_ticks: tuple[Tick, ...]
    unmeasured_height: float  # of the hatched strip at the top: frequencies above the data's band
    unmeasured_from: str | None  # "512 Hz"


def view_panel(
    duration_s: float,
    recipe: Preprocessing,
    *,
    picture: str | None,
    observed: Bool[np.ndarray, " freq"] | None,
    name: str,
) -> ViewPanel:
    """Make the panel of one window: image address, axes, and what was not measured.

    ``observed`` marks the measured rows, lowest frequency first. It and ``picture`` are None if the
    view is absent.
    """
    unmeasured = _rows_missing_on_top(observed)
    low, high = recipe.lowest_frequency_hz, recipe.highest_frequency_hz
    edge_hz = low * (high / low) ** (1 - unmeasured)
    duration = f"{duration_s:g} s"
    description = f"{name}, {duration} window, {low:g} to {high:g} Hz"
    return ViewPanel(
        duration=duration,
        picture=picture,
        description=description,
        frequency_ticks=tuple(
            Tick(_frequency_y(hz, low, high), str(hz))
            for hz in FREQUENCY_TICKS_HZ
            if low <= hz <= high
        ),
        time_ticks=tuple(
            Tick(PLOT_LEFT + PLOT_WIDTH * (step + 2) / 4, _signed(step * duration_s / 4))
            for step in range(-2, 3)
        ),
        unmeasured_height=round(unmeasured * PLOT_HEIGHT, 1),
        unmeasured_from=f"{round(edge_hz)} Hz" if unmeasured else None,
    )


def view_panels(
    recipe: Preprocessing, seen: Mapping[float, tuple[str, Bool[np.ndarray, " freq"]]], *, name: str
) -> tuple[ViewPanel, ...]:
    """Make the panels of all windows; ``seen`` has address and measured rows of those present."""
    return tuple(
        view_panel(duration_s, recipe, picture=picture, observed=observed, name=name)
        for duration_s in recipe.durations_s
        for picture, observed in [seen.get(duration_s, (None, None))]
    )


def _rows_missing_on_top(observed: Bool[np.ndarray, " freq"] | None) -> float:
    """Return the share of the axis, counted from the top, that was not measured."""
    if observed is None or not observed.any():
        return 0.0
    return 1.0 - (int(np.flatnonzero(observed)[-1]) + 1) / len(observed)


def _frequency_y(hz: float, low: float, high: float) -> float:
    share = math.log(hz / low) / math.log(high / low)
    return round(PLOT_TOP + PLOT_HEIGHT * (1 - share), 2)


def _signed(seconds: float) -> str:
    return "0" if seconds == 0 else f"{seconds:+g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class LatentBar:
    """One latent dimension: its value and its uncertainty."""

    x: float
    mean_y: float
    low_y: float  # mean - sigma
    high_y: float  # mean + sigma
    text: str
    is_informative: bool


@dataclass(frozen=True)
class LatentChart:
    """Posterior mean ± sigma of each latent dimension, on one axis."""

    width: float
    height: float
    left: float  # where the axis ends and the bars begin
    zero_y: float
    prior_top_y: float  # +1, one sigma of the prior
    prior_bottom_y: float
    ticks: tuple[Tick, ...]
    bars: tuple[LatentBar, ...]
    summary: str


CHART_WIDTH, CHART_HEIGHT = 360.0, 170.0
CHART_LEFT, CHART_TOP, CHART_BOTTOM = 36.0, 6.0, 152.0
LARGEST_INFORMATIVE_SIGMA = 0.7  # with a larger one, a dimension hardly differs from the prior


def latent_chart(
    mean: Float32[np.ndarray, " latent"], log_variance: Float32[np.ndarray, " latent"]
) -> LatentChart:
    """Make the chart of a posterior. The shaded band is one sigma of the standard normal prior."""
    sigma = np.exp(0.5 * np.clip(log_variance.astype(np.float64), -30, 30))
    extent = max(2.0, float(np.ceil(np.max(np.abs(mean) + sigma))))
    middle, half = (CHART_TOP + CHART_BOTTOM) / 2, (CHART_BOTTOM - CHART_TOP) / 2

    def y(value: float) -> float:
        return round(middle - half * float(np.clip(value / extent, -1, 1)), 2)

    step = (CHART_WIDTH - CHART_LEFT) / len(mean)
    bars = tuple(
        LatentBar(
            x=round(CHART_LEFT + step * (index + 0.5), 2),
            mean_y=y(float(centre)),
            low_y=y(float(centre) - float(spread)),
            high_y=y(float(centre) + float(spread)),
            text=f"z{index} = {centre:.2f} ± {spread:.2f}",
            is_informative=bool(spread < LARGEST_INFORMATIVE_SIGMA),
        )
        for index, (centre, spread) in enumerate(zip(mean, sigma, strict=True))
    )
    informative = sum(bar.is_informative for bar in bars)
    return LatentChart(
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        left=CHART_LEFT,
        zero_y=y(0.0),
        prior_top_y=y(1.0),
        prior_bottom_y=y(-1.0),
        ticks=tuple(
            Tick(y(value), _signed(value))
            for value in (-extent, -extent / 2, 0, extent / 2, extent)
        ),
        bars=bars,
        summary=(
            f"{len(bars)} latent dimensions, {informative} of them informative "
            f"(sigma under {LARGEST_INFORMATIVE_SIGMA:g})."
        ),
    )


# RdBu_r at equal steps (matplotlib), lowest first; the middle colour stands for zero.
DIVERGING = (
    *("#053061", "#2971b1", "#6bacd0", "#bfdceb", "#f7f6f6"),
    *("#faccb4", "#e58368", "#bb2a33", "#67001f"),
)
STRIP_STEP, STRIP_VIEW_WIDTH, STRIP_VIEW_HEIGHT = 132.0, 128.0, 104.0  # within the image of a strip
RULER_HEIGHT = 40.0


@dataclass(frozen=True)
class StripRuler:
    """The axis under a strip of views: the range of the latent, and the values of glitches."""

    width: float
    height: float
    start: float  # of the axis, at the middle of the first view
    end: float
    ticks: tuple[Tick, ...]
    others: tuple[float, float]  # ends of the bar of the other glitches
    group: tuple[float, float] | None  # of the cluster's members
    marker: float  # position of the glitch or the medoid


def strip_ruler(
    low: float,
    high: float,
    *,
    value: float,
    others: tuple[float, float],
    group: tuple[float, float] | None,
    n_views: int,
) -> StripRuler:
    """Make the ruler of a strip of evenly spaced views from ``low`` to ``high``."""
    start = STRIP_VIEW_WIDTH / 2
    end = start + STRIP_STEP * (n_views - 1)

    def place(number: float) -> float:
        share = (float(np.clip(number, low, high)) - low) / (high - low)
        return round(start + (end - start) * share, 1)

    def bar(ends: tuple[float, float]) -> tuple[float, float]:
        left, right = place(ends[0]), place(ends[1])
        return left, max(right, left + 3)  # keep a narrow range visible

    steps = np.linspace(low, high, n_views)
    return StripRuler(
        width=STRIP_STEP * n_views - (STRIP_STEP - STRIP_VIEW_WIDTH),
        height=RULER_HEIGHT,
        start=start,
        end=end,
        ticks=tuple(
            Tick(place(float(step)), _decimal(float(step)))
            for index, step in enumerate(steps)
            if index % 2 == 0
        ),
        others=bar(others),
        group=None if group is None else bar(group),
        marker=place(value),
    )


def _decimal(value: float) -> str:
    text = f"{value:+.1f}" if abs(value) >= 0.05 else "0"
    return text.replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True)
class Strip:
    """The strip of one latent."""

    name: str  # "z12"
    sentence: str
    picture: str
    description: str  # text alternative
    ruler: StripRuler


@dataclass(frozen=True)
class StripSection:
    """All strips of a glitch or a cluster."""

    strips: tuple[Strip, ...]
    window: str  # "1 s"
    note: str  # what the strips show, and which latents are inactive
    reason: str | None  # why there are none
