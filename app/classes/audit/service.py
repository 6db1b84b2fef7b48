"""Label audits: start one, and read the findings of the latest page by page."""

from collections.abc import Sequence
from operator import attrgetter
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.classes.audit.records import Audit, AuditedGlitch, DoubtedClass, ImpureCluster
from app.classes.audit.tables import LabelAudit, LabelFinding
from app.classes.tables import GlitchClass
from app.clusters.service import get_cluster, get_run, latest_run
from app.clusters.tables import Cluster, ClusterMember
from app.core.access import Principal, Role, require_role
from app.core.errors import ConflictError, InvalidRequestError
from app.core.paging import Page, check_limit, cursor_id, read_page, wrong_cursor
from app.glitches import records, selection
from app.glitches.labels import append_label
from app.glitches.records import GlitchFilters
from app.glitches.tables import Glitch, Label
from app.jobs.records import JobRecord
from app.jobs.service import create_job
from app.models import checkpoints
from app.models.tables import Checkpoint

KIND = "label_audit"
VOTERS = 10
MAX_VOTERS = 50
KEPT = "audit"  # source of a label that confirms the existing one
LARGEST_PAGE = 200


def start_audit(session: Session, *, principal: Principal, n_voters: int = VOTERS) -> JobRecord:
    """Start a job that audits all labels; identical requests share one open job.

    Each glitch is compared with its ``n_voters`` nearest labelled glitches, 1 to 50.

    Raises:
        PermissionDeniedError: if the role may only read.
        InvalidRequestError: if the number of voters is out of range.
        NotReadyError: if no checkpoint is active.
    """
    require_role(principal, Role.SUBMITTER)
    if not 1 <= n_voters <= MAX_VOTERS:
        raise InvalidRequestError(f"An audit uses 1 to {MAX_VOTERS} neighbours, not {n_voters}.")
    active = checkpoints.active_checkpoint(session)
    parameters = {"n_voters": n_voters, "checkpoint_id": active.id, "checkpoint": active.name}
    return create_job(session, KIND, parameters, principal.name, key=f"{active.id} {n_voters}")


