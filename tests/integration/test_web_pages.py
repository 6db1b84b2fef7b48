"""Every page with a catalogue behind it, as a visitor without scripts meets it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from api_fixtures import Service, gwosc_hdf5, picture, strain_values
from PIL import Image
from web_fixtures import Walker, fill_catalogue, service

from app.frame.render import static_files
from app.glitches.records import GlitchRecord

__all__ = ["service"]


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[GlitchRecord]:
    return fill_catalogue(service)


@pytest.fixture
def reviewer(service: Service, glitches: list[GlitchRecord]) -> Iterator[Walker]:
    with Walker(service, "reviewer") as walker:
        yield walker


@pytest.fixture
def reader(service: Service, glitches: list[GlitchRecord]) -> Iterator[Walker]:
    with Walker(service, "reader") as walker:
        yield walker


PAGES = (
    "/ui/clusters",
    "/ui/glitches",
    "/ui/upload",
    "/ui/classes",
    "/ui/checkpoints",
    "/ui/search?q=x y",
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_strict_about_what_a_browser_may_do(reviewer: Walker, path: str) -> None:
    page = reviewer.get(path)
    policy = page.response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.response.headers["cache-control"] == "no-store"
    assert page.response.headers["x-content-type-options"] == "nosniff"
    # Nothing inline that the policy would block, and nothing from elsewhere.
    assert "style" not in page.tags | page.attributes
    assert not {name for name in page.attributes if name.startswith("on")}
    for address in (*page.links, *page.images, *(form.action for form in page.forms)):
        assert address.startswith(("/", "#")), address
        assert not address.startswith("//"), address


def test_the_root_leads_to_the_pages(reviewer: Walker) -> None:
    for path in ("/", "/ui", "/ui/"):
        assert reviewer.get(path).path == "/ui/clusters"


def test_every_file_a_page_names_is_there_and_kept_for_ever(reviewer: Walker) -> None:
    html = reviewer.get("/ui/glitches").response.text
    names = {part.split('"')[0] for part in html.split('="') if part.startswith("/ui/static/")}
    folder = next(iter(names)).rsplit("/", 1)[0]
    names |= {f"{folder}/{name}" for name in static_files()}
    assert len(names) > 10
    for name in names:
        answer = reviewer.client.get(name)
        assert answer.status_code == 200, name
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].split(";")[0] in {
            *("text/css", "text/javascript", "image/svg+xml", "text/plain")  # plain: licences
        }
    assert reviewer.client.get(f"{folder}/../pages.py").status_code == 404
    assert reviewer.client.get(f"{folder}/nothing.js").status_code == 404
    old = folder.replace(folder.rsplit("/", 1)[1], "0" * 16)
    assert reviewer.client.get(f"{old}/base.css").headers["cache-control"] == "no-store"


# --- catalogue ------------------------------------------------------------------------------------


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
    back = [link for link in second.links if "after=" in link][-1]  # the first ones change the view
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
        ("snr_min=loud", "no number"),
        ("start=yesterday", "is no time"),
        ("ifo=Q7", "no detector"),
        ("origin=moon", "no origin"),
        ("label=Nonsense", "no class"),
        ("label=%3Cscript%3Ealert(1)%3C/script%3E", "no class"),
        ("after=damaged", "cursor"),
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


def test_the_window_of_the_cards_can_be_chosen(reviewer: Walker) -> None:
    page = reviewer.get("/ui/glitches?window=4")
    windows = {image.rsplit("/", 1)[1] for image in page.images if "/cards/" in image}
    assert windows == {"4.png", "0.5.png"}  # the nearest where there is no 4 s view
    card = next(image for image in page.images if "/cards/" in image)
    with Image.open(io.BytesIO(reviewer.client.get(card).content)) as drawn:
        assert drawn.size == (285, 233)


def test_the_table_is_ordered_page_by_page(reviewer: Walker) -> None:
    for sort in ("snr", "-snr", "time", "-frequency", "-novelty", "class", "detector"):
        page = reviewer.get(f"/ui/glitches?view=table&sort={sort}&column=class&column=snr")
        seen = re.findall(r"/ui/glitches/([0-9a-f-]{36})\"", page.response.text)
        snrs = re.findall(r'<td class="number">([0-9.]+)<', page.response.text)
        assert len(seen) == len(snrs) == 48
        second = reviewer.get([link for link in page.links if "after=" in link][-1])
        seen += re.findall(r"/ui/glitches/([0-9a-f-]{36})\"", second.response.text)
        snrs += re.findall(r'<td class="number">([0-9.]+)<', second.response.text)
        assert len(set(seen)) == len(seen) == 60
        if "snr" in sort:
            values = [float(one) for one in snrs]
            assert values == sorted(values, reverse=sort.startswith("-"))
        first = [link for link in second.links if f"sort={sort}" in link and "after=" not in link]
        assert first  # the way back keeps the order
    assert reviewer.get("/ui/glitches?view=table&sort=moon").status == 400
    assert reviewer.get("/ui/glitches?view=table&sort=snr&after=x").status == 400


def test_an_observing_run_bounds_the_time(reviewer: Walker) -> None:
    assert "60 glitches" in reviewer.get("/ui/glitches?run=O3a&column=run&view=table").text
    assert "No glitch passes" in reviewer.get("/ui/glitches?run=O2").text
    assert "1 glitch" in reviewer.get("/ui/glitches?run=O3a&end=1200000999").text
    assert "is no run" in reviewer.get("/ui/glitches?run=O9").alerts[0]
    assert "outside of O3b" in reviewer.get("/ui/glitches?run=O3b&end=1200000000").alerts[0]


def test_chosen_rows_are_labelled_taken_back_and_given_as_a_file(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get("/ui/glitches?view=table&sort=snr")
    csv = reviewer.submit(page, "/ui/glitches/chosen", act="csv").response.text
    assert len(csv.splitlines()) == 1 + 48  # all that are shown
    chosen = [str(glitches[index].id) for index in (3, 4)]
    csv = reviewer.submit(page, "/ui/glitches/chosen", act="csv", member=chosen).response.text
    assert len(csv.splitlines()) == 1 + 2
    label = {"act": "label", "class_name": "heli"}
    refused = reviewer.submit(page, "/ui/glitches/chosen", **label)
    assert "Nothing is selected" in refused.text
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
    assert "1 glitch" in reviewer.get("/ui/search?q=1200003000.25").text
    assert "1 glitch" in reviewer.get("/ui/search?q=2018-01-14 22:09:42").text
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


# --- a glitch -------------------------------------------------------------------------------------


def test_a_glitch_page(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[1].id}")
    assert page.status == 200
    assert page.text.count("absent from what was uploaded") == 0
    assert "Could not be judged: " in page.text
    assert "Whistle" in page.text
    assert "submitter · human" in page.text
    assert page.response.text.count('class="chip distance"') == 20
    assert "8 latent dimensions" in page.text
    pictures = [image for image in page.images if "/views/" in image]
    assert len(pictures) == 4
    for image in pictures:
        answer = reviewer.client.get(image)
        assert answer.headers["content-type"] == "image/png"
        assert "private" in answer.headers["cache-control"]


def test_absent_views_are_said_to_be_absent(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[0].gravityspy_id}")
    assert page.text.count("absent from what was uploaded") == 3
    assert "No 4 s view" in page.text
    assert "simulated: never in a detector" in page.text
    assert reviewer.client.get(f"/ui/glitches/{glitches[0].id}/views/4.png").status_code == 404


def test_downloads(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    glitch = glitches[1]
    page = reviewer.get(f"/ui/glitches/{glitch.id}")
    scans = [link for link in page.links if "/scans/" in link]
    assert len(scans) == 4
    answer = reviewer.client.get(scans[0])
    assert "attachment" in answer.headers["content-disposition"]
    assert glitch.public_id in answer.headers["content-disposition"]
    with Image.open(io.BytesIO(answer.content)) as drawn:
        assert drawn.size == (800, 600)
    record = reviewer.client.get(f"/ui/glitches/{glitch.id}/record.json")
    assert "attachment" in record.headers["content-disposition"]
    content = record.json()
    assert content["gps_time"] == "1200001000.25"
    assert content["views"] == [0.5, 1.0, 2.0, 4.0]
    assert len(content["embedding"]["mean"]) == 8
    assert content["labels"][0]["class_name"] == "Whistle"


@pytest.mark.parametrize(
    "public_id",
    [
        "00000000-0000-0000-0000-000000000000",
        "nothing",
        "x" * 3000,
        "%3Cscript%3Ealert(1)%3Cb%3E",
        "a%00b",
    ],
)
def test_an_unknown_glitch_is_a_page_not_json(reviewer: Walker, public_id: str) -> None:
    page = reviewer.get(f"/ui/glitches/{public_id}")
    assert page.status == 404
    assert page.response.headers["content-type"].startswith("text/html")
    assert "There is no glitch" in page.alerts[0]
    assert "<script>alert" not in page.response.text


def test_an_unknown_page_is_a_page(reviewer: Walker) -> None:
    for path in ("/ui/nowhere", "/ui/glitches/a/b/c/d"):
        page = reviewer.get(path)
        assert page.status == 404
        assert "There is no page" in page.alerts[0]


def test_views_that_mean_nothing(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    for name, status in (("7", 404), ("x", 422), ("-1", 404), ("nan", 404), ("1e999", 404)):
        answer = reviewer.client.get(f"/ui/glitches/{glitches[1].id}/views/{name}.png")
        assert answer.status_code == status, name
        assert answer.headers["content-type"].startswith("text/html")


# --- labels ---------------------------------------------------------------------------------------


def test_label_and_revoke(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    path = f"/ui/glitches/{glitches[10].id}"
    page = reviewer.submit(reviewer.get(path), "/labels", class_name="Koi_Fish")
    assert page.path == f"{path}?done=labelled"
    assert "The label was added." in page.text
    assert "reviewer · human" in page.text
    assert "<h1>Koi_Fish</h1>" in page.response.text
    page = reviewer.submit(page, "/revoke")
    assert "revoked by reviewer" in page.text
    assert "<s>Koi_Fish</s>" in page.response.text
    assert "Unlabelled glitch" in page.text


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "Type the name"),
        ("Nonsense", "There is no class"),
        ('"><script>alert(1)</script>', "There is no class"),
        ("x" * 10_000, "at most 100 characters"),
        ("a\x00b", "There is no class"),
    ],
)
def test_a_label_that_is_no_class_is_refused_in_place(
    reviewer: Walker, glitches: list[GlitchRecord], name: str, sentence: str
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[11].id}")
    answer = reviewer.submit(page, "/labels", class_name=name)
    assert answer.status == 400
    assert sentence in answer.alerts[0]
    assert "<script>alert" not in answer.response.text


def test_roles_decide_what_is_shown_and_what_is_done(
    service: Service, reader: Walker, reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    path = f"/ui/glitches/{glitches[13].id}"
    page = reader.get(path)
    changing = [form for form in page.forms if form.method == "post"]
    assert not [form for form in changing if form.action.startswith(path)]
    csrf = page.form("/ui/logout").fields["csrf"]
    refused = reader.client.post(f"{path}/labels", data={"csrf": csrf, "class_name": "Blip"})
    assert refused.status_code == 403
    assert "role" in refused.text
    revoke = next(form for form in reviewer.get(path).forms if form.action.endswith("/revoke"))
    refused = reader.client.post(revoke.action, data={"csrf": csrf})
    assert refused.status_code == 403
    assert "may look but not store" in reader.get("/ui/upload").text
    stored = {"csrf": csrf, "store": "yes"}
    assert reader.client.post("/ui/upload", data=stored, files={"file": b"x"}).status_code == 403


def test_a_submitter_revokes_own_labels_only(
    service: Service, reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    path = f"/ui/glitches/{glitches[20].id}"
    reviewer.submit(reviewer.get(path), "/labels", class_name="Tomte")
    foreign = reviewer.get(path).form("/revoke").action
    with Walker(service, "submitter") as submitter:
        page = submitter.get(path)
        assert not [form for form in page.forms if form.action.endswith("/revoke")]
        csrf = page.form("/ui/logout").fields["csrf"]
        assert submitter.client.post(foreign, data={"csrf": csrf}).status_code == 403
        page = submitter.submit(page, "/labels", class_name="Helix")
        assert "revoked by submitter" in submitter.submit(page, "/revoke").text


def test_a_label_of_another_glitch_is_not_revoked_here(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[15].id}")
    action = page.form("/revoke").action.replace(str(glitches[15].id), str(glitches[16].id))
    answer = reviewer.client.post(action, data={"csrf": page.form("/ui/logout").fields["csrf"]})
    assert answer.status_code == 404
    page = reviewer.submit(page, "/revoke")
    again = reviewer.client.post(
        action.replace(str(glitches[16].id), str(glitches[15].id)),
        data={"csrf": page.form("/ui/logout").fields["csrf"]},
    )
    assert again.status_code == 409


# --- upload ---------------------------------------------------------------------------------------


def test_upload_of_a_picture_answers_with_its_page(service: Service, reviewer: Walker) -> None:
    files = [
        ("file", (f"L1_abcDEF1234_spectrogram_{length}.png", picture(91), "image/png"))
        for length in ("0.5", "1.0")
    ]
    page = reviewer.submit(reviewer.get("/ui/upload"), "/ui/upload", files=files, label="Tomte")
    assert page.status == 200
    assert page.path.endswith("?done=stored")
    assert "abcDEF1234" in page.text
    assert "<h1>Tomte</h1>" in page.response.text
    assert page.text.count("absent from what was uploaded") == 2
    again = reviewer.submit(reviewer.get("/ui/upload"), "/ui/upload", files=files)
    assert "known already" in again.text


def test_upload_of_strain_at_a_utc_time(reviewer: Walker) -> None:
    files = [("file", ("strain.hdf5", gwosc_hdf5(strain_values()), "application/octet-stream"))]
    page = reviewer.submit(
        reviewer.get("/ui/upload"),
        "/ui/upload",
        files=files,
        gps_time="2017-08-17 12:40:58.0625",
        ifo="H1",
    )
    assert page.status == 200, page.alerts
    assert "1187008876.0625" in page.text
    assert "SNR" in page.text


@pytest.mark.parametrize(
    ("name", "content", "fields", "status", "sentence"),
    [
        ("", b"", {}, 400, "Choose a file"),
        ("empty.png", b"", {}, 400, "empty"),
        ("x.pdf", b"%PDF-1.4", {}, 415, "no kind that is read"),
        ("x.tar.gz", b"\x1f\x8b\x08", {}, 415, "is sent as a batch"),
        ("L1_x_spectrogram_1.0.png", picture(5)[:200], {}, 400, ""),
        ("no_window.png", picture(5), {}, 400, "give “Window of a picture”"),
        ("no_window.png", picture(5), {"view_duration_s": "3"}, 400, "3 s"),
        ("no_window.png", picture(5), {"view_duration_s": "1", "gps_time": "soon"}, 400, "no time"),
        ("no_window.png", picture(5), {"view_duration_s": "1", "ifo": "Q9"}, 400, "no detector"),
        ("no_window.png", picture(5), {"view_duration_s": "1", "label": "Nope"}, 400, "class"),
        ("no_window.png", picture(5), {"view_duration_s": "1", "label": "<b>x"}, 400, "class"),
        ("no_window.png", picture(5), {"channel": "x" * 9000}, 400, "at most 200"),
        ("s.npy", b"", {"sample_rate_hz": "fast"}, 400, "no number"),
    ],
)
def test_upload_errors_stand_beside_the_form(
    service: Service,
    reviewer: Walker,
    *,
    name: str,
    content: bytes,
    fields: dict[str, str],
    status: int,
    sentence: str,
) -> None:
    before = service.counts()
    files = [("file", (name, content, "application/octet-stream"))]
    page = reviewer.submit(reviewer.get("/ui/upload"), "/ui/upload", files=files, **fields)
    assert page.status == status, page.text
    assert sentence in page.alerts[0]
    assert "<b>x" not in page.response.text
    assert page.form("/ui/upload")
    for field, value in fields.items():
        if field == "gps_time":
            assert value in page.response.text  # what was typed is still there
    assert service.counts() == before


# --- classes and checkpoints ----------------------------------------------------------------------


def test_classes_with_counts(reviewer: Walker) -> None:
    page = reviewer.get("/ui/classes")
    assert "Koi_Fish" in page.text
    assert "teardrop" in page.text
    assert "/ui/glitches?label=Whistle" in page.links
    assert "/ui/glitches?label=-" in page.links


def test_checkpoints_with_manifest(reviewer: Walker) -> None:
    page = reviewer.get("/ui/checkpoints")
    assert "tiny" in page.text
    assert "active" in page.text
    assert "The whole manifest" in page.text


def test_the_clock_can_be_switched_without_scripts(reviewer: Walker) -> None:
    page = reviewer.get("/ui/classes")
    assert 'data-clock="gps"' in page.response.text
    page = reviewer.submit(page, "/ui/clock", clock="utc")
    assert page.path == "/ui/classes"
    assert 'data-clock="utc"' in page.response.text
    page = reviewer.submit(page, "/ui/clock", clock="gps", back="https://evil.example/")
    assert page.path == "/ui/clusters"
