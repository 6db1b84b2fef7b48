"""Each of the 256 colours is read as its own level, not as a neighbour's."""

import numpy as np
import pytest
from matplotlib import colormaps

from glitch.images.colormap import invert, read_colors, viridis
from glitch.images.grid import shares


def levels(colours: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the level that each colour is read as, in 1/256, and the distance from the map."""
    pixels = np.tile(colours.astype(np.uint8)[None], (4, 1, 1))
    words = (pixels.astype(np.uint32) << np.array([0, 8, 16], np.uint32)).sum(axis=2, dtype="u4")
    fraction, distance = invert(pixels, read_colors(words).nearest, np.ones(4, dtype=np.bool_))
    return 256 * fraction[0], distance


def test_the_table_is_matplotlibs() -> None:
    expected = colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(viridis(), expected)


def test_every_colour_of_the_table_is_read_as_its_own_level() -> None:
    found, distance = levels(viridis())
    # Colour i is level i + 0.5; the last, which includes clipped values, is the full scale.
    assert found[255] == 256
    errors = found[:255] - np.arange(255) - 0.5
    assert abs(errors.mean()) < 0.03  # an offset of one level would give 1
    assert np.median(np.abs(errors)) < 0.05
    assert np.abs(errors).max() <= 1  # where neighbours have nearly equal colours
    assert distance < 0.05


def test_a_colour_between_two_is_read_between_them() -> None:
    table = viridis().astype(np.float64)
    found, _ = levels(np.rint((table[:254] + table[1:255]) / 2))
    errors = found[:253] - np.arange(1, 254)
    assert abs(errors.mean()) < 0.03
    assert np.median(np.abs(errors)) < 0.25  # channels are rounded to integers


@pytest.mark.parametrize("axis", [0, 1])
def test_shares_are_means(axis: int) -> None:
    # more than a 16-bit integer can count
    are_true = np.random.default_rng(1).random((70_000, 6)) < 0.4
    part = are_true[3:, 1:5]
    assert (shares(part, axis) == part.mean(axis=axis)).all()
