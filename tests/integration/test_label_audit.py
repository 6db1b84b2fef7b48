"""Audit of the labels of a catalogue: what is in doubt, in which order, and until when."""

from __future__ import annotations

import numpy as np
import pytest
from cluster_helpers import store_cluster, store_run
from lifecycle_helpers import do_job, fill
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from store_helpers import person

from app.classes.audit import job as audit_job
from app.classes.audit.service import (
    keep_label,
    latest_audit,
    list_doubtful_glitches,
    list_impure_clusters,
    rank_doubted_classes,
    start_audit,
)
from app.classes.audit.tables import LabelAudit, LabelFinding
from app.classes.tables import GlitchClass
from app.clusters.service import latest_run
from app.core.access import Role
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.glitches.labels import append_label, append_labels, revoke_label
from app.models.records import CheckpointRecord

EAST, NORTH, UP = (3.0, 0.0, 0.0, 0.0), (0.0, 3.0, 0.0, 0.0), (0.0, 0.0, 3.0, 0.0)
ANN = person(Role.REVIEWER, "Ann")


def audited(session: Session, n_voters: int = 10) -> dict[str, int]:
    job = start_audit(session, principal=ANN, n_voters=n_voters)
    return dict(do_job(session, job.id))


def test_wrong_labels_are_found_wherever_they_lie(
    session: Session,
    checkpoint: CheckpointRecord,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_job, "AUDITED", 7)  # makes many chunks
    wrong = fill(session, rng, 2, EAST, "Whistle")  # stored first
    fill(session, rng, 30, EAST, "Blip")
    fill(session, rng, 30, NORTH, "Whistle")
    fill(session, rng, 12, NORTH, "Blip", ifo="L1")  # nothing contradicts them in this detector
    fill(session, rng, 5, UP, "Helix", ifo="V1")  # too few to audit
    assert latest_audit(session) is None
    assert list_doubtful_glitches(session).items == ()
    result = audited(session)
    assert (result["labelled"], result["audited"], result["doubtful"]) == (79, 74, 2)
    found = list_doubtful_glitches(session).items
    assert {one.glitch.id for one in found} == set(wrong)
    assert {(one.glitch.label, one.suggestion) for one in found} == {("Whistle", "Blip")}
    assert all(one.n_suggesting + one.n_agreeing <= one.n_neighbours == 10 for one in found)
    assert found[0].margin >= found[1].margin > 0
    latest = latest_audit(session)
    assert latest is not None
    assert (latest.n_doubtful, latest.author, latest.is_current) == (2, "Ann", True)


