"""Records as words, numbers as text, and filters from addresses."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi.datastructures import QueryParams

from app.frame.contexts import Frame, Pages
from app.frame.display import (
    breakable,
    coded,
    frequency,
    moment,
    nearest_window,
    novelty,
    numbered,
    p_value_text,
    seconds,
)
from app.frame.figures import PLOT_HEIGHT, PLOT_LEFT, PLOT_TOP, PLOT_WIDTH, latent_chart, view_panel
from app.frame.render import LONGEST_PATH, environment, local_path
from app.glitches.pages.query import parse_catalogue_query
from app.jobs.pages.view import live_of
from app.jobs.records import JobRecord
from app.models.checkpoints import CheckpointUsage
from app.models.pages.checkpoints import CheckpointCard, CheckpointsPage
from app.models.records import CheckpointRecord
from glitch.novelty import Judgement
from glitch.views import Preprocessing

RECIPE = Preprocessing()


def judged(p_value: float) -> Judgement:
    return Judgement(1.0, p_value, True, None)


@pytest.mark.parametrize(
    ("p_value", "level", "words"),
    [
        (0.004, "novel", "at most 0.4 %"),
        (0.01, "novel", "p = 0.01"),
        (0.03, "unusual", "about 3 %"),
        (0.42, "ordinary", "about 42 %"),
        (1.0, "ordinary", "about 100 %"),
    ],
)
def test_novelty_in_words(p_value: float, level: str, words: str) -> None:
    shown = novelty(judged(p_value))
    assert shown.level == level
    assert words in shown.sentence.replace("\N{NO-BREAK SPACE}", " ")


def test_not_judged_is_its_own_answer_with_the_reason() -> None:
    reason = "Could not be judged: only 3 labelled glitches of this detector, 50 are needed."
    for judgement in (Judgement(None, None, False, reason), Judgement(2.0, None, False, None)):
        shown = novelty(judgement)
        assert shown.level == "unjudged"
        assert shown.sentence.startswith("Could not be judged")
        assert "not novel" not in shown.sentence
    assert novelty(None).level == "unjudged"
    assert "only 3 labelled glitches" in novelty(Judgement(None, None, False, reason)).sentence


def test_text_in_backticks_is_code_and_everything_is_escaped() -> None:
    assert coded("`GET /x?a=1&b=2` lists <them>.") == (
        "<code>GET /x?a=1&amp;b=2</code> lists &lt;them&gt;."
    )
    assert coded("`get --ifo L1`") == "<code>get <span>--ifo</span> L1</code>"  # unbroken
    assert coded("The name `is odd, and <b>stays</b>.") == (
        "The name `is odd, and &lt;b&gt;stays&lt;/b&gt;."
    )


def test_numbers_as_people_write_them() -> None:
    assert frequency(143.7) == "144 Hz"
    assert frequency(14.37) == "14.4 Hz"
    assert frequency(None) is None
    assert seconds(0.0123) == "12.3 ms"
    assert seconds(2.5) == "2.5 s"
    assert p_value_text(0.0123) == "0.012"
    assert p_value_text(1e-6) == "1e-06"


def test_a_moment_keeps_the_digits_of_its_gps_time_that_help() -> None:
    shown = moment(Decimal("1266281982.660000000"))
    assert shown is not None
    assert shown.gps == "1266281982.66"
    assert shown.utc == "2020-02-21 00:59:24.660"
    assert moment(Decimal("1266281980")).gps == "1266281980"
    assert moment(None) is None
    drawn = moment(Decimal("1187008882.443359375"))
    assert drawn is not None
    assert drawn.gps == "1187008882.4434"


def test_the_nearest_window_that_is_there() -> None:
    assert nearest_window((0.5, 1.0, 2.0, 4.0), 1.0) == 1.0
    assert nearest_window((0.5, 4.0), 1.0) == 0.5
    assert nearest_window((), 1.0) is None


def panel(duration_s: float, observed: np.ndarray | None):
    return view_panel(duration_s, RECIPE, picture="/x.png", observed=observed, name="A Blip")


def test_axes_are_true() -> None:
    made = panel(0.5, np.ones(128, dtype=np.bool_))
    at = {tick.text: tick.position for tick in made.frequency_ticks}
    assert at["2048"] == pytest.approx(PLOT_TOP)
    # Gravity Spy's log2 axis: octaves have equal heights.
    assert at["16"] - at["32"] == pytest.approx(at["1024"] - at["2048"], abs=0.02)
    row_of_64_hz = np.searchsorted(RECIPE.frequencies_hz(), 64)
    y = PLOT_TOP + PLOT_HEIGHT * (1 - row_of_64_hz / 128)
    assert at["64"] == pytest.approx(y, abs=PLOT_HEIGHT / 128)
    times = {tick.text: tick.position for tick in made.time_ticks}
    assert times["0"] == PLOT_LEFT + PLOT_WIDTH / 2
    assert list(times) == ["\N{MINUS SIGN}0.25", "\N{MINUS SIGN}0.125", "0", "+0.125", "+0.25"]
    assert made.unmeasured_from is None


def test_unmeasured_rows_are_reported() -> None:
    observed = RECIPE.frequencies_hz() < 512
    made = panel(1.0, observed)
    assert made.unmeasured_height == pytest.approx(PLOT_HEIGHT * (1 - observed.mean()), abs=0.1)
    assert 480 < float((made.unmeasured_from or "").split()[0]) < 540


def test_the_latent_chart_keeps_every_bar_inside() -> None:
    chart = latent_chart(
        np.array([0.0, 3.2, -40.0], dtype=np.float32), np.array([0.0, -6.0, 90.0], dtype=np.float32)
    )
    for bar in chart.bars:
        assert 0 <= bar.high_y <= bar.mean_y <= bar.low_y <= chart.height
    assert [bar.is_informative for bar in chart.bars] == [False, True, False]
    assert "1 of them informative" in chart.summary


def test_filters_from_an_address() -> None:
    query = parse_catalogue_query(
        QueryParams(
            "ifo=H1&ifo=L1&ifo=H1&label=Blip&start=2020-02-22&end=2020-02-22&snr_min=7.5"
            "&frequency_max=512&origin=simulated&novelty=novel&window=0.5&after=abc"
        )
    )
    assert not query.errors
    assert query.title == (
        "Blip, H1, L1, from 2020-02-22, to 2020-02-22, SNR ≥ 7.5, ≤ 512 Hz, simulated, "
        "novel (p ≤ 0.01)"
    )
    filters = query.filters
    assert filters.ifos == ("H1", "L1")
    assert filters.labels == ("Blip",)
    assert filters.gps_end is not None
    assert filters.gps_start is not None
    assert filters.gps_end - filters.gps_start == 86_400  # until the end of that day
    assert filters.snr_min == 7.5
    assert filters.peak_frequency_max == 512
    assert filters.origins == ("simulated",)
    assert filters.p_value_max == 0.01
    assert query.window_s == 0.5
    assert query.cursor == "abc"
    assert query.href(after=None).startswith("/ui/glitches?ifo=H1&ifo=L1&label=Blip")
    assert "after" not in query.href(after=None)


def test_unlabelled_and_not_judged() -> None:
    query = parse_catalogue_query(QueryParams("label=-&novelty=unjudged"))
    assert query.title == "unlabelled, not judged"
    filters = query.filters
    assert filters.is_labelled is False
    assert filters.labels == ()
    assert filters.is_judged is False


@pytest.mark.parametrize(
    "address",
    [
        *("snr_min=abc", "snr_min=-1", "snr_max=nan", "frequency_min=inf", "start=yesterday"),
        *("end=2020-99-01", "ifo=Z9", "ifo=%27%20OR%201=1", "origin=moon", f"label={'x' * 300}"),
        *("snr_min=9&snr_max=8", "start=1200000000&end=1100000000", "novelty=new", "lable=Blip"),
    ],
)
def test_an_invalid_filter_is_named_and_kept_in_the_form(address: str) -> None:
    query = parse_catalogue_query(QueryParams(address))
    assert query.errors
    for sentence in query.errors:
        assert sentence.endswith(".")
        assert len(sentence) < 250
    first = QueryParams(address).multi_items()[0]
    if first[0] in {"snr_min", "snr_max", "start", "end", "frequency_min"}:
        assert query.typed[first[0]] == first[1]


@pytest.mark.parametrize(
    "path",
    [
        *(None, "", "/", "https://evil.example/ui/", "//evil.example/ui/", "/uix", "ui/"),
        *("/ui/\\evil.example", "/ui/\r\nSet-Cookie: a=b", "/ui/" + "a" * LONGEST_PATH),
    ],
)
def test_links_back_lead_only_to_own_pages(path: str | None) -> None:
    assert local_path(path) == "/ui/"


def test_our_own_pages_keep_their_query() -> None:
    for path in ("/ui/glitches?ifo=H1&label=Blip", "/ui/glitches?q=".ljust(LONGEST_PATH, "a")):
        assert local_path(path) == path
    assert local_path("/ui/glitches?q=".ljust(LONGEST_PATH + 1, "a")) == "/ui/"


def test_an_id_is_part_of_card_addresses() -> None:
    from app.frame.display import card_picture_href, view_href

    glitch_id = UUID(int=7)
    assert view_href(glitch_id, 0.5) == f"/ui/glitches/{glitch_id}/views/0.5.png"
    assert card_picture_href(glitch_id, 4.0) == f"/ui/glitches/{glitch_id}/cards/4.png"


def test_a_manifest_is_told_measures_first_and_never_at_endless_length() -> None:
    record = CheckpointRecord(
        id=1,
        name="views-v1",
        digest="ab" * 32,
        preprocessing_digest="cd" * 32,
        latent_size=32,
        manifest={
            "name": "views-v1",
            "licence": "GPL-3.0-or-later",
            "git_revision": "0123456789abcdef" * 2 + "01234567",
            "training": {"step": 60000, "config": {"seed": 0, "deep": {"er": 1}}, "is_half": True},
            "architecture": {"width": 7},
            "preprocessing": {"n_time": 128, "durations_s": [0.5, 4], "from": None, "rate": 4096.0},
            "metrics": {
                **{"knn_accuracy": 0.88888, "kl": 21.5, "note": "x" * 500, "is_half": True},
                **{"of_9": {"linear": 0.5, "deep": {"er": 1}}, "n_glitches": 60000},
                **{f"value_{index}": index for index in range(40)},
            },
        },
        is_active=True,
        created_at=datetime(2026, 11, 22, 12, 30, tzinfo=UTC),
    )
    usage = CheckpointUsage(embedded=750, activated_at=record.created_at, activated_by="eve")
    card = CheckpointCard(record, usage, total=1000)
    other = CheckpointRecord(**{**dict(record), "is_active": False})
    cards = (card, CheckpointCard(other, usage, total=1000))
    frame = Frame("", "", "", "gps", "light", "", None, None, (), (), None, "", None)
    shown = environment().get_template("checkpoints.html")
    page = CheckpointsPage(cards, can_switch=True, job=None, error=None)
    text = shown.render(frame=frame, page=page)
    assert text.count("750 of 1,000 glitches embedded") == 2
    assert text.count('<rect width="75.0"') == 2
    assert text.count("published 2026-11-22 12:30 UTC, activated 2026-11-22 12:30 UTC by eve") == 2
    assert (
        text.count(">Back to this model: embed 250 glitches first</button>") == 1
    )  # not the active
    assert list(card.tables) == ["Metrics", "Preprocessing"]
    rows = {row.name: row.value for table in card.tables.values() for row in table}
    assert rows["kNN accuracy"] == "0.889"
    assert rows["KL"] == "21.5"
    assert len(rows["Note"]) == 90
    assert rows["N glitches"] == "60,000"
    assert rows["Of 9, linear probe"] == "0.5"
    assert "Of 9, deep" not in rows
    assert rows["Rate"] == "4,096"
    assert rows["Is half"] == "yes"
    assert rows["Time cells"] == "128"
    assert rows["Durations (s)"] == "0.5, 4"
    assert rows["From"] == "\N{EN DASH}"
    assert rows["and 33 more"] == "in the manifest"
    facts = {fact.name: fact for fact in card.facts}
    assert facts["Git revision"].value == "0123456789abcdef"
    assert facts["Git revision"].is_code
    assert facts["Licence"].value == "GPL-3.0-or-later"
    assert '"deep"' in card.manifest


@pytest.mark.parametrize(
    ("state", "total", "sentence"),
    [
        ("running", 1, None),  # a full bar would look finished
        ("succeeded", 1, "1 of 1 done"),
        ("running", 2, "2 of 2 done, the last step is under way"),
        ("succeeded", 2, "2 of 2 done"),
    ],
)
def test_a_job_in_its_last_step_does_not_look_done(
    state: str, total: int, sentence: str | None
) -> None:
    now = datetime(2026, 11, 28, tzinfo=UTC)
    job = JobRecord(
        **{"id": uuid4(), "kind": "cluster", "key": None, "state": state},
        **{"is_cancel_requested": False, "parameters": {}, "result": None, "detail": None},
        **{"total": total, "done": total, "failed": 0, "skipped": 0, "author": "ada"},
        **{"created_at": now, "started_at": now, "finished_at": None},
    )
    progress = live_of(job, now).progress
    assert (progress and progress.sentence) == sentence


def test_a_name_breaks_after_its_underscores_and_is_escaped() -> None:
    assert breakable("None_of_the_Above") == "None_<wbr>of_<wbr>the_<wbr>Above"
    assert breakable("<b>_x") == "&lt;b&gt;_<wbr>x"


def test_pages_of_a_list_are_numbered() -> None:
    def href(number: str | None) -> str:
        return number or "1"

    assert numbered(1, 48, 48, href) == numbered(1, 0, 48, href) == Pages()
    assert numbered(1, 49, 48, href) == Pages(next="2", last="2", place="Page 1 of 2")
    middle = Pages(first="1", previous="2", next="4", last="5", place="Page 3 of 5")
    assert numbered(3, 235, 48, href) == middle
    assert numbered(2, 49, 48, href) == Pages(first="1", previous="1", place="Page 2 of 2")
    beyond = Pages(first="1", previous="2", place="The list ends with page 2")
    assert numbered(9, 49, 48, href) == beyond
