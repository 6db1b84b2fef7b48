"""Novelty: conformal p-values of one glitch and of a catalogue, and the false-discovery rate."""

from glitch.novelty.conformal import (
    MIN_CALIBRATION,
    MIN_OF_CLASS,
    MIN_REFERENCES,
    NEAREST,
    TIE,
    WHICH_CALIBRATE,
    Calibration,
    Judgement,
    Positions,
    References,
    conformal_p_value,
    directions,
    judge,
    novelty_score,
    novelty_scores,
)

__all__ = [
    "MIN_CALIBRATION",
    "MIN_OF_CLASS",
    "MIN_REFERENCES",
    "NEAREST",
    "TIE",
    "WHICH_CALIBRATE",
    "Calibration",
    "Judgement",
    "Positions",
    "References",
    "conformal_p_value",
    "directions",
    "judge",
    "novelty_score",
    "novelty_scores",
]
