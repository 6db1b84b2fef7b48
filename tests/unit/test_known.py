"""Judging stored glitches in memory: no glitch is compared with itself."""

from uuid import UUID

import numpy as np
import pytest

from glitch.novelty import References
from glitch.novelty.known import Known, Stored

KEYS = np.array([bytes([number]) * 16 for number in (3, 1, 2)], dtype="S16")
SCORES = np.linspace(0.1, 0.5, 40)


def known(scores: np.ndarray = SCORES, n: int = 100) -> Known:
    means = np.eye(3, dtype=np.float32)
    references, places = References.ordered(means, np.array([3.0, 1.0, 2.0]))
    order = np.argsort(KEYS)
    # Enough references to judge by.
    keys = np.concatenate([KEYS[order], np.full(n - 3, b"\xff" * 16, dtype="S16")])
    return Known(references, keys, np.resize(places[order], n), {("4 s", None): scores}, "H1")


def stored(own_score: float | None = None) -> Stored:
    is_reference = own_score is not None
    return Stored(
        UUID(int=1), np.zeros(3, dtype=np.float32), np.nan, "4 s", is_reference, own_score
    )


def test_a_glitch_is_found_among_the_references_by_its_id() -> None:
    places = known().own_places(np.array([KEYS[1], b"\x07" * 16], dtype="S16"))
    assert places.tolist() == [0, -1]  # the earliest, and -1 for an unknown id


def test_a_calibrating_glitch_is_not_compared_with_itself() -> None:
    score = float(SCORES[20])
    others, everyone = known().judge(score, stored(score)), known().judge(score, stored())
    assert others.p_value == pytest.approx((1 + 19) / (1 + 39))
    assert everyone.p_value == pytest.approx((1 + 20) / (1 + 40))
    # Its calibration score, among other references, may be the lower one.
    lower = known().judge(score, stored(float(SCORES[3])))
    assert lower.p_value == pytest.approx((1 + 20) / (1 + 39))


def test_without_a_score_or_a_calibration_none_is_judged() -> None:
    assert not known().judge(float("nan"), stored()).is_judged
    assert not known(np.empty(0)).judge(0.3, stored()).is_judged


def test_a_reference_is_judged_by_fifty_others() -> None:
    assert known(n=50).judge(0.3, stored()).is_judged
    assert known(n=51).judge(0.3, stored(0.3)).is_judged
    refused = known(n=50).judge(0.3, stored(0.3))
    assert "only 49" in (refused.reason or "")
