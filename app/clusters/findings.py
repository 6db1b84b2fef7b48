"""What a clustering found, as records that are said in sentences: never the other way round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glitch.novelty import LEAST_CALIBRATION, LEAST_OF_CLASS, LEAST_REFERENCES

Facts = Mapping[str, Any]
_WHY = (
    f"their detector must be known and have {LEAST_REFERENCES} labelled glitches, "
    f"{LEAST_CALIBRATION} of them seen in the same windows and band, of different episodes, and of "
    f"classes with {LEAST_OF_CLASS} or more. Published ones are loaded by the command "
    "`glitch-discovery references training-set`."
)


@dataclass(frozen=True)
class Finding:
    """One thing that a run found: its kind, one of ``KINDS``, and the facts of it."""

    kind: str
    facts: Facts

    def as_json(self) -> dict[str, Any]:
        """As it is stored and sent."""
        return {"kind": self.kind, **self.facts}


def sentences(stored: Iterable[Facts]) -> list[str]:
    """What findings say, as they are stored; in words."""
    return [KINDS[one["kind"]](one) for one in stored]


def found(kind: str, **facts: Any) -> Finding:
    """A finding of this kind; the facts are JSON values."""
    return Finding(kind, facts)


def _many(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _listed(numbers: Sequence[int]) -> str:
    *first, last = (f"{n:,}" for n in numbers)
    return f"{', '.join(first)} and {last}" if first else last


def _tested(facts: Facts) -> str:
    # No test can tell, so it is said of every run that flags something.
    provided = (
        ", if the labels are a fair sample of the known kinds, unusual members included"
        if facts["n_flagged"]
        else ""
    )
    return (
        f"{facts['n_flagged']} of {facts['n_judged']} unlabelled glitches are novel at a "
        f"false-discovery rate of {facts['fdr']:g}{provided}."
    )


def _typical_labels(facts: Facts) -> str:
    return (
        "Unlabelled glitches amid labelled ones lie farther from the known than those do "
        f"({facts['sigmas']:g} standard deviations): the labels seem to be typical examples and no "
        "fair sample, and then known glitches are flagged oftener than the rate says. Label "
        "unusual members too."
    )


def _few_labels(facts: Facts) -> str:
    more = facts["n"] - len(facts["classes"])
    return (
        f"A class is known from {LEAST_OF_CLASS} labelled glitches of a detector on; of these "
        f"there are fewer, so their own glitches may be flagged: {', '.join(facts['classes'])}"
        f"{f' and {more:,} more' if more else ''}."
    )


def _beside(facts: Facts) -> str:
    return (
        f"{_many(facts['n'], 'glitch', 'glitches')} came to a cluster that was "
        f"{facts['state']} before: nobody has judged them, so they wait as a cluster of their own."
    )


def _dismissed_look(facts: Facts) -> str:
    return (
        f"A cluster of {facts['size']} looks like one whose look {facts['author']} dismissed on "
        f"{facts['on']}, and is dismissed with it."
    )


def _dismissed_before(facts: Facts) -> str:
    return (
        f"{facts['n']} of the {facts['size']} in a cluster were dismissed by {facts['author']} on "
        f"{facts['on']}."
    )


def _back(facts: Facts) -> str:
    return (
        f"{facts['label']} is back in {facts['ifo']} after {facts['silent_days']} days with data "
        f"and without it: {facts['n_after']} glitches since GPS time {facts['first_after']:.0f} "
        "are of that class or look like it."
    )


def _too_few_calibrate(facts: Facts) -> str:
    return (
        f"With the {facts['n_calibration']} calibration glitches there are, at least "
        f"{facts['least']} must be novel before any can be flagged: label more, or raise the rate."
    )


def _too_many(facts: Facts) -> str:
    return (
        f"Only {facts['most']} of them were clustered: choose one detector or a lower rate to see "
        "the rest."
    )


def _too_few(facts: Facts) -> str:
    return (
        f"{facts['n']} glitches are fewer than the minimum cluster size of "
        f"{facts['min_cluster_size']}: nothing was clustered."
    )


def _nothing_unlabelled(facts: Facts) -> str:
    where = "" if facts["ifo"] is None else f" of {facts['ifo']}"
    return f"There are no unlabelled glitches{where}: nothing was tested."


KINDS: dict[str, Callable[[Facts], str]] = {
    "told": lambda facts: str(facts["text"]),  # by a version that kept sentences alone
    "nothing_unlabelled": _nothing_unlabelled,
    "none_judged": lambda facts: (
        f"None of {facts['n_unjudged']} unlabelled glitches could be judged: {_WHY}"
    ),
    "tested": _tested,
    "unjudged": lambda facts: f"{facts['n']} more could not be judged: {_WHY}",
    "seen_otherwise": lambda facts: (
        f"{_many(facts['n'], 'glitch was', 'glitches were')} seen in other windows or another band "
        "than the references, and judged by what both show."
    ),
    "few_labels": _few_labels,
    "typical_labels": _typical_labels,
    "too_few_calibrate": _too_few_calibrate,
    "too_many": _too_many,
    "too_few": _too_few,
    "waiting": lambda facts: (
        f"{_many(facts['n'], 'glitch', 'glitches')} more, which are not novel any more, wait for "
        "review in clusters that a reviewer made."
    ),
    "clusters": lambda facts: f"They make {_many(facts['n'], 'cluster', 'clusters')}.",
    "continued": lambda facts: f"The cluster of {facts['before']} members has now {facts['now']}.",
    "held_apart": lambda facts: (
        f"What a reviewer split stays apart: parts of {_listed(facts['sizes'])} glitches."
    ),
    "beside": _beside,
    "dismissed_before": _dismissed_before,
    "dismissed_look": _dismissed_look,
    "dormant": lambda facts: (
        f"The dormant class {facts['label']} is back in {facts['ifo']}: {facts['n']} glitches "
        "look like it."
    ),
    "back": _back,
}
