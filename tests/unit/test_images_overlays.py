"""Pictures with something drawn over the spectrogram, or reduced in size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from glitch.errors import ImageError
from glitch.images import SpectrogramImage, read_spectrogram, render_omega_scan
from glitch.images.colormap import viridis

INSET = (420, 110, 600, 280)


@pytest.fixture(scope="module")
def view() -> np.ndarray:
    view = np.clip(np.random.default_rng(0).exponential(0.04, (128, 128)), 0, 1)
    view[40:60, 60:66] = 0.9
    return view.astype(np.float32)


@pytest.fixture
def scan(view: np.ndarray) -> Image.Image:
    return Image.open(io.BytesIO(render_omega_scan(view, 1.0, title="H1"))).convert("RGB")


def read(picture: Image.Image, kind: str = "PNG") -> SpectrogramImage:
    out = io.BytesIO()
    picture.save(out, kind, quality=90)
    return read_spectrogram(out.getvalue(), "a.png")


OVERLAYS = ["black", "white", "legend", "box"]


@pytest.mark.parametrize(
    ("what", "kind"),
    [*((what, kind) for what in OVERLAYS for kind in ("PNG", "JPEG")), ("smaller", "PNG")],
)
def test_overlays_on_a_scan_are_refused(scan: Image.Image, what: str, kind: str) -> None:
    draw = ImageDraw.Draw(scan)
    left, top, right, bottom = INSET
    if what == "legend":
        draw.rectangle((560, 70, 660, 100), fill=(250, 250, 250), outline=(204, 204, 204))
        draw.text((575, 78), "peak", fill="black")
    elif what == "box":
        draw.rectangle((200, 200, 300, 350), outline="white", width=2)
    else:
        scan.paste(scan.crop((300, 200, 300 + right - left, 200 + bottom - top)), INSET[:2])
        draw.rectangle(INSET, outline="white" if what == "white" else "black")
        for x in (left, left + 60, right):  # ticks, also at the corners
            draw.line((x, bottom, x, bottom + 5), fill="black")
        if what == "smaller":
            scan = scan.resize((600, 450), Image.Resampling.BILINEAR)
    with pytest.raises(ImageError, match="covers part of the spectrogram"):
        read(scan, kind)


@pytest.mark.parametrize("width", [800, 400])
@pytest.mark.parametrize("what", ["across", "upright", "text", "band"])
def test_thin_insets_are_seen_at_half_the_size_too(
    scan: Image.Image, what: str, width: int
) -> None:
    """Thin insets are recognised at half the size, too.

    A colour bar within the panel has no visible frame, and a box of text is low.
    """
    draw = ImageDraw.Draw(scan, "RGBA")
    if what in ("across", "upright"):
        bar = scan.crop((700, 61, 712, 539)).resize((12, 240))  # part of the colour bar
        scan.paste(bar.rotate(-90, expand=True) if what == "across" else bar, (400, 100))
    elif what == "text":
        draw.rectangle((250, 80, 420, 98), fill="white")
        draw.text((256, 83), "H1 at 1126259462.4, SNR 13", fill="black", font_size=11)
    else:
        draw.rectangle((360, 61, 410, 539), fill=(255, 255, 255, 128))
    with pytest.raises(ImageError, match="covers part of the spectrogram"):
        read(scan.resize((width, width * 3 // 4), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("width", [800, 400])
@pytest.mark.parametrize("what", ["line", "letters", "dashes"])
def test_white_marks_are_no_energy(
    scan: Image.Image, view: np.ndarray, what: str, width: int
) -> None:
    draw = ImageDraw.Draw(scan)
    if what == "line":
        draw.line((300, 61, 300, 539), fill="white", width=2)
    elif what == "letters":
        draw.text((150, 90), "H1 at 1126259462.4, SNR 13", fill="white", font_size=26)
    else:
        for y in range(61, 530, 16):
            draw.line((387, y, 387, y + 8), fill="white", width=2)
    picture = scan.resize((width, width * 3 // 4), Image.Resampling.LANCZOS)
    plain = np.abs(read(picture).values - view)
    assert np.quantile(plain, 0.999) < 0.2  # 1 at the mark if it were read as energy
    assert plain.mean() < 0.02


@pytest.mark.parametrize(
    "cut", [(0, 0, 450, 600), (250, 0, 800, 600), (0, 200, 800, 600), (0, 0, 450, 300)]
)
def test_a_panel_that_was_cut_at_an_edge_is_refused(
    scan: Image.Image, cut: tuple[int, int, int, int]
) -> None:
    with pytest.raises(ImageError, match="may have been cut"):
        read(scan.crop(cut))
    read(scan.crop((101, 61, 674, 540)))  # exactly its panel


@pytest.mark.parametrize("what", ["a time", "a frequency", "a grid", "text", "a track", "dashes"])
def test_lines_and_letters_over_a_scan_are_not(
    scan: Image.Image, view: np.ndarray, what: str
) -> None:
    draw = ImageDraw.Draw(scan)
    times = range(130, 674, 80) if what == "a grid" else [387] if what == "a time" else []
    rows = range(80, 540, 60) if what == "a grid" else [300] if what == "a frequency" else []
    for x in times:
        draw.line((x, 61, x, 539), fill="white")
    for y in rows:
        draw.line((101, y, 673, y), fill="white")
    if what == "text":
        draw.text((150, 90), "H1 at 1126259462.4, SNR 13", fill="white", font_size=20)
    if what == "a track":
        draw.line((120, 500, 300, 400, 500, 200, 650, 90), fill="black", width=2)
    if what == "dashes":
        for x in range(101, 660, 20):
            draw.line((x, 300, x + 10, 300), fill="white", width=2)
            draw.line((x, 400, x + 10, 400), fill="white", width=2)
    assert np.abs(read(scan).values - view).mean() < 0.01


@pytest.mark.parametrize(
    ("width", "filtered"), [(475, "BICUBIC"), (475, "LANCZOS"), (500, "BOX"), (575, "BILINEAR")]
)
def test_a_minus_that_a_smaller_picture_lost_moves_no_zero(
    scan: Image.Image, width: int, filtered: str
) -> None:
    image = read(scan.resize((width, width * 3 // 4), Image.Resampling[filtered]))
    assert image.assumed == ()


def test_a_blank_band_is_no_overlay(view: np.ndarray) -> None:
    observed = np.ones(128, dtype=np.bool_)
    observed[50:70] = False
    data = render_omega_scan(view * observed[:, None], 1.0, observed=observed)
    image = read(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.count_nonzero(~image.observed) in range(18, 22)


@pytest.mark.parametrize("filtered", ["BILINEAR", "BICUBIC", "LANCZOS", "BOX"])
def test_a_scan_made_half_as_large_is_read(
    scan: Image.Image, view: np.ndarray, filtered: str
) -> None:
    """At half the size, labels are faint and the title of the bar is two pixels from them."""
    image = read(scan.resize((400, 300), Image.Resampling[filtered]))
    assert image.assumed == ()
    assert np.abs(image.values - view).mean() < 0.02


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("n_windows", [(1, 2), (2, 1), (4, 1)])
def test_windows_that_touch_are_not_read_as_one(
    scan: Image.Image, n_windows: tuple[int, int], gap: int
) -> None:
    """Adjacent panels without axes are refused, instead of being read as one glitch."""
    panel = scan.crop((101, 61, 674, 540)).resize((170, 140))
    across, along = n_windows
    size = (across * (170 + gap) - gap, along * (140 + gap) - gap)
    montage = Image.new("RGB", size, "white")
    for column in range(across):
        for row in range(along):
            montage.paste(panel, (column * (170 + gap), row * (140 + gap)))
    with pytest.raises(ImageError, match="send each window as a file of its own"):
        read(montage)
    assert read(panel).observed.all()


def of_texture(seed: int) -> np.ndarray:
    """A scan that varies in time like real ones: slowly at the bottom, by the cell at the top."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in np.geomspace(1, 60, 140):
        kernel = np.hanning(int(width) + 2)
        rows.append(np.convolve(rng.exponential(1, 400), kernel, "same")[100:270] / kernel.sum())
    return np.clip(0.06 * np.array(rows), 0, 1).astype(np.float32)


