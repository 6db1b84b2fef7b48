"""The catalogue's pages and the search, as a browser without scripts sees them."""

from __future__ import annotations

import io
import re

import pytest
from api_fixtures import Service
from cluster_helpers import store_cluster, store_run
from PIL import Image
from sqlalchemy import delete
from web_fixtures import Walker, glitches, reader, reviewer, service

from app.core.engine import make_session_factory
from app.glitches.records import GlitchRecord
from app.glitches.tables import Glitch

__all__ = ["glitches", "reader", "reviewer", "service"]


def test_the_catalogue_shows_cards_and_counts(reviewer: Walker) -> None:
    page = reviewer.get("/ui/glitches")
    assert "60 glitches" in page.text
    assert page.response.text.count('class="card"') == 48
    assert page.response.text.count("badge simulated") == 12  # 15 of 60, 3 on the second page
    assert "1200059000.25" in page.text  # GPS
    assert "2018-01-15 13:43:02.250" in page.text  # the same moment in UTC
    assert "Unlabelled" in page.text


def test_pages_of_the_catalogue_neither_skip_nor_repeat(reviewer: Walker) -> None:
    page = reviewer.get("/ui/glitches")
    seen = _glitch_links(page.links)
    after = next(link for link in page.links if "after=" in link)
    second = reviewer.get(after)
    assert "First page" in second.text
    assert not any("after=" in link for link in second.links if "exports" in link)
    back = [link for link in second.links if "after=" in link][-1]  # earlier ones change the view
    assert _glitch_links(reviewer.get(back).links) == seen
    seen += _glitch_links(second.links)
    assert len(seen) == len(set(seen)) == 60


def _glitch_links(links: list[str]) -> list[str]:
    return [link for link in links if link.startswith("/ui/glitches/")]


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("ifo=H1", 30),
        ("ifo=H1&ifo=L1", 60),
        ("label=Blip", 24),
        ("label=-", 6),
        ("origin=simulated", 15),
        ("snr_min=18&snr_max=27", 10),
        ("frequency_max=110", 10),
        ("start=1200000000&end=1200004000.25", 5),
        ("start=2018-01-15&end=2018-01-15", 50),
        ("novelty=unjudged&ifo=H1&origin=simulated", 15),
        ("ifo=H1&label=Whistle", 0),
        ("simulated=Tomte", 10),
        ("simulated=Tomte&ifo=H1", 5),
        ("simulated=Whistle", 0),
    ],
)
def test_filters(reviewer: Walker, query: str, total: int) -> None:
    page = reviewer.get(f"/ui/glitches?{query}")
    assert page.status == 200
    assert f"{total} glitch" in page.text
    if not total:
        assert "No glitch passes these filters" in page.text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("snr_min=loud", "not a number"),
        ("start=yesterday", "is not a time"),
        ("ifo=Q7", "not a known detector"),
        ("origin=moon", "not an origin"),
        ("simulated=Moon", "not a simulated class"),
        ("label=Nonsense", "no class"),
        ("label=%3Cscript%3Ealert(1)%3C/script%3E", "no class"),
        ("after=damaged", "cursor"),
        ("cluster=00000000-0000-0000-0000-000000000000", "no filter “cluster”"),
        ("format=csv", "no filter “format”"),
        ("start=1200000000&end=1100000000", "ends before it begins"),
        ("snr_min=9&label=" + "x" * 9000, "longer than"),
    ],
)
def test_a_bad_filter_is_answered_in_place(reviewer: Walker, query: str, sentence: str) -> None:
    page = reviewer.get(f"/ui/glitches?{query}")
    assert page.status == 400
    assert any(sentence in alert for alert in page.alerts), page.alerts
    assert "<script>alert" not in page.response.text
    assert page.form("/ui/glitches")


def test_cards_and_table_have_the_simulated_class(reviewer: Walker) -> None:
    page = reviewer.get("/ui/glitches?simulated=Tomte")
    assert page.text.count("like Tomte") == 1  # one of them has no label
    assert "like Tomte, 50 %" in page.text
    table = reviewer.get("/ui/glitches?simulated=Tomte&view=table&column=simulated")
    assert [f"Tomte, {percent}\xa0%" in table.response.text for percent in range(49, 61)] == [
        *(False, *10 * [True], False)
    ]


def test_the_window_of_the_cards_can_be_chosen(reviewer: Walker) -> None:
    page = reviewer.get("/ui/glitches?window=4")
    windows = {image.rsplit("/", 1)[1] for image in page.images if "/cards/" in image}
    assert windows == {"4.png", "0.5.png"}  # the nearest one if there is no 4 s view
    card = next(image for image in page.images if "/cards/" in image)
    with Image.open(io.BytesIO(reviewer.client.get(card).content)) as drawn:
        assert drawn.size == (285, 233)