def test_relabelled_glitches_leave_the_list_of_doubts(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    wrong = fill(session, rng, 2, EAST, "Whistle")
    fill(session, rng, 30, EAST, "Blip")
    audited(session)
    append_label(session, wrong[0], "Blip", author=ANN)
    assert [one.glitch.id for one in list_doubtful_glitches(session).items] == wrong[1:]
    append_label(session, wrong[1], "Whistle", author=ANN)  # reviewed and kept
    assert [one.glitch.id for one in list_doubtful_glitches(session).items] == wrong[1:]
    first = latest_audit(session)
    assert first is not None
    assert first.n_doubtful == 1
    session.commit()  # rows stored from here on have a later time
    ranked = [(one.name, one.n_doubtful, one.n_labelled) for one in rank_doubted_classes(session)]
    assert ranked == [("Whistle", 1, 1)]
    with pytest.raises(ConflictError, match="is Whistle now, no longer Helix"):
        keep_label(session, wrong[1], "Helix", author=ANN)
    kept = keep_label(session, wrong[1], "Whistle", author=ANN)  # this says that the label is right
    assert list_doubtful_glitches(session).items == ()
    session.commit()
    audited(session, n_voters=5)
    assert list_doubtful_glitches(session).items == ()  # the next audit keeps that
    assert list_doubtful_glitches(session, origin="upload").items == ()
    revoke_label(session, kept.id, principal=ANN)
    assert [one.glitch.id for one in list_doubtful_glitches(session).items] == wrong[1:]
    session.commit()
    result = audited(session, n_voters=5)
    assert result["doubtful"] == 1
    assert session.scalar(select(func.count()).select_from(LabelAudit)) == 1
    assert session.scalar(select(func.count()).select_from(LabelFinding)) == 1


def test_a_class_and_its_subclass_do_not_contradict_each_other(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    blip = session.scalar(select(GlitchClass.id).where(GlitchClass.name == "Blip"))
    fill(session, rng, 30, EAST, "Blip")
    fill(session, rng, 3, EAST, "Tomte")
    assert audited(session)["doubtful"] == 3
    session.execute(update(GlitchClass).where(GlitchClass.name == "Tomte").values(parent_id=blip))
    session.commit()
    assert audited(session)["doubtful"] == 0


def test_pages_hold_every_finding_once(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    wrong = fill(session, rng, 7, EAST, "Whistle", spread=0.5)
    fill(session, rng, 60, EAST, "Blip", spread=0.5)
    audited(session)
    everyone = list_doubtful_glitches(session, limit=200).items
    assert {one.glitch.id for one in everyone} == set(wrong)
    margins = [one.margin for one in everyone]
    assert margins == sorted(margins, reverse=True)
    paged, cursor = [], None
    while True:
        page = list_doubtful_glitches(session, limit=2, cursor=cursor)
        paged += page.items
        cursor = page.next
        if cursor is None:
            break
    assert paged == list(everyone)
    assert list_doubtful_glitches(session, ifo="L1").items == ()
    assert list_doubtful_glitches(session, label="Blip").items == ()
    assert len(list_doubtful_glitches(session, suggestion="Blip").items) == 7


def test_impure_clusters_by_how_many_disagree(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    assert list_impure_clusters(session).items == ()
    groups = [
        fill(session, rng, size, centre)
        for size, centre in ((6, EAST), (8, NORTH), (6, UP), (5, (1.0, 1.0, 1.0, 1.0)))
    ]
    run = store_run(session)
    clusters = [store_cluster(session, run, ids) for ids in groups]
    append_labels(session, groups[0][:4], "Blip", author=ANN)
    append_labels(session, groups[0][4:], "Whistle", author=ANN)
    append_labels(session, groups[1][:4], "Blip", author=ANN)
    append_labels(session, groups[1][4:], "Helix", author=ANN)
    append_labels(session, groups[2], "Tomte", author=ANN)  # pure; the last cluster has no labels
    found = list_impure_clusters(session).items
    assert [one.cluster.id for one in found] == [clusters[1].id, clusters[0].id]
    assert [(one.label, one.score, one.n_labelled) for one in found] == [
        ("Blip", 4.0, 8),
        ("Blip", 2.0, 6),
    ]
    assert found[1].purity == pytest.approx(4 / 6)
    first = list_impure_clusters(session, limit=1)
    assert first.items == found[:1]
    assert list_impure_clusters(session, limit=1, cursor=first.next).items == found[1:]
    latest = latest_run(session)
    assert latest is not None
    assert list_impure_clusters(session, run_id=latest.id).items == found


def test_invalid_requests_for_an_audit_are_refused(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    with pytest.raises(PermissionDeniedError):
        start_audit(session, principal=person(Role.READER))
    for voters in (0, 51):
        with pytest.raises(InvalidRequestError, match="1 to 50 neighbours"):
            start_audit(session, principal=ANN, n_voters=voters)
    _refuses(session)  # also before any audit
    first = start_audit(session, principal=ANN)
    assert start_audit(session, principal=ANN).id == first.id  # still open
    assert do_job(session, first.id)["doubtful"] == 0  # nothing is labelled
    _refuses(session, {"cursor": str(first.id)})
    with pytest.raises(NotFoundError, match="no clustering"):
        list_impure_clusters(session, run_id=first.id)
    for is_stored in (False, True):
        if is_stored:
            store_run(session)
        for cursor in ("x", "3.x", f"-1.{first.id}", f"{10**12}.{first.id}"):
            with pytest.raises(InvalidRequestError, match="cursor"):
                list_impure_clusters(session, cursor=cursor)


def _refuses(session: Session, *others: dict[str, str]) -> None:
    for bad in (
        {"limit": 0},
        {"limit": 201},
        {"cursor": "x"},
        {"ifo": "hanford"},
        {"label": "Nothing"},
        *others,
    ):
        with pytest.raises(InvalidRequestError):
            list_doubtful_glitches(session, **bad)  # type: ignore[arg-type]
