"""Draw a view as PNG in Gravity Spy's layout: 800x600 with log2 frequency, time and colour bar."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from threading import Lock

import numpy as np
from PIL import Image

from glitch.images.panel import KNOWN_PANELS
from glitch.images.render import RowMask, draw_cells, png_of_cells
from glitch.types import ViewArray
from glitch.views import Preprocessing

_SIZE = (800, 600)
_DPI = 100
# Left, bottom, width, height as fractions of the figure: the axes of plot.py, [.125, .1, .775, .8],
# after the colour bar has taken its share, and that bar, as measured in Gravity Spy's own pictures.
_AXES = (0.125, 0.1, 574 / 800, 0.8)
_BAR = (691 / 800, 0.1, 29 / 800, 0.8)
_MAX_TITLE = 80
_draw_lock = Lock()  # matplotlib's fonts are shared and not thread-safe


def render_omega_scan(
    view: ViewArray,
    duration_s: float,
    *,
    title: str = "",
    observed: RowMask | None = None,
    preprocessing: Preprocessing | None = None,
) -> bytes:
    """Draw one view with Gravity Spy's axes and colour bar.

    Args:
        view: shape (freq, time), float32 in [0, 1].
        duration_s: window length in seconds; time runs from minus to plus half of it.
        title: a line above the panel, such as "Livingston - O3", drawn literally (no mathtext).
        observed: rows that were measured, shape (freq,); the others are drawn grey. All, if None.
        preprocessing: the recipe that gave the view its axes and its colour scale.

    Returns:
        The bytes of an 800x600 PNG, which `read_spectrogram` reads back.

    Raises:
        GlitchError: if the values are not finite in [0, 1].
    """
    box = KNOWN_PANELS[_SIZE]
    cells = draw_cells(view, observed, (box.width, box.height))
    line = " ".join(title.split())[:_MAX_TITLE]
    with _draw_lock:
        picture = _frame(duration_s, line, preprocessing or Preprocessing()).copy()
    picture.paste(cells, (box.left, box.top))
    return png_of_cells(picture, view, box)


@lru_cache(maxsize=32)
def _frame(duration_s: float, title: str, recipe: Preprocessing) -> Image.Image:
    """Draw everything except the panel's cells."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    width, height = _SIZE
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(_AXES)
    low, high = recipe.lowest_frequency_hz, recipe.highest_frequency_hz
    powers = 2.0 ** np.arange(np.ceil(np.log2(low)), np.floor(np.log2(high)) + 1)
    axes.set_yscale("log", base=2)
    axes.set_ylim(low, high)
    axes.set_yticks(powers, [f"{power:g}" for power in powers], fontsize=11)
    axes.minorticks_off()
    axes.grid(visible=False)  # importing gwpy turns grids on globally
    axes.set_ylabel("Frequency (Hz)", fontsize=18)
    times = np.linspace(-duration_s / 2, duration_s / 2, 5)
    axes.set_xlim(times[0], times[-1])
    axes.set_xticks(times, [str(time) for time in times.tolist()], fontsize=14)
    axes.set_xlabel("Time (s)", fontsize=18, labelpad=0)
    axes.set_title(title, fontsize=18, pad=18, parse_math=False)
    scale = ScalarMappable(Normalize(0, recipe.energy_clip), "viridis")
    ticks = np.arange(0, recipe.energy_clip, 5)
    bar = figure.colorbar(scale, cax=figure.add_axes(_BAR), ticks=ticks)
    bar.ax.grid(visible=False)
    bar.set_label("Normalized energy", fontsize=14)
    drawing = BytesIO()
    # print_png, not savefig: a user's matplotlibrc must not crop the picture.
    canvas.print_png(drawing)  # type: ignore[no-untyped-call] # matplotlib types it nowhere
    return Image.open(drawing).convert("RGB")
