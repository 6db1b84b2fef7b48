"""Store a glitch exactly once, however often and by however many clients it is sent."""

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from operator import itemgetter
from typing import Any, cast
from uuid import UUID

import numpy as np
from sqlalchemy import Row, Table, Text, Uuid, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session

from app.core.access import record_event
from app.core.database import uuid7
from app.core.errors import ConflictError, InvalidRequestError, ServiceError, check_choice
from app.core.postgres.one_trip import in_one_round_trip
from app.glitches.facts import NUMBERS, facts_of
from app.glitches.records import EncodingLike, GlitchMetadata, GlitchRecord, StoredGlitch
from app.glitches.selection import check_ifo, get_glitch, record_of
from app.glitches.tables import ORIGINS, Embedding, Glitch, View
from app.models.records import CheckpointRecord
from app.novelty.changes import note_class_changes
from app.novelty.single import judge_novelty
from glitch.codec import STEPS, pack_view, unpack_view
from glitch.gps import why_in_future
from glitch.gravityspy import is_spelled_like_an_id
from glitch.novelty import Judgement
from glitch.novelty.conditions import condition_of
from glitch.views import Views

GPS_STEP = Decimal("1e-9")  # s; resolution of the column
GPS_LIMIT = Decimal(10) ** 11  # s; limit of the column
SAME_TIME = Decimal(1)  # s; sources give the time of one glitch with different decimals
LONGEST_TEXT = 200


def insert_glitch(
    session: Session,
    *,
    views: Views,
    encoding: EncodingLike,
    checkpoint: CheckpointRecord,
    metadata: GlitchMetadata,
) -> StoredGlitch:
    """Store a glitch, its views and its embedding; a repeated upload is the same glitch.

    Two simultaneous requests for the same glitch give one row: the second waits for the first one's
    commit and then finds it. A Gravity Spy id also identifies a glitch: an upload under a known id
    replaces the views if it has all known windows and more; otherwise it changes nothing. A known
    glitch without an embedding under this checkpoint gets one.

    Returns:
        The glitch as stored, whether it is new, and its current novelty.

    Raises:
        InvalidRequestError: if the views or the encoding do not match the checkpoint, or a value is
            invalid.
        ConflictError: if the Gravity Spy id belongs to a glitch of another detector or time.
    """
    _check(views, encoding, checkpoint, metadata)
    digest = known_digests(session, [(views, metadata)]).get(0) or content_digest(
        views, metadata.ifo, metadata.gps_time
    )
    new = NewGlitch(views, encoding, metadata)
    if added := _insert_new(session, [new], {digest: 0}, checkpoint):
        return added[0]
    glitch = get_glitch(session, _known_id(session, digest, views, metadata))
    key = (Embedding.checkpoint_id == checkpoint.id, Embedding.glitch_id == glitch.id)
    if session.scalar(select(Embedding.glitch_id).where(*key)) is None:
        row, judgement = _embedding(session, glitch, new, checkpoint)
        # No row is returned if a concurrent request has added the embedding.
        if session.execute(_ADD_EMBEDDINGS, [row]).first() is not None:
            note_class_changes(session, [glitch.id])  # the glitch may have a label
            return StoredGlitch(glitch, False, judgement)
    return StoredGlitch(glitch, False, _judge_stored(session, glitch, checkpoint))


@dataclass(frozen=True, eq=False)
class NewGlitch:
    """One glitch to be stored by ``insert_glitches``."""

    views: Views
    encoding: EncodingLike
    metadata: GlitchMetadata


def insert_glitches(
    session: Session, glitches: Sequence[NewGlitch], *, checkpoint: CheckpointRecord
) -> list[StoredGlitch | ServiceError]:
    """Store many glitches as ``insert_glitch`` does, with a few statements for the new ones.

    Each is judged by the labels from before the call. A bad glitch does not affect the others.

    Returns:
        For each glitch, in order, the result of ``insert_glitch`` or the error that it would raise.
    """
    results: dict[int, StoredGlitch | ServiceError] = {}
    digests: dict[bytes, int] = {}
    ids: set[str | None] = set()
    stored_digests = known_digests(session, [(one.views, one.metadata) for one in glitches])
    for index, one in enumerate(glitches):
        try:
            _check(one.views, one.encoding, checkpoint, one.metadata)
        except ServiceError as error:
            results[index] = error
            continue
        digest = stored_digests.get(index) or content_digest(
            one.views, one.metadata.ifo, one.metadata.gps_time
        )
        # Of two equal glitches, or two with one id, the second is stored after the first, as known.
        if digest not in digests and (one.metadata.gravityspy_id or None) not in ids:
            digests[digest] = index
            ids |= {one.metadata.gravityspy_id} - {None}
    added = _insert_new(session, glitches, digests, checkpoint)
    for index, one in enumerate(glitches):
        if index in results or index in added:
            continue
        try:
            with session.begin_nested():
                results[index] = insert_glitch(
                    session,
                    views=one.views,
                    encoding=one.encoding,
                    checkpoint=checkpoint,
                    metadata=one.metadata,
                )
        except (InvalidRequestError, ConflictError) as error:
            results[index] = error
    results |= added
    return [results[index] for index in range(len(glitches))]