def latest_audit(session: Session) -> Audit | None:
    """Return the latest finished audit; None if there is none."""
    row = session.execute(
        select(LabelAudit, Checkpoint.name, Checkpoint.is_active)
        .join(Checkpoint, Checkpoint.id == LabelAudit.checkpoint_id)
        .where(LabelAudit.finished_at.is_not(None))
        .order_by(LabelAudit.created_at.desc(), LabelAudit.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    audit: LabelAudit = row[0]
    n_doubtful = session.scalar(
        select(func.count()).select_from(LabelFinding).join(Glitch).where(*_standing(audit.id))
    )
    others = {"checkpoint": row[1], "n_doubtful": n_doubtful or 0, "is_current": row[2]}
    own = {name: getattr(audit, name) for name in Audit.model_fields.keys() - others.keys()}
    return Audit(**own, **others)


def list_doubtful_glitches(
    session: Session,
    *,
    ifo: str | None = None,
    label: str | None = None,
    suggestion: str | None = None,
    origin: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
    number: int | None = None,
) -> Page[AuditedGlitch]:
    """List the glitches whose labels the latest audit doubts, the most votes against first.

    A glitch whose label was changed or confirmed since is not listed. ``suggestion`` selects those
    with this suggested label.

    Raises:
        InvalidRequestError: if a filter, the limit or the cursor is not valid.
    """
    check_limit(limit, LARGEST_PAGE)
    suggested = aliased(GlitchClass)
    query = (
        selection.select_glitches(
            suggested.name, LabelFinding.n_agreeing, LabelFinding.n_suggesting
        )
        .join(LabelFinding, LabelFinding.glitch_id == Glitch.id)
        .join(suggested, suggested.id == LabelFinding.suggested_id)
    )
    if ifo is not None:
        selection.check_ifo(ifo)
        query = query.where(Glitch.ifo == ifo)
    if origin is not None:
        selection.check_filters(GlitchFilters(origins=(origin,)))
        query = query.where(Glitch.origin == origin)
    if label is not None:
        query = query.where(LabelFinding.class_id.in_(selection.class_ids(session, (label,))))
    if suggestion is not None:
        query = query.where(
            LabelFinding.suggested_id.in_(selection.class_ids(session, (suggestion,)))
        )
    audit = latest_audit(session)
    if audit is None:
        if cursor is not None:
            raise wrong_cursor()
        return Page()
    return read_page(
        session,
        query.where(*_standing(audit.id)),
        lambda row: AuditedGlitch(selection.to_record(row), row[3], row[4], row[5], audit.n_voters),
        ((LabelFinding.margin, False), (LabelFinding.glitch_id, False)),
        limit,
        cursor=cursor,
        number=number,
        within=audit.id,
        id_of=attrgetter("glitch.id"),
    )


def outvoted_labels(session: Session, doubts: Sequence[AuditedGlitch]) -> dict[UUID, int]:
    """For glitches whose label cannot win the vote, count the other glitches with that label.

    These are fewer than half of the voters, in the same detector. The audit doubts every label of
    such a rare class.
    """
    columns = (Glitch.ifo, Glitch.is_simulated, GlitchClass.name)
    rows = session.execute(
        select(*columns, func.count())
        .join(GlitchClass, GlitchClass.id == Glitch.class_id)
        .where(GlitchClass.name.in_({one.glitch.label for one in doubts}))
        .group_by(*columns)
    )
    totals: dict[tuple[str | None, bool, str | None], int] = {
        (ifo, is_simulated, name): n for ifo, is_simulated, name, n in rows
    }
    others = {}
    for one in doubts:
        glitch = one.glitch
        n_others = totals.get((glitch.ifo, glitch.is_simulated, glitch.label), 1) - 1
        if 2 * n_others < one.n_neighbours:
            others[glitch.id] = n_others
    return others


def keep_label(
    session: Session, glitch_id: UUID, shown: str | None = None, *, author: Principal
) -> records.Label:
    """Confirm the label of a glitch: no audit lists it again while it has that label.

    The confirmation is itself a label, so it has an author and can be revoked. ``shown`` is the
    label that the author saw; by default the current one.

    Raises:
        PermissionDeniedError: if the author may only read.
        NotFoundError: if there is no such glitch.
        ConflictError: if it has no label or another one now, or its class is retired.
    """
    session.execute(select(Glitch.id).where(Glitch.id == glitch_id).with_for_update(key_share=True))
    name = selection.get_glitch(session, glitch_id).label
    if name is None:
        raise ConflictError("This glitch has no label now, so there is none to confirm.")
    if shown not in (None, name):
        raise ConflictError(
            f"Nothing was confirmed: the label is {name} now, no longer {shown}. Look at it again."
        )
    return append_label(session, glitch_id, name, author=author, source=KEPT)


def refuse_answered(session: Session, glitch_id: UUID, shown: str | None = None) -> None:
    """Refuse if somebody answered the doubt about a glitch's label; lock it against others.

    ``shown`` is the label that the author saw. If the glitch has another label now, the author has
    not seen that doubt.

    Raises:
        NotFoundError: if there is no such glitch.
        ConflictError: if its label is no longer in doubt, or is another one now; says which.
    """
    known = selection.get_glitch(session, glitch_id)
    audit = latest_audit(session)
    doubted = (
        select(Glitch.id)
        .join(LabelFinding, LabelFinding.glitch_id == Glitch.id)
        .where(Glitch.id == known.id, *_standing(audit.id if audit else glitch_id))
        .with_for_update(of=Glitch)
    )
    is_doubted = session.scalar(doubted) is not None
    if not is_doubted or shown not in (None, known.label):
        still = "this label is in doubt too" if is_doubted else "no longer in doubt"
        raise ConflictError(
            "Somebody was quicker, so nothing was changed: the glitch is "
            f"{known.label or 'unlabelled'} now, and {still}. Label it on its page if that is "
            "wrong."
        )


def rank_doubted_classes(session: Session) -> tuple[DoubtedClass, ...]:
    """List the classes whose labels the latest audit doubts, most doubts first."""
    audit = latest_audit(session)
    if audit is None:
        return ()
    n_doubtful = func.count().label("n_doubtful")
    rows = session.execute(
        select(LabelFinding.class_id, GlitchClass.name, n_doubtful)
        .join(Glitch, Glitch.id == LabelFinding.glitch_id)
        .join(GlitchClass, GlitchClass.id == LabelFinding.class_id)
        .where(*_standing(audit.id))
        .group_by(LabelFinding.class_id, GlitchClass.name)
        .order_by(n_doubtful.desc(), GlitchClass.name)
    ).all()
    totals = session.execute(
        select(Glitch.class_id, func.count())
        .where(Glitch.class_id.in_([row.class_id for row in rows]))
        .group_by(Glitch.class_id)
    )
    n_labelled = dict(totals.all())
    return tuple(
        DoubtedClass(row.name, row.n_doubtful, n_labelled.get(row.class_id, row.n_doubtful))
        for row in rows
    )


def list_impure_clusters(
    session: Session, *, run_id: UUID | None = None, limit: int = 50, cursor: str | None = None
) -> Page[ImpureCluster]:
    """List clusters of a run whose labelled members disagree, the worst first.

    By default the latest run. A run over everything contains the labelled glitches; a run over
    novel glitches contains only few.
    """
    check_limit(limit, LARGEST_PAGE)
    run = latest_run(session) if run_id is None else get_run(session, run_id)
    counted = (
        select(ClusterMember.cluster_id, Glitch.class_id, func.count().label("n_of_class"))
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(Glitch, Glitch.id == ClusterMember.glitch_id)
        .where(Cluster.run_id == (run.id if run else None), Glitch.class_id.is_not(None))
        .group_by(ClusterMember.cluster_id, Glitch.class_id)
        .subquery()
    )
    scores = (
        select(
            counted.c.cluster_id,
            func.sum(counted.c.n_of_class).label("n_labelled"),
            func.max(counted.c.n_of_class).label("n_most"),
        )
        .group_by(counted.c.cluster_id)
        .subquery()
    )
    score = scores.c.n_labelled - scores.c.n_most
    query = (
        select(scores.c.cluster_id, scores.c.n_labelled, scores.c.n_most)
        .where(score > 0)
        .order_by(score.desc(), scores.c.cluster_id)
    )
    if cursor is not None:
        last_score, last_id = _cluster_cursor(cursor)
        query = query.where(
            or_(score < last_score, and_(score == last_score, scores.c.cluster_id > last_id))
        )
    rows = session.execute(query.limit(limit + 1)).all()
    named = session.execute(
        select(counted.c.cluster_id, GlitchClass.name)
        .join(GlitchClass, GlitchClass.id == counted.c.class_id)
        .where(counted.c.cluster_id.in_([row.cluster_id for row in rows]))
        .order_by(counted.c.n_of_class, GlitchClass.name.desc())
    )
    # The last row of a cluster wins: the most frequent label, in a tie the first by name.
    commonest = {row.cluster_id: row.name for row in named}
    shown = tuple(
        ImpureCluster(
            cluster=get_cluster(session, row.cluster_id),
            label=commonest[row.cluster_id],
            n_labelled=int(row.n_labelled),
            purity=row.n_most / int(row.n_labelled),
            score=float(row.n_labelled - row.n_most),
        )
        for row in rows[:limit]
    )
    last = shown[-1] if len(rows) > limit else None
    return Page(shown, None if last is None else f"{last.score:.0f}.{last.cluster.id}")


def _standing(audit_id: UUID) -> list[ColumnElement[bool]]:
    """Return conditions for findings without an answer: the label was not changed or confirmed."""
    is_kept = (
        select(Label.id)
        .where(
            Label.glitch_id == Glitch.id,
            Label.class_id == LabelFinding.class_id,
            Label.source == KEPT,
            Label.revoked_at.is_(None),
        )
        .correlate(Glitch, LabelFinding)
        .exists()
    )
    return [LabelFinding.audit_id == audit_id, Glitch.class_id == LabelFinding.class_id, ~is_kept]


def _cluster_cursor(cursor: str) -> tuple[int, UUID]:
    score, _, cluster_id = cursor.partition(".")
    if not (score.isascii() and score.isdigit() and len(score) < 10):
        raise wrong_cursor()
    return int(score), cursor_id(cluster_id)
