"""Pictures with other axes or colour scales: recognised, asked about, or read as stated."""

from __future__ import annotations

import io
from functools import cache

import matplotlib.style
import numpy as np
import pytest
from matplotlib import colormaps, rc_context, rcdefaults, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from glitch.errors import ImageError
from glitch.images import Scales, SpectrogramImage, read_spectrogram

PEAK_HZ = 100.0


@cache  # many tests read the same scan
def _drawn(
    *,
    size: tuple[int, int] = (800, 600),
    axis: tuple[float, float] = (10, 2048),
    top: float | None = None,
    vmax: float = 25.5,
    step: float = 5,
    grid: bool = False,
    base: int = 2,
    style: str | None = None,
    cmap: str | ListedColormap = "viridis",
    is_linear: bool = False,
    vmin: float = 0,
    bar: tuple[float, float, float, float] | None = (0.865, 0.1, 0.036, 0.8),
    labels: str = "left",
    norm: str | float = "linear",  # or "log", or the power of a power law
    dpi: int = 100,
    has_powers: bool = False,
    strain: bool = False,
    edge: str = "black",
    ticks: str = "out",
) -> bytes:
    """Draw a scan with one glitch in a style of matplotlib; it is blank above ``top``."""
    with rc_context():
        rcdefaults()  # another test may have changed the style of the whole process
        rcParams["axes.edgecolor"] = edge
        rcParams["ytick.direction"] = ticks
        if style:
            matplotlib.style.use(style)
        return _drawn_in_style(
            size=size,
            axis=axis,
            top=top,
            vmin=vmin,
            vmax=vmax,
            step=step,
            base=base,
            has_grid=grid,
            cmap=cmap,
            is_linear=is_linear,
            bar_at=bar,
            labels_at=labels,
            norm=norm,
            dpi=dpi,
            has_powers=has_powers,
            has_strain=strain,
        )


def _drawn_in_style(
    *,
    size: tuple[int, int],
    axis: tuple[float, float],
    top: float | None,
    vmax: float,
    step: float,
    base: int,
    has_grid: bool,
    cmap: str | ListedColormap,
    is_linear: bool,
    vmin: float,
    bar_at: tuple[float, float, float, float] | None,
    labels_at: str,
    norm: str | float,
    dpi: int,
    has_powers: bool,
    has_strain: bool,
) -> bytes:
    rng = np.random.default_rng(0)
    figure = Figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.125, 0.1, 0.72, 0.55 if has_strain else 0.8))
    if has_strain:
        above = figure.add_axes((0.125, 0.72, 0.72, 0.2))
        above.plot(np.linspace(-0.5, 0.5, 500), rng.normal(size=500))
        above.set_ylabel("Strain")
        bar_at = bar_at and (*bar_at[:3], 0.55)
    frequency = np.geomspace(axis[0], top or axis[1], 300)
    time = np.linspace(-0.5, 0.5, 300)
    energy = rng.exponential(1.0, (299, 299))
    row = np.exp(-(np.log(frequency[:-1] / PEAK_HZ) ** 2) * 8)
    energy += 30 * row[:, None] * np.exp(-((time[:-1] / 0.02) ** 2))
    scale = LogNorm(vmin, vmax) if norm == "log" else Normalize(vmin, vmax)
    scale = PowerNorm(norm, vmin, vmax) if isinstance(norm, float) else scale
    mesh = axes.pcolormesh(time, frequency, energy, cmap=cmap, norm=scale)
    if not is_linear:
        axes.set_yscale("log", base=base)
    axes.set_ylim(*axis)
    axes.set_ylabel("Frequency [Hz]")
    if labels_at == "right":
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
    if not has_powers:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if has_grid:
        axes.grid(visible=True, color="white")
    else:
        axes.grid(visible=False)
    if bar_at is not None:
        ticks = None if norm == "log" else np.arange(vmin, vmax + 1e-9, step)
        along = "horizontal" if bar_at[2] > bar_at[3] else "vertical"
        where = figure.add_axes(bar_at)
        bar = figure.colorbar(mesh, cax=where, ticks=ticks, orientation=along)
        bar.set_label("Normalized energy")
        bar.ax.grid(visible=False)
    out = io.BytesIO()
    canvas.print_png(out, pil_kwargs={"compress_level": 1})
    return out.getvalue()