def _insert_new(
    session: Session,
    glitches: Sequence[NewGlitch],
    digests: Mapping[bytes, int],
    checkpoint: CheckpointRecord,
) -> dict[int, StoredGlitch]:
    """Store the glitches that are not known yet; return them by position."""
    candidates = [(digest, glitches[index].metadata) for digest, index in digests.items()]
    records = {
        (index := digests[digest]): record_of(
            glitch, None, tuple(sorted(glitches[index].views.durations_s))
        )
        for digest, glitch in _claim(session, candidates).items()
    }
    if not records:
        return {}
    _insert_views(session, {glitch.id: glitches[index].views for index, glitch in records.items()})
    embedded = {
        index: _embedding(session, glitch, glitches[index], checkpoint)
        for index, glitch in records.items()
    }
    session.execute(_ADD_EMBEDDINGS, [row for row, _ in embedded.values()])
    return {
        index: StoredGlitch(glitch, True, embedded[index][1]) for index, glitch in records.items()
    }


def content_digest(views: Views, ifo: str | None, gps_time: Decimal | None) -> bytes:
    """SHA-256 that identifies an upload: preprocessing, energies, detector and time.

    The energies are hashed as stored (255 steps) but before compression, so that another version of
    zstd does not make a known glitch new.
    """
    digest = hashlib.sha256(views.preprocessing.digest().encode())
    digest.update(np.packbits(views.observed).tobytes())
    digest.update(np.rint(views.values * STEPS).astype(np.uint8).tobytes())
    gps = "" if gps_time is None else str(gps_time.quantize(GPS_STEP))
    digest.update(f"|{ifo or ''}|{gps}".encode())
    return digest.digest()


def _check(
    views: Views, encoding: EncodingLike, checkpoint: CheckpointRecord, metadata: GlitchMetadata
) -> None:
    if views.preprocessing.digest() != checkpoint.preprocessing_digest:
        raise InvalidRequestError(
            f"These views have other preprocessing than checkpoint {checkpoint.name}: make them "
            "with the preprocessing in its manifest."
        )
    for vector in (encoding.mean, encoding.log_variance):
        if vector.shape != (checkpoint.latent_size,) or not np.isfinite(vector).all():
            raise InvalidRequestError(
                f"An encoding under checkpoint {checkpoint.name} has {checkpoint.latent_size} "
                "finite dimensions: encode with that checkpoint."
            )
    check_choice(metadata.origin, ORIGINS, "origin")
    if metadata.ifo is not None:
        check_ifo(metadata.ifo)
    if metadata.gravityspy_id is not None and not is_spelled_like_an_id(metadata.gravityspy_id):
        raise InvalidRequestError(
            "A Gravity Spy id has 1 to 64 letters, digits, '_' and '-', for example 8FHTgA8MEu."
        )
    if metadata.channel is not None and (
        len(metadata.channel) > LONGEST_TEXT or not metadata.channel.isprintable()
    ):
        raise InvalidRequestError(
            f"A channel name has at most {LONGEST_TEXT} printable characters."
        )
    gps = metadata.gps_time
    if gps is not None and not (gps.is_finite() and abs(gps) < GPS_LIMIT):
        raise InvalidRequestError(
            "gps_time must be seconds of GPS time, for example 1126259462.4.", field="gps_time"
        )
    if gps is not None and (why := why_in_future(gps, datetime.now(UTC))) is not None:
        raise InvalidRequestError(why, field="gps_time")
    for name in NUMBERS:
        value = getattr(metadata, name)
        if value is not None and not math.isfinite(value):
            raise InvalidRequestError(f"{name} must be a finite number.")


def _claim(
    session: Session, candidates: Sequence[tuple[bytes, GlitchMetadata]]
) -> dict[bytes, Row[Any]]:
    """Insert rows unless digest or Gravity Spy id are known; return the new rows by digest.

    Rows are inserted in the order of their digests, to avoid deadlocks.
    """
    if not candidates:
        return {}
    rows = [
        {"id": uuid7(), "origin": metadata.origin, "content_digest": digest, **facts_of(metadata)}
        for digest, metadata in sorted(candidates, key=itemgetter(0))
    ]
    added = session.execute(_ADD_GLITCHES, rows)
    return {row.content_digest: row for row in added}


