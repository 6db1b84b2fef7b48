"""Novelty: conformal p-values of one glitch and of a catalogue, and the false-discovery rate."""

from glitch.novelty.conformal import (
    LEAST_CALIBRATION,
    LEAST_OF_CLASS,
    LEAST_REFERENCES,
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
    "LEAST_CALIBRATION",
    "LEAST_OF_CLASS",
    "LEAST_REFERENCES",
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
