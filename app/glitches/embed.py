"""Embedding one upload: encode, store, judge, find its kin."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core.errors import BusyError, InvalidRequestError
from app.core.principals import Principal
from app.glitches.labels import append_label
from app.glitches.neighbours import MOST_NEIGHBOURS, find_neighbours
from app.glitches.records import EncodingLike, GlitchMetadata, GlitchRecord, Neighbour
from app.glitches.service import get_embedding, get_glitch, insert_glitch
from app.glitches.upload import ParsedUpload
from app.models.checkpoints import hold_active_checkpoint
from app.models.records import CheckpointRecord
from app.novelty import judge_novelty
from glitch.conditions import condition_of
from glitch.novelty import Judgement

ORIGIN = "upload"


@dataclass(frozen=True, eq=False)
class Embedded:
    """One upload, embedded."""

    upload: ParsedUpload
    glitch: GlitchRecord | None  # None: not stored
    is_new: bool
    checkpoint: str  # its name
    encoding: EncodingLike  # as stored, where the glitch was known already
    novelty: Judgement
    neighbours: tuple[Neighbour, ...]  # ascending distance, the glitch itself left out


def check_neighbours(k: int) -> int:
    """The number of neighbours asked for, if it may be asked for.

    Raises:
        InvalidRequestError: outside 0 to 200.
    """
    if not 0 <= k <= MOST_NEIGHBOURS:
        raise InvalidRequestError(f"neighbours must lie between 0 and {MOST_NEIGHBOURS}, not {k}.")
    return k


def embed_and_store(
    session: Session,
    upload: ParsedUpload,
    encoding: EncodingLike,
    checkpoint: CheckpointRecord,
    *,
    principal: Principal,
    k: int = 10,
    label: str | None = None,
) -> Embedded:
    """Store an encoded upload and say what it is like. The same upload twice is one glitch.

    Args:
        session: Its transaction is the caller's to commit.
        upload: Views and what is known of them.
        encoding: Of those views, under ``checkpoint``.
        checkpoint: The active one.
        principal: The author of the label.
        k: How many neighbours, 0 to 200.
        label: A class to label the glitch with, unless it carries that label already.

    Raises:
        InvalidRequestError: if ``k`` or ``label`` means nothing.
        PermissionDeniedError: if the principal may not label.
        BusyError: if another checkpoint became active since the encoding.
    """
    check_neighbours(k)
    if hold_active_checkpoint(session).id != checkpoint.id:
        raise BusyError("Another model became active this moment: send it again.")
    stored = insert_glitch(
        session,
        views=upload.views,
        encoding=encoding,
        checkpoint=checkpoint,
        metadata=GlitchMetadata(origin=ORIGIN, **upload.facts()),
    )
    glitch = stored.glitch
    if label is not None and glitch.label != label:
        append_label(session, glitch.id, label, author=principal)
        glitch = get_glitch(session, glitch.id)
    kept = encoding if stored.is_new else get_embedding(session, glitch.id, checkpoint.id)
    return Embedded(
        upload=upload,
        glitch=glitch,
        is_new=stored.is_new,
        checkpoint=checkpoint.name,
        encoding=kept,
        novelty=stored.novelty,
        neighbours=tuple(
            find_neighbours(
                session,
                vector=kept.mean,
                checkpoint_id=checkpoint.id,
                k=k,
                exclude_id=glitch.id,
            )
        ),
    )


def embed_only(
    session: Session,
    upload: ParsedUpload,
    encoding: EncodingLike,
    checkpoint: CheckpointRecord,
    *,
    k: int = 10,
) -> Embedded:
    """What an encoded upload is like, with nothing stored.

    A stored glitch with the same views comes first among the neighbours, at distance 0.

    Raises:
        InvalidRequestError: if ``k`` lies outside 0 to 200.
    """
    check_neighbours(k)
    return Embedded(
        upload=upload,
        glitch=None,
        is_new=False,
        checkpoint=checkpoint.name,
        encoding=encoding,
        novelty=judge_novelty(
            session,
            vector=encoding.mean,
            checkpoint_id=checkpoint.id,
            ifo=upload.ifo,
            origin=ORIGIN,
            gps_time=upload.gps_time,
            condition=condition_of(upload.views),
        ),
        neighbours=tuple(
            find_neighbours(session, vector=encoding.mean, checkpoint_id=checkpoint.id, k=k)
        ),
    )
