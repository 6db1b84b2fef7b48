"""The summary of a cluster: nearest classes, times, and how alike its members are."""

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.findings import FAINT_SNR, OFF_CENTRE_S
from app.clusters.occurrences import reach_of
from app.clusters.selection import Selection
from app.clusters.tables import ClusteringRun
from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import FoundCluster
from glitch.novelty import MIN_OF_CLASS
from glitch.novelty.false_discovery import chance_of_as_many

NEAREST_CLASSES = 5
SURE = 0.8  # probability of a simulated class above which it counts for a cluster
HISTOGRAM_BINS = 20
DAY_S = 86_400


def summarise(
    session: Session, run: ClusteringRun, selection: Selection, cluster: FoundCluster
) -> dict[str, Any]:
    """Compute the summary that is stored with a cluster, as JSON values.

    ``simulated_look`` names the simulated class that the model predicts for most members, if it is
    confident of it for most. ``looks_alike`` counts all glitches, labelled or not, that are as near
    to the medoid as nine in ten of the members: how often this look occurs, and when. ``returning``
    names classes among them that staff called dormant, or that occur again in a detector of the
    members. ``trust`` says how alike the members really are.
    """
    ifos = [selection.ifos[index] for index in cluster.members]
    times = [selection.gps_times[index] for index in cluster.members]
    chord = float(np.quantile(cluster.distances, 0.9))
    medoid = selection.vectors[cluster.medoid]
    reach = reach_of(chord)
    distance = Embedding.mean.cosine_distance(medoid)
    population = [
        Embedding.checkpoint_id == run.checkpoint_id,
        Embedding.is_simulated.is_(run.is_simulated),
    ]
    alike, first, last = session.execute(
        select(func.count(), func.min(Glitch.gps_time), func.max(Glitch.gps_time))
        .select_from(Embedding)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*population, distance <= reach)
    ).one()
    classes = session.execute(
        select(
            GlitchClass.name,
            GlitchClass.state,
            func.min(distance).label("nearest"),
            func.count().filter(distance <= reach).label("alike"),
            func.count().label("members"),
            func.count().filter(Embedding.ifo.in_(set(ifos) - {None})).label("of_ifos"),
        )
        .select_from(Embedding)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .join(GlitchClass, GlitchClass.id == Glitch.class_id)
        .where(*population)
        .group_by(GlitchClass.id)
        .order_by("nearest", GlitchClass.name)
    ).all()
    returned = {one["label"] for one in selection.returned if one["ifo"] in ifos}
    return {
        "ifos": dict(sorted(Counter(ifo or "unknown" for ifo in ifos).items())),
        "gps_times": _times([time for time in times if time is not None], len(times)),
        "radius": chord,
        "nearest_classes": [
            # pgvector returns NaN for a vector of zeros, which JSON cannot represent
            {"label": name, "distance": _number(nearest), "members": members, "looks_alike": near}
            for name, _, nearest, near, members, _ in classes[:NEAREST_CLASSES]
        ],
        # One example proves nothing, so the class needs enough labels in these detectors.
        "returning": [
            name
            for name, state, _, near, _, of_ifos in classes[:NEAREST_CLASSES]
            if near
            and of_ifos >= MIN_OF_CLASS
            # In scope "everything" a cluster may be the dormant class itself, labelled long ago.
            and ((state == "dormant" and run.scope == "novel") or name in returned)
        ],
        "simulated_look": None
        if run.is_simulated
        else _simulated_look(
            session, run.checkpoint_id, [selection.ids[index] for index in cluster.members]
        ),
        "trust": trust_in(session, run.checkpoint_id, selection, cluster),
        "looks_alike": {
            "count": alike,
            "first_gps_time": _text(first),
            "last_gps_time": _text(last),
        },
    }


def _simulated_look(
    session: Session, checkpoint_id: int, members: Sequence[UUID]
) -> dict[str, Any] | None:
    """Return the simulated class that the model predicts for most members with confidence."""
    found = session.execute(
        select(Embedding.simulated_class, func.count().label("n"))
        .where(
            Embedding.checkpoint_id == checkpoint_id,
            is_any_of(Embedding.glitch_id, members),
            Embedding.simulated_probability >= SURE,
        )
        .group_by(Embedding.simulated_class)
        .order_by(func.count().desc(), Embedding.simulated_class)
        .limit(1)
    ).first()
    if found is None or 2 * found.n <= len(members):
        return None
    return {"label": found.simulated_class, "n": found.n, "members": len(members)}


