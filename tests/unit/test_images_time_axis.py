"""Time axes: zero in the middle, from left to right, with labels that fit the window."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from matplotlib import rc_context, rcdefaults
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from glitch.errors import ImageError
from glitch.images import Scales, read_spectrogram, views_from_spectrograms

SCALES = Scales((10.0, 2048.0), 25.5)


@cache
def _drawn(
    start_s: float, end_s: float, *, ticks: tuple[float, ...] | None = None, dpi: int = 100
) -> bytes:
    rng = np.random.default_rng(0)
    with rc_context():
        rcdefaults()
        figure = Figure(figsize=(8, 6), dpi=dpi)
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_axes((0.125, 0.1, 0.72, 0.8))
        frequency = np.geomspace(10, 2048, 200)
        energy = rng.exponential(1.0, (199, 199))
        axes.pcolormesh(np.linspace(start_s, end_s, 200), frequency, energy, vmin=0, vmax=25.5)
        axes.set_yscale("log", base=2)
        axes.set_ylim(10, 2048)
        axes.set_xlim(start_s, end_s)
        if ticks is not None:
            axes.set_xticks(ticks, [str(tick) for tick in ticks])  # as Gravity Spy labels it
        axes.set_xlabel("Time (s)")
        out = io.BytesIO()
        canvas.print_png(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(-0.2, 0.8), (-0.45, 0.55), (-1.0, 0.0), (-2.0, -1.0), (-0.55, 0.45)]
)
def test_a_time_axis_whose_zero_is_elsewhere_is_refused(start_s: float, end_s: float) -> None:
    """An axis without zero in its middle is refused, as the glitch is not in the middle."""
    with pytest.raises(ImageError, match="Zero is not in the middle"):
        read_spectrogram(_drawn(start_s, end_s), "a.png", None, SCALES)


def test_a_time_axis_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ImageError, match="from right to left"):
        read_spectrogram(_drawn(0.5, -0.5), "a.png", None, SCALES)


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(0.0, 1.0), (1126259461.9, 1126259462.9), (-0.001, 0.001)]
)
def test_axes_that_do_not_tell_where_the_glitch_is_are_read(start_s: float, end_s: float) -> None:
    image = read_spectrogram(_drawn(start_s, end_s), "a.png", None, SCALES)
    assert image.observed.all()


# The windows that each axis may belong to, as labelled by matplotlib and by Gravity Spy.
@pytest.mark.parametrize("dpi", [100, 200])
@pytest.mark.parametrize(
    ("window_s", "ticks", "may_be"),
    [
        (0.5, None, {0.5, 1.0}),
        (1.0, None, {0.5, 1.0}),
        (2.0, None, {2.0, 4.0}),
        (4.0, None, {4.0}),
        (0.5, (-0.25, -0.125, 0.0, 0.125, 0.25), {0.5}),
        (1.0, (-0.5, -0.25, 0.0, 0.25, 0.5), {1.0}),
        (2.0, (-1.0, -0.5, 0.0, 0.5, 1.0), {2.0, 4.0}),
        (4.0, (-2.0, -1.0, 0.0, 1.0, 2.0), {2.0, 4.0}),
    ],
)
def test_a_window_that_the_labels_deny_is_refused(
    window_s: float, ticks: tuple[float, ...] | None, may_be: set[float], dpi: int
) -> None:
    """A picture of 4 s under a file name of 1 s is refused, not stored as 1 s."""
    drawn = _drawn(-window_s / 2, window_s / 2, ticks=ticks, dpi=dpi)
    image = read_spectrogram(drawn, "a.png", None, SCALES)
    for duration_s in (0.5, 1.0, 2.0, 4.0):
        if duration_s in may_be:
            views_from_spectrograms({duration_s: image})
            continue
        with pytest.raises(ImageError, match=f"a window of {duration_s:g} s") as refused:
            views_from_spectrograms({duration_s: image})
        assert refused.value.field == "view_duration_s"


def test_a_panel_alone_is_of_any_window() -> None:
    picture = Image.open(io.BytesIO(_drawn(-2.0, 2.0))).convert("RGB")
    colored = np.ptp(np.asarray(picture).astype(int), axis=2) > 40
    rows, columns = np.flatnonzero(colored.any(axis=1)), np.flatnonzero(colored.any(axis=0))
    out = io.BytesIO()
    picture.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)).save(out, "PNG")
    views_from_spectrograms({1.0: read_spectrogram(out.getvalue(), "a.png", None, SCALES)})


@pytest.mark.parametrize("shape", [(1, 2), (1, 3), (1, 4), (2, 1), (2, 2)])
def test_windows_that_share_an_edge_are_not_read_as_one(shape: tuple[int, int]) -> None:
    """Adjacent axes are refused by their labels, which start again, whatever range is given."""
    rows, columns = shape
    frequency = np.geomspace(10, 2048, 200)
    energy = np.random.default_rng(0).exponential(1.0, (199, 199))
    with rc_context():
        rcdefaults()
        figure = Figure(figsize=(4 * columns, 5 * rows))
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots(rows, columns, sharey=True, gridspec_kw={"wspace": 0, "hspace": 0})
        for one, length in zip(axes.ravel(), (0.5, 1.0, 2.0, 4.0), strict=False):
            times = np.linspace(-length / 2, length / 2, 200)
            one.pcolormesh(times, frequency, energy, vmin=0, vmax=25.5)
            one.set_yscale("log", base=2)
            one.set_ylim(10, 2048)
        out = io.BytesIO()
        canvas.print_png(out)
    with pytest.raises(ImageError, match="several windows"):
        read_spectrogram(out.getvalue(), "a.png", None, SCALES)
