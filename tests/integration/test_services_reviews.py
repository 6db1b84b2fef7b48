"""Reviewing clusters: what each action does, exact undo, and two reviewers at once."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest
from acts import (
    Accept,
    Assign,
    Comment,
    Dismiss,
    Merge,
    MergeInto,
    Promote,
    Redo,
    Split,
    Undo,
    change_class,
    review,
)
from cluster_helpers import store_cluster, store_run
from sqlalchemy import Engine, delete, event, select
from sqlalchemy.orm import Session
from store_helpers import Store, person

from app.classes.naming import create_class, list_classes
from app.classes.service import class_history, get_class_named
from app.clusters.review.context import suggested_classes
from app.clusters.review.log import Action, Reviewed
from app.clusters.review.service import history
from app.clusters.tables import Cluster, ClusterMember, LabelSuggestion
from app.core.access import AuditEvent, Role
from app.core.engine import make_session_factory
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.glitches.labels import append_label, list_labels, revoke_label
from app.glitches.selection import get_glitch
from app.glitches.tables import Embedding, Glitch, Label

ANN, BOB = person(Role.REVIEWER, "Ann"), person(Role.REVIEWER, "Bob")
EVE = person(Role.ADMIN, "Eve")
N_MEMBERS = 8


@pytest.fixture
def cluster(session: Session, store: Store, rng: np.random.Generator) -> Cluster:
    """A flagged cluster of eight unlabelled glitches."""
    ids = [store(tuple(rng.normal(size=4))).glitch.id for _ in range(N_MEMBERS)]
    store()  # one that is not a member
    return store_cluster(session, store_run(session), ids)


def members(session: Session, cluster: Cluster) -> list[Any]:
    query = select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == cluster.id)
    return sorted(session.scalars(query))


def act(session: Session, cluster: Cluster, action: Action, author: Any = ANN) -> Reviewed:
    seen = history(session, cluster.id).last_id
    return review(session, cluster.id, action, author=author, last_event_id=seen)


_MEMBERS = select(ClusterMember.cluster_id, ClusterMember.glitch_id, ClusterMember.distance)


def state(session: Session) -> dict[str, Any]:
    """Return all that a review may change, except the histories, which only grow."""
    session.expire_all()
    clusters = session.scalars(select(Cluster).order_by(Cluster.id)).all()
    glitches = session.scalars(select(Glitch).order_by(Glitch.id)).all()
    embeddings = session.scalars(select(Embedding).order_by(Embedding.glitch_id)).all()
    ids = [glitch.id for glitch in glitches]
    standing = session.execute(
        select(Label.glitch_id, Label.class_id, Label.author).where(Label.revoked_at.is_(None))
    ).all()
    return {
        "clusters": [
            (row.id, row.identity, row.state, row.size, row.medoid_id, row.summary)
            for row in clusters
        ],
        "members": sorted(map(tuple, session.execute(_MEMBERS))),
        "current": [(glitch.id, glitch.class_id) for glitch in glitches],
        "references": [
            (row.glitch_id, row.is_reference, row.calibration_score) for row in embeddings
        ],
        "suggested": suggested_classes(session, ids),
        "labels": sorted(map(tuple, standing)),
        "classes": [(known.name, known.state) for known in list_classes(session)],
    }


def test_a_cluster_becomes_a_class_that_its_members_are_suggested_to_be_of(
    session: Session, cluster: Cluster
) -> None:
    first, *others = members(session, cluster)
    append_label(session, first, "Blip", author=BOB)
    outcome = act(session, cluster, Promote("New_Whistle"))
    assert (outcome.state, outcome.suggestions) == ("promoted", N_MEMBERS - 1)
    assert "New_Whistle" in {known.name for known in list_classes(session)}
    # A suggestion is not a label: no glitch is a reference yet, and existing labels stay.
    assert suggested_classes(session, [first, *others]) == dict.fromkeys(others, ("New_Whistle",))
    assert [get_glitch(session, one).label for one in (first, others[0])] == ["Blip", None]
    assert list_labels(session, others[0]) == []
    accepted = act(session, cluster, Accept((others[0],)))
    assert accepted.suggestions == N_MEMBERS - 2
    assert get_glitch(session, others[0]).label == "New_Whistle"
    label = list_labels(session, others[0])[0]
    assert (label.author, label.source) == ("Ann", "review")
    assert act(session, cluster, Accept()).suggestions == 0
    with pytest.raises(ConflictError, match="No label is suggested"):
        act(session, cluster, Accept())
    events = session.scalars(select(AuditEvent.action).where(AuditEvent.subject == "cluster"))
    assert list(events) == ["promote", "accept", "accept"]


def test_a_label_that_somebody_gave_since_outweighs_what_was_suggested(
    session: Session, cluster: Cluster
) -> None:
    """Accepting all does not overwrite it; once it is revoked, the suggestion waits again."""
    first, second, *_ = members(session, cluster)
    act(session, cluster, Promote("New_Whistle"))
    label = append_label(session, first, "Blip", author=BOB)
    assert suggested_classes(session, [first]) == {}
    with pytest.raises(InvalidRequestError, match="are labelled now"):
        act(session, cluster, Accept((first, second)))
    assert act(session, cluster, Accept()).suggestions == 0
    assert [get_glitch(session, one).label for one in (first, second)] == ["Blip", "New_Whistle"]
    revoke_label(session, label.id, principal=BOB)
    assert suggested_classes(session, [first]) == {first: ("New_Whistle",)}
    with pytest.raises(ConflictError, match="1 suggested labels"):
        merge_class(session, "New_Whistle", "Blip")
    append_label(session, first, "Blip", author=BOB)
    merge_class(session, "New_Whistle", "Blip")
    assert session.scalars(select(LabelSuggestion)).all() == []


def test_an_acceptance_is_undone_though_a_member_was_deleted(
    session: Session, cluster: Cluster
) -> None:
    first, *others = members(session, cluster)
    act(session, cluster, Merge("Whistle"))
    act(session, cluster, Accept())
    session.execute(delete(Glitch).where(Glitch.id == first))
    session.expire_all()
    log = history(session, cluster.id)
    outcome = act(session, cluster, Undo(log.done[-1]))
    assert outcome.suggestions == len(others)
    assert act(session, cluster, Redo(log.done[-1])).suggestions == 0
    assert {get_glitch(session, one).label for one in others} == {"Whistle"}


def merge_class(session: Session, name: str, into: str) -> None:
    known = get_class_named(session, name).id
    last = class_history(session, known).last_id
    change_class(session, known, MergeInto(into), last_event_id=last, author=EVE)


def acts(session: Session, cluster: Cluster) -> dict[str, list[Action]]:
    ids = members(session, cluster)
    return {
        "promote": [Promote("New_Whistle")],
        "merge": [Merge("Blip")],
        "dismiss": [Dismiss()],
        "split": [Split(tuple(ids[:3]))],
        "assign": [Assign("Tomte", tuple(ids[:2]))],
        "accept some": [Merge("Blip"), Accept(tuple(ids[2:5]))],
        "accept all": [Promote("New_Whistle"), Accept()],
        "assign suggested": [Promote("New_Whistle"), Assign("Tomte", (ids[0],)), Accept()],
        "comment": [Comment("Looks like a blip.")],
    }


@pytest.mark.parametrize(
    "name",
    [
        *("promote", "merge", "dismiss", "split", "assign", "accept some", "accept all"),
        *("assign suggested", "comment"),
    ],
)
def test_undo_restores_exactly_and_redo_does_the_same_again(
    session: Session, cluster: Cluster, name: str
) -> None:
    append_label(session, members(session, cluster)[-1], "Koi_Fish", author=BOB)
    states, events = [state(session)], []
    for action in acts(session, cluster)[name]:
        events.append(act(session, cluster, action).event_id)
        states.append(state(session))
    for _ in range(2):
        for event_id, before in zip(reversed(events), reversed(states[:-1]), strict=True):
            act(session, cluster, Undo(event_id), BOB)
            assert state(session) == before
        for event_id, after in zip(events, states[1:], strict=True):
            act(session, cluster, Redo(event_id))
            if name != "split":  # a redone split makes new parts
                assert state(session) == after
    log = history(session, cluster.id)
    assert len(log.events) == 5 * len(events)
    assert {event.author for event in log.events} == {"Ann", "Bob"}


def test_only_the_last_action_can_be_undone(session: Session, cluster: Cluster) -> None:
    first = act(session, cluster, Promote("New_Whistle")).event_id
    second = act(session, cluster, Accept(), BOB).event_id
    later = rf"^Bob accepted New_Whistle for 8 later \(event {second}\): undo that first\.$"
    with pytest.raises(ConflictError, match=later):
        act(session, cluster, Undo(first))
    act(session, cluster, Undo(second))
    with pytest.raises(ConflictError, match="already undone, by Ann"):
        act(session, cluster, Undo(second))
    act(session, cluster, Undo(first))
    with pytest.raises(ConflictError, match=f"Event {first} was undone later: redo it first"):
        act(session, cluster, Redo(second))
    act(session, cluster, Dismiss())
    with pytest.raises(ConflictError, match="Something else was done"):
        act(session, cluster, Redo(first))
    with pytest.raises(NotFoundError, match="no event 987"):
        act(session, cluster, Undo(987))


def in_the_way(session: Session, cluster: Cluster) -> str | None:
    """Return why the only action that the history offers to undo or redo is blocked, or None."""
    [last] = [one for one in history(session, cluster.id).events if one.may_undo or one.why_not]
    assert last.may_undo == (last.why_not is None)
    return last.why_not


def test_a_class_that_others_use_stays(session: Session, cluster: Cluster, store: Store) -> None:
    event = act(session, cluster, Promote("New_Whistle")).event_id
    elsewhere = store().glitch.id
    label = append_label(session, elsewhere, "New_Whistle", author=BOB)
    refusal = r"1 glitch was labelled New_Whistle since, by Bob"
    assert re.search(refusal, in_the_way(session, cluster) or "")
    with pytest.raises(ConflictError, match=refusal):
        act(session, cluster, Undo(event))
    revoke_label(session, label.id, principal=BOB)
    assert in_the_way(session, cluster) is None
    act(session, cluster, Undo(event))
    with pytest.raises(InvalidRequestError, match="no class"):  # it is gone, its name free
        append_label(session, elsewhere, "New_Whistle", author=BOB)
    act(session, cluster, Promote("New_Whistle"))


def test_a_split_makes_two_clusters_that_can_be_reviewed(
    session: Session, cluster: Cluster
) -> None:
    ids = members(session, cluster)
    outcome = act(session, cluster, Split(tuple(ids[:3])))
    rest = session.get_one(Cluster, outcome.cluster_id)
    part = session.scalars(select(Cluster).where(Cluster.size == 3)).one()
    assert (rest.identity, rest.state, rest.size) == (cluster.identity, "flagged", 5)
    assert part.identity == part.id != cluster.identity
    assert members(session, part) == ids[:3]
    assert members(session, rest) == ids[3:]
    assert part.medoid_id in ids[:3]
    with pytest.raises(ConflictError, match="was split"):
        act(session, cluster, Dismiss())
    act(session, part, Dismiss(), BOB)
    refusal = r"has been reviewed \(Bob: dismissed it\)"
    assert re.search(refusal, in_the_way(session, rest) or "")
    with pytest.raises(ConflictError, match=refusal):
        act(session, rest, Undo(outcome.event_id))
    act(session, part, Undo(history(session, part.id).last_id))
    assert in_the_way(session, rest) is None
    act(session, rest, Undo(outcome.event_id))
    assert session.scalars(select(Cluster.id)).all() == [cluster.id]


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("", InvalidRequestError, "needs a name"),
        ("   ", InvalidRequestError, "needs a name"),
        ("x" * 10_000, InvalidRequestError, "10,000 characters"),
        ("<script>alert(1)</script>", InvalidRequestError, "letters, digits, '_' and"),
        ("Fast Scattering", InvalidRequestError, "letters, digits, '_' and"),
        ("_hidden", InvalidRequestError, "starts with a letter or a digit"),
        ("Pfeife_ü", InvalidRequestError, "letters, digits, '_' and"),
        ("a\0b", InvalidRequestError, "letters, digits, '_' and"),
        ("Blip", ConflictError, "There is a class Blip already"),
        ("bLIP", ConflictError, "There is a class Blip already"),
    ],
)
def test_names_that_no_class_may_have(
    session: Session, cluster: Cluster, name: str, error: type[Exception], sentence: str
) -> None:
    before = state(session)
    with pytest.raises(error, match=sentence):
        act(session, cluster, Promote(name))
    assert state(session) == before


def test_invalid_review_actions_are_refused(
    session: Session, cluster: Cluster, store: Store
) -> None:
    ids, outsider = members(session, cluster), store().glitch.id
    with pytest.raises(PermissionDeniedError, match="reviewer"):
        act(session, cluster, Dismiss(), person(Role.SUBMITTER))
    for action, sentence in (
        (Split(tuple(ids)), "all members"),
        (Split(()), "Name 1 to"),
        (Split((outsider,)), "not members of this cluster"),
        (Assign("Blip", (ids[0], outsider)), "1 of these glitches are not members"),
        (Assign("Nonsense", (ids[0],)), "no class"),
        (Merge("Nonsense"), "no class"),
        (Comment("  "), "empty: write one"),
        (Comment("x" * 5000), "has 5,000 characters: shorten it to 4,000"),
    ):
        with pytest.raises(InvalidRequestError, match=sentence):
            act(session, cluster, action)
    with pytest.raises(NotFoundError, match="no cluster"):
        review(session, outsider, Dismiss(), author=ANN, last_event_id=0)
    with pytest.raises(InvalidRequestError, match="Event 99 is not in this cluster's history"):
        review(session, cluster.id, Dismiss(), author=ANN, last_event_id=99)


def test_the_second_of_two_reviewers_gets_a_conflict(session: Session, cluster: Cluster) -> None:
    act(session, cluster, Comment("Whistle?"), BOB)  # a comment is not a change
    act_on = {"author": ANN, "last_event_id": 0}
    review(session, cluster.id, Promote("New_Whistle"), **act_on)
    with pytest.raises(ConflictError, match="Ann: named the new class New_Whistle"):
        review(session, cluster.id, Dismiss(), author=BOB, last_event_id=0)
    review(session, cluster.id, Comment("Agreed."), author=BOB, last_event_id=0)
    with pytest.raises(ConflictError, match="promoted already: undo that first"):
        act(session, cluster, Dismiss(), BOB)


def test_two_reviewers_at_the_same_moment(
    session: Session, cluster: Cluster, engine: Engine
) -> None:
    session.commit()
    sessions, results = make_session_factory(engine), []
    barrier = threading.Barrier(2)

    def decide(action: Action, author: Any) -> None:
        with sessions() as own:
            barrier.wait()
            try:
                review(own, cluster.id, action, author=author, last_event_id=0)
                own.commit()
            except ConflictError as error:
                results.append(str(error))
            else:
                results.append("done")

    threads = [
        threading.Thread(target=decide, args=arguments)
        for arguments in ((Promote("New_Whistle"), ANN), (Dismiss(), BOB))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("done") == 1
    refusal = next(result for result in results if result != "done")
    assert "somebody else acted" in refusal
    assert len(history(session, cluster.id).events) == 1


def test_a_later_run_is_the_one_to_review(session: Session, cluster: Cluster) -> None:
    again = store_cluster(
        session, store_run(session), members(session, cluster), identity=cluster.identity
    )
    with pytest.raises(ConflictError, match=r"found this cluster again \(.* UTC, 8 members\)"):
        act(session, cluster, Dismiss())
    event = act(session, again, Dismiss()).event_id
    assert "found this cluster again" in (in_the_way(session, cluster) or "")
    assert in_the_way(session, again) is None
    session.refresh(cluster)
    assert cluster.state == "dismissed"  # one identity has one decision
    act(session, again, Undo(event))
    session.refresh(cluster)
    assert cluster.state == "flagged"


def test_no_split_is_offered_to_be_undone_once_a_later_run_found_a_part_again(
    session: Session, cluster: Cluster
) -> None:
    outcome = act(session, cluster, Split(tuple(members(session, cluster)[:3])))
    rest = session.get_one(Cluster, outcome.cluster_id)
    part = session.scalars(select(Cluster).where(Cluster.size == 3)).one()
    assert in_the_way(session, rest) is None
    store_cluster(session, store_run(session), members(session, part), identity=part.identity)
    refusal = "found the part that was split off again"
    assert refusal in (in_the_way(session, rest) or "")
    with pytest.raises(ConflictError, match=refusal):
        act(session, rest, Undo(outcome.event_id))


def test_a_long_history_needs_no_more_queries(session: Session, cluster: Cluster) -> None:
    """The reason that blocks an undo is queried once, however many comments there are."""
    act(session, cluster, Promote("New_Whistle"))

    def count_queries() -> int:
        sent: list[str] = []
        connection = session.connection()

        def note(_1: object, _2: object, statement: str, *_: object) -> None:
            sent.append(statement)

        event.listen(connection, "before_cursor_execute", note)
        try:
            log = history(session, cluster.id)
        finally:
            event.remove(connection, "before_cursor_execute", note)
        assert all(one.may_undo for one in log.events)
        return len(sent)

    before = count_queries()
    for number in range(20):
        act(session, cluster, Comment(f"Thought {number}."))
    assert count_queries() == before


def test_no_name_is_offered_again_that_another_class_has_by_now(
    session: Session, cluster: Cluster
) -> None:
    event = act(session, cluster, Promote("New_Whistle")).event_id
    act(session, cluster, Undo(event))
    assert [one.may_redo for one in history(session, cluster.id).events] == [True, False]
    create_class(session, "New_Whistle", description="", author=BOB)
    [first, _] = history(session, cluster.id).events
    assert (first.may_redo, first.why_not) == (
        False,
        "There is a class New_Whistle already: use that one, or choose another name.",
    )
    with pytest.raises(ConflictError, match="There is a class New_Whistle already"):
        act(session, cluster, Redo(event))
