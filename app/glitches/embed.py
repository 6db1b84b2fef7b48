"""Embed one upload: read, encode, store, judge, find neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy.orm import Session

from app.core.access import Principal, Role, require_role
from app.core.errors import BusyError, InvalidRequestError
from app.glitches.facts import facts_of
from app.glitches.ingest import insert_glitch
from app.glitches.labels import append_label
from app.glitches.neighbours import check_neighbours, find_neighbours
from app.glitches.records import EncodingLike, GlitchMetadata, GlitchRecord, Neighbour
from app.glitches.selection import get_glitch
from app.glitches.service import get_embedding
from app.glitches.upload import ParsedUpload, UploadFields, parse_upload, spooled
from app.models.checkpoints import hold_active
from app.novelty.single import judge_novelty
from glitch.novelty import Judgement
from glitch.novelty.conditions import condition_of

if TYPE_CHECKING:
    from app.server.runtime import Runtime  # imports this room

ORIGIN = "upload"


@dataclass(frozen=True, eq=False)
class Embedded:
    """One upload, embedded."""

    upload: ParsedUpload
    glitch: GlitchRecord | None  # None: not stored
    is_new: bool
    checkpoint: str  # its name
    encoding: EncodingLike  # the stored one if the glitch was known already
    novelty: Judgement
    neighbours: Sequence[Neighbour]  # by ascending distance, without the glitch itself


@dataclass(frozen=True, kw_only=True)
class UploadRequest(UploadFields):
    """An upload as received: files with their names, and text fields."""

    files: Sequence[tuple[str | None, BinaryIO]]
    neighbours: int = 10


def embed_upload(
    session: Session,
    runtime: "Runtime",
    sent: UploadRequest,
    *,
    principal: Principal,
    store: bool = True,
    label: str | None = None,
) -> Embedded:
    """Embed an upload, and store it if requested; a repeated upload is the same glitch.

    Reading and encoding come first and can take seconds under load, so the session uses no database
    connection until they are done. Storing needs the role submitter, analysing the role reader; a
    label needs ``store``.

    Raises:
        InvalidRequestError: if a field is invalid or contradicts another field or a file.
        GlitchError: if a file cannot be used.
        PermissionDeniedError: if the role is too low.
        NotReadyError: if no model is active or its weights are missing.
        BusyError: if too many requests wait, or another model became active meanwhile.
    """
    require_role(principal, Role.SUBMITTER if store else Role.READER)
    label = (label or "").strip() or None
    if label is not None and not store:
        raise InvalidRequestError("A label needs store=true: leave out one of the two.")
    if label is not None and "\x00" in label:
        raise InvalidRequestError("A label is the name of a class: see the list of classes.")
    check_neighbours(sent.neighbours)
    details = sent.parsed()
    checkpoint, encoder = runtime.active_encoder()
    with spooled(sent.files) as files:
        upload = parse_upload(
            files,
            details,
            preprocessing=encoder.preprocessing,
            strain_to_views=runtime.strain_to_views,
        )
    encoding: EncodingLike = encoder.encode(upload.views)
    glitch, is_new = None, False
    if store:
        if not hold_active(session, checkpoint.id):
            raise BusyError("Another model has just become active: send the file again.")
        stored = insert_glitch(
            session,
            views=upload.views,
            encoding=encoding,
            checkpoint=checkpoint,
            metadata=GlitchMetadata(origin=ORIGIN, **facts_of(upload)),
        )
        glitch, is_new, novelty = stored.glitch, stored.is_new, stored.novelty
        if label is not None and glitch.label != label:
            append_label(session, glitch.id, label, author=principal)
            glitch = get_glitch(session, glitch.id)
        if not is_new:
            encoding = get_embedding(session, glitch.id, checkpoint.id)
    else:
        novelty = judge_novelty(
            session,
            vector=encoding.mean,
            checkpoint_id=checkpoint.id,
            ifo=upload.ifo,
            origin=ORIGIN,
            gps_time=upload.gps_time,
            condition=condition_of(upload.views),
        )
    # If nothing is stored, a known glitch with the same views comes first, at distance 0.
    neighbours = find_neighbours(
        session,
        vector=encoding.mean,
        checkpoint_id=checkpoint.id,
        k=sent.neighbours,
        exclude_id=None if glitch is None else glitch.id,
    )
    return Embedded(upload, glitch, is_new, checkpoint.name, encoding, novelty, neighbours)
