"""Selection of the glitches to cluster: those flagged as novel, or all."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from app.batches.options import KIND as BATCH
from app.classes.tables import GlitchClass
from app.clusters.crowds import Reencoding, joined, judge_population
from app.clusters.decided import waiting_members
from app.clusters.findings import Finding, found
from app.clusters.records import ClusteringParameters, Run
from app.clusters.service import labels_since
from app.clusters.tables import ClusteringRun
from app.core.database import is_any_of, lowest_id_at
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import OPEN_STATES
from app.jobs.tables import Job
from app.novelty.job import KIND as JUDGE
from app.references.service import KIND as REFERENCES
from glitch.clustering.dormancy import Recurrence
from glitch.novelty import MIN_OF_CLASS
from glitch.novelty.fair_sample import SIGMAS
from glitch.novelty.false_discovery import flagging_threshold, min_flaggable
from glitch.types import LatentArray

_GONE = ("retired", "withdrawn")
_LOADING = (BATCH, REFERENCES)  # kinds of jobs that store and label many glitches


def returned(
    session: Session, recurrences: Mapping[str, Mapping[int, Recurrence]]
) -> tuple[Finding, ...]:
    """Report the recurring classes by detector and name, except retired and withdrawn ones."""
    ids = {class_id for of_ifo in recurrences.values() for class_id in of_ifo}
    rows = session.execute(
        select(GlitchClass.id, GlitchClass.name).where(
            GlitchClass.id.in_(ids), GlitchClass.state.not_in(_GONE)
        )
    )
    names = {row.id: row.name for row in rows}
    return tuple(
        found(
            "back",
            label=names[class_id],
            ifo=ifo,
            silent_days=int(how.silent_days),
            n_after=int(how.n_after),
            first_after=float(how.first_after),
        )
        for ifo, of_ifo in sorted(recurrences.items())
        for class_id, how in sorted(of_ifo.items(), key=lambda one: names.get(one[0], ""))
        if class_id in names
    )


MAX_CLUSTERED = 1_500_000  # takes about 6 GB and 15 minutes
MAX_NAMED = 8  # classes with few labels that one sentence names


@dataclass(frozen=True, eq=False)
class Selection:
    """The glitches to cluster, and how they were selected."""

    ids: list[UUID]
    ifos: list[str | None]
    gps_times: list[Decimal | None]
    vectors: LatentArray
    weights: Float[np.ndarray, " glitch"]  # the glitches of one burst sum to 1
    predicted: Mapping[UUID, int]  # class of the nearest references of each flagged glitch
    n_judged: int = 0
    n_unjudged: int = 0
    n_flagged: int = 0
    threshold: float | None = None  # the largest p-value flagged
    judged_by_ifo: Mapping[str, float] = field(default_factory=dict)  # a burst counts as one
    calibration_by_ifo: Mapping[str | None, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    returned: tuple[Finding, ...] = ()  # known classes that occur again, whatever their state


def columns_of(rows: Sequence[Any]) -> dict[str, Any]:
    """Turn rows of id, detector, GPS time and posterior mean into fields of a ``Selection``."""
    ids, ifos, times, means = zip(*rows, strict=True) if rows else ((), (), (), ())
    vectors = np.array(means, dtype=np.float32) if rows else np.empty((0, 0), dtype=np.float32)
    return {"ids": list(ids), "ifos": list(ifos), "gps_times": list(times), "vectors": vectors}


def _columns(conditions: list[ColumnElement[bool]]) -> Select[*tuple[Any, ...]]:
    return (
        select(Embedding.glitch_id, Glitch.ifo, Glitch.gps_time, Embedding.mean)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*conditions)
        .order_by(Embedding.glitch_id)
    )


def with_waiting(session: Session, run: ClusteringRun, selection: Selection) -> Selection:
    """Add the glitches that began to wait for a reviewer since the selection was made.

    Returns the selection itself if there are none. The added glitches are locked against deletion
    until the transaction ends.
    """
    late = set(waiting_members(session, run)) - set(selection.ids)
    of_run = Embedding.checkpoint_id == run.checkpoint_id
    conditions = [of_run, is_any_of(Embedding.glitch_id, late)]
    locked = _columns(conditions).with_for_update(read=True, key_share=True, of=Glitch)
    rows = session.execute(locked).all() if late else ()
    if not rows:
        return selection
    more = columns_of(rows)
    return replace(
        selection,
        ids=selection.ids + more["ids"],
        ifos=selection.ifos + more["ifos"],
        gps_times=selection.gps_times + more["gps_times"],
        vectors=np.concatenate([selection.vectors, more["vectors"]])
        if selection.ids
        else more["vectors"],
        weights=np.append(selection.weights, np.ones(len(rows))),
    )


def missed_changes(session: Session, run: Run, *, is_judged_now: bool) -> list[Finding]:
    """Report what changed in the catalogue while it was clustered or judged again.

    ``is_judged_now`` says that the run itself judged the catalogue by the labels at its start.
    """
    is_new = [Glitch.id >= lowest_id_at(run.created_at), Glitch.is_simulated.is_(run.is_simulated)]
    if run.ifo is not None:
        is_new.append(Glitch.ifo == run.ifo)
    is_of_simulated = func.coalesce(Job.parameters["origin"].astext, "") == "simulated"
    loads = (
        Job.kind.in_(_LOADING)
        & Job.started_at.is_not(None)
        & (is_of_simulated if run.is_simulated else ~is_of_simulated)
    )
    n_loading, n_judging = session.execute(
        select(func.count().filter(loads), func.count().filter(Job.kind == JUDGE)).where(
            Job.state.in_(OPEN_STATES) | (Job.finished_at >= run.created_at)
        )
    ).one()
    changes = labels_since(session, run)
    facts = {
        "n_came": session.scalar(select(func.count()).select_from(Glitch).where(*is_new)),
        "n_labels": changes.added + changes.removed + changes.changed,
        "is_loading": bool(n_loading),
    }
    findings = [found("meanwhile", **facts)] if any(facts.values()) else []
    return [found("judging"), *findings] if n_judging and not is_judged_now else findings


def select_novel(
    session: Session,
    checkpoint_id: int,
    parameters: ClusteringParameters,
    reencoding: Reencoding | None = None,
) -> Selection:
    """Select the unlabelled glitches to cluster, in the fixed order of their ids.

    They are tested as a crowd (``glitch.novelty.crowds``), one detector after the other, so that
    memory holds the vectors of only one detector.
    """
    population: list[ColumnElement[bool]] = [
        Embedding.checkpoint_id == checkpoint_id,
        Embedding.is_simulated.is_(parameters.is_simulated),
    ]
    if parameters.ifo is not None:
        population.append(Embedding.ifo == parameters.ifo)
    # Labelled glitches are known by definition, so only unlabelled ones are tested.
    tested = [*population, Glitch.class_id.is_(None)]
    tests_by_ifo = _count_by_ifo(session, tested)
    calibration_by_ifo = _count_by_ifo(
        session, [*population, Embedding.calibration_score.is_not(None)]
    )
    n_nowhere = tests_by_ifo.pop(None, 0)
    # Simulated glitches have no time in a detector.
    dormancy = (
        None if parameters.is_simulated else (parameters.dormant_days, parameters.min_cluster_size)
    )
    by_ifo = {
        ifo: judge_population(
            session, checkpoint_id, (ifo, parameters.is_simulated), dormancy, reencoding
        )
        for ifo in tests_by_ifo
        if ifo is not None
    }
    tests = joined(list(by_ifo.values()))
    n_judged, n_unjudged = tests.n_judged, n_nowhere + tests.n_unjudged
    judged_by_ifo = {ifo: float(one.weights.sum()) for ifo, one in by_ifo.items() if one.n_judged}
    values, inverse = np.unique(tests.p_values, return_inverse=True)
    threshold = flagging_threshold(values, np.bincount(inverse, tests.weights), parameters.fdr)
    flagged = np.flatnonzero(tests.p_values <= (-1 if threshold is None else threshold))
    n_flagged = len(flagged)
    references = _count_by_ifo(session, [*population, Embedding.is_reference])
    causes: list[dict[str, Any]] = [{"ifo": None, "n": n_nowhere}] if n_nowhere else []
    causes += [
        {
            "ifo": ifo,
            "n": one.n_unjudged,
            "n_references": references.get(ifo, 0),
            "n_calibration": calibration_by_ifo.get(ifo, 0),
            "seen": [{"condition": condition, "n": n} for condition, n in one.unjudged],
        }
        for ifo, one in by_ifo.items()
        if one.n_unjudged
    ]
    findings = _about_tests(parameters, n_judged, n_unjudged, n_flagged, causes)
    # Placed directly after the finding "tested", because they qualify it.
    if tests.selection_excess.sigmas >= SIGMAS:
        findings.insert(1, found("typical_labels", sigmas=round(tests.selection_excess.sigmas, 1)))
    if tests.neighbour_excess.is_significant:
        findings.insert(1, found("labels_aside", in_100=round(100 * tests.neighbour_excess.excess)))
    if tests.n_masked:
        findings.append(found("seen_otherwise", n=tests.n_masked))
    if n_judged and threshold is None:
        # Only detectors with tests: the labels of others do not help.
        n_calibration = max(calibration_by_ifo.get(ifo, 0) for ifo in judged_by_ifo)
        n_tests = math.ceil(tests.weights.sum())
        least = min_flaggable(n_tests, n_calibration, parameters.fdr)
        if least > 1:  # else more labels would not help
            findings.append(found("too_few_calibrate", n_calibration=n_calibration, least=least))
    if n_flagged:
        findings += _few_labels(
            session, checkpoint_id, is_simulated=parameters.is_simulated, ifos=judged_by_ifo
        )
    if parameters.scope == "everything":
        chosen: list[Any] = population
        n_chosen = sum(_count_by_ifo(session, population).values())
    else:
        by_novelty = (tests.keys[flagged], -tests.scores[flagged], tests.p_values[flagged])
        novel = tests.ids(flagged[np.lexsort(by_novelty)[:MAX_CLUSTERED]])
        waiting = set(waiting_members(session, parameters)).union(novel)
        chosen = [*population, is_any_of(Embedding.glitch_id, waiting)]
        n_chosen = n_flagged
    rows = session.execute(_columns(chosen).limit(MAX_CLUSTERED)).all()
    if n_chosen > MAX_CLUSTERED:
        findings.append(found("too_many", most=MAX_CLUSTERED))
    of_bursts = np.flatnonzero(tests.weights < 1)
    weights = dict(zip(tests.ids(of_bursts), tests.weights[of_bursts], strict=True))
    return Selection(
        **columns_of(rows),
        weights=np.array([weights.get(row[0], 1.0) for row in rows]),
        predicted=dict(zip(tests.ids(flagged), tests.predicted[flagged].tolist(), strict=True)),
        n_judged=n_judged,
        n_unjudged=n_unjudged,
        n_flagged=n_flagged,
        threshold=threshold,
        judged_by_ifo=judged_by_ifo,
        calibration_by_ifo=calibration_by_ifo,
        returned=returned(session, {ifo: one.recurrences for ifo, one in by_ifo.items()}),
        findings=findings,
    )


def _about_tests(
    parameters: ClusteringParameters,
    n_judged: int,
    n_unjudged: int,
    n_flagged: int,
    causes: list[dict[str, Any]],
) -> list[Finding]:
    is_measured = not parameters.is_simulated
    reasons = {"why": causes, "is_measured": is_measured}
    if not n_judged and not n_unjudged:
        return [found("nothing_unlabelled", ifo=parameters.ifo, is_measured=is_measured)]
    if not n_judged:
        return [found("none_judged", n_unjudged=n_unjudged, **reasons)]
    tested = found("tested", n_flagged=n_flagged, n_judged=n_judged, fdr=parameters.fdr)
    return [tested, found("unjudged", n=n_unjudged, **reasons)] if n_unjudged else [tested]


def _few_labels(
    session: Session, checkpoint_id: int, *, is_simulated: bool, ifos: Collection[str]
) -> list[Finding]:
    """Report classes with too few labels in a detector: their own glitches may be flagged there.

    A class without labels in a detector is reported only if another detector has enough.
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
        if counts.get((name, ifo), 0) < MIN_OF_CLASS
        and ((name, ifo) in counts or most[name] >= MIN_OF_CLASS)
    ]
    return [found("few_labels", classes=few[:MAX_NAMED], n=len(few))] if few else []


def _count_by_ifo(session: Session, conditions: list[Any]) -> dict[str | None, int]:
    rows = session.execute(
        select(Embedding.ifo, func.count())
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*conditions)
        .group_by(Embedding.ifo)
        .order_by(Embedding.ifo)
    )
    return dict(rows.all())