# One statement for all rows, compiled once; ``values(rows)`` would be compiled each time. Inserts
# into the tables, because inserts through the ORM take twice as long.
_TABLE = cast("Table", Glitch.__table__)
_ADD_GLITCHES = insert(_TABLE).on_conflict_do_nothing().returning(*_TABLE.columns)
_ADD_VIEWS = insert(cast("Table", View.__table__))
_ADD_EMBEDDINGS = (
    insert(cast("Table", Embedding.__table__))
    .on_conflict_do_nothing()
    .returning(Embedding.glitch_id)
)


def _known_id(session: Session, digest: bytes, views: Views, metadata: GlitchMetadata) -> UUID:
    """Id of the known glitch that prevented the insert; adds windows if the upload has more."""
    same = session.scalar(select(Glitch.id).where(Glitch.content_digest == digest))
    if same is not None:
        return same
    row = session.execute(
        select(Glitch.id, Glitch.ifo, Glitch.gps_time, Glitch.gravityspy_id)
        .where(Glitch.gravityspy_id == metadata.gravityspy_id)
        .with_for_update(key_share=True)
    ).first()
    if row is None:  # deleted between the two statements
        raise ConflictError("The glitch was deleted while it was stored: send it again.")
    is_other_ifo = None not in (metadata.ifo, row.ifo) and metadata.ifo != row.ifo
    is_other_time = (
        metadata.gps_time is not None
        and row.gps_time is not None
        and abs(metadata.gps_time - row.gps_time) > SAME_TIME
    )
    if is_other_ifo or is_other_time:
        raise ConflictError(
            f"The Gravity Spy id {row.gravityspy_id} names glitch {row.id}, of detector "
            f"{row.ifo} at GPS {row.gps_time}, but the upload is of {metadata.ifo} at "
            f"{metadata.gps_time}: correct the id, the detector or the time."
        )
    durations_s = set(session.scalars(select(View.duration).where(View.glitch_id == row.id)))
    if set(views.durations_s) > durations_s:
        _replace_views(session, row.id, digest, views, metadata)
    glitch_id: UUID = row.id
    return glitch_id


def _replace_views(
    session: Session, glitch_id: UUID, digest: bytes, views: Views, metadata: GlitchMetadata
) -> None:
    """Replace the views by a larger set of windows, and delete the old embeddings."""
    session.execute(delete(View).where(View.glitch_id == glitch_id))
    session.execute(delete(Embedding).where(Embedding.glitch_id == glitch_id))
    session.execute(
        update(Glitch)
        .where(Glitch.id == glitch_id)
        .values(
            content_digest=digest,
            peak_gps_time=metadata.peak_gps_time,
            centre_gps_time=metadata.centre_gps_time,
        )
    )
    _insert_views(session, {glitch_id: views})
    details = {"views": list(views.durations_s), "origin": metadata.origin}
    record_event(session, "upload", "add views", "glitch", glitch_id, **details)


def _insert_views(session: Session, views: Mapping[UUID, Views]) -> None:
    session.execute(
        _ADD_VIEWS,
        [
            {
                "glitch_id": glitch_id,
                "duration": duration_s,
                "packed": pack_view(one.view(duration_s)),
                "observed": np.packbits(
                    one.observed[one.preprocessing.view_index(duration_s)]
                ).tobytes(),
                "n_frequency": one.preprocessing.n_frequency,
                "n_time": one.preprocessing.n_time,
            }
            for glitch_id, one in views.items()
            for duration_s in one.durations_s
        ],
    )


def _embedding(
    session: Session, glitch: GlitchRecord, pictured: NewGlitch, checkpoint: CheckpointRecord
) -> tuple[dict[str, Any], Judgement]:
    encoding, condition = pictured.encoding, condition_of(pictured.views)
    judgement = judge_novelty(
        session,
        vector=encoding.mean,
        checkpoint_id=checkpoint.id,
        ifo=glitch.ifo,
        origin=glitch.origin,
        gps_time=glitch.gps_time,
        condition=condition,
    )
    return embedding_row(glitch, checkpoint.id, condition, encoding, judgement), judgement


