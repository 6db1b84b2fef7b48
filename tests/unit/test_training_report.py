"""The examination: PCA is correct, splits keep groups whole, and rows name what they contain."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from glitch.model import Architecture, ViewsVAE
from training.data.pack import Pack
from training.evaluation.report import (
    as_markdown,
    examine,
    pooled_pixels,
    reduce_by_pca,
    single_panels,
)
from training.views.anchor import fit_anchor

SMALL = Architecture(
    n_frequency=16, n_time=16, channels=(4,), painter_channels=(4,), hidden=4, latent=2
)


def bands(n: int = 60) -> Pack:
    """Three classes at heights of a band; every fourth glitch has only its first view."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 30, size=(n, 4, 16, 16)).astype(np.uint8)
    observed = np.ones((n, 4, 16), dtype=np.bool_)
    for index in range(n):
        values[index, :, 5 * (index % 3) : 5 * (index % 3) + 3] = 220
        if index % 4 == 0:
            observed[index, 1:] = False
            values[index, 1:] = 0
    labels = tuple("abc"[index % 3] for index in range(n))
    return Pack(values, observed, labels, tuple(f"g{index}" for index in range(n)))


@pytest.fixture(scope="module")
def model() -> ViewsVAE:
    made = ViewsVAE(SMALL)
    fit_anchor(made, [bands()], 60, seed=0)
    return made


def test_turned_pixels_have_the_principal_components_of_the_pixels(model: ViewsVAE) -> None:
    pack = bands()
    turned = pooled_pixels(model, pack, is_amplitude=False, is_filled=False)
    pixels = (pack.values / 255.0).reshape(60, 4, 8, 2, 8, 2).mean(axis=(3, 5)).reshape(60, -1)
    np.testing.assert_allclose(turned @ turned.T, pixels @ pixels.T, atol=1e-3)
    train, test = np.arange(40), np.arange(40, 60)
    known, reduced = reduce_by_pca(2)(turned[train], turned[test])
    fitted = PCA(2, random_state=0).fit(pixels[train])
    expected = np.abs(fitted.transform(pixels[test]))
    np.testing.assert_allclose(np.abs(reduced), expected, atol=1e-2)
    assert known.shape == (40, 2)


def test_components_of_few_glitches_are_none_of_rounding_errors() -> None:
    rng = np.random.default_rng(0)
    known, reduced = reduce_by_pca(8)(rng.normal(size=(5, 20)), rng.normal(size=(3, 20)))
    assert (known.shape, reduced.shape) == ((5, 4), (3, 4))  # five centred vectors have rank four
    assert known.std(axis=0).min() > 0.1


def test_filled_views_say_nothing_of_absence(model: ViewsVAE) -> None:
    pack = bands()
    absent = ~pack.observed.any(axis=2)[:, 1]
    empty = Pack(pack.values * 0, pack.observed, pack.labels, pack.groups)
    filled = pooled_pixels(model, empty, is_amplitude=False, is_filled=True)
    assert np.ptp(filled, axis=0).max() == 0
    zero = pooled_pixels(model, pack, is_amplitude=False, is_filled=False)
    assert np.abs(zero[absent].mean(axis=0) - zero[~absent].mean(axis=0)).max() > 0.1


def test_lone_panels_show_one_picture_each() -> None:
    pack = bands(8)
    panels = single_panels(pack)
    assert panels.values.shape == (2 * 1 + 6 * 4, 1, 16, 16)
    np.testing.assert_array_equal(panels.values[0, 0], pack.values[0, 0])
    np.testing.assert_array_equal(panels.values[3, 0], pack.values[1, 2])
    assert panels.labels[3] == pack.labels[1]


def test_examination_reports_both_protocols_for_every_representation(model: ViewsVAE) -> None:
    pack = bands()
    train = frozenset(pack.groups[:40])
    rows, agreement = examine(model, pack, train, seeds=(0,))
    assert {row.protocol for row in rows} == {"held-out", "cross-validated"}
    assert {row.sample for row in rows} == {
        "all views",
        "any lone view",
        "0.5 s alone",
        "1 s alone",
        "2 s alone",
        "4 s alone",
    }
    held = {
        (row.representation, row.probe): row
        for row in rows
        if (row.protocol, row.sample, row.classes) == ("held-out", "all views", "9 classes")
    }
    assert held["VAE", "linear"].n_glitches == 20
    assert held["VAE", "linear"].accuracy == 1.0  # a linear model separates the bands
    assert ("PCA-2 of energy, mean-filled", "neighbours") in held
    crossed = [row for row in rows if row.protocol == "cross-validated" and row.probe == "linear"]
    assert all(row.n_glitches <= 2 * 60 + 45 * 3 for row in crossed)
    assert agreement["retrieval"] > 0
    table = as_markdown(rows)
    assert table.count("\n") == len(rows) + 2
    assert "±" in table
