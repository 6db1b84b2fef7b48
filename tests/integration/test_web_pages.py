"""Every page, with a filled catalogue, as a browser without scripts sees it."""

from __future__ import annotations

import io
import re
from uuid import UUID

import pytest
from api_fixtures import Service, gwosc_hdf5, picture, strain_values
from PIL import Image
from web_fixtures import Page, Walker, glitches, reader, reviewer, service

from app.frame.render import static_files
from app.glitches.records import GlitchRecord

__all__ = ["glitches", "reader", "reviewer", "service"]


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
    # Nothing inline that the policy would block, and nothing from other sites.
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


def test_a_glitch_page(reviewer: Walker, glitches: list[GlitchRecord]) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[1].id}")
    assert page.status == 200
    assert page.text.count("not in the upload") == 0
    assert "Could not be judged: " in page.text
    assert "Whistle" in page.text
    assert "submitter · human" in page.text
    assert page.response.text.count('class="chip distance"') == 20
    assert "8 latent dimensions" in page.text
    # Strain is centred on its loudest moment, and pictures may have no time.
    assert page.text.count("seconds from the middle") == 4
    pictures = [image for image in page.images if "/views/" in image]
    assert len(pictures) == 4
    for image in pictures:
        answer = reviewer.client.get(image)
        assert answer.headers["content-type"] == "image/png"
        assert "private" in answer.headers["cache-control"]


def test_absent_views_are_reported_as_absent(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[0].gravityspy_id}")
    assert page.text.count("not in the upload") == 3
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


@pytest.mark.parametrize(
    ("path", "room"),
    [
        ("clusters/{}", "clusters"),
        ("clusters/{}/seen-before", "clusters"),
        ("clusters?run={}", None),
        ("exports/{}", "jobs"),
        ("exports?cluster={}", "glitches"),
        ("exports?batch={}", "glitches"),
        ("glitches?batch={}", None),
        ("glitches?after=damaged", None),
        ("jobs/{}", "jobs"),
        ("classes/Nothing_Known", "classes"),
    ],
)
def test_missing_pages_do_not_use_words_of_the_api(
    reviewer: Walker, path: str, room: str | None
) -> None:
    page = reviewer.get(f"/ui/{path.format('00000000-0000-0000-0000-000000000000')}")
    assert page.status in {400, 404}
    assert not re.search("GET|POST|/ui|next", page.alerts[0])
    assert room is None or f"/ui/{room}" in page.response.text.split("<main")[1]


def test_an_unknown_page_is_a_page(reviewer: Walker) -> None:
    for path in ("/ui/nowhere", "/ui/glitches/a/b/c/d"):
        page = reviewer.get(path)
        assert page.status == 404
        assert "There is no page" in page.alerts[0]


@pytest.mark.parametrize("room", ["clusters", "exports"])
def test_an_address_that_was_cut_is_no_form_to_correct(reviewer: Walker, room: str) -> None:
    page = reviewer.get(f"/ui/{room}/01932c5e-8f1a-7c3e")
    assert page.status == 404
    assert "The address is damaged" in page.alerts[0]


@pytest.mark.parametrize(
    ("path", "name"), [("digest?days=x", "days"), ("glitches?event=x", "event")]
)
def test_an_invalid_value_in_an_address_does_not_ask_to_correct_a_form(
    reviewer: Walker, path: str, name: str
) -> None:
    page = reviewer.get(f"/ui/{path}")
    assert page.status == 400
    assert page.alerts == [f"The address has an invalid value of “{name}”: remove it."]


