"""Dismissed glitches stay dismissed, and a cluster with some of them says so."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from acts import Dismiss, Merge, Undo, review
from found_clusters import (
    ADA,
    ANOTHER,
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
from sqlalchemy.orm import Session
from store_helpers import LATENT

from app.clusters import records
from app.clusters.review.service import history
from app.clusters.service import ClusterFilters, ranked_clusters
from app.glitches.tables import Embedding, Glitch


def test_dismissed_members_in_another_cluster_are_reported(
    session: Session, flagged: records.Cluster, rng: np.random.Generator
) -> None:
    """The reviewer who dismissed the whole cluster may not have noticed these few in it."""
    decide(session, flagged, Dismiss())
    everyone = sorted(members(session, flagged))
    few, most = everyone[:10], everyone[10:]
    for keys, direction in ((few, ANOTHER), (most, OTHER)):  # it had two types of glitch
        for key in keys:
            session.execute(
                Embedding.__table__.update()
                .where(Embedding.glitch_id == key)
                .values(mean=direction + rng.normal(scale=0.15, size=LATENT))
            )
    session.expire_all()
    run, found = cluster_h1(session)
    [fewer] = [one for one in found if members(session, one) <= set(few)]
    [more] = [one for one in found if members(session, one) <= set(most)]
    assert (fewer.state, more.state) == ("flagged", "dismissed")
    [decision] = fewer.summary["dismissed_before"]
    assert (decision["n"], decision["author"]) == (fewer.size, "ada")
    assert f"{fewer.size} of the {fewer.size} in a cluster were dismissed by ada" in run.detail


@pytest.mark.parametrize("act", [Dismiss(), Merge("Whistle")])
def test_few_later_members_wait_once_they_are_enough_for_a_cluster(
    session: Session, flagged: records.Cluster, fill: Fill, act: Any
) -> None:
    """New members are not decided, even if they come over several runs: they wait once enough."""
    decided = members(session, flagged)
    decide(session, flagged, act)
    late_ids: set[UUID] = set()
    for _ in range(2):
        late_ids |= set(fill(2, NOVEL))
        for _ in range(2):  # a run without new glitches forgets none
            _, found = cluster_now(session)
            [kept] = [one for one in found if one.identity == flagged.identity]
            n_came = len(members(session, kept) - decided)
            assert kept.summary.get("n_unjudged", 0) == n_came
    assert n_came
    # In a run of one detector, only the members that were decided count as decided.
    _, [other] = cluster_h1(session)
    [decision] = other.summary["dismissed_before"] + other.summary["named_before"]
    assert decision["n"] == len(members(session, other) & decided) < other.size
    fill(4, NOVEL)
    _, found = cluster_now(session)
    [waiting] = [one for one in found if one.state == "flagged"]
    assert waiting.summary["beside"] == str(flagged.identity)
    assert late_ids & members(session, waiting)
    assert not decided & members(session, waiting)


def test_a_dismissed_look_stays_dismissed(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    everyone = members(session, flagged)
    decide(session, flagged, Dismiss(is_of_look=True))
    session.execute(Glitch.__table__.delete().where(Glitch.id.in_(everyone - {flagged.medoid_id})))
    session.expire_all()
    fill(30, NOVEL)
    run, found = cluster_now(session)
    assert {one.state for one in found} == {"dismissed"}
    assert "looks like one that ada dismissed" in run.detail
    again = max(found, key=lambda one: one.size)
    if again.identity != flagged.identity:
        log = history(session, again.id)
        review(session, again.id, Undo(log.done[-1]), author=ADA, last_event_id=log.last_id)
        reviewed = ranked_clusters(session, run.id, ClusterFilters(state="flagged"), limit=5)
        assert [one.id for one in reviewed] == [again.id]


@pytest.mark.parametrize("is_medoid_deleted", [False, True])
def test_a_dismissed_look_stays_dismissed_under_another_checkpoint(
    session: Session, flagged: records.Cluster, fill: Fill, is_medoid_deleted: bool
) -> None:
    decide(session, flagged, Dismiss(is_of_look=True))
    fill(30, NOVEL)
    if is_medoid_deleted:
        session.execute(Glitch.__table__.delete().where(Glitch.id == flagged.medoid_id))
    wider = np.array([2.0, 2.0, 1.0, 2.0])
    embed_otherwise(session, lambda _, mean: mean[::-1] * wider)  # another medoid
    run, found = cluster_h1(session)
    assert {one.state for one in found} == {"dismissed"}
    assert "looks like one that ada dismissed" in run.detail