def significance(selection: Selection, cluster: FoundCluster) -> float | None:
    """Return the chance that known glitches alone put as many below the threshold.

    "As many" means as many as the cluster's flagged members; lower is rarer. Exact for one detector
    (``glitch.novelty.false_discovery.chance_of_as_many``). For several, the smallest chance times
    the number of detectors (Bonferroni). Members that the test did not flag, which wait since an
    earlier run, do not count. None if no member counts.
    """
    if selection.threshold is None:
        return None
    chances = []
    flagged = [index for index in cluster.members if selection.ids[index] in selection.predicted]
    for ifo in {selection.ifos[index] for index in flagged} - {None}:
        n_calibration = selection.calibration_by_ifo.get(ifo, 0)
        if ifo not in selection.judged_by_ifo or not n_calibration:
            continue
        of_ifo = [index for index in flagged if selection.ifos[index] == ifo]
        # A burst counts as one glitch, tested once.
        n_tests = max(1, math.ceil(selection.judged_by_ifo[ifo] - 1e-9))
        n_members = max(1, math.floor(selection.weights[of_ifo].sum() + 1e-9))
        chances.append(
            chance_of_as_many(
                min(n_members, n_tests),
                n_tests,
                n_calibration,
                # With weights, a p-value may be less than the least one possible without them.
                max(selection.threshold, 1 / (n_calibration + 1)),
            )
        )
    return min(1.0, min(chances) * len(chances)) if chances else None


def _times(times: Sequence[Decimal], size: int) -> dict[str, Any]:
    timed = {"n_timed": len(times)}
    if not times:
        return {"first": None, "last": None, "rate_per_day": None, "histogram": [], **timed}
    values = np.array([float(time) for time in times])
    days = float(values.max() - values.min()) / DAY_S
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    return {
        **timed,
        "first": _text(min(times)),
        "last": _text(max(times)),
        # Intervals between first and last, over the cluster's own span: observing time outside it
        # is not known here. None if some members have no time.
        "rate_per_day": (size - 1) / days if days > 0 and len(times) == size else None,
        "histogram": [
            {"gps_start": float(start), "count": int(count)}
            for start, count in zip(edges[:-1], counts, strict=True)
        ],
    }


def _text(time: Decimal | None) -> str | None:
    return None if time is None else format(time.normalize(), "f")


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def trust_in(
    session: Session, checkpoint_id: int, selection: Selection, cluster: FoundCluster
) -> dict[str, Any]:
    """Collect facts that tell how alike the members really are, as JSON values.

    These are the conditions in which they were seen, the numbers with a time, faint and off
    centre, and their predicted classes. A cluster with several predicted classes, or with parts
    seen in other windows, is likely a mixture.
    """
    members = [selection.ids[index] for index in cluster.members]
    is_member = Embedding.checkpoint_id == checkpoint_id, is_any_of(Embedding.glitch_id, members)
    conditions = session.execute(
        select(Embedding.condition, func.count())
        .where(*is_member)
        .group_by(Embedding.condition)
        .order_by(func.count().desc(), Embedding.condition)
    ).all()
    timed, faint, off_centre = session.execute(
        select(
            func.count(Glitch.gps_time),
            func.count().filter(Glitch.snr < FAINT_SNR),
            func.count().filter(
                func.abs(Glitch.peak_gps_time - Glitch.centre_gps_time) > OFF_CENTRE_S
            ),
        ).where(is_any_of(Glitch.id, members))
    ).one()
    predicted = Counter(selection.predicted[one] for one in members if one in selection.predicted)
    named = select(GlitchClass.id, GlitchClass.name).where(GlitchClass.id.in_(predicted))
    names = dict(session.execute(named).all())
    n_flagged = sum(one in selection.predicted for one in members)
    return {
        **({"n_flagged": n_flagged} if selection.predicted else {}),  # else nothing was tested
        "n_timed": timed,
        "n_faint": faint,
        "n_off_centre": off_centre,
        "seen": [{"condition": condition, "n": n} for condition, n in conditions],
        "looks": [
            {"label": names[class_id], "n": n}
            for class_id, n in predicted.most_common()
            if class_id in names
        ],
    }
