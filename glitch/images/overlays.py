"""What is drawn over a spectrogram: an inset, a legend, a box with text or around something."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from glitch.images.decode import Words

_LEAST = 0.04  # of the panel's height: shorter lines are of letters, marks and dashes
_TICK = 0.02  # of it: how far a tick at the corner of a frame reaches beyond
_MOST_LINES, _MOST_PAIRS = 1_000, 2_000
_COVERED = 0.9  # of the way from one line to the other
_BRIGHTER = 0xC0C0C0  # of a word: bits of a channel of 64 or more; viridis has 84 or more in one


def has_overlay(
    words: Words,
    is_colored: Bool[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
) -> bool:
    """Whether a frame, or a filled block, without a colour of viridis lies within a panel.

    Lines from edge to edge, as of a grid or at a time, are none; nor are rows that were not drawn.

    Args:
        words: the colours of the panel's pixels.
        is_colored: which of them have a colour; where a black line was blurred it has one too.
        is_drawn: rows of the panel that were measured.
    """
    is_bare = (~is_colored | ((words & _BRIGHTER) == 0)) & is_drawn[:, None]
    height, _ = is_bare.shape
    least, off = max(16, round(_LEAST * height)), max(2, round(_TICK * height))
    if np.count_nonzero(is_bare) < 4 * least:
        return False
    ends = np.diff(np.pad(is_bare.T, ((0, 0), (1, 1))).view(np.int8), axis=1)
    columns, starts = np.nonzero(ends == 1)
    stops = np.nonzero(ends == -1)[1]
    are_lines = (stops - starts >= least) & (starts > 0) & (stops < height)
    lines = np.stack([columns, starts, stops - 1], axis=1)[are_lines]
    lines = lines[:: len(lines) // _MOST_LINES + 1]
    one, other = np.triu_indices(len(lines), 1)
    apart = lines[other] - lines[one]
    pairs = np.flatnonzero((apart[:, 0] >= least) & (np.abs(apart[:, 1:]) <= off).all(axis=1))
    pairs = pairs[np.argsort(-apart[pairs, 0], kind="stable")][:_MOST_PAIRS]
    for pair in pairs:
        left, *rows = lines[one[pair]].tolist()
        between = is_bare[:, left : lines[other[pair], 0]]
        if all(_has_line(between[max(0, row - off) : row + off + 2]) for row in rows):
            return True
    return False


def _has_line(is_bare: Bool[np.ndarray, "row column"]) -> bool:
    """Whether a line runs across, which may lie on two rows."""
    return bool(((is_bare[1:] | is_bare[:-1]).mean(axis=1) >= _COVERED).any())
