"""Occurrences over time of glitches similar to a cluster: those near its medoid."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Double, Integer, Row, Select, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.clusters.records import RunCount, SeenBefore, TimeBin
from app.clusters.service import get_cluster
from app.clusters.tables import ClusteringRun
from app.core.errors import ConflictError
from app.glitches.tables import Embedding, Glitch
from glitch.observing_runs import ERA_ENDS_S, ERAS

MAX_BINS = 120
# s: a minute, an hour, a day, a week, a month (a twelfth of a Julian year), a year
WIDTHS_S = (60, 3_600, 86_400, 604_800, 2_629_800, 31_557_600)


def reach_of(chord: float) -> float:
    """Return the cosine distance within which a glitch looks like a cluster of this radius (chord).

    A chord d between unit vectors corresponds to the cosine distance d ** 2 / 2. A small margin
    is added so that rounding does not exclude the medoid.
    """
    return chord**2 / 2 + 1e-6


def seen_before(session: Session, cluster_id: UUID) -> SeenBefore:
    """Count over time all glitches that are as near to the medoid as nine in ten members.

    Labelled glitches count too.
    """
    cluster = get_cluster(session, cluster_id)
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
    first, last = session.execute(
        select(func.min(Glitch.gps_time), func.max(Glitch.gps_time)).where(
            Glitch.is_simulated.is_(run.is_simulated)
        )
    ).one()
    span = (float(first or 0), float(last or 0))
    width = bin_width(span[1] - span[0])
    everything = select().select_from(Glitch).where(Glitch.is_simulated.is_(run.is_simulated))
    alike = everything.join(Embedding, Embedding.glitch_id == Glitch.id).where(
        Embedding.checkpoint_id == run.checkpoint_id,
        Embedding.mean.cosine_distance(np.asarray(medoid)) <= reach,
    )
    n_bins = int((span[1] - span[0]) // width) + 1
    by_bin, by_run = np.zeros((n_bins, 2), dtype=int), np.zeros((len(ERAS), 2), dtype=int)
    count = untimed = 0
    for column, query in enumerate((alike, everything)):
        for place, observing_run, number in _over_time(session, query, span[0], width):
            count += number if query is alike else 0
            if place is not None:
                by_bin[min(place, n_bins - 1), column] += number
                by_run[observing_run, column] += number
            elif query is alike:
                untimed = number
    return SeenBefore(
        threshold=reach,
        count=count,
        untimed=untimed,
        width_s=float(width),
        bins=tuple(
            TimeBin(
                gps_start=span[0] + index * width,
                gps_end=span[0] + (index + 1) * width,
                count=int(n_alike),
                total=int(total),
            )
            for index, (n_alike, total) in enumerate(by_bin)
            if first is not None
        ),
        runs=tuple(
            RunCount(observing_run=name, count=int(n_alike), total=int(total))
            for name, (n_alike, total) in zip(ERAS, by_run, strict=True)
            if total
        ),
    )


def _over_time(
    session: Session, query: Select[*tuple[Any, ...]], start_s: float, width_s: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Count glitches by bin and by observing run or break; without a time, both are None."""
    # As floats: exact decimals take several times as long, and a bin is a minute at least.
    when = cast(Glitch.gps_time, Double)
    place = cast(func.floor((when - start_s) / width_s), Integer).label("place")
    run = func.width_bucket(when, cast(list(ERA_ENDS_S), ARRAY(Double))).label("observing_run")
    return session.execute(
        query.add_columns(place, run, func.count()).group_by("place", "observing_run")
    ).all()


def bin_width(span_s: float) -> int:
    """Return the smallest calendar width (s) that divides a span into at most ``MAX_BINS`` bins.

    Spans of more than ``MAX_BINS`` years get bins of several years.
    """
    several_years = WIDTHS_S[-1] * int(span_s // (WIDTHS_S[-1] * (MAX_BINS - 1)) + 1)
    return next((one for one in WIDTHS_S if span_s // one + 1 <= MAX_BINS), several_years)
