"""Later clusterings keep decisions of reviewers: splits, dismissals and what awaits review."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from acts import Accept, Comment, Dismiss, Merge, Split, Undo, review
from found_clusters import (
    ADA,
    ANOTHER,
    KNOWN,
    NOVEL,
    OTHER,
    Fill,
    cluster_h1,
    cluster_now,
    decide,
    members,
)
from found_clusters import fill as fill  # noqa: PLC0414  (a fixture)
from found_clusters import flagged as flagged  # noqa: PLC0414  (a fixture)
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from app.clusters import records
from app.clusters.chosen import cluster_by_hand
from app.clusters.job import run_clustering
from app.clusters.pages.display import ClusterInWords
from app.clusters.records import ClusteringParameters
from app.clusters.review.log import SplitRequest
from app.clusters.review.service import history
from app.clusters.service import (
    CHANGES,
    ClusterFilters,
    changes_since,
    get_cluster,
    list_runs,
    ranked_clusters,
)
from app.clusters.tables import Cluster
from app.core.engine import make_session_factory
from app.core.errors import ConflictError
from app.glitches.tables import Embedding, Glitch


def test_a_split_and_a_merge_survive_two_runs(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    everyone = members(session, flagged)
    off = set(sorted(everyone)[:6])
    rest_id = decide(session, flagged, Split(tuple(off)))
    parts = ranked_clusters(session, flagged.run_id, ClusterFilters(), limit=10)
    assert {one.summary["previous_size"] for one in parts} == {None}
    assert {one.summary["split_from"] for one in parts} == {flagged.size}
    assert {one.significance for one in parts} == {flagged.significance}
    assert flagged.significance is not None
    assert {ClusterInWords(one).chance for one in parts} == {
        f"{ClusterInWords(flagged).chance} for the whole"
    }
    [rest] = [one for one in parts if one.id == rest_id]
    decide(session, rest, Merge("Whistle"))
    for _ in range(2):
        run, found = cluster_now(session)
        by_state = {one.state: one for one in found}
        assert set(by_state) == {"merged", "flagged"}
        assert members(session, by_state["flagged"]) == off
        assert members(session, by_state["merged"]) == everyone - off
        assert by_state["merged"].identity == flagged.identity
        # Both parts have the significance of the whole: six glitches alone may be due to chance.
        assert by_state["flagged"].significance == by_state["merged"].significance
        assert not by_state["flagged"].may_be_chance
        changes = changes_since(session, run)
        assert changes is not None
        assert (changes.of | {"same": 0}, changes.lost) == (dict.fromkeys(CHANGES, 0), 0)
        assert "stay separate" in run.detail
    fill(20, NOVEL)
    run, found = cluster_now(session)
    waiting = set().union(*(members(session, one) for one in found if one.state == "flagged"))
    judged = set().union(*(members(session, one) for one in found if one.state != "flagged"))
    assert off <= waiting
    assert everyone - off <= judged
    assert sum(one.summary.get("n_unjudged", 0) for one in found) == len(judged - everyone) < 5
    assert len(waiting - off) >= 5


def test_few_waiting_members_stay_when_the_others_are_labelled(
    session: Session, flagged: records.Cluster
) -> None:
    """Four glitches that were split off stay a cluster, though too few for one to be found."""
    off = set(sorted(members(session, flagged))[:4])
    rest_id = decide(session, flagged, Split(tuple(off)))
    for action in (Merge("Whistle"), Accept()):
        last = history(session, rest_id).last_id
        review(session, rest_id, action, author=ADA, last_event_id=last)
    for _ in range(2):
        run, [waiting] = cluster_now(session)
        assert (waiting.state, members(session, waiting)) == ("flagged", off)
        assert "1 cluster was found among them." in run.detail
        assert "Parts that reviewers separated stay separate: 4 glitches." in run.detail
        assert (run.n_flagged, waiting.significance, waiting.fdr) == (0, None, None)


def test_parts_of_a_split_show_their_nearest_classes(
    session: Session, flagged: records.Cluster
) -> None:
    """Each part shows them before the next run, also when a part is split again."""
    off = tuple(sorted(members(session, flagged))[:12])
    decide(session, flagged, Split(off))
    shown = (flagged.run_id, ClusterFilters())
    [part] = [one for one in ranked_clusters(session, *shown, limit=9) if one.size == 12]
    decide(session, part, Split(off[:5]))
    parts = {one.size: one.trust for one in ranked_clusters(session, *shown, limit=9)}
    assert set(parts) == {flagged.size - 12, 7, 5}
    likeness = "earest known glitches of the members: mostly Blip for all"
    assert all(likeness in (trust or "") for trust in (flagged.trust, *parts.values()))


@pytest.mark.parametrize("otherwise", [{"fdr": 1e-4}, {"min_cluster_size": 200}])
@pytest.mark.parametrize("act", [Merge("Whistle"), Dismiss(), Comment("Hm")])
def test_a_run_that_no_longer_finds_a_cluster_undoes_nothing(
    session: Session, flagged: records.Cluster, fill: Fill, act: Any, otherwise: dict[str, Any]
) -> None:
    """A run with other parameters between two equal runs changes neither decision nor identity."""
    decide(session, flagged, act)
    state = get_cluster(session, flagged.id).state
    run_clustering(session, ClusteringParameters(**{"fdr": 0.05} | otherwise), author="someone")
    fill(4, NOVEL)
    _, found = cluster_now(session)
    [again] = [one for one in found if one.identity == flagged.identity]
    assert again.state == state
    assert history(session, again.id).events
    # Glitches that joined it since may wait in a separate cluster.
    assert all(one.summary.get("beside") == str(flagged.identity) for one in found if one != again)


def test_a_part_that_waits_stays_whole_when_what_held_it_together_is_labelled(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    """A part with glitches of several types stays one cluster once the others are labelled."""
    fill(15, OTHER)
    fill(15, ANOTHER)
    _, found = cluster_now(session)
    chosen = sorted(set().union(*(members(session, one) for one in found[:3])))
    made = get_cluster(session, cluster_by_hand(session, chosen, author=ADA))
    off = {
        one
        for other in found
        if other.identity != flagged.identity
        for one in members(session, other)
    }
    rest_id = decide(session, made, Split(tuple(sorted(off))))
    for action in (Merge("Whistle"), Accept()):
        last = history(session, rest_id).last_id
        review(session, rest_id, action, author=ADA, last_event_id=last)
    part = session.scalars(
        select(Cluster).where(Cluster.previous_id == made.id, Cluster.id != rest_id)
    ).one()
    for _ in range(2):
        _, found = cluster_now(session)
        [kept] = [one for one in found if one.identity == part.identity]
        assert members(session, kept) == off
        assert [one.state for one in found] == ["flagged"]


def test_an_undone_split_binds_nothing(session: Session, flagged: records.Cluster) -> None:
    everyone = members(session, flagged)
    rest_id = decide(session, flagged, Split(tuple(sorted(everyone)[:6])))
    log = history(session, rest_id)
    review(session, rest_id, Undo(log.done[-1]), author=ADA, last_event_id=log.last_id)
    _, [again] = cluster_now(session)
    assert members(session, again) == everyone
    assert again.identity == flagged.identity


def test_a_selection_that_was_made_a_cluster_waits_in_later_runs(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    """A cluster made on the map, of found and of unflagged glitches, waits in later runs too."""
    everyone = members(session, flagged)
    familiar = fill(5, KNOWN)
    chosen = {*sorted(everyone)[:7], *familiar}
    made = cluster_by_hand(session, chosen, author=ADA)
    identity = get_cluster(session, made).identity
    for _ in range(2):
        run, found = cluster_now(session)
        [kept] = [one for one in found if one.identity == identity]
        [rest] = [one for one in found if one.identity == flagged.identity]
        assert (members(session, kept), kept.state) == (chosen, "flagged")
        assert everyone - chosen <= members(session, rest)
        assert not chosen & members(session, rest)
        words = ClusterInWords(kept)
        assert (words.stability, words.chance) == ("not tested", "not tested")
        assert words.change == "made by ada"
        in_some = set().union(*(members(session, one) for one in found))
        assert run.n_noise == run.n_clustered - len(in_some)
        changes = changes_since(session, run)
        assert changes is not None
        assert changes.lost == 0
    decide(session, kept, Split(tuple(familiar[:2])))
    _, found = cluster_now(session)
    assert chosen <= set().union(*(members(session, one) for one in found))
    assert len({one.identity for one in found}) == len(found)


def test_the_same_selection_is_one_cluster_as_long_as_it_waits(
    session: Session, flagged: records.Cluster
) -> None:
    chosen = sorted(members(session, flagged))[:6]
    made = cluster_by_hand(session, chosen, author=ADA)
    assert cluster_by_hand(session, reversed(chosen), author=ADA) == made
    assert cluster_by_hand(session, chosen[:5], author=ADA) != made
    _, found = cluster_now(session)
    [kept] = [one for one in found if members(session, one) == set(chosen)]
    assert cluster_by_hand(session, chosen, author=ADA) == kept.id
    decide(session, kept, Dismiss())
    assert get_cluster(session, cluster_by_hand(session, chosen, author=ADA)).state == "flagged"


def test_more_of_a_selection_joins_it_and_once_decided_it_is_like_others(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    everyone = members(session, flagged)
    made = get_cluster(session, cluster_by_hand(session, sorted(everyone)[:-2], author=ADA))
    decide(session, flagged, Dismiss())
    late_ids = set(fill(10, NOVEL))
    _, found = cluster_now(session)
    [kept] = [one for one in found if one.identity == made.identity]
    assert members(session, kept) & late_ids
    decide(session, kept, Dismiss())
    _, found = cluster_now(session)
    assert all(one.state == "dismissed" for one in found)


def test_later_members_of_a_decided_cluster_wait_as_a_separate_cluster(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    everyone = members(session, flagged)
    decide(session, flagged, Dismiss())
    fill(15, NOVEL)
    for _ in range(2):
        run, found = cluster_now(session)
        by_state = {one.state: one for one in found}
        assert set(by_state) == {"dismissed", "flagged"}
        assert members(session, by_state["dismissed"]) <= everyone
        assert by_state["dismissed"].size >= 0.8 * len(everyone)
        assert by_state["flagged"].size >= 10
        assert not members(session, by_state["flagged"]) & everyone
    assert run.n_clusters == 2


def test_later_members_from_several_runs_wait_as_one_cluster_until_the_decision_is_undone(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    everyone = members(session, flagged)
    decide(session, flagged, Dismiss())
    n_waiting = 0
    for _ in range(3):
        fill(12, NOVEL)
        run, found = cluster_now(session)
        by_state = {one.state: one for one in found}
        assert sorted(one.state for one in found) == ["dismissed", "flagged"]
        assert by_state["dismissed"].identity == flagged.identity
        waiting = by_state["flagged"]
        assert waiting.summary["beside"] == str(flagged.identity)
        assert not members(session, waiting) & everyone
        assert waiting.size >= n_waiting + 8
        n_waiting = waiting.size
        assert "split it off" not in ClusterInWords(waiting).undecided
        assert "reviewer split" not in run.detail
    assert n_waiting > by_state["dismissed"].size
    sizes = f"{n_waiting} and {by_state['dismissed'].size}"
    assert f"Parts that reviewers separated stay separate: {sizes} glitches." in run.detail
    log = history(session, by_state["dismissed"].id)
    review(
        session, by_state["dismissed"].id, Undo(log.done[-1]), author=ADA, last_event_id=log.last_id
    )
    run, [whole] = cluster_now(session)
    assert whole.state == "flagged"
    assert whole.identity in {flagged.identity, waiting.identity}
    assert whole.size > n_waiting + 15
    assert "stay separate" not in run.detail


def test_a_new_cluster_says_which_members_were_dismissed(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    everyone = members(session, flagged)
    few = tuple(sorted(everyone)[:6])
    rest_id = decide(session, flagged, Split(few))
    parts = ranked_clusters(session, flagged.run_id, ClusterFilters(), limit=10)
    [part] = [one for one in parts if one.id != rest_id]
    decide(session, part, Dismiss())
    # There are many more that look the same: HDBSCAN may join the dismissed ones to any of them.
    fill(40, NOVEL)
    _, found = cluster_now(session)
    waiting = [one for one in found if one.state == "flagged"]
    for one in waiting:
        among = members(session, one) & set(few)
        dismissed = one.summary.get("dismissed_before", [])
        assert [(item["n"], item["author"]) for item in dismissed] == (
            [(len(among), "ada")] if among else []
        )
    in_dismissed = [members(session, one) for one in found if one.state == "dismissed"]
    assert set(few) & set().union(set(), *in_dismissed) == set(few) - set().union(
        set(), *(members(session, one) for one in waiting)
    )


def test_dismissed_glitches_that_a_run_of_one_detector_finds_stay_dismissed(
    session: Session, flagged: records.Cluster
) -> None:
    decide(session, flagged, Dismiss())
    run, [again] = cluster_h1(session)
    assert again.state == "dismissed"
    assert again.identity != flagged.identity
    assert f"A cluster of {again.size} is most of the glitches that ada dismissed on" in run.detail
    # The dismissal of this cluster alone can be undone, and later runs keep that.
    log = history(session, again.id)
    review(session, again.id, Undo(log.done[-1]), author=ADA, last_event_id=log.last_id)
    _, [later] = cluster_h1(session)
    assert (later.identity, later.state) == (again.identity, "flagged")
    _, [whole] = cluster_now(session)
    assert (whole.identity, whole.state) == (flagged.identity, "dismissed")


@pytest.mark.parametrize(
    ("act", "decision"), [(Dismiss(), "dismissed by ada"), (Merge("Whistle"), "named Whistle")]
)
def test_a_cluster_of_one_detector_warns_of_a_decision_in_another_run(
    session: Session, flagged: records.Cluster, act: Any, decision: str
) -> None:
    """The cluster keeps waiting in these runs, with a warning about the decision made elsewhere."""
    _, [earlier] = cluster_h1(session)
    decide(session, flagged, act)
    for _ in range(2):
        run, [waiting] = cluster_h1(session)
        assert (waiting.identity, waiting.state) == (earlier.identity, "flagged")
        assert f"{waiting.size} of these were {decision}" in (ClusterInWords(waiting).warning or "")
        assert f"{waiting.size} of the {waiting.size} in a cluster were {decision}" in run.detail


def test_a_split_elsewhere_is_no_shrinking_in_runs_of_one_detector(
    session: Session, flagged: records.Cluster
) -> None:
    cluster_h1(session)
    decide(session, flagged, Split(tuple(sorted(members(session, flagged))[:6])))
    _, parts = cluster_h1(session)
    changes = {ClusterInWords(one).change for one in parts}
    assert changes == {f"split off by hand from {flagged.size}", "new in this clustering"}
    _, parts = cluster_h1(session)
    assert {ClusterInWords(one).change for one in parts} == {"as large as before"}


@pytest.mark.parametrize("between", [{"ifo": "H1"}, {"ifo": "L1"}, {"scope": "everything"}])
def test_a_run_of_another_kind_leaves_a_split_as_it_is(
    session: Session, fill: Fill, between: dict[str, Any]
) -> None:
    """It keeps the parts in separate clusters, of which it may see only some members."""
    fill(300, KNOWN, "Blip")
    of_h1 = set(fill(30, NOVEL))
    of_l1 = [*fill(300, KNOWN, "Blip"), *(others := fill(30, NOVEL))]
    for table, key in ((Glitch, Glitch.id), (Embedding, Embedding.glitch_id)):
        session.execute(update(table).where(key.in_(of_l1)).values(ifo="L1"))
    session.expire_all()
    _, [whole] = cluster_now(session)
    everyone = members(session, whole)
    off = {*sorted(everyone & of_h1)[:6], *sorted(everyone & set(others))[:6]}
    rest_id = decide(session, whole, Split(tuple(off)))
    decide(session, get_cluster(session, rest_id), Merge("Whistle"))
    parameters = ClusteringParameters(**{"fdr": 0.05} | between)
    run = run_clustering(session, parameters, author="someone")
    seen = ranked_clusters(session, run.id, ClusterFilters(), limit=50)
    assert all(one.identity != whole.identity for one in seen)
    named = [one for one in seen if members(session, one) & (everyone - off)]
    assert named
    for one in named:
        n = len(members(session, one) & (everyone - off))
        [decision] = one.summary["named_before"]
        assert (decision["n"], decision["label"], decision["author"]) == (n, "Whistle", "ada")
        assert f"{n} of the {one.size} in a cluster were named Whistle by ada" in run.detail
        assert f"{n} of these were named Whistle by ada" in (ClusterInWords(one).warning or "")
        assert not members(session, one) & off
    _, found = cluster_now(session)
    by_state = {one.state: members(session, one) for one in found}
    assert by_state == {"merged": everyone - off, "flagged": off}


@pytest.mark.parametrize("act", [Merge("Whistle"), Split(())])
def test_a_decision_while_a_clustering_stores_its_clusters_stays(
    session: Session, engine: Engine, flagged: records.Cluster, act: Any
) -> None:
    session.commit()
    everyone = members(session, flagged)
    off = set(sorted(everyone)[:6])
    if isinstance(act, SplitRequest):
        act = Split(tuple(off))
    decided = False

    def decide_meanwhile() -> None:
        nonlocal decided
        is_storing = len(list_runs(session, limit=5).items) == 2
        if is_storing and not decided:
            decided = True
            with make_session_factory(engine).begin() as other:
                decide(other, flagged, act)

    run = run_clustering(
        session, ClusteringParameters(fdr=0.05), author="ed", heartbeat=decide_meanwhile
    )
    session.commit()
    assert decided
    assert len(list_runs(session, limit=5).items) == 2
    found = ranked_clusters(session, run.id, ClusterFilters(), limit=50)
    if isinstance(act, SplitRequest):
        assert {frozenset(members(session, one)) for one in found} == {
            frozenset(off),
            frozenset(everyone - off),
        }
    else:
        assert [(one.identity, one.state) for one in found] == [(flagged.identity, "merged")]


@pytest.mark.parametrize("act", [Dismiss(), Split(())])
def test_a_decision_that_comes_as_a_clustering_ends_is_about_what_it_found(
    session: Session, engine: Engine, flagged: records.Cluster, act: Any
) -> None:
    """The decision waits for the run to end and is then refused, naming what the run found."""
    session.commit()
    if isinstance(act, SplitRequest):
        act = Split(tuple(sorted(members(session, flagged))[:6]))

    def decide_now() -> str:
        with make_session_factory(engine).begin() as other:
            with pytest.raises(ConflictError) as refused:
                decide(other, flagged, act)
            return str(refused.value)

    with ThreadPoolExecutor(1) as pool:
        run = run_clustering(session, ClusteringParameters(fdr=0.05), author="ed")
        refusal = pool.submit(decide_now)
        with pytest.raises(TimeoutError):
            refusal.result(1.0)
        session.commit()
        assert "found this cluster again" in refusal.result(20.0)
    [again] = ranked_clusters(session, run.id, ClusterFilters(), limit=50)
    assert (again.identity, again.state) == (flagged.identity, "flagged")


def test_a_split_a_merge_and_a_dismissal_survive_two_later_runs(
    session: Session, fill: Fill
) -> None:
    """Of two unknown classes, one is split and merged, and the other is dismissed."""
    fill(300, KNOWN, "Blip")
    fill(20, KNOWN)
    fill(40, NOVEL)
    fill(30, OTHER)
    first, found = cluster_now(session)
    [arches, lines] = sorted(found, key=lambda one: -one.size)
    everyone, dismissed = members(session, arches), members(session, lines)
    off = set(sorted(everyone)[:6])
    rest_id = decide(session, arches, Split(tuple(off)))
    [rest] = [
        one
        for one in ranked_clusters(session, first.id, ClusterFilters(), limit=10)
        if one.id == rest_id
    ]
    decide(session, rest, Merge("Whistle"))
    decide(session, lines, Dismiss())
    for later in range(2):
        run, found = cluster_now(session)
        states = {one.id: one.state for one in found}
        assert sorted(states.values()) == ["dismissed", "flagged", "merged"]
        by_state = {one.state: one for one in found}
        assert members(session, by_state["merged"]) == everyone - off
        assert members(session, by_state["flagged"]) == off
        assert members(session, by_state["dismissed"]) == dismissed
        assert (by_state["merged"].identity, by_state["dismissed"].identity) == (
            arches.identity,
            lines.identity,
        )
        assert history(session, by_state["merged"].id).done  # and can still be undone
        changes = changes_since(session, run)
        assert changes is not None
        assert (changes.of | {"same": 0}, changes.lost) == (dict.fromkeys(CHANGES, 0), 0), later
        assert f"{run.n_flagged} of {run.n_judged} unlabelled glitches are novel" in run.detail
        assert "Parts that reviewers separated stay separate" in run.detail
