"""Which glitches of a published archive are loaded as references, and whose labels they carry."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glitch.observing_runs import observing_run
from glitch.tables import Facts

AUTHOR = "published archive"  # of jobs and labels: no person's name
PICTURES, STRAIN = "pictures", "strain"  # where the views of a table's rows come from


@dataclass(frozen=True)
class Wanted:
    """What is loaded of an archive."""

    source: str  # of its labels; none of a person's has it
    ifos: tuple[str, ...] = ()  # all if empty
    runs: tuple[str, ...] = ()  # observing runs; all if empty
    per_class: int | None = None  # at most so many of each class and detector; all if None
    least_confidence: float = 0.0  # of a label that states its confidence, 0 to 1
    rows_from: str = PICTURES  # views of a table's rows: of the PICTURES it names, or of STRAIN
    picture_host: str = ""  # the one, with its scheme, that named pictures are fetched from

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Wanted:
        """What the parameters of a job say."""
        lists = {name: tuple(values[name]) for name in ("ifos", "runs")}
        return cls(**{**values, **lists})


def key_at_random(facts: Facts) -> str:
    """A key whose order is a random one, and the same each time: the first of a class are a fair
    sample of it.
    """
    said = f"{facts.gravityspy_id} {facts.ifo} {facts.gps_time}"
    return hashlib.sha256(said.encode()).hexdigest()


class Choice:
    """Chooses among the glitches of an archive, one after the other."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._taken: Counter[tuple[str, str | None]] = Counter()
        self._passed_over: Counter[str] = Counter()

    def takes(self, facts: Facts) -> bool:
        """Whether this one is loaded; counts it."""
        why_not = self._why_not(facts)
        if why_not is not None:
            self._passed_over[why_not] += 1
            return False
        self._taken[str(facts.label), facts.ifo] += 1
        return True

    @property
    def n_taken(self) -> int:
        """How many are loaded."""
        return self._taken.total()

    @property
    def passed_over(self) -> str | None:
        """How many are not, and why, in a sentence; None where all are."""
        if not self._passed_over:
            return None
        parts = [f"{n:,} {why}" for why, n in self._passed_over.most_common()]
        return "Not asked for: " + ", ".join(parts) + "."

    def _why_not(self, facts: Facts) -> str | None:
        wanted = self.wanted
        time = None if facts.gps_time is None else float(facts.gps_time)
        confidence = 1.0 if facts.confidence is None else facts.confidence
        if wanted.ifos and facts.ifo not in wanted.ifos:
            return "of other detectors"
        if wanted.runs and observing_run(time) not in wanted.runs:
            return "of other observing runs, or without a time"
        if facts.label is None:
            return "without a label"
        if confidence < wanted.least_confidence:
            return f"with a label of confidence below {wanted.least_confidence:g}"
        if wanted.per_class is not None and (
            self._taken[facts.label, facts.ifo] >= wanted.per_class
        ):
            return f"beyond the {wanted.per_class:,} asked for of their class and detector"
        return None
