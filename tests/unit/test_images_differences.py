"""Pictures of differences: white is zero, signs are symmetric, grey was not observed."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from glitch.errors import GlitchError
from glitch.images import DIFFERENCE_LIMIT, render_difference, render_strip
from glitch.images.colormap import viridis
from glitch.images.differences import STRIP_GAP
from glitch.images.render import ABSENT_GREY


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)))


def test_zero_is_neutral_and_the_signs_are_blue_and_red() -> None:
    difference = np.zeros((4, 4), dtype=np.float32)
    difference[3, 0], difference[3, 3] = -9, DIFFERENCE_LIMIT
    drawn = pixels(render_difference(difference, size=(8, 8))).astype(int)
    assert np.ptp(drawn[7, 4]) <= 2  # no colour
    assert drawn[7, 4].min() > 240
    below, above = drawn[0, 0], drawn[0, 7]  # the highest frequency is at the top
    assert below[2] > below[0] + 50
    assert above[0] > above[2] + 50


def test_rows_that_were_not_measured_are_grey() -> None:
    observed = np.array([True, True, False, False])
    drawn = pixels(render_difference(np.zeros((4, 4), dtype=np.float32), observed, size=(4, 4)))
    assert tuple(drawn[0, 0]) == ABSENT_GREY
    assert tuple(drawn[3, 0]) != ABSENT_GREY


def test_a_strip_holds_the_views_in_order_with_gaps() -> None:
    low, high = np.zeros((4, 4), dtype=np.float32), np.ones((4, 4), dtype=np.float32)
    drawn = pixels(render_strip([low, high], (6, 8)))
    assert drawn.shape == (8, 12 + STRIP_GAP, 4)
    np.testing.assert_array_equal(drawn[0, 0], [*viridis()[0], 255])
    np.testing.assert_array_equal(drawn[0, -1], [*viridis()[-1], 255])
    assert not drawn[:, 6 : 6 + STRIP_GAP, 3].any()


def test_an_absent_view_is_hatched_between_transparent_gaps() -> None:
    drawn = pixels(render_strip([None, np.zeros((4, 4), dtype=np.float32)], (24, 24)))
    colours = {tuple(colour) for colour in drawn[:, :24, :3].reshape(-1, 3)}
    assert len(colours) == 2
    assert ABSENT_GREY in colours
    assert not drawn[:, 24 : 24 + STRIP_GAP, 3].any()
    np.testing.assert_array_equal(drawn[0, -1], [*viridis()[0], 255])


def test_values_that_cannot_be_drawn_are_refused() -> None:
    flat = np.zeros((4, 4), dtype=np.float32)
    with pytest.raises(GlitchError, match="finite"):
        render_difference(flat * np.nan)
    with pytest.raises(GlitchError, match="finite"):
        render_difference(flat, limit=0.0)
    with pytest.raises(GlitchError, match="not drawn"):
        render_strip([flat] * 50, (100, 100))
    with pytest.raises(GlitchError, match="not drawn"):
        render_strip([], (100, 100))