def test_unknown_views_of_a_glitch_are_not_found(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    for name, status in (("7", 404), ("x", 404), ("-1", 404), ("nan", 404), ("1e999", 404)):
        answer = reviewer.client.get(f"/ui/glitches/{glitches[1].id}/views/{name}.png")
        assert answer.status_code == status, name
        assert answer.headers["content-type"].startswith("text/html")


# --- labels ---------------------------------------------------------------------------------------


def test_a_label_is_added_undone_and_added_again(
    reader: Walker, reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    path = f"/ui/glitches/{glitches[10].id}"
    page = reviewer.submit(reviewer.get(path), "/labels", class_name="Koi_Fish")
    assert page.path.startswith(f"{path}?done=labelled&event=")
    assert "The label was added." in page.text
    assert "reviewer · human" in page.text
    assert "<h1>Koi_Fish</h1>" in page.response.text
    assert page.response.text.count(">Undo") == 2  # in the note and in the list
    page = reviewer.submit(page, "/undo")
    assert page.path == f"{path}?done=undone"
    assert "undone by reviewer" in page.text
    assert "<s>Koi_Fish</s>" in page.response.text
    assert "Unlabelled glitch" in page.text
    again = [form for form in page.forms if "Koi_Fish" in form.fields.values()]
    assert [form.action for form in again] == [f"{path}/labels"]
    redone = Page(reviewer.client.post(again[0].action, data=again[0].fields))
    assert "<h1>Koi_Fish</h1>" in redone.response.text
    assert "Label again" not in redone.text  # it has this label
    undone = reviewer.submit(redone, "/undo")
    assert undone.text.count("Label again") == 1  # for two labels of one class
    assert "Label again" not in reader.get(path).text


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
    revoke = next(form for form in reviewer.get(path).forms if form.action.endswith("/undo"))
    refused = reader.client.post(revoke.action, data={"csrf": csrf})
    assert refused.status_code == 403
    assert "may look but not store" in reader.get("/ui/upload").text
    stored = {"csrf": csrf, "store": "yes"}
    assert reader.client.post("/ui/upload", data=stored, files={"file": b"x"}).status_code == 403


def test_a_submitter_undoes_own_labels_only(
    service: Service, reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    path = f"/ui/glitches/{glitches[20].id}"
    reviewer.submit(reviewer.get(path), "/labels", class_name="Tomte")
    foreign = reviewer.get(path).form("/undo").action
    with Walker(service, "submitter") as submitter:
        page = submitter.get(path)
        assert not [form for form in page.forms if form.action.endswith("/undo")]
        csrf = page.form("/ui/logout").fields["csrf"]
        assert submitter.client.post(foreign, data={"csrf": csrf}).status_code == 403
        page = submitter.submit(page, "/labels", class_name="Helix")
        assert "undone by submitter" in submitter.submit(page, "/undo").text


def test_an_undo_is_refused_for_no_label_and_for_one_already_undone(
    reviewer: Walker, glitches: list[GlitchRecord]
) -> None:
    page = reviewer.get(f"/ui/glitches/{glitches[15].id}")
    fields = page.form("/undo").fields
    assert reviewer.client.post(f"/ui/labels/{UUID(int=1)}/undo", data=fields).status_code == 404
    foreign = {**fields, "back": "https://example.org/"}
    answer = reviewer.client.post(page.form("/undo").action, data=foreign, follow_redirects=False)
    assert answer.headers["location"] == "/ui/glitches?done=undone"
    again = reviewer.submit(page, "/undo")
    assert again.status == 409
    assert "This cannot be done now" in again.text
    assert "already revoked by reviewer" in again.alerts[0]


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
    assert page.text.count("not in the upload") == 2
    again = reviewer.submit(reviewer.get("/ui/upload"), "/ui/upload", files=files)
    assert "already in the catalogue" in again.text


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
        ("x.pdf", b"%PDF-1.4", {}, 415, "is PDF, which is not read here: save the scan as PNG"),
        ("x.tar.gz", b"\x1f\x8b\x08", {}, 415, "is sent as a batch"),
        ("L1_x_spectrogram_1.0.png", picture(5)[:200], {}, 400, ""),
        ("no_window.png", picture(5), {}, 400, "give “Window of a picture”"),
        ("no_window.png", picture(5), {"view_duration_s": "3"}, 400, "3 s"),
        (
            "no_window.png",
            picture(5),
            {"view_duration_s": "1", "gps_time": "soon"},
            400,
            "is not a time",
        ),
        ("no_window.png", picture(5), {"view_duration_s": "1", "ifo": "Q9"}, 400, "not a known"),
        ("no_window.png", picture(5), {"view_duration_s": "1", "label": "Nope"}, 400, "class"),
        ("no_window.png", picture(5), {"view_duration_s": "1", "label": "<b>x"}, 400, "class"),
        ("no_window.png", picture(5), {"channel": "x" * 9000}, 400, "at most 200"),
        ("s.npy", b"", {"sample_rate_hz": "fast"}, 400, "is not a number"),
    ],
)
def test_upload_errors_are_shown_in_the_form(
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
            assert value in page.response.text  # the typed value is kept
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
