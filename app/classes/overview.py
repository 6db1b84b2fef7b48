"""Overview of a class: frequency, position in the latent space, example glitches."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil

import numpy as np
from pgvector.sqlalchemy import Vector
from sqlalchemy import BigInteger, Double, cast, func, select
from sqlalchemy.orm import Session

from app.classes import records
from app.classes.tables import GlitchClass
from app.glitches.records import GlitchRecord
from app.glitches.selection import glitches_by_id, select_glitches, to_record
from app.glitches.tables import Embedding, Glitch, GlitchTally
from app.models.checkpoints import active_id

SAMPLED = 200  # latest glitches of a class from which its mean direction is computed
EXEMPLARS = 5
NEAREST_CLASSES = 6
TIME_BINS = 48
WEEK_S = 604_800


@dataclass(frozen=True)
class Occurrence:
    """Numbers of glitches of one class. Only measured ones are in ``by_ifo`` and the times."""

    by_ifo: Mapping[str, int] = field(default_factory=dict)  # measured glitches by detector
    measured: int = 0
    simulated: int = 0
    first: Decimal | None = None  # GPS time of the first measured glitch, s
    last: Decimal | None = None

    @property
    def total(self) -> int:
        """Number of measured and simulated glitches."""
        return self.measured + self.simulated


@dataclass(frozen=True)
class Portrait:
    """Exemplars of a class and its nearest classes, under the active checkpoint."""

    exemplars: tuple[GlitchRecord, ...]
    are_chosen: bool  # by staff; else the glitches nearest to the mean direction
    nearest: tuple[records.NearbyClass, ...]


def occurrences(
    session: Session, class_ids: Collection[int] | None = None
) -> dict[int | None, Occurrence]:
    """Count the glitches of these classes, or of all, by class id; None is for unlabelled ones."""
    kind = GlitchTally.class_id, GlitchTally.ifo, GlitchTally.is_simulated
    total = func.sum(GlitchTally.n)
    counted = select(*kind, cast(total, BigInteger)).group_by(*kind).having(total > 0)
    if class_ids is not None:
        counted = counted.where(GlitchTally.class_id.in_(class_ids))
    parts: dict[int | None, list[tuple[str | None, bool, int]]] = {}
    for class_id, ifo, is_simulated, number in session.execute(counted):
        parts.setdefault(class_id, []).append((ifo, is_simulated, number))
    times = _first_and_last(session, parts)
    by_class: dict[int | None, Occurrence] = {}
    for class_id, counts in parts.items():
        by_ifo: Counter[str] = Counter()
        for ifo, is_simulated, number in counts:
            by_ifo[ifo or "?"] += 0 if is_simulated else number
        by_class[class_id] = Occurrence(
            by_ifo=dict(sorted((+by_ifo).items())),
            measured=by_ifo.total(),
            simulated=sum(number for _, is_simulated, number in counts if is_simulated),
            first=times[class_id][0],
            last=times[class_id][1],
        )
    return by_class


def occurrence_of(session: Session, class_id: int) -> Occurrence:
    """Count the glitches of one class; reads only its glitches."""
    return occurrences(session, [class_id]).get(class_id, Occurrence())


def _first_and_last(
    session: Session, class_ids: Iterable[int | None]
) -> dict[int | None, tuple[Decimal | None, Decimal | None]]:
    """Return the times of the first and last measured glitch; two index lookups for each class."""
    ends = func.min(Glitch.gps_time), func.max(Glitch.gps_time)
    own = Glitch.class_id == GlitchClass.id, Glitch.is_simulated.is_(False)
    first, last = (select(end).where(*own).correlate(GlitchClass).scalar_subquery() for end in ends)
    ids = list(class_ids)
    labelled = [one for one in ids if one is not None]
    rows = session.execute(select(GlitchClass.id, first, last).where(GlitchClass.id.in_(labelled)))
    times: dict[int | None, tuple[Decimal | None, Decimal | None]] = {
        row[0]: (row[1], row[2]) for row in rows
    }
    if None in ids:
        is_unlabelled = Glitch.class_id.is_(None), Glitch.is_simulated.is_(False)
        unlabelled = session.execute(select(*ends).where(*is_unlabelled)).one()
        times[None] = (unlabelled[0], unlabelled[1])
    return times


def portrait(session: Session, known: records.GlitchClass) -> Portrait:
    """Find the exemplars of a class and the classes nearest to it.

    The position of a class is the mean direction of its latest labelled glitches. Without an active
    checkpoint, or without labels, there are no nearest classes, and only chosen exemplars.
    """
    chosen = tuple(glitches_by_id(session, known.exemplar_ids).values())
    checkpoint_id = active_id(session)
    middles = {} if checkpoint_id is None else _middles(session, checkpoint_id)
    own = middles.get(known.id)
    if checkpoint_id is None or own is None:
        return Portrait(chosen, bool(chosen), ())
    shown = chosen or _nearest_to(session, checkpoint_id, known.id, own)
    chords = sorted(
        (float(np.linalg.norm(own - middle)), class_id)
        for class_id, middle in middles.items()
        if class_id != known.id
    )[:NEAREST_CLASSES]
    names = {
        row.id: row
        for row in session.scalars(
            select(GlitchClass).where(GlitchClass.id.in_([class_id for _, class_id in chords]))
        )
    }
    nearest = tuple(
        records.NearbyClass(
            id=class_id, name=names[class_id].name, state=names[class_id].state, distance=chord
        )
        for chord, class_id in chords
    )
    return Portrait(shown, bool(chosen), nearest)


def times_of(session: Session, class_id: int) -> tuple[tuple[float, int], ...]:
    """Count the measured glitches of a class over time, in equal bins.

    Returns:
        Start (GPS seconds) and count of at most ``TIME_BINS`` bins, empty ones included; none if
        there are not two different times. For more than ``TIME_BINS`` weeks, bins are whole weeks.
    """
    conditions = Glitch.class_id == class_id, Glitch.is_simulated.is_(False)
    first, last = session.execute(
        select(func.min(Glitch.gps_time), func.max(Glitch.gps_time)).where(*conditions)
    ).one()
    if first is None or last is None or first == last:
        return ()
    start, end = float(first), float(last)
    if end - start > TIME_BINS * WEEK_S:
        first_week = int(start // WEEK_S)
        n_weeks = int(end // WEEK_S) - first_week + 1
        weeks = ceil(n_weeks / TIME_BINS)  # in one bin
        n_bins = ceil(n_weeks / weeks)
        start, width = float(first_week * WEEK_S), float(weeks * WEEK_S)
        place = ((GlitchTally.week - first_week) // weeks).label("place")
        counted = select(place, cast(func.sum(GlitchTally.n), BigInteger)).where(
            GlitchTally.class_id == class_id,
            GlitchTally.is_simulated.is_(False),
            GlitchTally.week.is_not(None),
        )
    else:
        n_bins, width = TIME_BINS, (end - start) / TIME_BINS
        # As floats: decimals take several times as long, and their precision is not needed here.
        when = cast(Glitch.gps_time, Double)
        bucket = func.width_bucket(when, cast(first, Double), cast(last, Double), n_bins)
        place = (func.least(bucket, n_bins) - 1).label("place")
        counted = select(place, func.count()).where(*conditions, Glitch.gps_time.is_not(None))
    counts: dict[int | None, int] = dict(session.execute(counted.group_by(place)).all())
    return tuple((start + index * width, counts.get(index, 0)) for index in range(n_bins))


def _middles(session: Session, checkpoint_id: int) -> dict[int, np.ndarray]:
    """Return the mean direction of the latest glitches of every class, as unit vectors."""
    latest = (
        select(func.l2_normalize(Embedding.mean, type_=Vector()).label("direction"))
        .select_from(Glitch)
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(Embedding.checkpoint_id == checkpoint_id, Glitch.class_id == GlitchClass.id)
        .order_by(Glitch.id.desc())
        .limit(SAMPLED)
        .correlate(GlitchClass)
        .lateral()
    )
    rows = session.execute(
        select(GlitchClass.id, func.avg(latest.c.direction, type_=Vector()))
        .join(latest, GlitchClass.id == GlitchClass.id)
        .group_by(GlitchClass.id)
    )
    middles = {}
    for class_id, mean in rows:
        vector = np.asarray(mean, dtype=np.float64)
        length = np.linalg.norm(vector)
        if length > 0:
            middles[class_id] = vector / length
    return middles


def _nearest_to(
    session: Session, checkpoint_id: int, class_id: int, middle: np.ndarray
) -> tuple[GlitchRecord, ...]:
    latest = (
        select(Glitch.id, Embedding.mean.cosine_distance(middle).label("distance"))
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(Embedding.checkpoint_id == checkpoint_id, Glitch.class_id == class_id)
        .order_by(Glitch.id.desc())
        .limit(SAMPLED)
        .subquery()
    )
    rows = session.execute(
        select_glitches()
        .join(latest, latest.c.id == Glitch.id)
        .order_by(Glitch.is_simulated, latest.c.distance, Glitch.id)
        .limit(EXEMPLARS)
    )
    return tuple(to_record(row) for row in rows)
