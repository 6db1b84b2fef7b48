"""Jobs, batches, label audits and analysis without storing, in a browser without scripts."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from api_fixtures import (
    GPS_TIME,
    SAMPLE_RATE_HZ,
    Service,
    gwosc_hdf5,
    picture,
    running_service,
    strain_values,
    tiny_data_folder,
)
from jobs_fixtures import KIND, ProbeHandler, register
from sqlalchemy import text
from web_fixtures import Page, Walker, fill_catalogue

from app.batches.storage import UPLOADS_LOCK
from app.core.access import verify_token
from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.frame import display
from app.glitches.exports.service import start_export
from app.glitches.labels import append_label
from app.glitches.records import GlitchFilters, GlitchRecord
from app.jobs.pages.routes import PAGE_SIZE
from app.jobs.service import create_job
from worker.runner import JobRunner


@pytest.fixture(scope="module")
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    register(KIND, ProbeHandler())
    with (
        tiny_data_folder() as folder,
        running_service(
            postgres_server, migrated_template, folder, redis_url="unix:///nowhere/redis.sock"
        ) as service,
    ):
        yield service


@pytest.fixture
def submitter(service: Service) -> Iterator[Walker]:
    with Walker(service, "submitter") as walker:
        yield walker


@pytest.fixture
def reader(service: Service) -> Iterator[Walker]:
    with Walker(service, "reader") as walker:
        yield walker


def make(service: Service, author: str = "submitter", **parameters: object) -> UUID:
    with make_session_factory(service.engine).begin() as session:
        return create_job(session, KIND, parameters, author).id


def work(service: Service, job: UUID) -> None:
    JobRunner(make_session_factory(service.engine), service.settings).work(job)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.png", content)
    return buffer.getvalue()


def job_of(page: Page) -> UUID:
    assert page.path.startswith("/ui/jobs/"), (page.path, page.alerts)
    return UUID(page.path.removeprefix("/ui/jobs/").partition("?")[0])


# --- jobs -----------------------------------------------------------------------------------------


def test_without_jobs_the_list_says_what_makes_one(submitter: Walker, reader: Walker) -> None:
    page = submitter.get("/ui/jobs")
    assert "No jobs yet" in page.text
    assert "/ui/batch" in page.links
    assert "ask a submitter" in reader.get("/ui/jobs").text


def test_a_batch_from_the_form_to_the_retry(service: Service, submitter: Walker) -> None:
    good = {f"H1_batched{index:04d}_spectrogram_1.0": picture(200 + index) for index in range(3)}
    content = archive(**good, H1_damaged001_spectrogram_1_0=b"\x89PNG\r\n\x1a\n and no more")
    files = [("file", ("month.zip", content))]
    page = submitter.submit(submitter.get("/ui/batch"), "/ui/batch", files=files, ifo="H1")
    job = job_of(page)
    assert "The batch was received" in page.text
    assert "Batch: month.zip" in page.text
    assert "Waiting for a worker." in page.text
    assert page.form("/cancel")
    work(service, job)
    page = submitter.get(f"/ui/jobs/{job}")
    assert "4 of 4: 3 done, 1 failed" in page.text
    assert "done, 1 failed 4 of 4" in page.text  # the list must not say just "done" either
    assert "done, 1 failed 4 of 4" in submitter.get("/ui/jobs").text
    assert "H1_damaged001" in page.text  # what failed is listed first, with the reason
    assert "batched0000" not in page.text
    assert "damaged" in page.text.split("H1_damaged001", 1)[1]
    everything = submitter.get(f"/ui/jobs/{job}?state=all")
    assert everything.text.count("batched000") == 3
    glitches = [link for link in everything.links if link.startswith("/ui/glitches/")]
    assert len(glitches) == 3
    assert submitter.get(glitches[0]).status == 200
    made = submitter.get(next(link for link in page.links if "?batch=" in link))
    assert "3 glitches" in made.text
    assert {link for link in made.links if "H1_damaged" in link} == set()
    assert f"/ui/jobs/{job}" in made.links
    assert "There is no batch" in submitter.get(f"/ui/glitches?batch={UUID(int=5)}").alerts[0]
    assert "There is no such batch" in submitter.get("/ui/glitches?batch=mine").alerts[0]
    page = submitter.submit(page, "/retry")
    assert "The job was queued again." in page.text
    work(service, job)
    assert "4 of 4: 3 done, 1 failed" in submitter.get(f"/ui/jobs/{job}").text
    listed = submitter.get("/ui/jobs?kind=ingest&state=succeeded")
    assert "Batch: month.zip" in listed.text
    # The same glitches, sent again, are known.
    page = submitter.submit(submitter.get("/ui/batch"), "/ui/batch", files=files, ifo="H1")
    again = job_of(page)
    work(service, again)
    assert "3 known already, 1 failed" in submitter.get(f"/ui/jobs/{again}").text


def test_an_archive_and_a_csv_are_a_batch_and_its_manifest(
    service: Service, submitter: Walker
) -> None:
    rows = b"gravityspy_id,label,ifo\nmanifest01,Whistle,L1\n"
    sent = archive(**{"L1_manifest01_spectrogram_1.0": picture(210)})
    files = [("file", ("one.zip", sent)), ("file", ("rows.csv", rows))]
    page = submitter.submit(submitter.get("/ui/batch"), "/ui/batch", files=files)
    job = job_of(page)
    assert "Manifest" in page.text
    work(service, job)
    page = submitter.get(f"/ui/jobs/{job}")
    assert "1 of 1 done" in page.text
    assert "Whistle" in submitter.get("/ui/search?q=manifest01").text


@pytest.mark.parametrize(
    ("names", "fields", "sentence"),
    [
        ((), {}, "Choose a file first"),
        (("a.png", "a.png"), {}, "Two files are called a.png"),
        (tuple(f"{index}.png" for index in range(13)), {}, "pack more than 12"),
        (("a.zip",), {"merge_window_s": "often"}, "is not a number"),
        (("a.zip",), {"merge_window_s": "99"}, "between 0 and 10"),
        (("a.zip",), {"ifo": "Q7"}, "detector"),
        (("a.zip",), {"origin": "moon"}, "no such origin"),
        (("empty.zip",), {}, "is empty"),
        (("a.zip",), {"channel": "x" * 300}, "at most 200"),
        (("a.zip",), {"energy_max": "bright"}, "is not a number"),
        (("a.zip",), {"energy_max": "0"}, "top of the colour scale"),
        (("a.zip",), {"frequency_range": "low"}, "is not a range"),
    ],
)
def test_errors_of_a_batch_are_reported_in_the_form(
    submitter: Walker, names: tuple[str, ...], fields: dict[str, str], sentence: str
) -> None:
    files = [("file", (name, b"" if name == "empty.zip" else b"x")) for name in names]
    files = files or [("file", ("", b""))]
    page = submitter.submit(submitter.get("/ui/batch"), "/ui/batch", files=files, **fields)
    assert page.status == 400
    assert sentence in page.alerts[0]
    form = page.form("/ui/batch")
    for name, value in fields.items():
        if name in form.fields:
            assert form.fields[name] == value[:200]


def test_a_cleanup_and_a_batch_from_the_form_wait_for_each_other(
    service: Service, submitter: Walker
) -> None:
    """Both take one lock, so that no job is stored for a file that is being removed."""
    form, content = submitter.get("/ui/batch"), archive(alone=b"of this test")
    kept = service.settings.data_dir / "batches" / "uploads" / sha256(content).hexdigest()
    with ThreadPoolExecutor(1) as thread, service.engine.begin() as cleanup:
        cleanup.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPLOADS_LOCK})
        files = [("file", ("a.zip", content))]
        page = thread.submit(submitter.submit, form, "/ui/batch", files=files)
        deadline = time.monotonic() + 30
        while not kept.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        kept.unlink()
        cleanup.commit()
        assert page.result(30).status == 503
    assert "removed by a cleanup" in page.result().alerts[0]


@pytest.mark.parametrize(("name", "start"), [("csv", b"event_time,ifo"), ("hdf5", b"\x89HDF")])
def test_the_page_of_an_export_gives_its_file(
    service: Service, submitter: Walker, reader: Walker, name: str, start: bytes
) -> None:
    with make_session_factory(service.engine).begin() as session:
        author = verify_token(session, service.tokens["submitter"])
        filters = GlitchFilters(ifos=("H1", "L1"))
        job = start_export(session, filters, name, principal=author).id
    address = f"/ui/exports/{job}"
    page = submitter.get(f"/ui/jobs/{job}")
    assert address not in page.links
    assert "Export" in page.text
    assert "H1, L1" in page.text
    early = submitter.get(address)
    assert early.status == 409
    assert "The export is queued" in early.text
    work(service, job)
    page = reader.get(f"/ui/jobs/{job}")
    assert f"Download the {name.upper()}" in page.text
    assert address in page.links
    file = reader.client.get(address)
    assert file.status_code == 200
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.content.startswith(start)
    made = httpx.get(
        f"{service.url}/jobs/{job}", headers={"Authorization": f"Bearer {service.tokens['reader']}"}
    ).json()["made"]
    assert made == {"href": f"/exports/{job}", "page": address}


def test_a_large_export_is_requested_as_a_job_on_the_page(
    service: Service, submitter: Walker, reader: Walker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "DIRECT_ROWS", -1)
    page = submitter.get("/ui/glitches?ifo=H1")
    assert "/ui/exports?format=csv&ifo=H1" in page.links  # it is streamed at any length
    job = submitter.submit(page, "/ui/exports?format=hdf5&ifo=H1")
    assert "The export was requested" in job.text
    assert "Export" in job.text
    work(service, job_of(job))
    assert f"/ui/exports/{job_of(job)}" in submitter.get(f"/ui/jobs/{job_of(job)}").links
    looked = reader.get("/ui/glitches?ifo=H1")
    assert not [form for form in looked.forms if "/ui/exports" in form.action]


def test_readers_may_look_at_jobs_and_no_more(
    service: Service, reader: Walker, submitter: Walker
) -> None:
    job = make(service, author="somebody else")
    page = reader.get(f"/ui/jobs/{job}")
    assert not [form for form in page.forms if form.action.startswith("/ui/jobs/")]
    csrf = page.form("/ui/logout").fields["csrf"]
    assert reader.client.post(f"/ui/jobs/{job}/cancel", data={"csrf": csrf}).status_code == 403
    assert "may look but not store" in reader.get("/ui/batch").text
    refused = reader.client.post("/ui/batch", data={"csrf": csrf}, files={"file": b"x"})
    assert refused.status_code == 403
    # Nor may a submitter cancel another user's job: the page says so.
    csrf = submitter.get("/ui/jobs").form("/ui/logout").fields["csrf"]
    refused_page = Page(submitter.client.post(f"/ui/jobs/{job}/cancel", data={"csrf": csrf}))
    assert refused_page.status == 403
    assert "Only somebody else" in refused_page.alerts[0]
    work(service, job)


def test_cancel_and_what_comes_too_late(service: Service, submitter: Walker) -> None:
    job = make(service)
    page = submitter.get(f"/ui/jobs/{job}")
    stopped = submitter.submit(page, "/cancel")
    assert "The job was asked to stop." in stopped.text
    assert "cancelled" in submitter.get(f"/ui/jobs/{job}").text
    done = make(service, items=2)
    page = submitter.get(f"/ui/jobs/{done}")
    work(service, done)
    late = submitter.submit(page, "/cancel")
    assert late.status == 409
    assert "succeeded already" in late.alerts[0]


def test_a_job_is_followed_until_its_end(service: Service, submitter: Walker) -> None:
    job = make(service, items=3)
    page = submitter.get(f"/ui/jobs/{job}")
    assert f'data-follow="/ui/jobs/{job}/events"' in page.response.text
    work(service, job)
    events: list[tuple[str, str]] = []
    with submitter.client.stream("GET", f"/ui/jobs/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith(("event:", "data:"))]
    events = list(zip(lines[::2], lines[1::2], strict=True))
    assert [name for name, _ in events] == ["event: live", "event: end"]
    assert "3 of 3 done" in json.loads(events[0][1].removeprefix("data: "))
    assert "data-follow" not in submitter.get(f"/ui/jobs/{job}").response.text


def test_events_are_for_those_who_are_logged_in(service: Service) -> None:
    answer = httpx.get(f"{service.url}/ui/jobs/{make(service)}/events")
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/jobs/nonsense", 404),
        ("/ui/jobs/00000000-0000-0000-0000-000000000000", 404),
        ("/ui/jobs/00000000-0000-0000-0000-000000000000/events", 404),
        ("/ui/jobs?state=asleep", 400),
        ("/ui/jobs?page=damaged", 400),
    ],
)
def test_a_wrong_address_is_answered_in_words(submitter: Walker, path: str, status: int) -> None:
    page = submitter.get(path)
    assert page.status == status
    assert page.alerts[0].endswith((".", "top."))


def test_long_lists_are_paged(service: Service, submitter: Walker) -> None:
    job = make(service, items=130, fail=[f"item-{index}" for index in range(0, 130, 2)])
    work(service, job)
    page = submitter.get(f"/ui/jobs/{job}?state=all")
    assert page.response.text.count("<tr>") == 1 + 100
    assert "Page 1 of 2" in page.text
    following = next(link for link in page.links if "page=2" in link).partition("#")[0]
    last = submitter.get(following)
    assert "item-129" in last.text
    assert "Page 2 of 2" in last.text
    assert f"/ui/jobs/{job}?state=all#items" in last.links  # the previous page
    assert "Page 2 of 2" not in submitter.get(f"/ui/jobs/{job}?page=1").text  # only 65 failed
    assert "The list ends with page 1" in submitter.get(f"/ui/jobs/{job}?page=2").text
    with make_session_factory(service.engine).begin() as session:
        for number in range(PAGE_SIZE):
            create_job(session, KIND, {}, f"author {number}")
    first, last = submitter.get("/ui/jobs"), submitter.get("/ui/jobs?page=2")
    assert "Page 1 of 2" in first.text
    assert f"/ui/jobs/{job}" not in first.links
    assert f"/ui/jobs/{job}" in last.links
    assert "/ui/jobs" in last.links
    assert "The list ends with page 2" in submitter.get("/ui/jobs?page=9").text
    assert "No job is of this kind" in submitter.get("/ui/jobs?kind=nothing").text


# --- label audit ----------------------------------------------------------------------------------


def test_doubted_labels_are_corrected_on_the_page(
    service: Service, submitter: Walker, monkeypatch: pytest.MonkeyPatch
) -> None:
    glitches = fill_catalogue(service)
    wrong = mislabel(service, glitches[2])
    page = form = submitter.get("/ui/label-audit")
    assert "No label has been audited yet" in page.text
    refused = submitter.submit(page, "/ui/label-audit", n_voters="many")
    assert (refused.status, "not a number" in refused.alerts[0]) == (400, True)
    refused = submitter.submit(page, "/ui/label-audit", n_voters="1000")
    assert "1 to 50" in refused.alerts[0]
    page = submitter.submit(page, "/ui/label-audit", n_voters="5")
    job = job_of(page)
    assert "An audit is running" in submitter.get("/ui/label-audit").text
    work(service, job)
    page = submitter.get("/ui/label-audit?label=Whistle&ifo=H1")
    assert "1 label in doubt" in page.text
    assert f"/ui/glitches/{wrong}" in page.links
    assert "5 of 5 neighbours are Blip, none is Whistle" in page.text
    assert "H1 has no other of it: too few to win the vote." in page.text
    empty = submitter.get("/ui/label-audit?suggestion=Whistle")
    assert "No doubted label passes these filters." in empty.text
    assert re.search(r"Whistle\s+1 of \d+", submitter.get("/ui/label-audit").text)
    refused = submitter.submit(page, "/ui/label-audit/label", act="other", other="Nothing")
    assert (refused.status, "no class 'Nothing'" in refused.alerts[0]) == (400, True)
    for act, label in (
        ({"act": "label"}, "Blip"),
        ({"act": "keep"}, "Whistle"),
        ({"act": "other", "other": "helix"}, "Helix"),
    ):
        as_seen = page
        page = submitter.submit(as_seen, "/ui/label-audit/label", **act)
        for late in ("label", "keep"):  # another user, who still sees it in doubt
            answer = submitter.submit(as_seen, "/ui/label-audit/label", act=late)
            assert (answer.status, f"the glitch is {label} now" in answer.alerts[0]) == (409, True)
        done = "kept" if act["act"] == "keep" else "labelled"
        assert page.path.startswith(f"/ui/label-audit?ifo=H1&label=Whistle&done={done}&event=")
        assert f"/ui/glitches/{wrong}" not in page.links
        assert "No label is in doubt" in submitter.get("/ui/label-audit").text
        assert label in submitter.get(f"/ui/glitches/{wrong}").text
        page = submitter.submit(page, "/undo")
        assert f"/ui/glitches/{wrong}" in page.links
    assert f"/ui/glitches/{wrong}" not in submitter.get("/ui/label-audit?origin=simulated").links
    submitter.submit(page, "/ui/label-audit/label", act="other", other="helix")
    again = submitter.submit(form, "/ui/label-audit", n_voters="4")
    work(service, job_of(again))
    assert f"/ui/glitches/{wrong}" in submitter.get("/ui/label-audit").links
    answer = submitter.submit(page, "/ui/label-audit/label", act="keep")  # "Whistle is right"
    assert (answer.status, "Helix now, and this label is in doubt" in answer.alerts[0]) == (
        409,
        True,
    )
    assert submitter.get("/ui/label-audit?ifo=moon").status == 400
    mislabel(service, glitches[4])
    work(service, job_of(submitter.submit(form, "/ui/label-audit", n_voters="5")))
    monkeypatch.setattr("app.classes.audit.pages.routes.PAGE_SIZE", 1)
    page = submitter.get("/ui/label-audit?page=2")
    assert "Page 2 of " in page.text
    assert "/ui/label-audit" in page.links
    # The next label in doubt is then on the same page.
    answered = submitter.submit(page, "/ui/label-audit/label", act="keep")
    assert answered.path.startswith("/ui/label-audit?page=2&done=kept")


def mislabel(service: Service, glitch: GlitchRecord) -> UUID:
    with make_session_factory(service.engine)() as session:
        author = verify_token(session, service.tokens["reviewer"])
        append_label(session, glitch.id, "Whistle", author=author)
        session.commit()
    return glitch.id


# --- analysis without storing ---------------------------------------------------------------------


def test_a_reader_has_a_glitch_looked_at(service: Service, reader: Walker, tmp_path: Path) -> None:
    before = service.counts()
    files = {"file": ("H1_looked0001_spectrogram_1.0.png", picture(300), "image/png")}
    form = reader.get("/ui/upload")
    assert "nothing is kept" in form.text
    page = reader.submit(form, "/ui/upload", files=files)
    assert page.status == 200
    assert "Shown, not stored" in page.text
    assert "looked0001" in page.text
    pictures = [source for source in page.images if source.startswith("data:image/png;base64,")]
    assert len(pictures) == 1  # only one window was sent
    policy = page.response.headers["content-security-policy"]
    assert "img-src 'self' data:;" in policy
    assert "script-src 'self';" in policy
    assert service.counts() == before
    again = reader.submit(reader.get("/ui/upload"), "/ui/upload", files={"file": ("x.txt", b"?")})
    assert again.status == 415
    csrf = form.form("/ui/upload").fields["csrf"]
    stored = reader.client.post("/ui/upload", data={"csrf": csrf, "store": "yes"}, files=files)
    assert stored.status_code == 403


def test_an_off_centre_time_is_reported_on_the_page(submitter: Walker) -> None:
    form = submitter.get("/ui/upload").form("/ui/upload")
    files = {"file": ("H-H1_OFF-32.hdf5", gwosc_hdf5(strain_values(8)))}
    time = str(GPS_TIME + Decimal("0.1"))
    fields = form.fields | {"gps_time": time}
    page = Page(submitter.client.post("/ui/upload", data=fields, files=files))
    assert page.path.startswith("/ui/glitches/")
    assert re.search(r"Loudest \d+ ms earlier; centred there\.", page.text)
    assert f"GPS {GPS_TIME:.2f}" in page.text  # the loudest moment
    kept = submitter.client.post("/ui/upload", data=fields | {"keep_time": "yes"}, files=files)
    assert "ms earlier; centred on the given time." in Page(kept).text


def test_strain_without_a_start_is_reported_as_centred(submitter: Walker) -> None:
    form = submitter.get("/ui/upload").form("/ui/upload")
    samples = "\n".join(map(str, strain_values(9))).encode()
    fields = form.fields | {"gps_time": str(GPS_TIME + 5), "sample_rate_hz": str(SAMPLE_RATE_HZ)}
    files = {"file": ("samples.txt", samples)}
    page = Page(submitter.client.post("/ui/upload", data=fields, files=files))
    assert page.path.startswith("/ui/glitches/")
    assert "The file does not say when it starts" in page.text
    del fields["store"]
    look = Page(submitter.client.post("/ui/upload", data=fields, files=files))
    assert "its middle was assumed to be at" in look.text


def test_a_submitter_chooses_whether_to_keep(service: Service, submitter: Walker) -> None:
    before = service.counts()
    form = submitter.get("/ui/upload").form("/ui/upload")
    fields = {name: value for name, value in form.fields.items() if name != "store"}
    files = {"file": ("H1_looked0002_spectrogram_1.0.png", picture(301), "image/png")}
    page = Page(submitter.client.post("/ui/upload", data=fields, files=files))
    assert "send it again with “Keep it in the catalogue”" in page.text
    assert service.counts() == before
    page = Page(submitter.client.post("/ui/upload", data=form.fields, files=files))
    assert page.path.startswith("/ui/glitches/")
    page = Page(submitter.client.post("/ui/upload", data=fields, files=files))
    assert "The same views are in the catalogue already." in page.text