def embedding_row(
    glitch: GlitchRecord | Row[UUID, str | None, bool],
    checkpoint_id: int,
    condition: str,
    encoding: EncodingLike,
    judgement: Judgement,
) -> dict[str, Any]:
    """The row of an embedding; the glitch is not a reference until it has a label."""
    simulated = encoding.simulated_class
    return {
        "glitch_id": glitch.id,
        "checkpoint_id": checkpoint_id,
        "ifo": glitch.ifo,
        "is_simulated": glitch.is_simulated,
        "is_reference": False,
        "condition": condition,
        "mean": np.asarray(encoding.mean, dtype=np.float32),
        "log_variance": [float(value) for value in encoding.log_variance],
        "reconstruction_error": float(encoding.reconstruction_error),
        "kl": float(encoding.kl),
        "simulated_class": simulated and simulated.label,
        "simulated_probability": simulated and simulated.probability,
        "novelty_score": judgement.score,
        "p_value": judgement.p_value,
        "is_judged": judgement.is_judged,
        "not_judged_reason": judgement.reason,
        "judged_within": judgement.observing_run,
    }


def _judge_stored(
    session: Session, glitch: GlitchRecord, checkpoint: CheckpointRecord
) -> Judgement:
    """Current novelty of a known glitch, which may differ from when it was stored."""
    mean, condition = session.execute(
        select(Embedding.mean, Embedding.condition).where(
            Embedding.checkpoint_id == checkpoint.id, Embedding.glitch_id == glitch.id
        )
    ).one()
    return judge_novelty(
        session,
        vector=np.asarray(mean, dtype=np.float32),
        checkpoint_id=checkpoint.id,
        ifo=glitch.ifo,
        origin=glitch.origin,
        gps_time=glitch.gps_time,
        condition=condition,
        exclude_id=glitch.id,
    )


_ADD = text(
    "UPDATE glitch SET data_quality = ("
    "SELECT array_agg(DISTINCT name ORDER BY name) FROM unnest(data_quality || :names) AS name)"
    " WHERE id = :id AND NOT data_quality @> :names"
).bindparams(bindparam("names", type_=ARRAY(Text)), bindparam("id", type_=Uuid))


def add_flags(session: Session, flags: Mapping[UUID, Collection[str]]) -> None:
    """Add data-quality flags to glitches; existing flags are kept."""
    rows = [{"id": one, "names": sorted(names)} for one, names in sorted(flags.items()) if names]
    if rows:
        session.execute(_ADD, rows)


# The locks prevent two transactions from storing glitches of one detector and time simultaneously,
# because neither would see the other's row. They are taken in order, so that two transactions with
# many glitches cannot deadlock, and held until the transaction ends.
_GLITCHES_AT_TIMES = (
    "SELECT pg_advisory_xact_lock(key) FROM unnest(%(locks)s::bigint[]) AS key;"
    "SELECT id, ifo, gps_time, content_digest FROM glitch"
    " JOIN unnest(%(ifos)s::text[], %(times)s::numeric[]) AS key (ifo, gps_time)"
    " USING (ifo, gps_time)"
)
_SAME_STEPS = 1  # of 255; largest difference from rounding


def known_digests(
    session: Session, found: Sequence[tuple[Views, GlitchMetadata]]
) -> dict[int, bytes]:
    """Digests of stored glitches that equal these, by position.

    Equal glitches have the same detector, GPS time, windows and observed rows, and energies that
    differ only by rounding. Without detector or time, only digests are compared, elsewhere.
    """
    keys = {
        index: (one.ifo, one.gps_time.quantize(GPS_STEP))
        for index, (_, one) in enumerate(found)
        if one.ifo is not None and one.gps_time is not None
    }
    if not keys:
        return {}
    ifos, times = zip(*sorted(set(keys.values())), strict=True)
    values = {"locks": sorted(map(_lock, ifos, times)), "ifos": list(ifos), "times": list(times)}
    stored = in_one_round_trip(session, _GLITCHES_AT_TIMES, values)
    if not stored:
        return {}
    views: dict[UUID, dict[float, View]] = {}
    for view in session.scalars(select(View).where(View.glitch_id.in_([one[0] for one in stored]))):
        views.setdefault(view.glitch_id, {})[view.duration] = view
    return {
        index: digest
        for index, key in keys.items()
        for glitch_id, *at, digest in stored
        if tuple(at) == key and _are_same(found[index][0], views.get(glitch_id, {}))
    }


def _lock(ifo: str, time: Decimal) -> int:
    digest = sha256(f"{ifo} {time}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _are_same(views: Views, stored: dict[float, View]) -> bool:
    if set(views.durations_s) != set(stored):
        return False
    for duration_s, view in stored.items():
        index = views.preprocessing.view_index(duration_s)
        values = np.rint(views.values[index] * STEPS)
        if values.shape != (view.n_frequency, view.n_time):
            return False
        if np.packbits(views.observed[index]).tobytes() != view.observed:
            return False
        stored_values = np.rint(unpack_view(view.packed, values.shape) * STEPS)
        if np.abs(values - stored_values).max() > _SAME_STEPS:
            return False
    return True
