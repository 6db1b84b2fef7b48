"""What a clustering says in sentences."""

from __future__ import annotations

from app.clusters.findings import found, sentences, trust_sentence

SEEN = {"condition": "0.5 + 1 + 2 + 4 s, 10 to 2048 Hz", "n": 33}
TRUST = {"n_timed": 23, "n_faint": 0, "n_off_centre": 0, "seen": [SEEN], "looks": []}


def test_the_sentence_of_trust_tells_a_seam() -> None:
    """34 Whistle and 23 Koi_Fish, of which the latter alone carry a time."""
    said = trust_sentence(
        57,
        {
            **TRUST,
            "n_faint": 4,
            "n_off_centre": 2,
            "seen": [SEEN, {"condition": "4 s, 10 to 2048 Hz", "n": 24}],
            "looks": [{"label": "Whistle", "n": 34}, {"label": "Koi_Fish", "n": 23}],
        },
    )
    assert said == (
        "23 of 57 members carry a time; they were not seen alike: 33 in 0.5 + 1 + 2 + 4 s; 24 in "
        "4 s; 4 are faint (SNR below 7.5); 2 are off centre (loudest over 0.05 s from the middle "
        "of their views); most common class among their nearest known glitches: Whistle for "
        "34, Koi_Fish for 23."
    )


def test_members_that_were_not_flagged_are_told() -> None:
    looks = [{"label": "Whistle", "n": 9}]
    said = trust_sentence(57, {**TRUST, "n_timed": 57, "n_flagged": 9, "looks": looks})
    assert "All 57 members carry a time; 9 are novel by the test of this clustering; " in said
    assert "among the nearest known glitches of the novel ones: Whistle for 9." in said
    assert "novel" not in trust_sentence(57, {**TRUST, "n_flagged": 57})


def test_the_band_is_told_where_it_differs() -> None:
    narrow = {"condition": "4 s, 10 to 1291 Hz", "n": 24}
    said = trust_sentence(57, {**TRUST, "n_timed": 57, "seen": [SEEN, narrow]})
    assert said == (
        "All 57 members carry a time; they were not seen alike: 33 in 0.5 + 1 + 2 + 4 s, 10 to "
        "2048 Hz; 24 in 4 s, 10 to 1291 Hz."
    )


def test_what_is_well_is_not_dwelt_on() -> None:
    said = trust_sentence(33, {**TRUST, "looks": [{"label": "Whistle", "n": 33}]})
    assert said == (
        "23 of 33 members carry a time; all were seen in 0.5 + 1 + 2 + 4 s, 10 to 2048 Hz; most "
        "common class among their nearest known glitches: Whistle for each."
    )
    kept_earlier = {key: one for key, one in TRUST.items() if key != "n_off_centre"}
    assert "off centre" not in trust_sentence(33, kept_earlier)
    assert trust_sentence(33, {}) == ""


def test_no_member_is_passed_over() -> None:
    """Of four kinds three are named, and what is said of all is true of all."""
    names = ("Whistle", "Tomte", "Blip", "Koi_Fish", "Helix")
    said = trust_sentence(
        57,
        {
            **TRUST,
            "seen": [{"condition": f"{n} s", "n": 60 - 10 * n} for n in (1, 2, 3, 4)],
            "looks": [{"label": name, "n": 9} for name in names],
        },
    )
    assert "50 in 1 s; 40 in 2 s; 30 in 3 s; 20 otherwise;" in said
    assert said.endswith("Whistle for 9, Tomte for 9, Blip for 9, others for 18.")
    some = trust_sentence(57, {**TRUST, "looks": [{"label": "Whistle", "n": 9}]})
    assert "; 33 were seen in 0.5" in some
    assert some.endswith("among their nearest known glitches: Whistle for 9.")


def test_large_numbers_are_read_at_a_glance() -> None:
    findings = [
        found("tested", n_flagged=1024, n_judged=100184, fdr=0.1),
        found("unjudged", n=100000),
        found("none_judged", n_unjudged=100000),
    ]
    tested, more, none = sentences(one.as_json() for one in findings)
    assert tested.startswith("1,024 of 100,184 unlabelled")
    assert more.startswith("100,000 more")
    assert none.startswith("None of 100,000 unlabelled")


def test_one_glitch_is_told_in_the_singular() -> None:
    findings = [
        found("tested", n_flagged=1, n_judged=132, fdr=0.1),
        found("too_few", n=1, min_cluster_size=5),
        found("clusters", n=1),
    ]
    tested, few, clusters = sentences(one.as_json() for one in findings)
    assert tested.startswith("1 of 132 unlabelled glitches is novel at")
    assert few == "1 glitch is fewer than the minimum cluster size of 5: nothing was clustered."
    assert clusters == "1 cluster was found among them."
    said = trust_sentence(33, {**TRUST, "n_faint": 1, "n_off_centre": 1})
    assert "1 is faint" in said
    assert "1 is off centre" in said
