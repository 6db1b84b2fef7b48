"""The life of classes: names, sub-classes, states, merges, refusals, and undo by history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from acts import (
    ChooseExemplars,
    Describe,
    MergeInto,
    Move,
    Redo,
    Rename,
    SetState,
    Undo,
    change_class,
)
from lifecycle_helpers import fill
from sqlalchemy import select
from sqlalchemy.orm import Session
from store_helpers import Store, ids, person

from app.classes.log import Change
from app.classes.naming import create_class, find_class, list_classes, usable_class_names
from app.classes.overview import occurrences, times_of
from app.classes.records import Changed, GlitchClass
from app.classes.service import class_history, get_class, get_class_named, history_shown
from app.core.access import AuditEvent, Principal, Role
from app.core.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    ServiceError,
)
from app.glitches.labels import append_label, list_labels
from app.glitches.neighbours import find_neighbours
from app.glitches.records import GlitchFilters
from app.glitches.service import exemplars, list_glitches
from app.glitches.tables import Glitch, Label
from app.jobs.service import list_jobs
from app.models.records import CheckpointRecord

ANN, BOB = person(Role.REVIEWER, "Ann"), person(Role.REVIEWER, "Bob")
EVE = person(Role.ADMIN, "Eve")


def made(session: Session, name: str) -> GlitchClass:
    return create_class(session, name, description=f"Looks like {name}.", author=ANN)


def change(
    session: Session, name: str, act: Change, author: Principal = EVE, **more: Any
) -> Changed:
    """Change a class as somebody who has seen its whole history."""
    class_id = get_class_named(session, name).id
    last = class_history(session, class_id).last_id
    return change_class(session, class_id, act, author=author, last_event_id=last, **more)


def history(session: Session, class_id: int) -> list[str]:
    log = class_history(session, class_id)
    return [f"{event.author} {event.summary}" for event in log.events]


def test_a_new_class_has_a_history(session: Session, checkpoint: CheckpointRecord) -> None:
    thunder = made(session, "Thunder")
    assert history(session, thunder.id) == ["Ann added it"]
    undone = change(session, "Thunder", Undo(class_history(session, thunder.id).last_id))
    assert undone.glitch_class is None
    assert "Thunder" not in {known.name for known in list_classes(session)}
    again = change_class(
        session,
        thunder.id,
        Redo(class_history(session, thunder.id).events[0].id),
        author=BOB,
        last_event_id=undone.event_id,
    )
    assert again.glitch_class == thunder
    assert session.scalar(select(AuditEvent.actor).where(AuditEvent.subject == "class")) == "Ann"


def test_a_renamed_class_keeps_its_labels_and_is_found_by_its_former_name(
    session: Session, store: Store
) -> None:
    thunder = made(session, "Thunder")
    glitch = store().glitch
    append_label(session, glitch.id, "Thunder", author=ANN)
    outcome = change(session, "Thunder", Rename("Rumble"), BOB, remark="It is no thunder.")
    assert outcome.glitch_class is not None
    assert (outcome.glitch_class.id, outcome.glitch_class.name) == (thunder.id, "Rumble")
    assert [one.label for one in list_labels(session, glitch.id)] == ["Rumble"]
    with pytest.raises(NotFoundError, match="was renamed to Rumble"):
        get_class_named(session, "Thunder")
    with pytest.raises(NotFoundError, match="no class 'Nothing'"):
        get_class_named(session, "Nothing")
    assert history(session, thunder.id)[-1] == "Bob renamed it from Thunder to Rumble"
    made(session, "thunder")  # the name is free until the undo needs it
    with pytest.raises(ConflictError, match="class thunder already"):
        change(session, "Rumble", Undo(outcome.event_id))
    change(session, "thunder", Rename("Storm"))
    change(session, "Rumble", Undo(outcome.event_id))
    assert get_class(session, thunder.id).name == "Thunder"


@pytest.mark.parametrize(
    ("name", "error", "word"),
    [
        ("", InvalidRequestError, "needs a name"),
        ("  ", InvalidRequestError, "needs a name"),
        ("x" * 65, InvalidRequestError, "65 characters"),
        ("x" * 10_000, InvalidRequestError, "10,000 characters"),
        ("<script>alert(1)</script>", InvalidRequestError, "letters, digits"),
        ("Fast Scattering", InvalidRequestError, "letters, digits"),
        ("Donner_ü", InvalidRequestError, "letters, digits"),
        ("a\nb", InvalidRequestError, "letters, digits"),
        ("a\0b", InvalidRequestError, "letters, digits"),
        ("_a", InvalidRequestError, "letters, digits"),
        ("1234", InvalidRequestError, "holds a letter"),
        ("BLIP", ConflictError, "class Blip already"),
        ("helix", ConflictError, "retired class Helix"),
        ("Thunder", ConflictError, "nothing was changed"),
    ],
)
def test_invalid_class_names_are_refused(
    session: Session, checkpoint: CheckpointRecord, name: str, error: type[ServiceError], word: str
) -> None:
    thunder = made(session, "Thunder")
    change(session, "Helix", SetState("retired"))
    with pytest.raises(error, match=word):
        change(session, "Thunder", Rename(name))
    if name != "Thunder":
        with pytest.raises(error, match=word):
            made(session, name)
    assert get_class(session, thunder.id) == thunder
    assert len(class_history(session, thunder.id).events) == 1  # refusals leave no event


def test_gravity_spys_names_stay(session: Session, checkpoint: CheckpointRecord) -> None:
    with pytest.raises(ConflictError, match="Gravity Spy's name"):
        change(session, "Blip", Rename("Teardrop"))


def test_a_retired_class_keeps_its_labels_and_takes_no_new_ones(
    session: Session, store: Store, checkpoint: CheckpointRecord
) -> None:
    old, new = store((1.0, 0.0, 0.0, 0.0)).glitch, store((1.0, 0.1, 0.0, 0.0)).glitch
    append_label(session, old.id, "Helix", author=ANN)
    with pytest.raises(PermissionDeniedError):
        change(session, "Helix", SetState("retired"), ANN)
    outcome = change(session, "Helix", SetState("retired"), EVE)
    assert "Helix" not in usable_class_names(session)
    assert "Helix" in {known.name for known in list_classes(session)}
    with pytest.raises(ConflictError, match="retired"):
        append_label(session, new.id, "Helix", author=ANN)
    near = find_neighbours(
        session, vector=np.array([1.0, 0, 0, 0]), checkpoint_id=checkpoint.id, k=1
    )
    assert near[0].glitch.label == "Helix"
    found = list_glitches(session, GlitchFilters(labels=("Helix",))).items
    assert ids(found) == [old.id]
    change(session, "Helix", Undo(outcome.event_id))
    append_label(session, new.id, "Helix", author=ANN)
    assert history(session, get_class_named(session, "Helix").id) == [
        "Eve retired it",
        "Eve undid “retired it”",
    ]


def test_subclasses_and_the_filter_that_includes_them(session: Session, store: Store) -> None:
    for name in ("Blip_Double", "Blip_Triple"):
        made(session, name)
        change(session, name, Move("Blip"), BOB)
    made(session, "Blip_Double_Faint")
    change(session, "Blip_Double_Faint", Move("Blip_Double"))
    kinds = ["Blip", "Blip_Double", "Blip_Double_Faint", "Tomte"]
    stored = {}
    for name in kinds:
        stored[name] = store().glitch.id
        append_label(session, stored[name], name, author=ANN)

    def found(*labels: str, below: bool) -> set[Any]:
        filters = GlitchFilters(labels=labels, with_subclasses=below)
        return set(ids(list_glitches(session, filters).items))

    assert found("Blip", below=False) == {stored["Blip"]}
    assert found("Blip", below=True) == {stored[name] for name in kinds[:3]}
    assert found("Blip_Double", "Tomte", below=True) == {stored[name] for name in kinds[1:]}
    assert get_class_named(session, "Blip_Double").parent == "Blip"
    change(session, "Blip_Double", Move(None))
    assert found("Blip", below=True) == {stored["Blip"]}


@pytest.mark.parametrize(
    ("name", "parent", "refusal"),
    [
        ("A1", "A1", (ConflictError, "of itself")),
        ("A1", "A2", (ConflictError, "is a sub-class of")),
        ("A1", "A3", (ConflictError, "is a sub-class of")),
        ("A4", "A3", (ConflictError, "at most 3 levels")),
        ("A1", "A4", (ConflictError, "would make 4")),
        ("A4", "Nothing", (InvalidRequestError, "no class")),
        ("A4", "Helix", (ConflictError, "retired")),
        ("A4", None, (ConflictError, "already")),
        ("A2", "A1", (ConflictError, "already")),
    ],
)
def test_invalid_parents_of_a_class_are_refused(
    session: Session,
    checkpoint: CheckpointRecord,
    name: str,
    parent: str | None,
    refusal: tuple[type[ServiceError], str],
) -> None:
    error, word = refusal
    for one in ("A1", "A2", "A3", "A4"):
        made(session, one)
    change(session, "A2", Move("A1"))
    change(session, "A3", Move("A2"))
    change(session, "Helix", SetState("retired"))
    before = list_classes(session)
    with pytest.raises(error, match=word):
        change(session, name, Move(parent))
    assert list_classes(session) == before


def test_exemplars_are_glitches_of_the_class(session: Session, store: Store) -> None:
    mine, other = store().glitch.id, store().glitch.id
    append_label(session, mine, "Blip", author=ANN)
    change(session, "Blip", ChooseExemplars((mine,)), ANN)
    assert get_class_named(session, "Blip").exemplar_ids == (mine,)
    with pytest.raises(InvalidRequestError, match="1 of these glitches"):
        change(session, "Blip", ChooseExemplars((mine, other)))
    with pytest.raises(InvalidRequestError, match="at most 12 exemplars"):
        change(
            session, "Blip", ChooseExemplars(tuple(person(Role.READER).token_id for _ in range(13)))
        )
    change(session, "Blip", ChooseExemplars(()))
    assert get_class_named(session, "Blip").exemplar_ids == ()


def test_a_merge_moves_labels_and_its_undo_brings_each_back(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    made(session, "Thunder")
    made(session, "Thunder_Far")
    change(session, "Thunder_Far", Move("Thunder"))
    moved = fill(session, rng, 5, (1.0, 0.0, 0.0, 0.0), "Thunder")
    fill(session, rng, 3, (1.0, 0.0, 0.0, 0.0), "Blip")
    with pytest.raises(PermissionDeniedError):
        change(session, "Thunder", MergeInto("Blip"), ANN)
    outcome = change(session, "Thunder", MergeInto("Blip"))
    # The glitches that are references or calibrate may have changed.
    assert [one.state for one in list_jobs(session, kind="judge").items] == ["queued"]
    labels = list_labels(session, moved[0])
    assert [one.label for one in labels] == ["Thunder", "Blip"]  # both stay in the history
    assert len(list_glitches(session, GlitchFilters(labels=("Blip",))).items) == 8
    assert get_class_named(session, "Thunder").state == "retired"
    assert get_class_named(session, "Thunder_Far").parent == "Blip"
    append_label(session, moved[1], "Tomte", author=ANN)  # after the merge
    thunder = get_class_named(session, "Thunder").id
    assert history(session, thunder)[-1] == "Eve merged it into Blip (5 glitches)"
    change(session, "Thunder", Undo(outcome.event_id))
    now = {
        one.id: one.label
        for one in list_glitches(session, GlitchFilters(labels=("Thunder", "Tomte"))).items
    }
    assert now == {one: "Tomte" if one == moved[1] else "Thunder" for one in moved}
    assert get_class_named(session, "Thunder").state == "active"
    assert get_class_named(session, "Thunder_Far").parent == "Thunder"
    again = change(session, "Thunder", Redo(outcome.event_id))
    assert again.history.items[-1].payload["n_glitches"] == 4
    change(session, "Thunder", Undo(outcome.event_id))
    assert (
        session.scalar(
            select(Label.id).where(Label.source.startswith("merge"), Label.revoked_at.is_(None))
        )
        is None
    )
    assert len(list_glitches(session, GlitchFilters(labels=("Thunder",))).items) == 4


def test_invalid_merges_are_refused(session: Session, checkpoint: CheckpointRecord) -> None:
    for name in ("A1", "A2", "A3"):
        made(session, name)
    change(session, "A2", Move("A1"))
    change(session, "A3", SetState("retired"))
    for name, into, error, word in (
        ("A1", "A1", InvalidRequestError, "into itself"),
        ("A1", "Nothing", InvalidRequestError, "no class"),
        ("A1", "A2", ConflictError, "is a sub-class"),
        ("A1", "A3", ConflictError, "retired"),
        ("A3", "A1", ConflictError, "retired"),
    ):
        with pytest.raises(error, match=word):
            change(session, name, MergeInto(into))
    assert get_class_named(session, "A1").state == "active"


def test_the_second_of_two_changes_is_a_conflict(
    session: Session, checkpoint: CheckpointRecord
) -> None:
    thunder = made(session, "Thunder")
    seen = class_history(session, thunder.id).last_id
    change_class(session, thunder.id, Rename("Rumble"), author=ANN, last_event_id=seen)
    with pytest.raises(ConflictError, match="Ann: renamed it from Thunder to Rumble"):
        change_class(session, thunder.id, Describe("Loud."), author=BOB, last_event_id=seen)
    with pytest.raises(InvalidRequestError, match="not in this class's history"):
        change_class(session, thunder.id, Describe("Loud."), author=BOB, last_event_id=10**6)
    with pytest.raises(NotFoundError):
        change_class(session, 10**6, Describe("Loud."), author=BOB, last_event_id=0)
    with pytest.raises(PermissionDeniedError):
        change(session, "Rumble", Describe("Loud."), person(Role.SUBMITTER))
    with pytest.raises(InvalidRequestError, match="shorten it to 2,000"):
        change(session, "Rumble", Describe("x" * 2001))
    with pytest.raises(InvalidRequestError, match="no state"):
        change(session, "Rumble", SetState("withdrawn"))
    with pytest.raises(InvalidRequestError, match="4,001 characters"):
        change(session, "Rumble", Describe("x"), remark="x" * 4001)


def test_undo_goes_from_the_last_act_to_the_first(
    session: Session, checkpoint: CheckpointRecord
) -> None:
    thunder = made(session, "Thunder")
    first = change(session, "Thunder", Describe("Loud."))
    second = change(session, "Thunder", SetState("dormant"), ANN)
    with pytest.raises(ConflictError, match=r"Ann marked it dormant later \(event \d+\): undo"):
        change(session, "Thunder", Undo(first.event_id))
    with pytest.raises(ConflictError, match="nothing to redo"):
        change(session, "Thunder", Redo(first.event_id))
    with pytest.raises(NotFoundError, match="no event"):
        change(session, "Thunder", Undo(10**9))
    change(session, "Thunder", Undo(second.event_id))
    with pytest.raises(ConflictError, match="already undone, by Eve"):
        change(session, "Thunder", Undo(second.event_id))
    change(session, "Thunder", Undo(first.event_id))
    with pytest.raises(ConflictError, match="redo it first"):
        change(session, "Thunder", Redo(second.event_id))
    change(session, "Thunder", Redo(first.event_id))
    change(session, "Thunder", SetState("candidate"))
    with pytest.raises(ConflictError, match="Something else was done"):
        change(session, "Thunder", Redo(second.event_id))
    assert get_class(session, thunder.id).description == "Loud."


def test_a_class_in_use_is_not_taken_back(session: Session, store: Store) -> None:
    thunder = made(session, "Thunder")
    added = class_history(session, thunder.id).last_id
    label = append_label(session, store().glitch.id, "Thunder", author=ANN)
    with pytest.raises(ConflictError, match="1 glitch was labelled Thunder"):
        change(session, "Thunder", Undo(added))
    session.execute(Label.__table__.delete().where(Label.id == label.id))
    session.execute(Glitch.__table__.update().values(class_id=None))
    made(session, "Thunder_Far")
    change(session, "Thunder_Far", Move("Thunder"))
    with pytest.raises(ConflictError, match="Thunder_Far is a sub-class"):
        change(session, "Thunder", Undo(added))


def test_no_undo_is_offered_that_would_be_refused(session: Session, store: Store) -> None:
    def in_the_way(name: str, principal: Principal | None = None) -> str | None:
        log = history_shown(session, get_class_named(session, name).id, principal=principal)
        last = log.events[-1]
        assert last.may_undo == (last.why_not is None)
        return last.why_not

    made(session, "Thunder")
    assert in_the_way("Thunder") is None
    label = append_label(session, store().glitch.id, "Thunder", author=ANN)
    assert "1 glitch was labelled Thunder" in (in_the_way("Thunder") or "")
    create_class(session, "Rain", description="", author=ANN, is_from_review=True)
    assert "undo that in the cluster's history" in (in_the_way("Rain") or "")
    change(session, "Rain", MergeInto("Thunder"))
    assert in_the_way("Rain", EVE) is None
    assert "admin" in (in_the_way("Rain", ANN) or "")
    assert label.label == "Thunder"


def test_how_often_classes_occur_and_which_glitch_shows_each(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    at = (1.0, 0.0, 0.0, 0.0)
    fill(session, rng, 3, at, "Blip")
    latest = fill(session, rng, 2, at, "Blip", ifo="L1", gps_time=None)[-1]
    fill(session, rng, 4, at, "Blip", origin="simulated")  # stored later, but not preferred
    simulated = fill(session, rng, 2, at, "Helix", origin="simulated")
    fill(session, rng, 1, at)
    blip, helix = (find_class(session, name) for name in ("Blip", "Helix"))
    assert blip is not None
    assert helix is not None
    seen = occurrences(session)
    assert seen.keys() == {blip.id, helix.id, None}
    own = seen[blip.id]
    assert (own.by_ifo, own.measured, own.simulated) == ({"H1": 3, "L1": 2}, 5, 4)
    assert (own.first, own.last) == (1126259462, 1126259462 + 2 * 3600)
    assert (seen[helix.id].total, seen[helix.id].first) == (2, None)
    assert (seen[None].total, seen[None].first) == (1, 1126259462)
    assert occurrences(session, [helix.id]) == {helix.id: seen[helix.id]}
    assert sum(number for _, number in times_of(session, blip.id)) == 3
    shown = exemplars(session)
    assert {name: one.id for name, one in shown.items()} == {"Blip": latest, "Helix": simulated[-1]}