@cache
def _read(scales: Scales | None = None, **drawn: object) -> SpectrogramImage:
    return read_spectrogram(_drawn(**drawn), "a.png", None, scales)  # type: ignore[arg-type]


def _peak_hz(image: SpectrogramImage) -> float:
    row = int(image.values.mean(axis=1).argmax())
    return float(10 * 204.8 ** ((row + 0.5) / len(image.values)))


@pytest.mark.parametrize("size", [(800, 600), (1000, 700), (640, 480)])
def test_the_blank_band_of_4_khz_scans_is_marked_at_any_size(size: tuple[int, int]) -> None:
    whole, blank = _read(size=size), _read(size=size, top=1291)
    assert whole.observed.all()
    edges = 10 * 204.8 ** (np.arange(129) / 128)
    np.testing.assert_array_equal(blank.observed[:116], True)
    np.testing.assert_array_equal(blank.observed[118:], False)
    assert edges[116] < 1291 < edges[118]
    assert not blank.values[118:].any()
    assert _peak_hz(blank) == pytest.approx(PEAK_HZ, rel=0.1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("size", "dpi"), [((1000, 700), 100), ((1600, 1200), 200)])
def test_the_grey_frames_of_gwpy_are_seen(kind: str, size: tuple[int, int], dpi: int) -> None:
    """A grey frame is recognised, so the panel does not end at the blank band."""
    drawn = _drawn(size=size, dpi=dpi, top=1291, edge="gray", grid=True)
    whole = Image.open(io.BytesIO(drawn))
    out = io.BytesIO()
    whole.convert("RGB").save(out, kind, quality=90)
    image = read_spectrogram(out.getvalue(), "a.png")
    assert image.assumed == ()
    n_blank = len(image.observed) * np.log(2048 / 1291) / np.log(204.8)
    assert np.flatnonzero(image.observed).max() == pytest.approx(127 - n_blank, abs=1.5)
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)


def test_a_cropped_scan_keeps_its_blank_band() -> None:
    picture = Image.open(io.BytesIO(_drawn(top=1291))).convert("RGB").crop((101, 61, 676, 540))
    out = io.BytesIO()
    picture.save(out, "PNG")
    image = read_spectrogram(out.getvalue(), "a.png")
    assert 116 <= image.observed.sum() <= 118
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)


@pytest.mark.parametrize("axis", [(20.0, 1024.0), (10.0, 4096.0), (8.0, 2048.0), (16.0, 2048.0)])
def test_another_frequency_axis_must_be_stated_and_is_read(axis: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(axis=axis)
    image = _read(Scales(frequency_range_hz=axis), axis=axis)
    edges = 10 * 204.8 ** (np.arange(129) / 128)
    inside = (edges[:-1] >= axis[0]) & (edges[1:] <= axis[1])
    assert image.observed[inside].all()
    assert image.observed.sum() <= inside.sum() + 2
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)


@pytest.mark.parametrize(
    ("vmax", "step"),
    [(15.0, 5), (15.0, 2.5), (10.0, 2), (50.0, 10), (25.0, 5), (255.0, 50), (2.55, 0.5)],
)
def test_another_colour_scale_must_be_stated_and_is_read(vmax: float, step: float) -> None:
    with pytest.raises(ImageError, match="give energy_max"):
        _read(vmax=vmax, step=step)
    image = _read(Scales(energy_max=vmax), vmax=vmax, step=step)
    usual = _read()
    quiet = usual.values < min(vmax, 25.5) / 25.5 * 0.8
    assert np.abs(image.values - usual.values)[quiet].mean() < 0.01 * max(1, vmax / 100)


def test_scans_of_kagra_are_read_with_both_given() -> None:
    image = _read(Scales((10.0, 4096.0), 20.0), axis=(10, 4096), vmax=20, grid=True)
    assert image.observed.all()
    assert image.assumed == ()
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.12)
    without = _read(Scales((10.0, 4096.0), 20.0), axis=(10, 4096), vmax=20)
    # 1 at the grid lines if they were read as energy
    assert np.abs(image.values - without.values).max() < 0.15
    assert np.abs(image.values - without.values).mean() < 0.01