def test_the_table_is_ordered_page_by_page(reviewer: Walker) -> None:
    for sort in ("snr", "-snr", "time", "-frequency", "-novelty", "class", "detector"):
        page = reviewer.get(f"/ui/glitches?view=table&sort={sort}&column=class&column=snr")
        seen = re.findall(r"/ui/glitches/([0-9a-f-]{36})\"", page.response.text)
        snrs = re.findall(r'<td class="number"[^>]*>([0-9.]+)<', page.response.text)
        assert len(seen) == len(snrs) == 48
        second = reviewer.get([link for link in page.links if "after=" in link][-1])
        seen += re.findall(r"/ui/glitches/([0-9a-f-]{36})\"", second.response.text)
        snrs += re.findall(r'<td class="number"[^>]*>([0-9.]+)<', second.response.text)
        assert len(set(seen)) == len(seen) == 60
        if "snr" in sort:
            values = [float(one) for one in snrs]
            assert values == sorted(values, reverse=sort.startswith("-"))
        first = [link for link in second.links if f"sort={sort}" in link and "after=" not in link]
        assert first  # the link back keeps the order
    assert reviewer.get("/ui/glitches?view=table&sort=moon").status == 400
    assert reviewer.get("/ui/glitches?view=table&sort=snr&after=x").status == 400


def test_an_observing_run_bounds_the_time(reviewer: Walker) -> None:
    between = "between O2 and O3a"
    page = reviewer.get(f"/ui/glitches?run={between}&column=run&view=table")
    assert "60 glitches" in page.text
    assert page.text.count(between) > 48  # in each row, and in the filter
    assert "No glitch passes" in reviewer.get("/ui/glitches?run=O3a").text  # a break is not a run
    assert "No glitch passes" in reviewer.get("/ui/glitches?run=O2").text
    assert "1 glitch" in reviewer.get(f"/ui/glitches?run={between}&end=1200000999").text
    assert "is not an observing run" in reviewer.get("/ui/glitches?run=O9").alerts[0]
    assert "outside of O3b" in reviewer.get("/ui/glitches?run=O3b&end=1200000000").alerts[0]


def test_chosen_columns_are_remembered(service: Service) -> None:
    with Walker(service, "reader") as walker:
        page = walker.get("/ui/glitches?view=table&snr_min=18&sort=-snr")
        chosen = walker.submit(page, "/ui/glitches/columns", column=["snr", "channel", "nonsense"])
        assert chosen.path.startswith("/ui/glitches?column=class&column=snr&column=channel&")
        assert "snr_min=18" in chosen.path  # and the rest of the address
        again = walker.get("/ui/glitches?view=table")
        titles = re.findall(r'<th scope="col".*?>([A-Z]\w+)', again.response.text)
        assert titles == ["Class", "SNR", "Channel"]
        assert any("column=channel" in one for one in again.links if "after=" in one)
        other = walker.get("/ui/glitches?view=table&column=time").response.text  # another user's
        assert re.findall(r'<th scope="col".*?>([A-Z]\w+)', other) == ["Class", "Time"]


