"""The digest of what is new: its page, its JSON, and what its webhook receives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import pytest
from api_fixtures import Service
from cluster_helpers import store_cluster, store_run
from map_helpers import work
from pace import is_within
from pydantic import SecretStr, ValidationError
from sqlalchemy import select, text
from web_fixtures import Walker, fill_catalogue, service

import app.digest.job
from app.clusters.records import Run
from app.clusters.tables import ClusteringRun
from app.core.engine import make_session_factory
from app.core.settings import Settings
from app.digest.service import AUTHOR, request_due, unsent
from app.glitches.records import GlitchRecord
from app.jobs.service import create_job
from app.server.upkeep import UPKEEP

__all__ = ["service"]

Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[GlitchRecord]:
    return fill_catalogue(service, 20)


@pytest.fixture(scope="module", autouse=True)
def a_day(service: Service, glitches: list[GlitchRecord]) -> None:
    """Store a clustering, two decisions, a failed job, and a glitch of the day before."""
    with make_session_factory(service.engine).begin() as session:
        run = store_run(session)
        ids = [store_cluster(session, run, [one.id]).id for one in glitches[1:4]]
        failed = create_job(session, "export", {"format": "csv"}, "bea").id
        session.execute(
            text(
                "UPDATE job SET state = 'failed', finished_at = now(), detail = 'The disk is full.'"
                " WHERE id = :id"
            ),
            {"id": failed},
        )
    with service.client("reviewer") as client:
        for one, act in zip(
            ids, ({"action": "dismiss"}, {"action": "merge", "class_name": "Tomte"}), strict=False
        ):
            answer = client.post(f"/clusters/{one}/review", json={**act, "last_event_id": 0})
            assert answer.status_code == 200, answer.text


def test_the_digest_as_json_lists_what_is_new(service: Service) -> None:
    with service.client("reader") as client:
        new = client.get("/digest").json()
        assert [(one["ifo"], one["is_simulated"], one["count"]) for one in new["glitches"]] == [
            ("H1", False, 5),
            ("L1", False, 10),
            ("H1", True, 5),
        ]
        (run,) = new["runs"]
        assert (run["n_flagged"], run["n_waiting"]) == (20, 1)
        decided = {(one["author"], one["what"], one["count"]) for one in new["decisions"]}
        assert decided == {
            ("reviewer", "clusters dismissed", 1),
            ("reviewer", "clusters or classes merged", 1),
        }
        (failed,) = new["failed_jobs"]
        assert (failed["kind"], failed["detail"]) == ("export", "The disk is full.")
        assert client.get("/digest", params={"days": 32}).status_code == 400
    with service.client(None) as client:
        assert client.get("/digest").status_code == 401


def test_undone_decisions_are_not_in_the_digest(service: Service) -> None:
    """Neither an undone decision nor its undo is reported; a decision that is redone is."""
    with service.client("reviewer") as client:

        def decided() -> list[str]:
            return sorted(one["what"] for one in client.get("/digest").json()["decisions"])

        (cluster,) = client.get("/clusters", params={"state": "dismissed"}).json()["items"]
        address = f"/clusters/{cluster['id']}"
        done = client.get(f"{address}/history").json()["items"][0]["id"]

        def turn(action: str) -> None:
            last = client.get(f"{address}/history").json()["last_event_id"]
            decision = {"action": action, "event_id": done, "last_event_id": last}
            client.post(f"{address}/review", json=decision).raise_for_status()

        turn("undo")
        assert decided() == ["clusters or classes merged"]
        turn("redo")
        assert decided() == ["clusters dismissed", "clusters or classes merged"]


def test_clusters_wait_in_the_latest_run_alone(
    service: Service, glitches: list[GlitchRecord]
) -> None:
    with make_session_factory(service.engine)() as session:
        first = session.scalars(select(ClusteringRun)).one()
        later = store_run(session)
        later.previous_run_id = first.id
        for index in (5, 6):
            store_cluster(session, later, [glitches[index].id])
        new = app.digest.service.digest(session)
        assert {one.id: one.n_waiting for one in new.runs} == {first.id: 0, later.id: 2}
        assert "2 clusters of all detectors to review," in new.headline


def test_waiting_glitches_are_counted_for_each_kind_of_run(
    service: Service, glitches: list[GlitchRecord]
) -> None:
    """Glitches are counted in each run where they wait: of one detector, of all, of everything."""
    with make_session_factory(service.engine)() as session:
        for scope, ifo in (("novel", "H1"), ("everything", None)):
            run = store_run(session)
            run.scope, run.ifo = scope, ifo
            store_cluster(session, run, [glitches[5].id])
        session.flush()
        new = app.digest.service.digest(session)
        waiting = {one for one in new.headline.split(", ") if "to review" in one}
        assert waiting == {
            "1 cluster of H1 to review",
            "1 cluster of all detectors to review",
            "1 cluster of all detectors (labelled or not) to review",
        }
        [everything] = [one.sentence for one in new.runs if one.scope == "everything"]
        assert everything.startswith("ada clustered all detectors (labelled or not): 20 ")


def test_the_digest_leaves_out_older_events(service: Service) -> None:
    with make_session_factory(service.engine)() as session:
        for statement in (
            "UPDATE glitch_class SET exemplar_ids = '{}'",
            "UPDATE clustering_run SET created_at = now() - interval '25 hours'",
            "UPDATE review_event SET created_at = now() - interval '25 hours'",
            "UPDATE job SET finished_at = now() - interval '25 hours'",
        ):
            session.execute(text(statement))
        day, week = (app.digest.service.digest(session, days=n) for n in (1, 7))
    assert (day.runs, day.decisions, day.failed_jobs) == ([], [], [])
    assert (len(week.runs), len(week.decisions), len(week.failed_jobs)) == (1, 2, 1)
    nothing = day.model_copy(update={"glitches": []})
    assert nothing.sentences == ["Nothing is new."]


def test_the_digest_page_lists_what_is_new(service: Service) -> None:
    with Walker(service, "reader") as walker:
        page = walker.get("/ui/digest")
        assert page.status == 200
        for sentence in (
            "ada clustered all detectors: 20 glitches flagged, 3 clusters, 1 to review.",
            "clusters dismissed: 1",
            "The disk is full.",
        ):
            assert sentence in page.text
        assert any(link.startswith("/ui/clusters?run=") for link in page.links)
        assert "/ui/digest" in walker.get("/ui/clusters").links
        assert walker.get("/ui/digest?days=0").status == 400


class Receiver:
    """A webhook that records what it receives and responds by calling ``answer``."""

    def __init__(self, answer: Answer) -> None:
        self.sent: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                receiver.sent.append(json.loads(self.rfile.read(length)))
                answer(self)

            def log_message(self, *_: object) -> None:
                """Do not log requests."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiving() -> Iterator[Callable[[Answer], Receiver]]:
    made: list[Receiver] = []

    def make(answer: Answer) -> Receiver:
        made.append(Receiver(answer))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def take(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(204)
    handler.end_headers()


def refuse(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(500)
    handler.end_headers()


def move(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(307)
    handler.send_header("Location", "http://169.254.169.254/")
    handler.end_headers()


def dribble(handler: BaseHTTPRequestHandler) -> None:
    """Send a response byte by byte, without end."""
    try:
        while True:
            handler.wfile.write(b"H")
            time.sleep(0.1)
    except OSError:
        return


def sent_by(service: Service, address: str, **settings: object) -> dict[str, Any]:
    """Work on a digest job, which always succeeds, and return its result."""
    chosen = service.settings.model_copy(
        update={"digest_webhook": SecretStr(address), "public_url": "https://g.example", **settings}
    )
    with make_session_factory(service.engine).begin() as session:
        job_id = create_job(session, "digest", {}, "ada").id
    job = work(replace(service, settings=chosen), job_id)
    assert job.state == "succeeded", job
    assert job.result is not None
    return dict(job.result)


def test_the_webhook_is_sent_what_is_new(
    service: Service, receiving: Callable[[Answer], Receiver]
) -> None:
    receiver = receiving(take)
    result = sent_by(service, receiver.address)
    (message,) = receiver.sent
    assert result["sent"] == "The webhook accepted it (status 204)."
    since, first, *_ = message["text"].splitlines()
    assert since.startswith("Since 20")
    assert first.startswith("5 new glitches of H1, 10 new glitches of L1")
    assert message["text"].endswith("https://g.example/ui/digest")
    assert message["digest"]["failed_jobs"][0]["detail"] == "The disk is full."
    assert receiver.address not in json.dumps(result)  # it may be a secret


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (refuse, "The webhook answered with status 500."),
        (move, "The webhook answered with status 307."),  # and is not followed
        (dribble, "The webhook could not be reached (TimeoutError)."),
    ],
)
def test_a_webhook_that_fails_is_noted_and_holds_nothing_up(
    service: Service,
    receiving: Callable[[Answer], Receiver],
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    sentence: str,
) -> None:
    monkeypatch.setattr(app.digest.job, "TIMEOUT_S", 1.0)
    began = time.monotonic()
    assert sent_by(service, receiving(answer).address)["sent"] == sentence
    assert is_within(time.monotonic() - began, 20)


def test_an_unreachable_webhook_is_reported(service: Service) -> None:
    for address in ("http://127.0.0.1:9/hook", "http://[", "http://"):
        assert "could not be reached" in sent_by(service, address)["sent"]


def test_authorities_that_are_not_there_keep_nobody_from_anything(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    outcome = sent_by(service, "https://127.0.0.1:9/hook")["sent"]
    assert outcome == "The webhook could not be reached (FileNotFoundError)."


@pytest.mark.parametrize(
    ("made_hours_ago", "told_hours"),
    [(None, 24), (3, 24), (27, 27), (24 * 40, 24 * 31)],
    ids=["the first", "asked for again", "late today", "off for weeks"],
)
def test_a_digest_begins_where_the_last_one_ended(
    service: Service, made_hours_ago: int | None, told_hours: int
) -> None:
    with make_session_factory(service.engine)() as session:
        if made_hours_ago is not None:
            until = datetime.now(UTC) - timedelta(hours=made_hours_ago)
            session.execute(
                text(
                    "UPDATE job SET state = 'succeeded', finished_at = now(),"
                    " result = jsonb_build_object('until', cast(:until AS text), 'taken',"
                    " jsonb_build_array('webhook')) WHERE id = :id"
                ),
                {"id": create_job(session, "digest", {}, AUTHOR).id, "until": until.isoformat()},
            )
        new = unsent(session, "webhook")
        assert unsent(session, "mail").since > datetime.now(UTC) - timedelta(hours=25)
    hours = (new.until - new.since).total_seconds() / 3600
    assert hours == pytest.approx(told_hours, abs=0.02)


def test_more_failures_than_are_named_are_counted(service: Service) -> None:
    with make_session_factory(service.engine)() as session:
        for number in range(60):
            create_job(session, "export", {"format": "csv"}, "bea", key=str(number))
        session.execute(
            text(
                "UPDATE job SET state = 'failed', finished_at = now(), detail = 'Full.'"
                " WHERE kind = 'export'"
            )
        )
        new = app.digest.service.digest(session)
    assert (len(new.failed_jobs), new.n_failed_jobs) == (50, 61)
    assert "61 failed jobs" in new.headline
    assert new.sentences[-1] == "11 more jobs failed."


def test_once_a_day_where_there_is_a_webhook(service: Service) -> None:
    step, sessions = UPKEEP["daily digest"], make_session_factory(service.engine)
    chosen = service.settings.model_copy(update={"digest_webhook": SecretStr("http://h.example")})
    with sessions.begin() as session:
        assert step(session, service.settings) is None
        assert step(session, chosen) == "asked for"
        assert step(session, chosen) is None
    with sessions.begin() as session:
        session.execute(
            text("UPDATE job SET state = 'cancelled', created_at = created_at - interval '1 day'")
        )
        assert request_due(session) is not None
        session.rollback()


def test_a_clock_that_was_ahead_silences_nothing_and_makes_nothing_new(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the clock is right again, a digest is due, and rows of 400 days ahead are not new."""

    class Right(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(days=400)

    with make_session_factory(service.engine)() as session:
        for days_ago in (0, 403):
            session.execute(
                text(
                    "UPDATE job SET state = 'succeeded', created_at = now() - :ago,"
                    " result = jsonb_build_object('until', now() - :ago,"
                    " 'taken', jsonb_build_array('webhook')) WHERE id = :id"
                ),
                {
                    "id": create_job(session, "digest", {}, AUTHOR, key=str(days_ago)).id,
                    "ago": timedelta(days=days_ago),
                },
            )
        assert request_due(session) is None
        monkeypatch.setattr("app.digest.service.datetime", Right)
        assert request_due(session) is not None
        new = unsent(session, "webhook")
    assert (new.until - new.since).days == 3
    assert (new.glitches, new.runs, new.decisions, new.failed_jobs) == ([], [], [], [])


def test_a_refused_digest_is_sent_again(
    service: Service, receiving: Callable[[Answer], Receiver]
) -> None:
    """A refused digest is sent again each hour, with everything since the last accepted one."""
    sessions = make_session_factory(service.engine)
    with sessions.begin() as session:
        session.execute(text("DELETE FROM job WHERE kind = 'digest'"))
    answers = iter([refuse, refuse, take])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        next(answers)(handler)

    receiver = receiving(answer)
    chosen = service.settings.model_copy(update={"digest_webhook": SecretStr(receiver.address)})
    changed = replace(service, settings=chosen)

    def send(hours_later: float) -> dict[str, Any] | None:
        with sessions.begin() as session:
            session.execute(
                text(
                    "UPDATE job SET finished_at = finished_at - make_interval(mins => :minutes)"
                    " WHERE kind = 'digest'"
                ),
                {"minutes": int(60 * hours_later)},
            )
            job = request_due(session)
        if job is None:
            return None
        result = work(changed, job.id).result
        assert result is not None
        return dict(result)

    first = send(0)
    assert first is not None
    assert (first["taken"], first["refused"]) == ([], ["webhook"])
    assert send(0.9) is None
    with sessions.begin() as session:  # as if the first refusal was days ago
        earlier = (datetime.now(UTC) - timedelta(days=3)).isoformat()
        session.execute(
            text(
                "UPDATE job SET result = result || jsonb_build_object('since', cast(:at AS text))"
                " WHERE kind = 'digest'"
            ),
            {"at": earlier},
        )
    for _ in range(2):
        again = send(1.1)
        assert again is not None
        assert again["since"][:16] == earlier[:16]
    assert again["taken"] == ["webhook"]
    assert send(1.1) is None
    assert len(receiver.sent) == 3


@pytest.mark.parametrize(("n_flagged", "is_queued"), [(12, True), (0, False)])
def test_a_clustering_that_flags_glitches_queues_a_digest(
    service: Service, monkeypatch: pytest.MonkeyPatch, n_flagged: int, *, is_queued: bool
) -> None:
    def flagging(session: Any, *_: object, **__: object) -> Any:
        run = store_run(session)
        run.n_flagged = n_flagged
        return Run.model_validate(run)

    monkeypatch.setattr("app.clusters.job.run_clustering", flagging)
    chosen = service.settings.model_copy(update={"digest_webhook": SecretStr("http://h.example")})
    with service.client("submitter") as client:
        job_id = client.post("/clusters/runs", json={}).json()["id"]
        assert work(replace(service, settings=chosen), UUID(job_id)).state == "succeeded"
        queued = client.get("/jobs", params={"kind": "digest", "state": "queued"}).json()["items"]
    assert any(one["author"] == "submitter" for one in queued) == is_queued
    with make_session_factory(service.engine).begin() as session:
        session.execute(text("UPDATE job SET state = 'cancelled' WHERE state = 'queued'"))


def test_an_invalid_address_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLITCH_DIGEST_WEBHOOK", "ftp://chat.example")
    with pytest.raises(ValidationError, match="must start with http"):
        Settings()