@pytest.mark.parametrize("axis", [(20.0, 1024.0), (20.0, 2048.0), (10.0, 1024.0)])
def test_an_axis_with_two_labels_needs_the_stated_range(axis: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(axis=axis, base=10)
    _read(Scales(frequency_range_hz=axis), axis=axis, base=10)


@pytest.mark.parametrize("axis", [(20.0, 1024.0), (10.0, 2048.0), (8.0, 2048.0), (10.0, 4096.0)])
def test_a_linear_axis_is_refused_whatever_is_stated(axis: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="A linear axis is not read"):
        _read(Scales(frequency_range_hz=axis), axis=axis, is_linear=True)


def test_a_range_that_the_labels_deny_is_refused() -> None:
    with pytest.raises(ImageError, match="frequency_range that the picture shows"):
        _read(Scales(frequency_range_hz=(10.0, 4096.0)))


@pytest.mark.parametrize("style", ["dark_background", "bmh", "fivethirtyeight", "Solarize_Light2"])
def test_labels_of_any_style_are_seen(style: str) -> None:
    image = _read(style=style)
    assert image.assumed == ()
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)
    with pytest.raises(ImageError, match="give energy_max"):
        _read(style=style, vmax=15)
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(style=style, axis=(20, 1024))


def test_viridis_turned_round_is_refused() -> None:
    with pytest.raises(ImageError, match="yellow at its bottom"):
        _read(cmap="viridis_r")


@pytest.mark.parametrize("ends", [(0.1, 1.0), (0.0, 0.85)])
def test_a_part_of_viridis_is_refused(ends: tuple[float, float]) -> None:
    part = ListedColormap(colormaps["viridis"](np.linspace(*ends, 256)))
    with pytest.raises(ImageError, match="does not run through all colours"):
        read_spectrogram(_drawn.__wrapped__(cmap=part), "a.png")


@pytest.mark.parametrize("is_cropped", [False, True])
def test_viridis_turned_round_is_refused_without_its_bar(is_cropped: bool) -> None:
    scan = Image.open(io.BytesIO(_drawn(cmap="viridis_r", bar=None))).convert("RGB")
    out = io.BytesIO()
    (scan.crop((101, 61, 676, 540)) if is_cropped else scan).save(out, "PNG")
    with pytest.raises(ImageError, match="reversed"):
        read_spectrogram(out.getvalue(), "a.png")


def test_a_bar_twice_as_long_is_recognised_by_its_second_label() -> None:
    """The second label distinguishes a bar of twice the energy.

    0, 10, …, 50 of a bar of 0 to 51 have the positions of 0, 5, …, 25 of a bar of 0 to 25.5.
    """
    with pytest.raises(ImageError, match="give energy_max"):
        _read(vmax=51.0, step=10)


def test_a_bar_that_does_not_begin_at_zero_is_refused() -> None:
    for scales in (None, Scales(energy_max=25.5)):
        with pytest.raises(ImageError, match="colour bar"):
            _read(scales, vmin=5)


@pytest.mark.parametrize(
    ("norm", "vmin", "vmax"),
    [
        *(("log", *ends) for ends in ((0.5, 25.5), (1.0, 100.0), (1.0, 10.0), (0.1, 10.0))),
        *((power, 0, 25.5) for power in (0.5, 2.0)),
    ],
)
def test_a_bar_that_is_not_linear_is_refused_whatever_is_stated(
    norm: str | float, vmin: float, vmax: float
) -> None:
    for scales in (None, Scales(energy_max=vmax)):
        with pytest.raises(ImageError, match=r"do not fit.*nly linear .*are read") as refused:
            _read(scales, vmin=vmin, vmax=vmax, norm=norm)
        assert refused.value.field == "energy_max"


def test_a_colour_scale_ten_times_another_is_recognised_by_its_digits() -> None:
    _read(Scales(energy_max=255.0), vmax=255.0, step=50)
    for energy_max, vmax, step in ((25.5, 255.0, 50), (255.0, 25.5, 5), (25.5, 2.55, 0.5)):
        with pytest.raises(ImageError, match="energy_max that the picture shows"):
            _read(Scales(energy_max=energy_max), vmax=vmax, step=step)


def test_a_bar_whose_zero_cannot_be_read_needs_the_stated_energy() -> None:
    """If the zero of a bar cannot be read, its energy is asked for.

    This happens if a picture is reduced without a filter. Positions and widths of the labels 50 and
    250 are like those of 5 and 25.
    """
    scan = Image.open(io.BytesIO(_drawn(vmax=255.0, step=50))).convert("RGB")
    scan.paste("white", (726, 530, 800, 552))
    out = io.BytesIO()
    scan.save(out, "PNG")
    with pytest.raises(ImageError, match="give energy_max"):
        read_spectrogram(out.getvalue(), "a.png")
    image = read_spectrogram(out.getvalue(), "a.png", None, Scales(energy_max=255.0))
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)


