"""What distinguishes a group from the rest, against closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from glitch.clustering.distinction import Spread, mean_differences, principal_plane, spread_of
from glitch.errors import GlitchError


def test_standardised_differences_of_known_spreads() -> None:
    group = Spread(10, np.array([2.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0]))
    others = Spread(90, np.array([0.0, 0.0, 1.0]), np.array([3.0, 1.0, 0.0]))
    np.testing.assert_allclose(mean_differences(group, others), [2 / np.sqrt(2), 0, 0])


def test_the_latent_that_differs_is_found() -> None:
    rng = np.random.default_rng(0)
    others = rng.standard_normal((500, 6))
    group = rng.standard_normal((40, 6)) * 0.3
    group[:, 4] -= 2
    found = mean_differences(spread_of(group), spread_of(others))
    assert np.abs(found).argmax() == 4
    assert found[4] < -2
    with pytest.raises(GlitchError, match="one latent vector"):
        spread_of(np.zeros((0, 3)))


def test_the_plane_is_that_of_principal_components() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((80, 5)) * [3, 1, 2, 0.5, 0.1]
    plane = principal_plane(vectors)
    expected = PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(plane.points), np.abs(expected.transform(vectors)), atol=1e-9)
    np.testing.assert_allclose(plane.shares, expected.explained_variance_ratio_)
    np.testing.assert_array_equal(principal_plane(vectors).points, plane.points)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_or_equal_vectors_have_a_principal_plane(n: int) -> None:
    plane = principal_plane(np.ones((n, 4)))
    assert plane.points.shape == (n, 2)
    assert not plane.points.any()
    line = principal_plane(np.arange(n, dtype=float)[:, None] * np.ones((1, 4)))
    assert line.shares[1] == pytest.approx(0)
