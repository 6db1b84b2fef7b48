"""Rendering views and reading them back: the panel, the colour map, grey rows."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from PIL import Image

from glitch.errors import GlitchError, ImageError
from glitch.images import (
    omega_scan,
    read_spectrogram,
    render_omega_scan,
    render_view,
    views_from_spectrograms,
)
from glitch.images.colormap import viridis
from glitch.images.panel import KNOWN_PANELS, Box, DrawnCells
from glitch.images.render import ABSENT_GREY, PLAIN_SIZE
from glitch.views import Preprocessing

ROUND_TRIP = 0.02  # as a fraction of the clip scale


def glitch_view() -> np.ndarray:
    """A loud blip with sharp edges over noise, at low frequencies and late in time."""
    rng = np.random.default_rng(5)
    view = np.clip(rng.exponential(0.04, (128, 128)), 0, 1)
    view[20:60, 90:94] = 1.0
    view[21, :] = 0.5
    return view.astype(np.float32)


VIEW = glitch_view()


def rgb(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


def png_of(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_plain_round_trip() -> None:
    image = read_spectrogram(render_view(VIEW), "L1_HlF0RJURZ9_spectrogram_0.5.png")
    assert np.abs(image.values - VIEW).max() < ROUND_TRIP
    assert image.observed.all()
    assert image.name.gravityspy_id == "HlF0RJURZ9"
    assert image.colormap_distance < 0.1


def test_omega_scan_round_trip() -> None:
    image = read_spectrogram(render_omega_scan(VIEW, 0.5, title="Livingston"), "x.png")
    assert np.abs(image.values - VIEW).max() < ROUND_TRIP
    assert image.observed.all()


@given(st.integers(128, 700), st.integers(128, 700))
@settings(max_examples=15)
def test_plain_round_trip_at_any_size(width: int, height: int) -> None:
    image = read_spectrogram(render_view(VIEW, size=(width, height)), "x.png")
    assert np.abs(image.values - VIEW).max() < ROUND_TRIP


def test_frequency_runs_up_and_time_to_the_right() -> None:
    view = np.zeros((128, 128), dtype=np.float32)
    view[0, :64] = 1  # lowest frequency, first half
    pixels = rgb(render_view(view))
    assert tuple(pixels[-1, 0]) == tuple(viridis()[-1])
    assert tuple(pixels[-1, -1]) == tuple(viridis()[0])
    assert tuple(pixels[0, 0]) == tuple(viridis()[0])


def test_the_plain_render_draws_every_one_of_the_colours() -> None:
    view = ((np.arange(256, dtype=np.float32) + 0.5) / 256).reshape(16, 16)
    pixels = rgb(render_view(view, size=(16, 16)))
    np.testing.assert_array_equal(pixels[::-1].reshape(256, 3), viridis())


def test_rows_that_were_not_observed_are_grey_and_read_back_as_absent() -> None:
    observed = np.arange(128) < 100
    view = VIEW * observed[:, None].astype(np.float32)
    for png in (render_view(view, observed), render_omega_scan(view, 1.0, observed=observed)):
        assert (rgb(png) == ABSENT_GREY).all(axis=-1).mean() > 0.1
        image = read_spectrogram(png, "x.png")
        np.testing.assert_array_equal(image.observed, observed)
        assert not image.values[~observed].any()
        assert np.abs(image.values - view).max() < ROUND_TRIP
        views = views_from_spectrograms({1.0: image})
        np.testing.assert_array_equal(views.observed[1], observed)
        assert not views.observed[[0, 2, 3]].any()


def test_grey_rows_survive_a_jpeg_of_known_size() -> None:
    observed = np.arange(128) < 100
    view = VIEW * observed[:, None].astype(np.float32)
    out = BytesIO()
    scan = Image.open(BytesIO(render_omega_scan(view, 1.0, observed=observed)))
    scan.convert("RGB").save(out, "JPEG", quality=95)
    image = read_spectrogram(out.getvalue(), "x.jpg")
    assert np.abs(image.observed.sum() - 100) <= 1
    assert np.abs(image.values - view)[:99].mean() < 0.02


def test_the_plain_render_has_the_size_that_was_asked_for() -> None:
    assert rgb(render_view(VIEW)).shape == (PLAIN_SIZE[1], PLAIN_SIZE[0], 3)
    assert rgb(render_view(VIEW, size=(64, 32))).shape == (32, 64, 3)


@pytest.mark.parametrize("size", [(0, 10), (10, 5000)])
def test_absurd_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(GlitchError, match="not drawn"):
        render_view(VIEW, size=size)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_non_finite_values_are_not_drawn(value: float) -> None:
    view = VIEW.copy()
    view[3, 3] = value
    with pytest.raises(GlitchError, match="finite values"):
        render_view(view)


def test_the_omega_scan_is_laid_out_like_gravity_spys() -> None:
    pixels = rgb(render_omega_scan(VIEW, 4.0, title="Hanford"))
    assert pixels.shape == (600, 800, 3)
    box = KNOWN_PANELS[(800, 600)]
    spread = pixels.max(axis=2).astype(int) - pixels.min(axis=2)
    assert (spread[box.top : box.bottom, box.left : box.right] > 40).all()
    bar = spread[box.top + 2 : box.bottom - 2, 694:718]
    assert (bar > 40).all()
    assert (spread[:, : box.left - 2] == 0).all()  # labels are black on white
    top_of_bar = pixels[box.top + 2, 705].astype(int)
    assert np.abs(top_of_bar - viridis()[-1]).max() < 6


def test_the_omega_scan_does_not_follow_what_others_did_to_matplotlib() -> None:
    plain = render_omega_scan(VIEW, 4.0, title="Plain")
    with rc_context({"axes.grid": True, "grid.color": "red"}):
        omega_scan._frame.cache_clear()
        assert render_omega_scan(VIEW, 4.0, title="Plain") == plain


def test_a_title_with_markup_is_drawn_as_it_is_written() -> None:
    odd = render_omega_scan(VIEW, 4.0, title="$\\frac{x$ _^ \n" + "a" * 500)
    assert rgb(odd).shape == (600, 800, 3)


def test_the_panel_is_found_without_our_own_statement() -> None:
    bare = png_of(rgb(render_omega_scan(VIEW, 0.5, title="Livingston")))
    image = read_spectrogram(bare, "x.png")
    assert np.abs(image.values - VIEW).mean() < 0.01
    assert np.abs(image.values - VIEW).max() < 0.2  # pixels on the edges of cells mix their values


@pytest.mark.parametrize("size", [(1000, 750), (600, 450), (640, 480)])
def test_the_panel_is_found_at_any_size(size: tuple[int, int]) -> None:
    scan = Image.open(BytesIO(render_omega_scan(VIEW, 0.5))).convert("RGB")
    shrunk = np.asarray(scan.resize(size, Image.Resampling.LANCZOS))
    image = read_spectrogram(png_of(shrunk), "x.png")
    assert np.abs(image.values - VIEW).mean() < 0.015


def test_the_panel_is_found_off_centre_on_a_page() -> None:
    page = np.full((900, 1200, 3), 255, dtype=np.uint8)
    page[300:766, 17:587] = rgb(render_view(VIEW))
    image = read_spectrogram(png_of(page), "x.png")
    assert np.abs(image.values - VIEW).mean() < 0.01


def test_two_spectrograms_in_one_picture_are_refused() -> None:
    panel = rgb(render_view(VIEW))
    gap = np.full((panel.shape[0], 60, 3), 255, dtype=np.uint8)
    with pytest.raises(ImageError, match="several windows"):
        read_spectrogram(png_of(np.concatenate([panel, gap, panel], axis=1)), "x.png")


def test_a_spectrogram_of_few_pixels_is_refused() -> None:
    with pytest.raises(ImageError, match="only 40 x 40 pixels"):
        read_spectrogram(render_view(VIEW, size=(40, 40)), "x.png")


def gradient(red: int, green: int, blue: int) -> np.ndarray:
    """A smooth picture of one hue."""
    ramp = np.linspace(0, 1, 400)[:, None, None] * np.ones((1, 300, 1))
    return (ramp * np.array([red, green, blue])).astype(np.uint8)


def colored_by(name: str) -> np.ndarray:
    from matplotlib import colormaps

    view = np.repeat(np.repeat(VIEW[::-1], 4, axis=0), 4, axis=1)
    return np.asarray(colormaps[name](view, bytes=True)[..., :3])


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((600, 800, 3), 255, dtype=np.uint8),
        np.zeros((600, 800, 3), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8),
        gradient(255, 120, 60),
        gradient(80, 160, 255),
        colored_by("magma"),
        colored_by("plasma"),
        colored_by("jet"),
        colored_by("turbo"),
        colored_by("cividis"),
    ],
    ids=["white", "black", "noise", "sunset", "sky", "magma", "plasma", "jet", "turbo", "cividis"],
)
def test_other_pictures_are_refused_with_their_distance_from_the_map(pixels: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"away from the map \(RGB distance, limit 16\)"):
        read_spectrogram(png_of(pixels), "L1_HlF0RJURZ9_spectrogram_0.5.png")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_grey_picture_stored_in_colour_is_called_grey(form: str) -> None:
    """Of 16-bit grey with transparency, Pillow makes a colour picture, too."""
    buffer = BytesIO()
    Image.fromarray(colored_by("gray")).save(buffer, form)
    with pytest.raises(ImageError, match=r"is grey-scale.*Send the colour original"):
        read_spectrogram(buffer.getvalue(), "L1_HlF0RJURZ9_spectrogram_0.5.png")


def test_a_recipe_of_other_scales_is_refused() -> None:
    with pytest.raises(ImageError, match="needs strain"):
        read_spectrogram(render_view(VIEW), "x.png", Preprocessing(highest_frequency_hz=1024.0))


def test_another_grid_is_served() -> None:
    image = read_spectrogram(render_view(VIEW), "x.png", Preprocessing(n_frequency=64, n_time=32))
    means = VIEW.reshape(64, 2, 32, 4).mean(axis=(1, 3))
    assert image.values.shape == (64, 32)
    assert np.abs(image.values - means).max() < 0.1
    assert np.abs(image.values - means).mean() < 0.01


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "128x128 cells at 0,0,570",
        "128x128 cells at 0,0,571,466",  # outside the picture
        "128x128 cells at 5,5,5,466",
        "0x128 cells at 0,0,570,466",
        "600x128 cells at 0,0,570,466",  # more cells than pixels
        "128x128 cells at 0,0,570,466; drop",
    ],
)
def test_an_impossible_statement_of_cells_is_ignored(text: str | None) -> None:
    assert DrawnCells.parse(text, 570, 466) is None


def test_a_correct_statement_of_cells_is_used() -> None:
    drawn = DrawnCells((128, 64), Box(1, 2, 569, 465))
    assert DrawnCells.parse(drawn.text(), 570, 466) == drawn
