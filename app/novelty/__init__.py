"""Novelty in SQL: conformal p-values against the labelled glitches.

A labelled glitch is a reference, and calibrates if its class is established (``glitch.novelty``).
Only glitches of the same detector judge each other, and simulated ones never judge real ones.
"""

from app.novelty.catalogue import REJUDGED_AT_ONCE, Known, embedded_after, recalibrate, rejudge
from app.novelty.changes import note_class_changes
from app.novelty.job import request_judging
from app.novelty.single import judge_novelty

__all__ = [
    "REJUDGED_AT_ONCE",
    "Known",
    "embedded_after",
    "judge_novelty",
    "note_class_changes",
    "recalibrate",
    "rejudge",
    "request_judging",
]
