"""Decisions about a cluster, and later changes of its class and its labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from acts import (
    Accept,
    Comment,
    Dismiss,
    Merge,
    MergeInto,
    Promote,
    Redo,
    Rename,
    Split,
    Undo,
    change_class,
    review,
)
from found_clusters import (
    ADA,
    NOVEL,
    OTHER,
    Fill,
    cluster_h1,
    cluster_now,
    decide,
    embed_otherwise,
    members,
)
from found_clusters import fill as fill  # noqa: PLC0414  (a fixture)
from found_clusters import flagged as flagged  # noqa: PLC0414  (a fixture)
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session
from store_helpers import LATENT, person

from app.classes.service import class_history, get_class_named
from app.classes.tables import GlitchClass
from app.clusters import records
from app.clusters.decided import count_unlabelled_again
from app.clusters.job import run_clustering
from app.clusters.pages.display import ClusterInWords
from app.clusters.records import ClusteringParameters
from app.clusters.review.service import class_names_of, history, reported_decisions
from app.clusters.service import (
    ClusterFilters,
    LabelsSince,
    changes_since,
    get_cluster,
    get_run,
    labels_since,
    ranked_clusters,
)
from app.clusters.tables import ClusteringRun
from app.core.access import Role
from app.core.engine import make_session_factory
from app.core.errors import ConflictError
from app.glitches.labels import revoke_labels
from app.glitches.tables import Glitch, Label

EVE = person(Role.ADMIN, "eve")


def change(session: Session, name: str, act: Any) -> None:
    known = get_class_named(session, name).id
    last = class_history(session, known).last_id
    change_class(session, known, act, last_event_id=last, author=EVE)


def take_back_last(session: Session, name: str) -> None:
    change(session, name, Undo(class_history(session, get_class_named(session, name).id).done[-1]))


def revoke(session: Session, glitch_ids: Collection[UUID]) -> None:
    active = select(Label.id).where(Label.glitch_id.in_(glitch_ids), Label.revoked_at.is_(None))
    revoke_labels(session, session.scalars(active).all(), reviewer=ADA)


def turn(session: Session, cluster_id: UUID, act: Any) -> None:
    last = history(session, cluster_id).last_id
    review(session, cluster_id, act, author=ADA, last_event_id=last)


def in_one(session: Session, found: Sequence[records.Cluster], state: str) -> set[UUID]:
    return set().union(*(members(session, one) for one in found if one.state == state))


def test_a_cluster_is_called_what_its_class_was_merged_into(
    session: Session, flagged: records.Cluster
) -> None:
    """A named cluster follows merges of its class, as its labels do, until they are undone."""

    def name() -> str | None:
        return class_names_of(session, [flagged.identity]).get(flagged.identity)

    decide(session, flagged, Promote("Thunder"))
    change(session, "Tomte", MergeInto("Whistle"))  # another class
    assert name() == "Thunder"
    decide(session, flagged, Accept())
    change(session, "Thunder", Rename("Thunders"))
    change(session, "Thunders", MergeInto("Blip"))
    assert name() == "Blip"
    change(session, "Blip", MergeInto("Koi_Fish"))
    assert name() == "Koi_Fish"
    take_back_last(session, "Blip")
    assert name() == "Blip"
    take_back_last(session, "Thunders")
    assert name() == "Thunders"


def test_a_decision_after_a_merge_is_about_the_class_itself(
    session: Session, flagged: records.Cluster
) -> None:
    """The merge was undone, so the class is in use again and the new labels are of it."""
    change(session, "Tomte", MergeInto("Whistle"))
    take_back_last(session, "Tomte")
    decide(session, flagged, Merge("Tomte"))
    assert class_names_of(session, [flagged.identity]) == {flagged.identity: "Tomte"}


def test_a_cluster_has_the_name_in_force_not_the_one_given_last(
    session: Session, flagged: records.Cluster
) -> None:
    decide(session, flagged, Promote("Thunder"))
    first = history(session, flagged.id).done[-1]
    turn(session, flagged.id, Undo(first))
    decide(session, flagged, Merge("Whistle"))
    second = history(session, flagged.id).done[-1]
    turn(session, flagged.id, Undo(second))
    assert class_names_of(session, [flagged.identity]) == {}
    turn(session, flagged.id, Redo(second))
    assert class_names_of(session, [flagged.identity]) == {flagged.identity: "Whistle"}


@pytest.mark.parametrize("act", [Promote("Thunder"), Merge("Whistle")])
@pytest.mark.parametrize("n", [1, 3, 9])
def test_members_whose_labels_are_revoked_wait_for_review_again(
    session: Session, flagged: records.Cluster, act: Any, n: int
) -> None:
    decide(session, flagged, act)
    decide(session, flagged, Accept())
    everyone = members(session, flagged)
    again = set(sorted(everyone)[:n])
    assert count_unlabelled_again(session, flagged.id) == 0
    revoke(session, again)
    assert count_unlabelled_again(session, flagged.id) == n
    for _ in range(2):
        run, found = cluster_now(session)
        [waiting] = [one for one in found if one.state == "flagged"]
        assert members(session, waiting) == again
        assert waiting.summary["beside"] == str(flagged.identity)
        assert waiting.summary["n_unlabelled_again"] == n
        assert f"the cluster named {act.class_name} no longer ha" in run.detail
        assert run.n_clusters == len(found)
    _, found = cluster_h1(session)
    assert not in_one(session, found, "flagged")  # otherwise they could be decided about twice
    _, [waiting] = cluster_now(session)
    decide(session, waiting, Dismiss())
    assert count_unlabelled_again(session, flagged.id) == 0
    _, found = cluster_now(session)
    assert not in_one(session, found, "flagged") & everyone
    # After an undo of the decision, they wait again.
    turn(session, waiting.id, Undo(history(session, waiting.id).done[-1]))
    _, found = cluster_now(session)
    assert in_one(session, found, "flagged") == again


def test_members_whose_labels_are_revoked_wait_in_the_first_run_of_any_kind(
    session: Session, flagged: records.Cluster
) -> None:
    """They wait only in runs of the type that found them first, and in none once decided."""
    decide(session, flagged, Promote("Thunder"))
    decide(session, flagged, Accept())
    again = set(sorted(members(session, flagged))[:3])
    revoke(session, again)
    _, [waiting] = cluster_h1(session)
    assert members(session, waiting) == again
    _, found = cluster_now(session)
    assert not in_one(session, found, "flagged")
    _, [waiting] = cluster_h1(session)
    assert members(session, waiting) == again
    decide(session, waiting, Dismiss())
    for run_again in (cluster_now, cluster_h1):
        _, found = run_again(session)
        assert not in_one(session, found, "flagged")


def test_a_part_of_a_split_waits_in_runs_of_its_kind_alone(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    """Its glitches wait in runs of all detectors, though no longer novel, but not in one of H1."""
    off = sorted(members(session, flagged))[:10]
    decide(session, flagged, Split(tuple(off)))
    fill(60, NOVEL, "Whistle")
    _, found = cluster_h1(session)
    assert found == []
    _, found = cluster_now(session)
    assert in_one(session, found, "flagged") == members(session, flagged)


def test_members_that_wait_again_join_later_ones(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    """One cluster waits next to the named one, and says how many members come from that one."""
    decide(session, flagged, Promote("Thunder"))  # suggested, but not accepted yet
    late_ids = set(fill(15, NOVEL))
    _, found = cluster_now(session)
    [named] = [one for one in found if one.state == "promoted"]
    decide(session, named, Accept())
    again = set(sorted(members(session, flagged))[:2])
    revoke(session, again)
    for _ in range(2):
        _, found = cluster_now(session)
        [waiting] = [one for one in found if one.state == "flagged"]
        assert again <= members(session, waiting) <= again | late_ids
        assert waiting.summary["n_unlabelled_again"] == 2
    waited = members(session, waiting)
    decide(session, waiting, Merge("Whistle"))
    decide(session, waiting, Accept())
    _, found = cluster_now(session)
    assert not in_one(session, found, "flagged") & waited


def test_a_suggestion_that_waits_is_a_judgement(session: Session, flagged: records.Cluster) -> None:
    decide(session, flagged, Merge("Whistle"))
    assert count_unlabelled_again(session, flagged.id) == 0
    _, [again] = cluster_now(session)
    assert again.state == "merged"


def test_few_later_members_wait_although_the_others_are_labelled(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    """They were in the named cluster together with the others, but nobody has reviewed them."""
    decide(session, flagged, Merge("Whistle"))
    few = set(fill(3, NOVEL))
    _, found = cluster_now(session)
    [kept] = [one for one in found if one.state == "merged"]
    n_kept = len(members(session, kept) & few)
    decide(session, kept, Accept())
    more = set(fill(12, NOVEL))
    _, found = cluster_now(session)
    assert n_kept
    assert all(one.state == "flagged" for one in found)
    assert len(in_one(session, found, "flagged") & (few | more)) == len(
        in_one(session, found, "flagged")
    )


def test_a_cluster_reports_the_current_decision_about_another(
    session: Session, flagged: records.Cluster
) -> None:
    """Decisions made after the run are reported, with the current class name, until undone."""
    _, [other] = cluster_h1(session)
    assert reported_decisions(session, [other]) == {other.id: []}
    decide(session, flagged, Promote("Thunder"))

    def warning() -> str | None:
        return ClusterInWords(other, reported_decisions(session, [other])[other.id]).warning

    size = other.size
    assert (warning() or "").startswith(f"{size} of these were named Thunder by ada on")
    change(session, "Thunder", Rename("Thunders"))
    assert (warning() or "").startswith(f"{size} of these were named Thunders by ada on")
    take_back_last(session, "Thunders")
    turn(session, flagged.id, Undo(history(session, flagged.id).done[-1]))
    assert warning() is None
    decide(session, flagged, Dismiss())
    assert (warning() or "").startswith(f"{size} of these were dismissed by ada on")


def test_labels_are_not_taken_back_below_a_merge_of_classes(
    session: Session, flagged: records.Cluster
) -> None:
    """Undoing the acceptance would keep the labels of the merge and suggest a retired class."""
    decide(session, flagged, Promote("Thunder"))
    decide(session, flagged, Accept())
    change(session, "Thunder", MergeInto("Blip"))
    log = history(session, flagged.id)
    with pytest.raises(ConflictError, match="Thunder was merged into Blip since"):
        turn(session, flagged.id, Undo(log.done[-1]))
    assert "Thunder was merged into Blip" in (log.event(log.done[-1]).why_not or "")
    take_back_last(session, "Thunder")
    turn(session, flagged.id, Undo(log.done[-1]))
    labelled = select(Glitch.id).where(
        Glitch.id.in_(members(session, flagged)), Glitch.class_id.is_not(None)
    )
    assert session.scalars(labelled).all() == []


def test_a_merge_of_classes_brings_no_labels(session: Session, flagged: records.Cluster) -> None:
    """As many glitches have a label as before; those of the merged class count as changed."""
    decide(session, flagged, Promote("Thunder"))
    decide(session, flagged, Accept())
    assert labels_since(session, get_run(session, flagged.run_id)).added == flagged.size
    session.get_one(ClusteringRun, flagged.run_id).created_at = datetime.now(UTC)
    session.flush()
    run = get_run(session, flagged.run_id)
    assert labels_since(session, run) == LabelsSince(0, 0, 0)
    change(session, "Thunder", MergeInto("Blip"))
    assert labels_since(session, run) == LabelsSince(0, 0, flagged.size)
    take_back_last(session, "Thunder")
    assert labels_since(session, run) == LabelsSince(0, 0, 0)


def moving(
    moved: Collection[UUID], to: np.ndarray, rng: np.random.Generator
) -> Callable[[UUID, np.ndarray], np.ndarray]:
    """Return a function that gives ``moved`` new means around ``to`` and keeps the other means."""
    return lambda glitch_id, mean: (
        to + rng.normal(scale=0.15, size=LATENT) if glitch_id in moved else mean
    )


@pytest.mark.parametrize("act", [Comment("Odd."), Dismiss(), Merge("Whistle")])
def test_clusters_that_look_as_one_to_another_model_stay_what_they_were(
    session: Session, flagged: records.Cluster, fill: Fill, rng: np.random.Generator, act: Any
) -> None:
    """One is named; the other waits or is decided, and keeps its identity and its history."""
    fill(30, OTHER)
    _, found = cluster_now(session)
    [named] = [one for one in found if one.identity == flagged.identity]
    [other] = [one for one in found if one.identity != flagged.identity]
    other_ids = members(session, other)
    decide(session, named, Promote("Thunder"))
    decide(session, other, act)
    state = get_cluster(session, other.id).state
    embed_otherwise(session, moving(other_ids, NOVEL, rng))
    for _ in range(2):
        run, found = cluster_now(session)
        by_identity = {one.identity: one for one in found}
        assert set(by_identity) == {named.identity, other.identity}
        again = by_identity[other.identity]
        assert again.state == state
        assert members(session, again) <= other_ids
        assert by_identity[named.identity].state == "promoted"
        assert not members(session, by_identity[named.identity]) & other_ids
        assert "nobody has reviewed" not in run.detail
        changes = changes_since(session, run)
        assert changes is not None
        assert (changes.decided, changes.lost) == (0, 0)


def test_members_that_another_model_moves_wait_with_their_decision(
    session: Session, flagged: records.Cluster, rng: np.random.Generator
) -> None:
    everyone = sorted(members(session, flagged))
    decide(session, flagged, Promote("Thunder"))
    moved = set(everyone[: len(everyone) // 2])
    embed_otherwise(session, moving(moved, OTHER, rng))
    _, found = cluster_now(session)
    assert sorted(one.state for one in found) == ["flagged", "promoted"]
    [waiting] = [one for one in found if one.state == "flagged"]
    n = len(members(session, waiting) & set(everyone))
    assert n == waiting.summary["named_before"][0]["n"]
    # Labels accepted from one cluster outweigh the suggestions of the other.
    decide(session, waiting, Merge("Whistle"))
    decide(session, waiting, Accept())
    [named] = [one for one in found if one.state == "promoted"]
    decide(session, named, Accept())
    labels = dict(
        session.execute(
            select(GlitchClass.name, func.count())
            .join(Glitch, Glitch.class_id == GlitchClass.id)
            .where(Glitch.id.in_(members(session, waiting)))
            .group_by(GlitchClass.name)
        ).all()
    )
    assert labels == {"Whistle": waiting.size}


def test_the_second_of_two_simultaneous_clusterings_continues_the_first(
    session: Session, engine: Engine, flagged: records.Cluster, fill: Fill
) -> None:
    """The second run waits for the first, so that no glitch waits in two clusters."""
    fill(30, OTHER)
    session.commit()

    def also() -> set[UUID]:
        with make_session_factory(engine).begin() as other:
            run = run_clustering(other, ClusteringParameters(fdr=0.1), author="ed")
            found = ranked_clusters(other, run.id, ClusterFilters(), limit=9)
            return {one.identity for one in found}

    with ThreadPoolExecutor(1) as pool:
        _, found = cluster_now(session)
        second = pool.submit(also)
        with pytest.raises(TimeoutError):
            second.result(1.0)
        session.commit()
        assert second.result(60.0) == {one.identity for one in found}


def test_a_glitch_that_is_deleted_during_a_clustering_is_left_out(
    session: Session, engine: Engine, flagged: records.Cluster
) -> None:
    """This happens when references or the demonstration are removed."""
    session.commit()
    gone = sorted(members(session, flagged))[:3]
    n_beats = 0

    def delete_late() -> None:
        nonlocal n_beats
        n_beats += 1
        if n_beats == 2:  # the glitches to cluster are selected by now
            with make_session_factory(engine).begin() as other:
                other.execute(delete(Glitch).where(Glitch.id.in_(gone)))

    run = run_clustering(
        session, ClusteringParameters(fdr=0.05), author="ed", heartbeat=delete_late
    )
    session.commit()
    [found] = ranked_clusters(session, run.id, ClusterFilters(), limit=9)
    assert found.identity == flagged.identity
    assert not members(session, found) & set(gone)
