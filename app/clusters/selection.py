"""Which glitches a clustering is about: those flagged as novel at a rate, or all of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.crowds import Reencoding, Tested, tested_as_crowds
from app.clusters.decided import waiting_members
from app.clusters.findings import Finding, found
from app.clusters.records import ClusteringParameters
from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from glitch.clustering.dormancy import Recurrence
from glitch.novelty import LEAST_OF_CLASS
from glitch.novelty.fair_sample import NO_SLANT, SIGMAS, Slant
from glitch.novelty.false_discovery import flagging_threshold, least_flaggable
from glitch.novelty.two_samples import NOT_ASIDE, Aside
from glitch.types import LatentArray

_GONE = ("retired", "withdrawn")


@dataclass(frozen=True)
class Returned:
    """A known class that is back in one detector, without anybody having called it dormant."""

    label: str
    ifo: str
    how: Recurrence

    @property
    def finding(self) -> Finding:
        """For readers of what a run found."""
        return found(
            "back",
            label=self.label,
            ifo=self.ifo,
            silent_days=int(self.how.silent_days),
            n_after=int(self.how.n_after),
            first_after=float(self.how.first_after),
        )


def returned(
    session: Session, recurrences: Mapping[str, Mapping[int, Recurrence]]
) -> tuple[Returned, ...]:
    """The same with names, by detector and name; without classes that are in use no more."""
    ids = {class_id for of_ifo in recurrences.values() for class_id in of_ifo}
    rows = session.execute(
        select(GlitchClass.id, GlitchClass.name).where(
            GlitchClass.id.in_(ids), GlitchClass.state.not_in(_GONE)
        )
    )
    names = {row.id: row.name for row in rows}
    return tuple(
        Returned(names[class_id], ifo, how)
        for ifo, of_ifo in sorted(recurrences.items())
        for class_id, how in sorted(of_ifo.items(), key=lambda one: names.get(one[0], ""))
        if class_id in names
    )


MOST_CLUSTERED = 1_500_000  # some 6 GB and a quarter of an hour
MOST_NAMED = 8  # classes of few labels in one sentence


@dataclass(frozen=True, eq=False)
class Selection:
    """What is clustered, and how it was chosen."""

    ids: list[UUID]
    ifos: list[str | None]
    gps_times: list[Decimal | None]
    vectors: LatentArray
    weights: Float[np.ndarray, " glitch"]  # what each counts for: a burst as one
    predicted: Mapping[bytes, int]  # by id: the class that the nearest references of each are of
    n_judged: int
    n_unjudged: int
    n_flagged: int
    threshold: float | None  # the largest p-value flagged
    judged_by_ifo: dict[str, float]  # a burst counts as one
    calibration_by_ifo: dict[str, int]
    findings: list[Finding]
    returned: tuple[Returned, ...] = ()  # known classes that occur again


def columns_of(rows: Sequence[Any]) -> dict[str, Any]:
    """What a ``Selection`` holds of rows of id, detector, time and posterior mean."""
    ids, ifos, times, means = zip(*rows, strict=True) if rows else ((), (), (), ())
    vectors = np.array(means, dtype=np.float32) if rows else np.empty((0, 0), dtype=np.float32)
    return {"ids": list(ids), "ifos": list(ifos), "gps_times": list(times), "vectors": vectors}


def select_novel(
    session: Session,
    checkpoint_id: int,
    parameters: ClusteringParameters,
    again: Reencoding | None = None,
) -> Selection:
    """The unlabelled glitches to cluster, in the order of their ids: one that never changes.

    They are tested as a crowd (``glitch.novelty.crowds``), one detector after the other; memory
    holds the vectors of one detector.
    """
    population = _population(checkpoint_id, parameters)
    # The label decides what is known: only unlabelled glitches are asked whether they are novel.
    tested = [*population, Glitch.class_id.is_(None)]
    ifos = list(_count_by_ifo(session, tested))
    calibration_by_ifo = _count_by_ifo(
        session, [*population, Embedding.calibration_score.is_not(None)]
    )
    n_unjudged = _count(session, [*tested, Embedding.ifo.is_(None)])
    # Simulated glitches have no time in a detector.
    dormancy = (
        None if parameters.is_simulated else (parameters.dormant_days, parameters.min_cluster_size)
    )
    tests = [
        tested_as_crowds(session, checkpoint_id, (ifo, parameters.is_simulated), dormancy, again)
        for ifo in ifos
    ]
    n_unjudged += sum(one.n_unjudged for one in tests)
    judged_by_ifo = {
        ifo: float(one.weights.sum()) for ifo, one in zip(ifos, tests, strict=True) if one.n_judged
    }
    p_values = np.concatenate([np.empty(0), *(one.p_values for one in tests)])
    weights = np.concatenate([np.empty(0), *(one.weights for one in tests)])
    values, at = np.unique(p_values, return_inverse=True)
    threshold = flagging_threshold(values, np.bincount(at, weights), parameters.fdr)
    n_judged = len(p_values)
    n_flagged = 0 if threshold is None else int((p_values <= threshold).sum())
    findings = _about_tests(parameters, n_judged, n_unjudged, n_flagged)
    # Said at once, because they take back what was just said.
    slant = reduce(Slant.plus, (one.slant for one in tests), NO_SLANT)
    if slant.sigmas >= SIGMAS:
        findings.insert(1, found("typical_labels", sigmas=round(slant.sigmas, 1)))
    aside = reduce(Aside.plus, (one.aside for one in tests), NOT_ASIDE)
    if aside.is_told:
        findings.insert(1, found("labels_aside", in_100=round(100 * aside.excess)))
    if n_otherwise := sum(one.n_otherwise for one in tests):
        findings.append(found("seen_otherwise", n=n_otherwise))
    if n_judged and threshold is None and calibration_by_ifo:
        least = min(
            least_flaggable(math.ceil(weights.sum()), count, parameters.fdr)
            for count in calibration_by_ifo.values()
        )
        if least > 1:  # else it is no lack of labels that nothing is flagged
            n_calibration = max(calibration_by_ifo.values())
            findings.append(found("too_few_calibrate", n_calibration=n_calibration, least=least))
    if n_flagged:
        findings += _few_labels(
            session, checkpoint_id, is_simulated=parameters.is_simulated, ifos=judged_by_ifo
        )
    if parameters.scope == "everything":
        chosen: list[Any] = population
        n_chosen = _count(session, population)
    else:
        flagged = _most_novel(tests, threshold)
        waiting = set(waiting_members(session, parameters)) - set(flagged)
        if waiting:
            findings.append(found("waiting", n=len(waiting)))
        chosen = [*population, is_any_of(Embedding.glitch_id, [*flagged, *waiting])]
        n_chosen = n_flagged
    rows = session.execute(
        select(Embedding.glitch_id, Glitch.ifo, Glitch.gps_time, Embedding.mean)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*chosen)
        .order_by(Embedding.glitch_id)
        .limit(MOST_CLUSTERED)
    ).all()
    if n_chosen > MOST_CLUSTERED:
        findings.append(found("too_many", most=MOST_CLUSTERED))
    counts_for = _weights_of(tests)
    return Selection(
        **columns_of(rows),
        weights=np.array([counts_for.get(row[0].bytes, 1.0) for row in rows]),
        predicted=_predicted_of(tests, threshold),
        n_judged=n_judged,
        n_unjudged=n_unjudged,
        n_flagged=n_flagged,
        threshold=threshold,
        judged_by_ifo=judged_by_ifo,
        calibration_by_ifo=calibration_by_ifo,
        returned=returned(
            session, {ifo: one.recurrences for ifo, one in zip(ifos, tests, strict=True)}
        ),
        findings=findings,
    )


def _about_tests(
    parameters: ClusteringParameters, n_judged: int, n_unjudged: int, n_flagged: int
) -> list[Finding]:
    if not n_judged and not n_unjudged:
        return [found("nothing_unlabelled", ifo=parameters.ifo)]
    if not n_judged:
        return [found("none_judged", n_unjudged=n_unjudged)]
    tested = found("tested", n_flagged=n_flagged, n_judged=n_judged, fdr=parameters.fdr)
    return [tested, found("unjudged", n=n_unjudged)] if n_unjudged else [tested]


def _few_labels(
    session: Session, checkpoint_id: int, *, is_simulated: bool, ifos: Collection[str]
) -> list[Finding]:
    """Classes of too few labels of a detector to be known by: their own glitches may be flagged.

    One that only other detectors know has none.
    """
    rows = session.execute(
        select(GlitchClass.name, Embedding.ifo, func.count())
        .select_from(Embedding)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .join(GlitchClass, GlitchClass.id == Glitch.class_id)
        .where(
            Embedding.checkpoint_id == checkpoint_id,
            Embedding.is_simulated.is_(is_simulated),
            Embedding.is_reference,
        )
        .group_by(GlitchClass.name, Embedding.ifo)
    ).all()
    counts = {(name, ifo): n for name, ifo, n in rows}
    most = {name: max(n for other, _, n in rows if other == name) for name, _, _ in rows}
    few = [
        f"{name} ({ifo}: {counts.get((name, ifo), 0)})"
        for name in sorted(most, key=lambda name: (-most[name], name))
        for ifo in sorted(ifos)
        if counts.get((name, ifo), 0) < LEAST_OF_CLASS
        and ((name, ifo) in counts or most[name] >= LEAST_OF_CLASS)
    ]
    return [found("few_labels", classes=few[:MOST_NAMED], n=len(few))] if few else []


def _most_novel(tests: list[Tested], threshold: float | None) -> list[UUID]:
    """The flagged ones; the most novel ``MOST_CLUSTERED`` where they are more."""
    if threshold is None:
        return []
    flagged = [np.nonzero(one.p_values <= threshold)[0] for one in tests]
    found = [
        (p_value, -score, key)
        for one, chosen in zip(tests, flagged, strict=True)
        for p_value, score, key in zip(
            one.p_values[chosen], one.scores[chosen], one.ids(chosen), strict=True
        )
    ]
    return [key for _, _, key in sorted(found)[:MOST_CLUSTERED]]


def _predicted_of(tests: list[Tested], threshold: float | None) -> dict[bytes, int]:
    """What the flagged ones look like, by id."""
    if threshold is None:
        return {}
    return {
        key.bytes: int(class_id)
        for one in tests
        for chosen in [np.nonzero(one.p_values <= threshold)[0]]
        for key, class_id in zip(one.ids(chosen), one.predicted[chosen], strict=True)
    }


def _weights_of(tests: list[Tested]) -> dict[bytes, float]:
    """What the tested glitches of bursts count for, by id; others count for one."""
    return {
        key.bytes: float(weight)
        for one in tests
        for chosen in [np.nonzero(one.weights < 1)[0]]
        for key, weight in zip(one.ids(chosen), one.weights[chosen], strict=True)
    }


def _population(checkpoint_id: int, parameters: ClusteringParameters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Embedding.checkpoint_id == checkpoint_id,
        Embedding.is_simulated.is_(parameters.is_simulated),
    ]
    if parameters.ifo is not None:
        conditions.append(Embedding.ifo == parameters.ifo)
    return conditions


def _count(session: Session, conditions: list[Any]) -> int:
    return (
        session.scalar(
            select(func.count())
            .select_from(Embedding)
            .join(Glitch, Glitch.id == Embedding.glitch_id)
            .where(*conditions)
        )
        or 0
    )


def _count_by_ifo(session: Session, conditions: list[Any]) -> dict[str, int]:
    rows = session.execute(
        select(Embedding.ifo, func.count())
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*conditions, Embedding.ifo.is_not(None))
        .group_by(Embedding.ifo)
        .order_by(Embedding.ifo)
    )
    return {ifo: count for ifo, count in rows if ifo is not None}