def png(fractions: np.ndarray) -> Image.Image:
    return Image.fromarray(viridis()[np.rint(fractions * 255).astype(int)])


@pytest.mark.parametrize("scale", [1.0, 0.6, 1.7])
def test_two_by_two_windows_without_axes_are_refused(scale: float) -> None:
    """Four adjacent windows are refused, instead of being read as one."""
    tiles = [of_texture(seed) for seed in range(4)]
    one, four = png(tiles[0]), png(np.block([tiles[:2], tiles[2:]]))
    size = (round(scale * four.width), round(scale * four.height))
    with pytest.raises(ImageError, match="holds several windows"):
        read(four.resize(size))
    np.testing.assert_array_less(read(one.resize(size)).colormap_distance, 5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("factor", [0.85, 0.92, 1.08, 1.15])
def test_pictures_made_brighter_or_darker_are_refused(
    scan: Image.Image, factor: float, kind: str
) -> None:
    """Brightened or darkened pictures are refused.

    Their energies would be wrong by up to 3 % of the scale on average.
    """
    changed = scan.point([min(255, round(factor * level)) for level in range(256)] * 3)
    with pytest.raises(ImageError, match="shifted from viridis in one direction"):
        read(changed, kind)
    read(scan, kind)


def test_colours_off_viridis_by_little_are_read(scan: Image.Image, view: np.ndarray) -> None:
    changed = scan.point([round(0.97 * level) for level in range(256)] * 3)
    assert np.abs(read(changed).values - view).mean() < 0.0116


@pytest.mark.parametrize("n_colors", [8, 16])
@pytest.mark.parametrize("method", [Image.Quantize.MEDIANCUT, Image.Quantize.FASTOCTREE])
def test_a_palette_too_small_for_the_energies_is_refused(
    scan: Image.Image, view: np.ndarray, n_colors: int, method: Image.Quantize
) -> None:
    with pytest.raises(ImageError, match="colours, so most of its energies are lost"):
        read(scan.quantize(n_colors, method).crop((101, 61, 674, 540)))
    assert np.abs(read(scan.quantize(64)).values - view).mean() < 0.01


@pytest.mark.parametrize("quality", [20, 50])
def test_the_blocks_of_a_jpeg_are_no_seams(quality: int) -> None:
    one = of_texture(0)
    one[40:60, 80:90] = 0.9
    picture = png(one).resize((573, 479))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    assert read_spectrogram(out.getvalue(), "a.jpg").observed.all()


@pytest.mark.parametrize(
    ("span", "color"),
    [((330, 61, 450, 539), (255, 255, 255, 26)), ((101, 250, 673, 300), (255, 0, 0, 77))],
)
def test_a_marked_span_is_refused(
    scan: Image.Image, span: tuple[int, int, int, int], color: tuple[int, int, int, int]
) -> None:
    """The colours below a translucent span are no longer those of the energies."""
    ImageDraw.Draw(scan, "RGBA").rectangle(span, fill=color)
    with pytest.raises(ImageError, match="A band of other colours"):
        read(scan)


def test_a_scan_turned_or_upside_down_is_refused() -> None:
    """Energy varies more slowly in time at low frequencies, in time that runs to the right."""
    upright = png(of_texture(0)).resize((573, 479))
    for turn in (
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_270,
        Image.Transpose.FLIP_TOP_BOTTOM,
    ):
        with pytest.raises(ImageError, match="turned or upside down"):
            read(upright.transpose(turn))
    assert read(upright).observed.all()
