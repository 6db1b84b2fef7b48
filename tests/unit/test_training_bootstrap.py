"""The paired bootstrap: its estimates, and what its intervals must and must not cover."""

import numpy as np
import pytest

from glitch.errors import GlitchError
from training.evaluation.measures.bootstrap import Answers, compare


def answered(is_right: list[bool], groups: list[str] | None = None) -> Answers:
    n = len(is_right)
    truth = ["Blip" if index < n // 4 else "Whistle" for index in range(n)]
    return Answers(groups or [f"g{i}" for i in range(n)], truth, np.asarray(is_right))


def test_estimates_are_plain_and_balanced_accuracy_averaged_over_seeds() -> None:
    # Seed one: all four Blips and half of twelve Whistles are right; seed two: everything is.
    first = answered([True] * 4 + [True, False] * 6)
    found = compare({"a": [first, answered([True] * 16)]}, n_draws=50)
    assert found.accuracy["a"].estimate == pytest.approx((10 / 16 + 1) / 2)
    assert found.balanced_accuracy["a"].estimate == pytest.approx(((1 + 0.5) / 2 + 1) / 2)
    assert found.accuracy["a"].low < found.accuracy["a"].estimate < found.accuracy["a"].high


def test_shared_variation_cancels_in_the_difference() -> None:
    rng = np.random.default_rng(0)
    right = [list(rng.random(200) < share) for share in (0.5, 0.9)]  # two very different seeds
    worse = []
    for seed_right in right:
        changed = list(seed_right)
        hits = [index for index, is_right in enumerate(changed) if is_right][:10]
        for index in hits:
            changed[index] = False
        worse.append(changed)
    found = compare(
        {"a": [answered(one) for one in right], "b": [answered(one) for one in worse]}, [("a", "b")]
    )
    gain = found.accuracy_gain["a", "b"]
    assert gain.estimate == pytest.approx(10 / 200)
    assert 0 < gain.low < gain.high < 0.1
    plain = found.accuracy["a"]
    assert plain.high - plain.low > 0.2  # the seeds differ by 0.4, but not their difference


def test_copies_of_one_glitch_are_one_group_and_widen_the_interval() -> None:
    is_right = [index % 3 > 0 for index in range(60) for _ in range(4)]
    alone = compare({"a": [answered(is_right)]}).accuracy["a"]
    copies = [f"g{index}" for index in range(60) for _ in range(4)]
    together = compare({"a": [answered(is_right, copies)]}).accuracy["a"]
    assert together.estimate == alone.estimate
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_runs_that_answered_for_other_glitches_are_no_pairs() -> None:
    other = answered([True] * 8, [f"h{i}" for i in range(8)])
    with pytest.raises(GlitchError, match="same splits"):
        compare({"a": [answered([True] * 8)], "b": [other]})
    with pytest.raises(GlitchError, match="no run"):
        compare({"a": []})
