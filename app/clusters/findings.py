"""The findings of a run, stored as records and shown as sentences."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.core.wording import count, listed
from glitch.novelty import MIN_CALIBRATION, MIN_OF_CLASS, MIN_REFERENCES, WHICH_CALIBRATE

Facts = Mapping[str, Any]
Finding = dict[str, Any]  # as it is stored and sent by the API
FAINT_SNR = 7.5  # the lowest SNR of triggers in Gravity Spy
OFF_CENTRE_S = 0.05  # a tenth of the shortest window
_NAMED = 3  # at most so many windows or classes are named, the commonest first


def sentences(stored: Iterable[Facts]) -> list[str]:
    """Turn stored findings into sentences."""
    findings = list(stored)
    pairs = ((KINDS[one["kind"]], one) for one in findings)
    texts = [how.format_map(one) if isinstance(how, str) else how(one) for how, one in pairs]
    doubts = [place for place, one in enumerate(findings) if one["kind"] in _SLANTED]
    return [*texts[: doubts[-1] + 1], DOUBTED, *texts[doubts[-1] + 1 :]] if doubts else texts


def found(kind: str, **facts: Any) -> Finding:
    """Make a finding of this kind, a key of ``KINDS``; the facts must be JSON values."""
    return {"kind": kind, **facts}


def _are(n: int) -> str:
    return f"{n:,} {'is' if n == 1 else 'are'}"


def _tested(facts: Facts) -> str:
    # No test can check this assumption, so every run that flags something states it.
    provided = (
        ", if the labels are a fair sample of the known classes, unusual members included"
        if facts["n_flagged"]
        else ""
    )
    return (
        f"{facts['n_flagged']:,} of {facts['n_judged']:,} unlabelled glitches "
        f"{'is' if facts['n_flagged'] == 1 else 'are'} novel at a false-discovery rate of "
        f"{facts['fdr']:g}{provided}."
    )


def _few_labels(facts: Facts) -> str:
    more = facts["n"] - len(facts["classes"])
    return (
        f"A class is known in a detector from {MIN_OF_CLASS} labelled glitches on. These have "
        f"fewer, so their own glitches may be flagged: {', '.join(facts['classes'])}"
        f"{f' and {more:,} more' if more else ''}."
    )


def _unjudged(facts: Facts) -> str:
    why = facts.get("why", [])  # earlier versions kept none
    reasons = "; ".join(map(_why_not, why))
    published = " Load published ones with `glitch-discovery references training-set --ifo NAME`."
    explanation = f": {reasons}." if reasons else "."
    is_helped = facts.get("is_measured", True) and (not why or any(one["ifo"] for one in why))
    return explanation + published if is_helped else explanation


def _why_not(one: Facts) -> str:
    if one["ifo"] is None:
        return f"{one['n']:,} without a detector (send them again with its name, `ifo`)"
    if one["n_references"] < MIN_REFERENCES:
        why = f"has {one['n_references']:,} labelled glitches, and needs {MIN_REFERENCES}"
    elif one["n_calibration"] < MIN_CALIBRATION:
        why = (
            f"has {one['n_calibration']:,} labelled glitches to calibrate with, and needs "
            f"{MIN_CALIBRATION}: {WHICH_CALIBRATE}"
        )
    else:
        why = (
            f"has {one['n_calibration']:,} labelled glitches to calibrate with, of which fewer "
            f"than {MIN_CALIBRATION} share windows and band with these{_seen(one)}, or too few "
            "are of other events"
        )
    return f"{one['n']:,} of {one['ifo']}, which {why}"


def _meanwhile(facts: Facts) -> str:
    n_came, n_labels = facts["n_came"], facts["n_labels"]
    changed = [
        count(n_came, "glitch was added", "glitches were added") if n_came else "",
        count(n_labels, "label changed", "labels changed") if n_labels else "",
        "a job was loading glitches" if facts["is_loading"] else "",
    ]
    return (
        f"During this clustering {listed(filter(None, changed))}: it may not include all of that, "
        "so cluster again."
    )


def _seen(one: Facts) -> str:
    """Say in which windows and bands the glitches that could not be tested were seen."""
    seen = one.get("seen", [])  # earlier versions kept none
    named = [f"{part['n']:,} in {part['condition']}" for part in seen[:_NAMED] if part["condition"]]
    if named and (more := sum(part["n"] for part in seen[_NAMED:])):
        named.append(f"{more:,} otherwise")
    return f" (seen: {'; '.join(named)})" if named else ""


def doubt_of(stored: Iterable[Facts]) -> str | None:
    """Say why a run's false-discovery rate may not hold; None if there is no reason for doubt.

    This concerns every glitch that the run flagged, so it is shown wherever those are.
    """
    return " ".join(sentences(one for one in stored if one["kind"] in DOUBTS)) or None


_SLANTED = ("typical_labels", "labels_aside")
DOUBTS = (*_SLANTED, "judging")
# The consequence of labels that are not a fair sample; shown once, after the last such finding.
DOUBTED = (
    "So known glitches may be flagged more often than the rate says. Label some that are unusual, "
    "or load all glitches from one tool with one colour scale, and cluster again."
)
# For each kind of finding its sentence, or a function that makes the sentence from the facts.
KINDS: dict[str, str | Callable[[Facts], str]] = {
    "told": "{text}",  # stored by a version that kept only sentences
    "nothing_unlabelled": lambda facts: (
        f"There are no unlabelled {'' if facts.get('is_measured', True) else 'simulated '}glitches"
        f"{' of ' if facts['ifo'] else ''}{facts['ifo'] or ''}: nothing was tested."
    ),
    "none_judged": lambda facts: (
        f"None of {facts['n_unjudged']:,} unlabelled glitches could be judged{_unjudged(facts)}"
    ),
    "tested": _tested,
    "unjudged": lambda facts: f"{facts['n']:,} more could not be judged{_unjudged(facts)}",
    "seen_otherwise": lambda facts: (
        f"{count(facts['n'], 'glitch was', 'glitches were')} seen in other windows or another band "
        "than the references, and judged by the part that both show."
    ),
    "few_labels": _few_labels,
    "typical_labels": "The labels seem to be typical examples of their classes: the least typical "
    "glitches of each are unlabelled more often than expected by chance, by {sigmas:g} standard "
    "deviations.",
    "labels_aside": "The labels do not cover what was tested: unlabelled glitches of known "
    "classes are next to the labelled ones, not among them (of their nearest neighbours, {in_100} "
    "in 100 more are unlabelled than expected by chance). They may be fainter, of another time or "
    "drawn by another tool, or the labels repeat a few events.",
    "judging": "The labels changed before this clustering, and the job that judges the catalogue "
    "by them had not finished: known glitches may be flagged. Cluster again when it has finished.",
    "meanwhile": _meanwhile,
    "too_few_calibrate": "With {n_calibration:,} labelled glitches to calibrate with, at least "
    "{least} must be novel before any can be flagged: label more, or raise the rate.",
    "too_many": "Only {most} of them were clustered: choose one detector or a lower rate to see "
    "the rest.",
    "too_few": lambda facts: (
        f"{count(facts['n'], 'glitch is', 'glitches are')} fewer than the minimum cluster size of "
        f"{facts['min_cluster_size']}: nothing was clustered."
    ),
    "waiting": lambda facts: (
        f"{count(facts['n'], 'more glitch', 'more glitches')}, which this test does not flag, "
        f"{'waits' if facts['n'] == 1 else 'wait'} for review: from a cluster made by hand, "
        "from an earlier clustering, or with labels that were revoked."
    ),
    "clusters": lambda facts: (
        f"{count(facts['n'], 'cluster was', 'clusters were')} found among "
        + (f"all {facts['of']:,} glitches, labelled or not." if "of" in facts else "them.")
    ),
    "continued": "The cluster of {before} members now has {now}.",
    "held_apart": lambda facts: (
        "Parts that reviewers separated stay separate: "
        f"{listed(f'{n:,}' for n in facts['sizes'])} glitches."
    ),
    "beside": lambda facts: (
        f"{count(facts['n'], 'glitch', 'glitches')} joined a cluster that had been "
        f"{facts['state']}: nobody has reviewed them, so they wait as a separate cluster."
    ),
    "unlabelled_again": lambda facts: (
        f"{count(facts['n'], 'glitch', 'glitches')} of the cluster named {facts['label']} "
        f"no longer {'has' if facts['n'] == 1 else 'have'} a label, and none is suggested: "
        f"{'it waits' if facts['n'] == 1 else 'they wait'} for review again."
    ),
    "dismissed_before": lambda facts: (
        f"{facts['n']} of the {facts['size']} in a cluster {'was' if facts['n'] == 1 else 'were'} "
        f"dismissed by {facts['author']} on {facts['on']}."
    ),
    "named_before": lambda facts: (
        f"{facts['n']} of the {facts['size']} in a cluster {'was' if facts['n'] == 1 else 'were'} "
        f"named {facts['label']} by {facts['author']} on {facts['on']}, in another cluster."
    ),
    "dismissed_again": "A cluster of {size} is most of the glitches that {author} dismissed on "
    "{on}, and stays dismissed.",
    "dismissed_look": "A cluster of {size} looks like one that {author} dismissed on {on} with all "
    "that look like it, so it is dismissed too.",
    "dormant": "The dormant class {label} is back in {ifo}: {n} glitches look like it.",
    "back": "{label} is back in {ifo} after {silent_days} days with data but without it: {n_after} "
    "glitches since GPS time {first_after:.0f} are of that class or look like it.",
}


def trust_sentence(size: int, trust: Facts) -> str:
    """Say how alike the members of a cluster are; empty if nothing is known."""
    if not trust:
        return ""
    which, parts = "members", []
    if trust["n_timed"] < size:
        parts.append(f"the time of {size - trust['n_timed']:,} of {size:,} members is not known")
    if trust.get("n_flagged", size) < size:
        parts.append(f"{_are(trust['n_flagged'])} novel by the test of this clustering")
        which = "novel ones"
    seen = [one for one in trust["seen"] if one["condition"]]
    if len(seen) == 1 and seen[0]["n"] < size:
        parts.append(f"{seen[0]['n']:,} were seen in {seen[0]['condition']}")
    elif len(seen) > 1:
        split_conditions = [one["condition"].partition(", ") for one in seen]
        is_one_band = len({band for _, _, band in split_conditions[:_NAMED]}) == 1
        named = [
            f"{one['n']:,} with {windows if is_one_band else one['condition']}"
            for one, (windows, _, _) in zip(seen[:_NAMED], split_conditions, strict=False)
        ]
        if more := sum(one["n"] for one in seen[_NAMED:]):
            named.append(f"{more:,} otherwise")
        differ = "windows" if is_one_band else "windows or bands"
        parts.append(f"their {differ} differ: {', '.join(named)}")
    if trust["n_faint"]:
        parts.append(f"{_are(trust['n_faint'])} faint (SNR below {FAINT_SNR:g})")
    if trust.get("n_off_centre"):  # earlier versions did not count them
        parts.append(
            f"{_are(trust['n_off_centre'])} off centre (loudest over {OFF_CENTRE_S:g} s from the "
            "middle of their views)"
        )
    if predicted := trust["looks"]:
        nearest = [f"{one['label']} for {one['n']:,}" for one in predicted[:_NAMED]]
        if more := sum(one["n"] for one in predicted[_NAMED:]):
            nearest.append(f"others for {more:,}")
        if predicted[0]["n"] == size:
            nearest = [f"{predicted[0]['label']} for all"]
        parts.append(f"nearest known glitches of the {which}: mostly {', '.join(nearest)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
