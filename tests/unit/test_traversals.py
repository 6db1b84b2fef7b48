"""The latents that are varied, and the range: informative ones, within usual values."""

import numpy as np
import pytest

from glitch.traversals import MAX_UNITS, STEPS, cluster_ranges, glitch_ranges, steps_between

RNG = np.random.default_rng(8)
LATENTS, DEAD = 8, 5


def vectors(n: int) -> np.ndarray:
    drawn = RNG.normal(size=(n, LATENTS)).astype(np.float32)
    drawn[:, DEAD] = 0  # equal for all glitches
    return drawn


def test_units_farthest_from_the_prior_rank_first() -> None:
    mean = np.zeros(LATENTS, dtype=np.float32)
    mean[2], mean[6], mean[DEAD] = -1.5, 4.2, 9
    found = glitch_ranges(mean, np.full(LATENTS, -2.0, dtype=np.float32), vectors(500))
    assert [one.unit for one in found.ranges[:2]] == [6, 2]
    assert (len(found.ranges), found.n_active, found.dead) == (MAX_UNITS, LATENTS - 1, (DEAD,))
    first, second = found.ranges[:2]
    # extended to its own value
    assert (first.low, first.high, second.low, second.high) == (-3, 5, -3, 3)
    assert first.nats == pytest.approx(0.5 * (4.2**2 + np.exp(-2) - 1 + 2), rel=1e-5)
    assert first.others == pytest.approx((-1.64, 1.64), abs=0.3)  # the middle 90 %


def test_a_cluster_is_set_apart_by_standardised_differences() -> None:
    members, others = vectors(200), vectors(500)
    members[:, 1] -= 6
    members[:, 4] = 2 + 0.1 * members[:, 4]
    found = cluster_ranges(members[0], members, others)
    assert {one.unit for one in found.ranges[:2]} == {1, 4}
    by_unit = {one.unit: one for one in found.ranges}
    assert by_unit[1].difference is not None
    assert by_unit[1].difference < -4
    assert by_unit[1].group is not None
    assert (by_unit[1].low, by_unit[1].high) == (by_unit[1].group[0], by_unit[1].others[1])
    assert found.dead == (DEAD,)


def test_a_strip_goes_evenly_from_end_to_end() -> None:
    steps = steps_between(-3.0, 3.0)
    assert len(steps) == STEPS
    assert steps == pytest.approx((-3, -2, -1, 0, 1, 2, 3))