def test_chosen_rows_are_labelled_taken_back_and_given_as_a_file(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get("/ui/glitches?view=table&sort=snr")
    csv = reviewer.submit(page, "/ui/glitches/chosen", act="csv").response.text
    assert len(csv.splitlines()) == 1 + 48  # all rows shown
    chosen = [str(glitches[index].id) for index in (3, 4)]
    csv = reviewer.submit(page, "/ui/glitches/chosen", act="csv", member=chosen).response.text
    assert len(csv.splitlines()) == 1 + 2
    label = {"act": "label", "class_name": "heli"}
    refused = reviewer.submit(page, "/ui/glitches/chosen", **label)
    assert "Nothing is selected" in refused.alerts[0]
    wrong = {**label, "class_name": "Nonsense", "member": chosen}
    refused = reviewer.submit(page, "/ui/glitches/chosen", **wrong)
    assert (refused.status, refused.path) == (400, "/ui/glitches/chosen")
    assert "There is no class 'Nonsense'" in refused.alerts[0]
    assert 'value="Nonsense"' in refused.response.text  # and the selection is kept
    checked = re.findall(
        r'name="member" value="([0-9a-f-]{36})" form="chosen" checked', refused.response.text
    )
    assert sorted(checked) == sorted(chosen)
    assert 'aria-sort="ascending"' in refused.response.text  # and the order
    done = reviewer.submit(page, "/ui/glitches/chosen", member=chosen, **label)
    assert done.path.startswith("/ui/glitches?view=table&sort=snr&done=labelled&event=")
    helix = reviewer.get("/ui/glitches?label=Helix")
    assert {f"/ui/glitches/{one}" for one in chosen} <= set(helix.links)
    undone = reviewer.submit(done, "/ui/glitches/chosen/undo")
    assert "Undone" in undone.text
    helix = reviewer.get("/ui/glitches?label=Helix")
    assert not {f"/ui/glitches/{one}" for one in chosen} & set(helix.links)


# --- search ---------------------------------------------------------------------------------------


def test_search_goes_to_what_is_meant(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    own = f"/ui/glitches/{glitches[3].id}"
    assert reviewer.get(f"/ui/search?q={glitches[3].id}").path == own
    assert reviewer.get(f"/ui/search?q= {glitches[3].gravityspy_id} ").path == own
    assert reviewer.get("/ui/search?q=1200003000.25").path == own  # the only one at that time
    assert reviewer.get("/ui/search?q=2018-01-14 22:09:42").path == own
    assert "50 glitches" in reviewer.get("/ui/search?q=2018-01-15").text
    assert reviewer.get("/ui/search?q=koi fish").path == "/ui/glitches?label=Koi_Fish"
    assert reviewer.get("/ui/search?q=whis").path == "/ui/glitches?label=Whistle"
    assert reviewer.get("/ui/search?q=").path == "/ui/glitches"


def test_search_that_fits_several_asks_which(reviewer: Walker) -> None:
    page = reviewer.get("/ui/search?q=lines")
    assert page.status == 200
    assert "Which class?" in page.text
    assert {"/ui/glitches?label=1080Lines", "/ui/glitches?label=Low_Frequency_Lines"} <= set(
        page.links
    )


def test_search_for_a_time_without_glitches_names_the_nearest(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get("/ui/search?q=1200003500")
    assert "No glitch occurred within 5 s of that time. The nearest before and after" in page.text
    assert {f"/ui/glitches/{glitches[index].id}" for index in (3, 4)} <= set(page.links)
    assert "8 minutes later" in page.text
    page = reviewer.get("/ui/search?q=2001-01-01")
    assert "No glitch occurred on that day. The nearest:" in page.text


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("nonsense", 404),
        ("2020-13-45", 400),
        ("99999999999999", 400),
        ("1126259462.4.5", 400),
        ("00000000-0000-0000-0000-000000000000", 404),
        ("<script>alert(1)</script>", 404),
        ("' OR 1=1 --", 404),
        ("a\x00b", 404),
        ("x" * 9000, 400),
    ],
)
def test_search_that_finds_nothing_says_what_it_takes(
    reviewer: Walker, text: str, status: int
) -> None:
    page = reviewer.get(
        str(reviewer.client.build_request("GET", "/ui/search", params={"q": text}).url)
    )
    assert page.status == status
    assert page.alerts
    assert page.alerts[0].endswith((".", ")"))
    assert "What the search box takes" in page.text
    assert "<script>alert" not in page.response.text


# --- other pages; last, because these tests delete glitches ---------------------------------------


def test_a_cluster_says_what_was_deleted_and_what_its_classes_are_called_now(
    service: Service, reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    with service.client("reviewer") as client:
        client.post("/classes", json={"name": "Thud", "description": "A thud."}).raise_for_status()
        for one in glitches[1:4]:
            labels = f"/glitches/{one.id}/labels"
            client.post(labels, json={"label": "Thud"}).raise_for_status()
        with make_session_factory(service.engine).begin() as session:
            first = store_cluster(session, store_run(session), [one.id for one in glitches[5:9]])
            page = f"/ui/clusters/{first.id}"
            medoid = first.medoid_id
        last = client.get("/classes/Thud/history").json()["last_event_id"]
        rename = {"action": "rename", "name": "Thump", "last_event_id": last}
        client.post("/classes/Thud/changes", json=rename).raise_for_status()
        shown = reviewer.get(page)
        assert "label=Thump" in shown.response.text
        assert "Thud" not in shown.text
        assert "deleted" not in shown.text
        with make_session_factory(service.engine).begin() as session:
            session.execute(delete(Glitch).where(Glitch.id == medoid))
        shown = reviewer.get(page)
        assert "1 member was deleted from the catalogue since" in shown.text
        assert "its medoid was deleted: another example" in shown.text
