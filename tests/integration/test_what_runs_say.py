"""What a clustering reports: labels that are few, typical or far away, and waiting clusters."""

from __future__ import annotations

from decimal import Decimal

import pytest
from acts import Dismiss
from found_clusters import ADA, KNOWN, NOVEL, OTHER, Fill, cluster_now, decide, members
from found_clusters import fill as fill  # noqa: PLC0414  (a fixture)
from found_clusters import flagged as flagged  # noqa: PLC0414  (a fixture)
from sqlalchemy import case, delete, select, update
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters import records
from app.clusters.chosen import cluster_by_hand
from app.clusters.findings import sentences
from app.clusters.job import run_clustering
from app.clusters.pages.display import ClusterInWords
from app.clusters.pages.lists import clusters_page_of
from app.clusters.records import ClusteringParameters
from app.clusters.service import get_cluster, runs_that_wait
from app.clusters.tables import Cluster
from app.glitches.tables import Embedding, Glitch
from glitch.novelty.false_discovery import MAY_BE_CHANCE


def test_a_run_that_flags_names_the_classes_with_few_labels(session: Session, fill: Fill) -> None:
    fill(300, KNOWN, "Blip")
    fill(11, OTHER, "Tomte")
    run, _ = cluster_now(session)
    assert "may be flagged" not in run.detail  # nothing is flagged
    fill(20, KNOWN)
    fill(40, NOVEL)
    run, _ = cluster_now(session)
    assert "so their own glitches may be flagged: Tomte (H1: 11)." in run.detail
    fill(1, OTHER, "Tomte")
    run, _ = cluster_now(session)
    assert run.n_flagged
    assert "may be flagged" not in run.detail


def test_a_run_that_flags_names_the_classes_that_only_other_detectors_know(
    session: Session, fill: Fill
) -> None:
    fill(300, KNOWN, "Blip")
    elsewhere = [*fill(300, KNOWN, "Blip"), *fill(12, OTHER, "Tomte"), *fill(3, OTHER, "Helix")]
    elsewhere += fill(20, KNOWN)
    for of, key in ((Glitch, Glitch.id), (Embedding, Embedding.glitch_id)):
        session.execute(update(of).where(key.in_(elsewhere)).values(ifo="L1"))
    fill(20, KNOWN)
    fill(40, OTHER)
    run, _ = cluster_now(session)
    assert run.n_flagged
    assert "their own glitches may be flagged: Tomte (H1: 0), Helix (L1: 3)." in run.detail


def test_a_run_says_where_its_labels_do_not_cover_what_it_tested(
    session: Session, fill: Fill
) -> None:
    shifted = KNOWN.copy()
    shifted[-1] += 0.8
    first = fill(300, KNOWN, "Blip")
    fill(60, KNOWN)
    fill(40, NOVEL)
    start = select(Glitch.gps_time).where(Glitch.id == first[0]).scalar_subquery()
    days_apart = update(Glitch).values(gps_time=start + 30 * (Glitch.gps_time - start))
    session.execute(days_apart)  # otherwise similar glitches would be one event
    run, _ = cluster_now(session)
    assert run.n_flagged
    assert "do not cover" not in run.detail
    later = fill(150, shifted)
    session.execute(days_apart.where(Glitch.id.in_(later)))
    run, (found, *_) = cluster_now(session)
    assert "next to the labelled ones, not among them" in run.detail
    assert found.doubt is not None
    assert "The labels do not cover what was tested" in found.doubt


def test_more_labels_are_asked_for_only_where_they_lack(session: Session, fill: Fill) -> None:
    fill(300, KNOWN, "Blip")
    fill(5, KNOWN)
    run, _ = cluster_now(session)
    assert (run.n_judged, run.n_flagged) == (5, 0)
    assert "before any can be flagged" not in run.detail  # the first novel one is
    fill(300, KNOWN)
    run, _ = cluster_now(session)
    assert run.n_flagged == 0
    assert "before any can be flagged" in run.detail


def test_more_labels_are_asked_for_of_the_detector_that_lacks_them(
    session: Session, fill: Fill
) -> None:
    """Many labels of another detector do not make p-values of this one smaller."""
    fill(300, KNOWN, "Blip")
    glitches = [*fill(60, KNOWN, "Blip"), *fill(200, KNOWN)]
    for of, key in ((Glitch, Glitch.id), (Embedding, Embedding.glitch_id)):
        session.execute(update(of).where(key.in_(glitches)).values(ifo="L1"))
    run, _ = cluster_now(session)
    assert (run.n_judged, run.n_flagged) == (200, 0)
    assert "With 60 labelled glitches to calibrate with, at least" in run.detail


