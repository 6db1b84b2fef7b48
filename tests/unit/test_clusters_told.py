"""The sentences that describe a clustering."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from scipy.stats import betabinom

from app.clusters.findings import DOUBTED, doubt_of, found, sentences, trust_sentence
from app.clusters.pages.display import ClusterInWords
from app.clusters.records import Cluster
from app.clusters.selection import Selection
from app.clusters.summary import significance

SEEN = {"condition": "0.5 + 1 + 2 + 4 s, 10 to 2048 Hz", "n": 33}
TRUST = {"n_timed": 23, "n_faint": 0, "n_off_centre": 0, "seen": [SEEN], "looks": []}


def test_the_trust_sentence_reports_what_may_separate_a_cluster() -> None:
    """The sentence on trust reports what may separate a cluster other than its nature.

    Here 34 members look like Whistle and 23 like Koi_Fish, and only the latter have a time.
    """
    sentence = trust_sentence(
        57,
        {
            **TRUST,
            "n_faint": 4,
            "n_off_centre": 2,
            "seen": [SEEN, {"condition": "4 s, 10 to 2048 Hz", "n": 24}],
            "looks": [{"label": "Whistle", "n": 34}, {"label": "Koi_Fish", "n": 23}],
        },
    )
    assert sentence == (
        "The time of 34 of 57 members is not known; their windows differ: 33 with 0.5 + 1 + 2 + 4 "
        "s, 24 with 4 s; 4 are faint (SNR below 7.5); 2 are off centre (loudest over 0.05 s from "
        "the middle of their views); nearest known glitches of the members: mostly Whistle for 34, "
        "Koi_Fish for 23."
    )


@pytest.mark.parametrize(
    ("n_timed", "last", "rate"),
    [
        (85, "1000864000", "8.4 a day"),
        (83, "1000864000", "at least 8.2 a day; the time of 2 of 85 is not known"),
        (3, "1000864000", "at least one in 5 days; the time of 82 of 85 is not known"),
        (1, "1000000000", "the time of 84 of 85 is not known"),
        (0, None, None),
    ],
)
def test_the_rate_tells_what_is_missing(n_timed: int, last: str | None, rate: str | None) -> None:
    times = {"first": last and "1000000000", "last": last, "n_timed": n_timed}
    cluster = Cluster.model_construct(size=85, summary={"gps_times": times})
    assert ClusterInWords(cluster).rate == rate


def test_the_trust_sentence_counts_members_that_were_not_flagged() -> None:
    looks = [{"label": "Whistle", "n": 9}]
    sentence = trust_sentence(57, {**TRUST, "n_timed": 57, "n_flagged": 9, "looks": looks})
    assert sentence == (
        "9 are novel by the test of this clustering; 33 were seen in 0.5 + 1 + 2 + 4 s, 10 to 2048 "
        "Hz; nearest known glitches of the novel ones: mostly Whistle for 9."
    )
    assert "novel" not in trust_sentence(57, {**TRUST, "n_flagged": 57})


def test_the_band_is_stated_if_it_differs() -> None:
    narrow = {"condition": "4 s, 10 to 1291 Hz", "n": 24}
    sentence = trust_sentence(57, {**TRUST, "n_timed": 57, "seen": [SEEN, narrow]})
    assert sentence == (
        "Their windows or bands differ: 33 with 0.5 + 1 + 2 + 4 s, 10 to 2048 Hz, 24 with 4 s, 10 "
        "to 1291 Hz."
    )


def test_the_trust_sentence_is_short_if_nothing_is_wrong() -> None:
    well = {**TRUST, "n_timed": 33}
    sentence = trust_sentence(33, {**well, "looks": [{"label": "Whistle", "n": 33}]})
    assert sentence == "Nearest known glitches of the members: mostly Whistle for all."
    assert trust_sentence(33, well) == ""
    kept_earlier = {key: one for key, one in TRUST.items() if key != "n_off_centre"}
    assert "off centre" not in trust_sentence(33, kept_earlier)
    assert trust_sentence(33, {}) == ""


def test_no_member_is_passed_over() -> None:
    """The sentence names three groups, counts the rest, and says "all" only of all members."""
    names = ("Whistle", "Tomte", "Blip", "Koi_Fish", "Helix")
    sentence = trust_sentence(
        57,
        {
            **TRUST,
            "seen": [{"condition": f"{n} s", "n": 60 - 10 * n} for n in (1, 2, 3, 4)],
            "looks": [{"label": name, "n": 9} for name in names],
        },
    )
    assert "50 with 1 s, 40 with 2 s, 30 with 3 s, 20 otherwise;" in sentence
    assert sentence.endswith("Whistle for 9, Tomte for 9, Blip for 9, others for 18.")
    some = trust_sentence(57, {**TRUST, "looks": [{"label": "Whistle", "n": 9}]})
    assert "; 33 were seen in 0.5" in some
    assert some.endswith("of the members: mostly Whistle for 9.")


def test_large_numbers_are_read_at_a_glance() -> None:
    findings = [
        found("tested", n_flagged=1024, n_judged=100184, fdr=0.1),
        found("unjudged", n=100000),
        found("none_judged", n_unjudged=100000),
    ]
    tested, more, none = sentences(findings)
    assert tested.startswith("1,024 of 100,184 unlabelled")
    assert more.startswith("100,000 more")
    assert none.startswith("None of 100,000 unlabelled")


def test_one_glitch_is_reported_in_the_singular() -> None:
    findings = [
        found("tested", n_flagged=1, n_judged=132, fdr=0.1),
        found("too_few", n=1, min_cluster_size=5),
        found("clusters", n=1),
    ]
    tested, few, clusters = sentences(findings)
    assert tested.startswith("1 of 132 unlabelled glitches is novel at")
    assert few == "1 glitch is fewer than the minimum cluster size of 5: nothing was clustered."
    assert clusters == "1 cluster was found among them."
    sentence = trust_sentence(33, {**TRUST, "n_faint": 1, "n_off_centre": 1})
    assert "1 is faint" in sentence
    assert "1 is off centre" in sentence


def test_one_waiting_glitch_is_in_the_singular() -> None:
    [line] = sentences([found("waiting", n=1)])
    assert line.startswith("1 more glitch, which this test does not flag, waits for review: from ")


def test_changes_during_a_clustering_are_listed() -> None:
    def describe(n_came: int, n_labels: int, is_loading: bool) -> str:
        facts = {"n_came": n_came, "n_labels": n_labels, "is_loading": is_loading}
        [sentence] = sentences([found("meanwhile", **facts)])
        return sentence.removeprefix("During this clustering ").partition(":")[0]

    assert describe(1, 0, False) == "1 glitch was added"
    assert describe(0, 1, False) == "1 label changed"
    assert describe(0, 0, True) == "a job was loading glitches"
    assert describe(1200, 2, True) == (
        "1,200 glitches were added, 2 labels changed and a job was loading glitches"
    )


@pytest.mark.parametrize(
    ("n_references", "n_calibration", "reason"),
    [
        (49, 0, "has 49 labelled glitches, and needs 50"),
        (50, 19, "has 19 labelled glitches to calibrate with, and needs 20"),
        (50, 20, "of which fewer than 20 share windows and band with these (seen: 3 in 1 s), or"),
    ],
)
def test_unjudged_glitches_are_reported_with_what_they_lack(
    n_references: int, n_calibration: int, reason: str
) -> None:
    seen = [{"condition": "1 s", "n": 3}]
    counts = {"n_references": n_references, "n_calibration": n_calibration}
    why = [{"ifo": "V1", "n": 3, "seen": seen, **counts}]
    [sentence] = sentences([found("unjudged", n=3, why=why)])
    assert reason in sentence
    assert "`glitch-discovery references training-set --ifo NAME`" in sentence


def test_labels_help_nothing_without_a_detector() -> None:
    why = [{"ifo": None, "n": 3}]
    [sentence] = sentences([found("unjudged", n=3, why=why)])
    assert sentence.endswith("3 without a detector (send them again with its name, `ifo`).")


def selected(
    ifos: list[str | None], threshold: float, tested: dict[str, float], weights: list[float]
) -> Selection:
    """A selection of flagged glitches of these detectors; nine glitches calibrate each detector."""
    n = len(ifos)
    keys = [UUID(int=at) for at in range(n)]
    times: list[Decimal | None] = [None] * n
    return Selection(
        ids=keys,
        ifos=ifos,
        gps_times=times,
        vectors=np.zeros((n, 2), dtype=np.float32),
        weights=np.array(weights),
        predicted=dict.fromkeys(keys, 1),
        n_judged=n,
        n_unjudged=0,
        n_flagged=n,
        threshold=threshold,
        judged_by_ifo=tested,
        calibration_by_ifo=dict.fromkeys(tested, 9),
        findings=[],
    )


def chance_of(selection: Selection) -> float | None:
    everyone: Any = SimpleNamespace(members=np.arange(len(selection.ids)))
    return significance(selection, everyone)


def above_all_nine(n: int, n_tests: int) -> float:
    """Probability that n of n_tests scores lie above all nine calibration scores."""
    return float(sum(betabinom.pmf(many, n_tests, 1, 9) for many in range(n, n_tests + 1)))


@pytest.mark.parametrize(("threshold", "n"), [(0.1, 1), (0.02, 1), (0.02, 3)])
def test_a_weight_makes_no_chance_smaller_than_that_of_the_largest_score(
    threshold: float, n: int
) -> None:
    found_one = selected(["H1"] * n, threshold, {"H1": 10.0}, [1.0] * n)
    assert chance_of(found_one) == pytest.approx(above_all_nine(n, 10))


def test_the_chance_of_several_detectors_is_the_least_times_their_number() -> None:
    ifos: list[str | None] = ["H1", "H1", "H1", "L1"]
    of_two = selected(ifos, 0.1, {"H1": 10.0, "L1": 10.0}, [1.0] * 4)
    assert chance_of(of_two) == pytest.approx(2 * above_all_nine(3, 10))
    nothing_else: list[str | None] = ["H1", None]
    assert chance_of(selected(nothing_else, 0.1, {"H1": 10.0}, [1.0] * 2)) == pytest.approx(
        above_all_nine(1, 10)
    )


def test_unflagged_members_do_not_make_a_cluster_significant() -> None:
    one_of_three = selected(["H1"] * 3, 0.1, {"H1": 10.0}, [1.0] * 3)
    for key in one_of_three.ids[1:]:
        del one_of_three.predicted[key]  # type: ignore[attr-defined]
    assert chance_of(one_of_three) == pytest.approx(above_all_nine(1, 10))


def test_a_burst_is_one_member_and_one_test() -> None:
    """The sum of weights is rounded down, to one at least, for members, and up for tests."""
    halves = selected(["H1"] * 5, 0.1, {"H1": 9.5}, [0.5] * 5)
    assert chance_of(halves) == pytest.approx(above_all_nine(2, 10))
    fifths = selected(["H1"] * 4, 0.1, {"H1": 9.0}, [0.2] * 4)
    assert chance_of(fifths) == pytest.approx(above_all_nine(1, 9))


def test_several_doubts_have_one_conclusion() -> None:
    doubts = [{"kind": "labels_aside", "in_100": 82}, {"kind": "typical_labels", "sigmas": 6.3}]
    sentence = doubt_of([{"kind": "nothing_unlabelled", "ifo": None}, *doubts])
    assert sentence is not None
    assert sentence.startswith("The labels do not cover what was tested: ")
    assert sentence.count(DOUBTED) == 1
    assert sentence.endswith(DOUBTED)
    assert doubt_of([{"kind": "nothing_unlabelled", "ifo": None}]) is None
