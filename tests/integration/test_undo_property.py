"""Undoing any sequence of actions on clusters and classes restores everything.

The actions are random, and some are refused, which must change nothing. Undone from the last to the
first, each step must restore the catalogue exactly as it was before that action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from acts import (
    Accept,
    Assign,
    ChooseExemplars,
    Describe,
    Dismiss,
    Merge,
    MergeInto,
    Move,
    Promote,
    Redo,
    Rename,
    SetState,
    Split,
    Undo,
    change_class,
    review,
)
from cluster_helpers import store_cluster, store_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lifecycle_helpers import fill
from sqlalchemy import text
from sqlalchemy.orm import Session
from store_helpers import person

from app.classes.naming import create_class
from app.classes.service import class_history, get_class_named
from app.clusters.review.service import history
from app.core.access import Role
from app.core.errors import ServiceError
from app.models.records import CheckpointRecord

EVE = person(Role.ADMIN, "Eve")
OURS = ("Thunder", "Rumble", "Storm")
NAMES = (*OURS, "Blip", "Gale")
# Everything that users see, except histories, which only grow.
SEEN = {
    "classes": "SELECT id, name, description, state, parent_id, exemplar_ids FROM glitch_class"
    " WHERE state <> 'withdrawn' ORDER BY id",
    "glitches": "SELECT id, class_id FROM glitch ORDER BY id",
    "references": "SELECT glitch_id, is_reference, calibration_score FROM embedding ORDER BY 1",
    "labels": "SELECT id, glitch_id, class_id FROM label WHERE revoked_at IS NULL ORDER BY id",
    "suggestions": "SELECT identity, glitch_id, class_id, event_id FROM label_suggestion"
    " ORDER BY 1, 2",
    "clusters": "SELECT id, identity, state, size FROM cluster ORDER BY id",
    "members": "SELECT cluster_id, glitch_id FROM cluster_member ORDER BY 1, 2",
}

small = st.integers(0, 7)
class_acts = st.one_of(
    st.tuples(st.just("rename"), st.sampled_from(NAMES)),
    st.tuples(st.just("describe"), st.sampled_from(["", "Loud.", "Low."])),
    st.tuples(st.just("state"), st.sampled_from(["active", "dormant", "retired", "candidate"])),
    st.tuples(st.just("move"), st.sampled_from([None, *NAMES])),
    st.tuples(st.just("exemplars"), st.integers(0, 2)),
    st.tuples(st.just("merge"), st.sampled_from(NAMES)),
)
review_acts = st.one_of(
    st.tuples(st.just("promote"), st.sampled_from(["Crown", "Blip"])),
    st.tuples(st.just("merge"), st.sampled_from(["Blip", "Thunder"])),
    st.just(("dismiss", None)),
    st.tuples(st.just("split"), st.sets(small, min_size=1, max_size=4)),
    st.tuples(st.just("assign"), st.sets(small, min_size=1, max_size=4)),
    st.tuples(st.just("accept"), st.sets(small, max_size=4)),
)
relaxed = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def seen(session: Session) -> dict[str, Any]:
    session.flush()
    return {name: session.execute(text(query)).all() for name, query in SEEN.items()}


@pytest.fixture
def catalogue(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> list[Any]:
    """Three own classes, labelled glitches, and eight unlabelled glitches, whose ids it returns."""
    for name in OURS:
        create_class(session, name, description="", author=EVE)
    for name in ("Thunder", "Storm", "Blip"):
        fill(session, rng, 3, (1.0, 0.0, 0.0, 0.0), name)
    return fill(session, rng, 8, (0.0, 1.0, 0.0, 0.0))


def undone_one_by_one(session: Session, stack: list[tuple[Callable[[], None], Any]]) -> None:
    while stack:
        undo, before = stack.pop()
        undo()
        assert seen(session) == before


@relaxed
@given(st.lists(st.tuples(st.sampled_from(OURS), class_acts), min_size=1, max_size=8))
def test_classes(
    session: Session, catalogue: list[Any], acts: list[tuple[str, tuple[str, Any]]]
) -> None:
    ids = {name: get_class_named(session, name).id for name in OURS}
    glitches = {
        class_id: session.scalars(
            text("SELECT id FROM glitch WHERE class_id = :id ORDER BY id"), {"id": class_id}
        ).all()
        for class_id in ids.values()
    }
    with session.begin_nested() as savepoint:
        stack: list[tuple[Callable[[], None], Any]] = []
        for name, (kind, value) in acts:
            class_id = ids[name]
            change: Any = {
                "rename": lambda value=value: Rename(value),
                "describe": lambda value=value: Describe(value),
                "state": lambda value=value: SetState(value),
                "move": lambda value=value: Move(value),
                "exemplars": lambda value=value, own=class_id: ChooseExemplars(
                    tuple(glitches[own][:value])
                ),
                "merge": lambda value=value: MergeInto(value),
            }[kind]()
            before = seen(session)

            def do(change: Any, class_id: int = class_id) -> int:
                last = class_history(session, class_id).last_id
                return change_class(
                    session, class_id, change, author=EVE, last_event_id=last
                ).event_id

            try:
                event = do(change)
            except ServiceError:
                assert seen(session) == before  # a refused action changes nothing
                continue
            after = seen(session)
            do(Undo(event))
            assert seen(session) == before
            do(Redo(event))
            again = seen(session)
            assert {**again, "labels": None} == {**after, "labels": None}  # labels get new ids
            stack.append((lambda do=do, event=event: do(Undo(event)), before))
        undone_one_by_one(session, stack)
        savepoint.rollback()


@relaxed
@given(st.lists(review_acts, min_size=1, max_size=6))
def test_reviews(session: Session, catalogue: list[Any], acts: list[tuple[str, Any]]) -> None:
    with session.begin_nested() as savepoint:
        cluster_id = store_cluster(session, store_run(session), catalogue).id
        stack: list[tuple[Callable[[], None], Any]] = []

        def do(action: Any) -> int:
            nonlocal cluster_id
            outcome = review(
                session,
                cluster_id,
                action,
                author=EVE,
                last_event_id=history(session, cluster_id).last_id,
            )
            cluster_id = outcome.cluster_id
            return outcome.event_id

        for kind, value in acts:
            members = tuple(catalogue[one] for one in value) if isinstance(value, set) else ()
            action: Any = {
                "promote": lambda value=value: Promote(value),
                "merge": lambda value=value: Merge(value),
                "dismiss": Dismiss,
                "split": lambda members=members: Split(members),
                "assign": lambda members=members: Assign("Tomte", members),
                "accept": lambda members=members: Accept(members),
            }[kind]()
            before = seen(session)
            try:
                event = do(action)
            except ServiceError:
                assert seen(session) == before
                continue
            do(Undo(event))
            assert seen(session) == before
            do(Redo(event))
            stack.append((lambda event=event: do(Undo(event)), before))
        undone_one_by_one(session, stack)
        savepoint.rollback()
