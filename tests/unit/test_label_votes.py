"""The votes of a label audit against a plain sort, and the labels that they contradict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glitch import label_votes
from glitch.errors import GlitchError
from glitch.label_votes import contradictions, nearest_labels


def plain(directions: np.ndarray, classes: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    similar = directions[queries] @ directions.T
    similar[np.arange(len(queries)), queries] = -np.inf
    return classes[np.argsort(-similar, axis=1, kind="stable")[:, :k]]


@settings(max_examples=40)
@given(
    n=st.integers(2, 700), k=st.integers(1, 12), seed=st.integers(0, 2**31), coarse=st.booleans()
)
def test_agrees_with_a_plain_sort(n: int, k: int, seed: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    k = min(k, n - 1)
    directions = rng.normal(size=(n, 3)).astype(np.float32)
    if coarse:  # makes many exact ties
        directions = np.sign(directions).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    classes = rng.integers(0, 5, size=n)
    queries = np.sort(rng.choice(n, size=min(n, 20), replace=False))
    expected = plain(directions, classes, queries, k)
    found = nearest_labels(directions, classes, queries, k)
    np.testing.assert_array_equal(found, expected)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(500, 4)).astype(np.float32)
    classes = rng.integers(0, 9, size=500)
    queries = np.arange(500)
    whole = nearest_labels(directions, classes, queries, 5)
    beats: list[int] = []
    monkeypatch.setattr(label_votes, "BLOCK_CELLS", 500 * 7)
    in_blocks = nearest_labels(directions, classes, queries, 5, lambda: beats.append(1))
    assert len(beats) == 72  # 500 in blocks of 7
    np.testing.assert_array_equal(in_blocks, whole)


def test_too_few_references() -> None:
    one = np.ones((1, 2), dtype=np.float32)
    with pytest.raises(GlitchError, match="at least 2"):
        nearest_labels(one, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 1)


def test_a_label_is_contradicted_by_more_voters_for_one_other_than_share_it() -> None:
    votes = np.array([[7, 7, 7, 1, 1], [7, 7, 1, 1, 9], [7, 8, 9, 1, 7], [7, 7, 7, 2, 1]])
    own = np.array([1, 1, 1, 1])
    assert contradictions(votes, own, lambda label: {label}) == [
        (0, 7, 2, 3),  # not the second, where votes are equal
        (2, 7, 1, 2),
        (3, 7, 1, 3),
    ]
    # A vote for a subclass of the own class agrees with it.
    assert contradictions(votes, own, lambda label: {label, 2, 7}) == []