def test_labels_too_small_to_read_need_the_stated_scales() -> None:
    small = Image.open(io.BytesIO(_drawn(vmax=15))).convert("RGB").resize((140, 170))
    out = io.BytesIO()
    small.save(out, "PNG")
    with pytest.raises(ImageError, match="give energy_max"):
        read_spectrogram(out.getvalue(), "a.png", None, Scales((10.0, 2048.0)))
    with pytest.raises(ImageError, match="give frequency_range"):
        read_spectrogram(out.getvalue(), "a.png", None, Scales(energy_max=15.0))
    image = read_spectrogram(out.getvalue(), "a.png", None, Scales((10.0, 2048.0), 15.0))
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)


def test_scales_without_labels_are_reported_as_assumed() -> None:
    without_bar = _read(bar=None)
    assert without_bar.assumed == ("energy_max",)
    assert _read(Scales(energy_max=25.5), bar=None).assumed == ()
    panel = Image.open(io.BytesIO(_drawn())).convert("RGB").crop((101, 61, 676, 540))
    out = io.BytesIO()
    panel.save(out, "PNG")
    cropped = read_spectrogram(out.getvalue(), "a.png")
    assert cropped.assumed == ("frequency_range", "energy_max")


def test_a_panel_elsewhere_in_a_picture_of_the_known_size_is_found() -> None:
    low = _read(Scales((10.0, 2048.0), 25.5), bar=(0.125, 0.02, 0.72, 0.02))
    assert _peak_hz(low) == pytest.approx(PEAK_HZ, rel=0.1)


@pytest.mark.parametrize("size", [(800, 600), (741, 444), (1000, 700), (2000, 1500)])
@pytest.mark.parametrize("base", [2, 10])
def test_an_axis_is_taken_as_usual_to_a_pixel(size: tuple[int, int], base: int) -> None:
    is_known = base == 2  # with labels at decades, an axis of 1 to 204.8 Hz has the same positions
    assert _read(size=size, base=base).assumed == (() if is_known else ("frequency_range",))
    for axis in ((10.0, 1900.0), (10.5, 2048.0), (12.0, 2048.0)):
        with pytest.raises(ImageError, match="give frequency_range"):
            _read(size=size, base=base, axis=axis)


def test_an_axis_that_ends_at_2000_hz_needs_the_stated_range() -> None:
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(axis=(10.0, 2000.0))
    assert _read(Scales((10.0, 2000.0)), axis=(10.0, 2000.0)).assumed == ()


@pytest.mark.parametrize("axis", [(10.0, 1960.0), (10.23, 1912.0), (10.66, 1842.0)])
def test_the_axes_of_older_gravity_spy_pictures_are_read_as_usual(
    axis: tuple[float, float],
) -> None:
    """They are told by ticks inside the axes: another picture with this range is asked about."""
    for size in ((800, 600), (1200, 900)):
        assert _read(size=size, axis=axis, ticks="in").assumed == ("frequency_range",)
        with pytest.raises(ImageError, match="give frequency_range"):
            _read(size=size, axis=axis)


