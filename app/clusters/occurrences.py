"""How often a look occurred before: the glitches like a cluster's middle, counted over time."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from sqlalchemy import Integer, Numeric, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.clusters.records import RunCount, SeenBefore, TimeBin
from app.clusters.tables import Cluster, ClusteringRun
from app.core.errors import ConflictError, NotFoundError
from app.glitches.tables import Embedding, Glitch
from glitch.observing_runs import OBSERVING_RUNS, RUN_ENDS_S

MOST_BINS = 120
# s: a minute, an hour, a day, a week, a month (a twelfth of a Julian year), a year
WIDTHS_S = (60, 3_600, 86_400, 604_800, 2_629_800, 31_557_600)


def reach_of(chord: float) -> float:
    """The cosine distance up to which a glitch looks alike, of a cluster of this radius.

    A chord d and the cosine distance c obey c = d ** 2 / 2. Rounding must not lose the medoid.
    """
    return chord**2 / 2 + 1e-6


def seen_before(session: Session, cluster_id: UUID) -> SeenBefore:
    """Glitches of the catalogue, labelled or not, as near to the medoid as nine in ten members.

    Raises:
        NotFoundError: if there is no such cluster.
        ConflictError: if its medoid was deleted.
    """
    cluster = session.get(Cluster, cluster_id)
    if cluster is None:
        raise NotFoundError(f"There is no cluster {cluster_id}: `GET /clusters` lists them.")
    run = session.get_one(ClusteringRun, cluster.run_id)
    medoid = session.scalar(
        select(Embedding.mean).where(
            Embedding.checkpoint_id == run.checkpoint_id, Embedding.glitch_id == cluster.medoid_id
        )
    )
    if medoid is None:
        raise ConflictError(
            "The glitch at the middle of this cluster is no longer in the catalogue: cluster again."
        )
    reach = reach_of(float(cluster.summary["radius"]))
    kind = [
        Embedding.checkpoint_id == run.checkpoint_id,
        Embedding.is_simulated.is_(run.is_simulated),
    ]
    is_alike = Embedding.mean.cosine_distance(np.asarray(medoid)) <= reach
    first, last, count, untimed = session.execute(
        select(
            func.min(Glitch.gps_time),
            func.max(Glitch.gps_time),
            func.count().filter(is_alike),
            func.count().filter(is_alike, Glitch.gps_time.is_(None)),
        )
        .select_from(Embedding)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*kind)
    ).one()
    if first is None or last is None:
        return SeenBefore(
            threshold=reach,
            count=count,
            untimed=untimed,
            width_s=float(WIDTHS_S[0]),
            bins=(),
            runs=(),
        )
    width = bin_width(float(last - first))
    place = cast(func.floor((Glitch.gps_time - literal(first, Numeric)) / width), Integer)
    observing_run = func.width_bucket(Glitch.gps_time, cast(list(RUN_ENDS_S), ARRAY(Numeric)))
    counted = session.execute(
        select(
            place.label("place"),
            observing_run.label("observing_run"),
            func.count().filter(is_alike),
            func.count(),
        )
        .select_from(Embedding)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*kind, Glitch.gps_time.is_not(None))
        .group_by("place", "observing_run")
    ).all()
    n_bins = int(float(last - first) // width) + 1
    by_bin, by_run = np.zeros((n_bins, 2), dtype=int), np.zeros((len(OBSERVING_RUNS), 2), dtype=int)
    for at, when, alike, total in counted:
        by_bin[at] += (alike, total)
        by_run[when] += (alike, total)
    start = float(first)
    return SeenBefore(
        threshold=reach,
        count=count,
        untimed=untimed,
        width_s=float(width),
        bins=tuple(
            TimeBin(
                gps_start=start + index * width,
                gps_end=start + (index + 1) * width,
                count=int(alike),
                total=int(total),
            )
            for index, (alike, total) in enumerate(by_bin)
        ),
        runs=tuple(
            RunCount(observing_run=name, count=int(alike), total=int(total))
            for name, (alike, total) in zip(OBSERVING_RUNS, by_run, strict=True)
            if total
        ),
    )


def bin_width(span_s: float) -> int:
    """The narrowest width that a calendar knows and that makes at most ``MOST_BINS`` of a span.

    Of a longer span than that many years, as many years as it takes.
    """
    for width in WIDTHS_S:
        if span_s // width + 1 <= MOST_BINS:
            return width
    return WIDTHS_S[-1] * int(span_s // (WIDTHS_S[-1] * (MOST_BINS - 1)) + 1)