def test_a_dormant_class_is_not_back_where_its_own_labels_are_clustered(
    session: Session, fill: Fill
) -> None:
    fill(300, KNOWN, "Blip")
    fill(30, OTHER, "Tomte")
    session.execute(update(GlitchClass).where(GlitchClass.name == "Tomte").values(state="dormant"))
    everything = ClusteringParameters(scope="everything")
    run = run_clustering(session, everything, author="someone")
    assert run.n_clusters >= 2
    assert "is back" not in run.detail
    fill(40, OTHER + 0.7 * NOVEL)  # unlabelled glitches near it
    run, _ = cluster_now(session)
    assert ("The dormant class Tomte is back in H1" in run.detail) == bool(run.n_clusters)


def test_the_rate_of_two_is_that_of_the_one_interval_between_them(
    session: Session, flagged: records.Cluster, fill: Fill
) -> None:
    chosen = fill(2, KNOWN)
    start = Decimal(1_126_259_462)
    for n_days, rate in ((10, "one in 10 days"), (0, None)):
        session.execute(
            update(Glitch)
            .where(Glitch.id.in_(chosen))
            .values(gps_time=case((Glitch.id == chosen[0], start), else_=start + 86_400 * n_days))
        )
        made = get_cluster(session, cluster_by_hand(session, chosen, author=ADA))
        assert ClusterInWords(made).rate == rate
        decide(session, made, Dismiss())  # while it waits, it cannot be made again


def test_a_run_without_tests_names_its_population(session: Session, fill: Fill) -> None:
    fill(20, KNOWN)
    simulated = ClusteringParameters(is_simulated=True, ifo="H1")
    assert run_clustering(session, simulated, author="someone").detail == (
        "There are no unlabelled simulated glitches of H1: nothing was tested."
    )


def test_a_run_says_that_labels_seem_to_be_typical(session: Session, fill: Fill) -> None:
    fill(200, KNOWN, "Blip")
    fill(40, KNOWN)
    fair, _ = cluster_now(session)
    assert "typical examples" not in fair.detail
    narrow = KNOWN.copy()  # ``fill`` scatters half as far around a copy
    session.execute(Glitch.__table__.delete())
    session.expire_all()
    fill(200, narrow, "Blip")
    fill(40, KNOWN)
    session.execute(update(Glitch).values(gps_time=30 * Glitch.gps_time - 29 * 1_126_259_462))
    run, _ = cluster_now(session)
    # Next to the claim that it qualifies, not among the folded sentences.
    assert "The labels seem to be typical examples" in sentences(run.findings)[1]


def test_the_page_opens_with_the_run_that_waits(session: Session, flagged: records.Cluster) -> None:
    """A later run of another population that found nothing does not hide waiting clusters."""
    empty = run_clustering(session, ClusteringParameters(is_simulated=True), author="someone")
    assert empty.n_clusters == 0
    assert [(run.id, number) for run, number in runs_that_wait(session)] == [(flagged.run_id, 1)]
    decide(session, flagged, Dismiss())
    assert runs_that_wait(session) == []


@pytest.mark.parametrize(("beyond_half", "probability"), [(1, 0.8), (0, 0.9), (9, 0.79)])
def test_a_cluster_of_a_simulated_class_is_reported(
    session: Session, flagged: records.Cluster, beyond_half: int, probability: float
) -> None:
    """If the model is sure of the class of more than half of the members."""
    ids = sorted(members(session, flagged))
    n_sure = len(ids) // 2 + beyond_half
    for part, name, sure in ((ids[:n_sure], "Koi_Fish", probability), (ids[n_sure:], "Tomte", 0.5)):
        session.execute(
            update(Embedding)
            .where(Embedding.glitch_id.in_(part))
            .values(simulated_class=name, simulated_probability=sure)
        )
    session.expire_all()
    _, [found] = cluster_now(session)
    assert set(members(session, get_cluster(session, found.id))) == set(ids)
    if (beyond_half, probability) == (1, 0.8):
        look = {"label": "Koi_Fish", "n": n_sure, "members": len(ids)}
        hint = f"looks like simulated Koi_Fish: the model is sure of {n_sure} of {len(ids)}"
    else:
        look, hint = None, None
    assert found.summary["simulated_look"] == look
    assert ClusterInWords(get_cluster(session, found.id)).hint == hint


def test_a_cluster_that_chance_may_explain_is_marked(
    session: Session, flagged: records.Cluster
) -> None:
    assert flagged.significance is not None
    assert not flagged.may_be_chance
    assert not Cluster(significance=MAY_BE_CHANCE).may_be_chance
    session.get_one(Cluster, flagged.id).significance = 1.0
    assert get_cluster(session, flagged.id).may_be_chance


def test_clusters_with_deleted_members_are_not_reported_as_labelled(
    session: Session, flagged: records.Cluster
) -> None:
    session.execute(delete(Glitch).where(Glitch.id.in_(members(session, flagged))))
    session.expire_all()
    run, _ = cluster_now(session)
    changes = clusters_page_of(session, {"run": str(run.id)}).changes_text
    assert changes is not None
    assert changes.endswith("of its clusters 1 labelled or deleted since")