@pytest.mark.parametrize(
    "axis", [(10.0, 1600.0), (10.0, 1800.0), (10.0, 1900.0), (10.5, 2000.0), (12.0, 1800.0)]
)
def test_an_axis_near_those_of_older_pictures_is_asked_about(axis: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(axis=axis, ticks="in")
    assert _read(Scales(axis), axis=axis, ticks="in").assumed == ()


@pytest.mark.parametrize("axis", [(20.0, 4096.0), (5.0, 1024.0), (40.0, 8192.0)])
@pytest.mark.parametrize("labels", ["numbers", "powers"])
def test_an_axis_of_the_same_octaves_elsewhere_is_recognised_by_its_digits(
    axis: tuple[float, float], labels: str
) -> None:
    """The digits distinguish an axis whose labels have the positions of those of 10 to 2048 Hz."""
    drawn = {"axis": axis, "has_powers": labels == "powers"}
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(**drawn)
    if labels == "numbers":
        with pytest.raises(ImageError, match="frequency_range that the picture shows"):
            _read(Scales((10.0, 2048.0)), **drawn)
    assert _read(Scales(axis), **drawn).assumed == ()


def test_labels_as_powers_of_two_are_as_good_as_numbers() -> None:
    assert _read(has_powers=True).assumed == ()


@pytest.mark.parametrize(("size", "dpi"), [((2400, 1800), 300), ((3600, 1800), 300)])
def test_pictures_for_print_are_read(size: tuple[int, int], dpi: int) -> None:
    image = _read(size=size, dpi=dpi)
    assert image.assumed == ()
    assert image.observed.all()
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(size=size, dpi=dpi, axis=(10.0, 2000.0))


@pytest.mark.parametrize(("size", "dpi"), [((800, 600), 100), ((1200, 900), 150)])
def test_a_scan_below_a_plot_of_the_strain_is_read_alone(size: tuple[int, int], dpi: int) -> None:
    image = _read(size=size, dpi=dpi, strain=True)
    assert image.assumed == ()
    assert image.observed.all()
    assert _peak_hz(image) == pytest.approx(PEAK_HZ, rel=0.1)
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(size=size, dpi=dpi, strain=True, axis=(20.0, 1024.0))


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"frequency_range_hz": (2048.0, 10.0)}, "the lower first"),
        ({"energy_max": -1.0}, "energy_max must be"),
        ({"energy_max": float("nan")}, "energy_max must be"),
    ],
)
def test_invalid_scales_are_refused(scales: dict[str, object], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Scales(**scales)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1200, 600), (1600, 900), (400, 300), (1200, 400)])
def test_labels_are_distinguished_from_axis_names_at_any_size(size: tuple[int, int]) -> None:
    assert _read(size=size).assumed == ()
    with pytest.raises(ImageError, match="give energy_max"):
        _read(size=size, vmax=15.0)
    _read(Scales(energy_max=15.0), size=size, vmax=15.0)


def test_labels_right_of_the_panel_are_found() -> None:
    assert _read(labels="right", bar=None).assumed == ("energy_max",)
    with pytest.raises(ImageError, match="give frequency_range"):
        _read(labels="right", bar=None, axis=(20.0, 1024.0))


@pytest.mark.parametrize(
    "bar", [(0.125, 0.92, 0.72, 0.03), (0.125, 0.02, 0.72, 0.03), (0.01, 0.1, 0.02, 0.8)]
)
def test_a_colour_bar_elsewhere_needs_the_stated_scale(
    bar: tuple[float, float, float, float],
) -> None:
    with pytest.raises(ImageError, match="bar is not to the right of the panel"):
        _read(bar=bar, vmax=15.0)
    assert _read(Scales(energy_max=15.0), bar=bar, vmax=15.0).assumed == ()


@pytest.mark.parametrize("width", [600, 640, 700])
def test_a_reduced_bar_runs_through_all_of_viridis(width: int) -> None:
    """Its edges are mixed with the frame."""
    scan = Image.open(io.BytesIO(_drawn())).convert("RGB").resize((width, width * 3 // 4))
    out = io.BytesIO()
    scan.save(out, "PNG")
    assert read_spectrogram(out.getvalue(), "a.png").assumed == ()


@pytest.mark.parametrize("height", [0.5, 0.2])
def test_a_bar_shorter_than_the_panel_is_checked(height: float) -> None:
    bar = (0.865, 0.2, 0.02, height)
    assert _read(bar=bar, step=10).assumed == ()
    with pytest.raises(ImageError, match="give energy_max"):
        _read(bar=bar, vmax=50.0, step=10)


@pytest.mark.parametrize("shade", [20, 128, 255])
@pytest.mark.parametrize("margin", [(10, 10), (20, 20), (400, 150)])
@pytest.mark.parametrize("scales", [None, Scales((10.0, 2048.0), 25.5)])
@pytest.mark.parametrize("style", [None, "dark_background"])
def test_surroundings_of_a_scan_change_nothing(
    shade: int, margin: tuple[int, int], scales: Scales | None, style: str | None
) -> None:
    """A frame or slide around a scan changes nothing; grey text and dark pages are recognised."""
    scan = Image.open(io.BytesIO(_drawn(style=style))).convert("RGB")
    around = Image.new("RGB", (800 + 2 * margin[0], 600 + 2 * margin[1]), (shade,) * 3)
    around.paste(scan, margin)
    written = io.BytesIO()
    around.save(written, "PNG", compress_level=1)
    framed = read_spectrogram(written.getvalue(), "a.png", scales=scales)
    np.testing.assert_array_equal(framed.values, _read(scales, style=style).values)
