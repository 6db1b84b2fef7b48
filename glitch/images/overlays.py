"""Detect overlays on a spectrogram.

Insets, legends and boxes are refused. White letters, marks and lines are replaced with neighbouring
values.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32

from glitch.images.decode import Words
from glitch.images.grid import shares

_LEAST = 0.04  # fraction of the panel's height: shorter lines belong to letters, marks and dashes
# fraction of the panel's height: how far a tick at the corner of a frame extends beyond it
_TICK = 0.02
_MAX_LINES, _MAX_PAIRS = 1_000, 2_000
_COVERED = 0.9  # share of the distance between two lines
# bits set in a channel of 64 or more; every viridis colour has a channel of 84 or more
_BRIGHTER = 0xC0C0C0
_WHITISH = 0x808080  # all channels are 128 or more; mixtures of viridis have one below 111
_BLOCK, _MIN_BLOCK = 0.025, 5  # fraction of the panel's height; pixels: letters are thinner
_FILLED = 0.7  # filled share of such a block
_BAR_SAMPLES = 140  # samples along each axis, when searching for a colour bar in a panel
_MIN_RAMP = 12  # shortest colour bar, in samples
# fraction of the colour scale: least extent of a bar, and its largest deviation from a straight
# line
_RISE, _BEND = 0.85, 0.04
_MIN_STEP = 0.001
_SEAM_BANDS = 10  # height of a band at a seam: the panel's height divided by this
# Greatest among 1,937 pictures of Gravity Spy without axes: 2.04 and 1.90.
_MAX_STACKED, _MAX_BOTH = 2.4, 2.1
_MIN_STACKED = 1.3  # one glitch in the middle may jump as much as a seam between windows
# Greatest among the same pictures, but for those with _MAX_SATURATED: 1.10 and 1.25.
_MAX_LOW_ROUGHNESS, _MAX_TURNED = 1.35, 1.5
_SATURATED, _MAX_SATURATED = 0.9, 0.25
# offsets, so that bands with hardly any variation do not count as rough
_FAINTEST, _EVEN = 1e-4, 0.01

Fractions = Float32[np.ndarray, "height width"]


def has_overlay(
    words: Words,
    is_colored: Bool[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
    fractions: Fractions,
) -> bool:
    """Return whether a frame, a block without viridis colours, or a colour bar lies in a panel.

    Lines from edge to edge, as in a grid or at a marked time, do not count; nor do rows that were
    not drawn.

    Args:
        words: colours of the panel's pixels.
        is_colored: which pixels are coloured, including those of a blurred black line.
        is_drawn: rows of the panel that were measured.
        fractions: fraction of the colour scale at each pixel.
    """
    return (
        _has_frame(words, is_colored, is_drawn)
        or _has_block(_marks(words, is_drawn))
        or any(map(_has_bar, (fractions, fractions.T)))
    )


def without_marks(
    words: Words, fractions: Fractions, is_drawn: Bool[np.ndarray, " height"]
) -> Fractions:
    """Replace white marks with neighbouring values, row by row.

    Otherwise the inverse of viridis would read white and its mixtures as high energies.
    """
    is_mark = _marks(words, is_drawn)
    rows = np.flatnonzero(is_mark.any(axis=1))
    if not rows.size:
        return fractions
    reach = 1 + len(words) // 300  # the blurred edges of a line
    wide = is_mark.copy()
    for shift in range(1, reach + 1):
        wide[shift:] |= is_mark[:-shift]
        wide[:-shift] |= is_mark[shift:]
        wide[:, shift:] |= is_mark[:, :-shift]
        wide[:, :-shift] |= is_mark[:, shift:]
    out = fractions.copy()
    columns = np.arange(words.shape[1])
    for row in np.flatnonzero(wide.any(axis=1) & is_drawn):
        masked = wide[row]
        if not masked.all():
            valid = ~masked
            out[row, masked] = np.interp(columns[masked], columns[valid], fractions[row, valid])
    return out


def _marks(words: Words, is_drawn: Bool[np.ndarray, " height"]) -> Bool[np.ndarray, "height width"]:
    return np.asarray(((words & _WHITISH) == _WHITISH) & is_drawn[:, None], dtype=np.bool_)


def _has_block(is_mark: Bool[np.ndarray, "height width"]) -> bool:
    """Return whether a white area is too thick for a letter or line, like a background of text."""
    side = max(_MIN_BLOCK, round(_BLOCK * len(is_mark)))
    if np.count_nonzero(is_mark) < _FILLED * side**2:
        return False
    sums = np.pad(is_mark.cumsum(axis=0, dtype=np.int32).cumsum(axis=1), ((1, 0), (1, 0)))
    within = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return bool(within.max(initial=0) > _FILLED * side**2)


def _has_bar(fractions: Fractions) -> bool:
    """Return whether a row runs straight through the colour scale, as only in a colour bar."""
    steps = [max(1, side // _BAR_SAMPLES) for side in fractions.shape]
    sampled = fractions[:: steps[0], :: steps[1]]
    smooth = (sampled[:, :-2] + sampled[:, 1:-1] + sampled[:, 2:]) / 3
    smooth = smooth[np.ptp(smooth, axis=1) >= _RISE]
    for ramps in (smooth, smooth[:, ::-1]):
        rises = np.diff(ramps, axis=1) > _MIN_STEP
        ends = np.diff(np.pad(rises, ((0, 0), (1, 1))).view(np.int8), axis=1)
        rows, starts = np.nonzero(ends == 1)
        stops = np.nonzero(ends == -1)[1]
        rise = ramps[rows, stops] - ramps[rows, starts]
        for at in np.flatnonzero((stops - starts >= _MIN_RAMP) & (rise >= _RISE)):
            ramp = ramps[rows[at], starts[at] : stops[at] + 1]
            straight = np.linspace(ramp[0], ramp[-1], len(ramp))
            if np.abs(ramp - straight).max() <= _BEND:
                return True
    return False


def _has_frame(
    words: Words,
    is_colored: Bool[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
) -> bool:
    """Return whether two vertical and two horizontal lines form a frame or bound a filled block."""
    is_bare = (~is_colored | ((words & _BRIGHTER) == 0)) & is_drawn[:, None]
    height, _ = is_bare.shape
    least, slack = max(16, round(_LEAST * height)), max(2, round(_TICK * height))
    if np.count_nonzero(is_bare) < 4 * least:
        return False
    tall = np.flatnonzero(shares(is_bare, 0) >= least / height)  # other columns hold no line
    ends = np.diff(np.pad(is_bare[:, tall].T, ((0, 0), (1, 1))).view(np.int8), axis=1)
    columns, starts = np.nonzero(ends == 1)
    stops = np.nonzero(ends == -1)[1]
    are_lines = (stops - starts >= least) & (starts > 0) & (stops < height)
    lines = np.stack([tall[columns], starts, stops - 1], axis=1)[are_lines]
    lines = lines[:: len(lines) // _MAX_LINES + 1]
    one, other = np.triu_indices(len(lines), 1)
    steps = lines[other] - lines[one]
    pairs = np.flatnonzero((steps[:, 0] >= least) & (np.abs(steps[:, 1:]) <= slack).all(axis=1))
    pairs = pairs[np.argsort(-steps[pairs, 0], kind="stable")][:_MAX_PAIRS]
    for pair in pairs:
        left, *rows = lines[one[pair]].tolist()
        between = is_bare[:, left : lines[other[pair], 0]]
        if all(_has_line(between[max(0, row - slack) : row + slack + 2]) for row in rows):
            return True
    return False


def _has_line(is_bare: Bool[np.ndarray, "row column"]) -> bool:
    """Return whether a line runs across, possibly spread over two rows."""
    return bool(((is_bare[1:] | is_bare[:-1]).mean(axis=1) >= _COVERED).any())


def holds_windows(fractions: Fractions) -> bool:
    """Return whether a picture without axes shows several windows, such as 2 x 2.

    Features last longer at low frequencies than at high ones, so one scan varies less in time below
    its middle than above. At the seam between two scans the lowest row of one is above the highest
    row of the other, and the order is reversed. Energy also jumps at a seam, while within a scan it
    changes about as much on both sides. Each sign alone may occur in one scan.
    """
    middle, band = len(fractions) // 2, len(fractions) // _SEAM_BANDS
    above = fractions[middle - 1 - band : middle - 1]
    below = fractions[middle + 1 : middle + 1 + band]
    stacked = _roughness(below) / _roughness(above) * _jump(fractions.T)
    beside = _jump(fractions[len(fractions) // 4 :])
    is_crossed = stacked > _MIN_STACKED and stacked * beside > _MAX_BOTH
    return stacked > _MAX_STACKED or is_crossed


def is_turned(fractions: Fractions) -> bool:
    """Return whether a scan was turned by 90 or 180 degrees, or is upside down.

    In one scan the roughness in time of the lowest quarter is less than that of the highest, and
    the roughness in frequency is about the same in the first and last quarter of time. A picture of
    which much is at the top of the scale does not show either.
    """
    if (fractions > _SATURATED).mean() > _MAX_SATURATED:
        return False
    rows, columns = (
        _roughness(part[-len(part) // 4 :]) / _roughness(part[: len(part) // 4])
        for part in (fractions, fractions.T)
    )
    return rows > _MAX_LOW_ROUGHNESS or max(columns, 1 / columns) * rows > _MAX_TURNED


def _jump(fractions: Fractions) -> float:
    """Return how much energy changes across the middle column, relative to columns beside it."""
    width = fractions.shape[1]
    middle, gap = width // 2, max(1, width // 170)  # reduction blurs a seam

    def change(first: int, last: int) -> float:
        return float(np.abs(amplitudes[:, last] - amplitudes[:, first]).mean())

    amplitudes = np.sqrt(fractions)
    # The blocks of a JPEG are eight pixels wide and have seams of their own.
    across, *others = (
        change(at - 1 - gap, at + gap) for at in (middle, *(middle + 8 * i for i in (-2, -1, 1, 2)))
    )
    beside = [
        change(middle - 1 - 4 * gap, middle - 1 - gap),
        change(middle + gap, middle + 4 * gap),
    ]
    return across / (max(sum(beside) / 2, sum(others) / 4) + _EVEN / 2)


def _roughness(band: Fractions) -> float:
    """Return how much of a band's variation in time is from one column to the next."""
    width = band.shape[1]
    short_lag, long_lag = max(1, width // 80), max(1, width // 6)
    step = float(np.abs(band[:, short_lag:] - band[:, :-short_lag]).mean())
    long_step = float(np.abs(band[:, long_lag:] - band[:, :-long_lag]).mean())
    return step / (long_step + _FAINTEST) + _EVEN
