"""The demonstration: a worker fills it, its hidden class is found, removal leaves no trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from api_fixtures import Service, picture, running_service, tiny_data_folder
from cluster_helpers import store_cluster, store_run
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from store_helpers import person
from web_fixtures import Walker

from app.classes.audit.service import latest_audit
from app.classes.tables import GlitchClass
from app.clusters.service import list_clusters, list_members, list_runs
from app.clusters.tables import Cluster
from app.core.access import Role
from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.demo.job import make_glitches
from app.demo.plan import DEMO_IFOS, HIDDEN_CLASS, LEFT_UNLABELLED, PER_CLASS, DemoGlitch, demo_plan
from app.demo.service import demonstration, start_at_first
from app.glitches.ingest import NewGlitch
from app.glitches.labels import list_labels, revoke_label
from app.glitches.tables import Glitch
from app.jobs.records import JobRecord
from app.jobs.service import list_jobs
from app.launch.publish import publish_folder
from app.map.records import MIN_GLITCHES
from app.map.service import map_state
from glitch.checkpoint import shipped_checkpoint
from glitch.encoder import Encoder
from glitch.simulate import SIMULATED_CLASSES
from glitch_discovery import Client
from worker.runner import JobRunner

FEW = 2  # glitches of each class
LIKE_THE_HIDDEN = (
    "Scattered_Light",
    "Repeating_Blips",
    "Low_Frequency_Burst",
    "Low_Frequency_Lines",
    "Light_Modulation",
    "Paired_Doves",
    "Power_Line",
    "Extremely_Loud",
)


@pytest.fixture
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    with (
        tiny_data_folder() as folder,
        running_service(postgres_server, migrated_template, folder) as running,
    ):
        yield running


def work_until_done(service: Service, *, besides: Collection[str] = ()) -> None:
    """Work on all open jobs and the jobs they start, except for the kinds in ``besides``."""
    sessions = make_session_factory(service.engine)
    runner = JobRunner(sessions, service.settings)
    for _ in range(100):
        with sessions() as session:
            found = list_jobs(session).items
        waiting = [job for job in found if job.is_open and job.kind not in besides]
        if not waiting:
            return
        runner.work(waiting[-1].id)
    raise AssertionError(f"never done: {waiting}")


def session_of(service: Service) -> Session:
    return make_session_factory(service.engine)()


def start(service: Service, per_class: int) -> None:
    with session_of(service) as session:
        assert start_at_first(session, per_class) is not None
        session.commit()


def test_each_class_can_calibrate_and_newcomers_fall_on_both_detectors() -> None:
    plan = demo_plan(SIMULATED_CLASSES, PER_CLASS)
    labelled = Counter((one.label, one.ifo) for one in plan if one.label)
    assert {name for name, _ in labelled} == set(SIMULATED_CLASSES) - {HIDDEN_CLASS}
    assert min(labelled.values()) >= 12  # what a class needs in each detector to calibrate
    newcomers = Counter(one.ifo for one in plan if not one.label)
    assert min(newcomers[ifo] for ifo in DEMO_IFOS) > PER_CLASS // 2
    assert sum(one.simulated_as == HIDDEN_CLASS for one in plan) >= 30
    assert len({one.gps_time for one in plan}) == len(plan)
    assert demo_plan(SIMULATED_CLASSES, 2) == plan[: 2 * len(SIMULATED_CLASSES)]
    assert PER_CLASS % LEFT_UNLABELLED == 0


@pytest.mark.timeout(900)  # UMAP may be compiled: minutes on a crowded machine
def test_the_demonstration_is_loaded_once_and_removed_completely(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(service, FEW)
    work_until_done(service)

    with session_of(service) as session:
        job = demonstration(session).job
        assert job is not None
        assert (job.state, job.done, job.failed) == ("succeeded", FEW * len(SIMULATED_CLASSES), 0)
        kinds = Counter(one.kind for one in list_jobs(session).items if one.state == "succeeded")
        assert {"demo", "cluster", "label_audit", "project"} <= kinds.keys()
        assert start_at_first(session, FEW) is None
    with Client(service.url, token=service.tokens["reader"]) as client:
        found = list(client.glitches())
    assert all(one.is_simulated for one in found)
    by_label = {**dict.fromkeys(set(SIMULATED_CLASSES) - {HIDDEN_CLASS}, FEW), None: FEW}
    assert Counter(one.label for one in found) == by_label

    load_what_is_missing(service, monkeypatch)

    with Client(service.url, token=service.tokens["admin"]) as client:
        assert Counter(one.label for one in client.glitches()) == by_label
        mine = []
        for number in range(MIN_GLITCHES):
            path = tmp_path / f"{number}.png"
            path.write_bytes(picture(7 + number))
            sent = client.embed(path, ifo="H1", view_duration_s=[1], label="Blip")
            mine.append(sent.glitch.id)
        name_a_cluster_of_everything(service)
        assert "Never_Seen" in class_names(service)
        with session_of(service) as session:
            own_id = store_cluster(session, store_run(session), [UUID(mine[0])]).id
            session.commit()
        with Walker(service, "reader") as reader:  # next to a cluster of other glitches
            page = reader.get("/ui/clusters")
            assert "All its clusters are decided" in page.text
            assert f"/ui/classes/{HIDDEN_CLASS}" in page.links

        gone = client._transport.ask("DELETE", "/demonstration")["glitches"]

        assert gone == FEW * len(SIMULATED_CLASSES)
        assert {one.id for one in client.glitches()} == set(mine)
        assert client._transport.ask("DELETE", "/demonstration")["glitches"] == 0
    assert "Never_Seen" not in class_names(service)
    with session_of(service) as session:
        assert not demonstration(session).is_loaded
        assert start_at_first(session, FEW) is None  # the next start does not load it again
        own = session.get_one(Cluster, own_id)
        assert [run.id for run in list_runs(session).items] == [own.run_id]
        assert own.summary["gps_times"]["n_timed"] == 0
        assert latest_audit(session) is None
        assert map_state(session).projection is None
    work_until_done(service)
    with session_of(service) as session:  # the remaining glitches have a map again
        drawn = map_state(session).projection
        assert drawn is not None
        assert drawn.n_points == MIN_GLITCHES


def load_what_is_missing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load it again: only a deleted glitch is made, not one without its label; then nothing."""
    with session_of(service) as session:
        lost, unlabelled = session.scalars(
            select(Glitch.id).where(Glitch.class_id.is_not(None)).order_by(Glitch.id).limit(2)
        )
        session.execute(delete(Glitch).where(Glitch.id == lost))
        [label] = list_labels(session, unlabelled)
        revoke_label(session, label.id, principal=person(Role.ADMIN))
        session.commit()
    made = []

    def counted(places: Sequence[DemoGlitch], encoder: Encoder) -> list[NewGlitch]:
        made.extend(places)
        return make_glitches(places, encoder)

    monkeypatch.setattr("app.demo.job.make_glitches", counted)
    n_places = FEW * len(SIMULATED_CLASSES)
    again = load_again(service)
    assert (again.state, again.done, again.skipped) == ("succeeded", 1, n_places - 1)
    assert len(made) == 1
    third = load_again(service)
    assert (third.state, third.done, third.skipped) == ("succeeded", 0, n_places)
    assert third.result == {"glitches": 0, "started": []}
    assert len(made) == 1


def load_again(service: Service) -> JobRecord:
    with service.client("admin") as client:
        client.post("/demonstration").raise_for_status()
    work_until_done(service)
    with session_of(service) as session:
        job = demonstration(session).job
    assert job is not None
    return job


def name_a_cluster_of_everything(service: Service) -> None:
    """Store a cluster of simulated glitches, promote it to a class, and accept it for all."""
    with session_of(service) as session:
        members = session.scalars(select(Glitch.id).where(Glitch.is_simulated)).all()
        run = store_run(session, is_simulated=True)
        cluster_id = store_cluster(session, run, members[:6]).id
        session.commit()
    with Walker(service, "reader") as reader:
        page = reader.get("/ui/clusters")
        assert "Open its cluster" in page.text
        assert f"/ui/clusters/{cluster_id}" in page.links
        assert HIDDEN_CLASS not in page.text
    with Client(service.url, token=service.tokens["reviewer"]) as client:
        client.review(str(cluster_id), "promote", class_name="Never_Seen")
        client.review(str(cluster_id), "accept")


def class_names(service: Service) -> set[str]:
    with session_of(service) as session:
        return set(
            session.scalars(select(GlitchClass.name).where(GlitchClass.state != "withdrawn"))
        )


def test_a_load_that_was_stopped_by_the_removal_stores_nothing_more(service: Service) -> None:
    start(service, FEW)
    with session_of(service) as session:
        job = demonstration(session).job
    assert job is not None
    sessions = make_session_factory(service.engine)
    JobRunner(sessions, service.settings).work(job.id, slice_s=0)  # only the plan
    with Walker(service, "admin") as admin:
        page = admin.get("/ui/clusters")
        assert "Filling the demonstration" in page.text
        after = admin.submit(page, "/demonstration/remove")
        assert "The demonstration was removed" in after.text
    work_until_done(service)
    with session_of(service) as session:
        assert session.scalar(select(func.count()).select_from(Glitch)) == 0
        stopped = demonstration(session).job
        assert stopped is not None
        assert stopped.state == "cancelled"


def test_only_an_admin_may_load_or_remove_it(service: Service) -> None:
    for role in ("reader", "submitter", "reviewer"):
        with service.client(role) as client:
            assert client.post("/demonstration").status_code == 403
            assert client.delete("/demonstration").status_code == 403
    with Walker(service, "reviewer") as reviewer:
        assert "An administrator can load the demonstration." in reviewer.get("/ui/clusters").text


@pytest.mark.timeout(1200)
def test_the_shipped_checkpoint_flags_the_hidden_class(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a new user sees first, made as in the service: plan, worker, clustering.

    The known classes are only those most like the hidden one (of low frequency or repeating): what
    is novel among them is novel among all.
    """
    monkeypatch.setattr("glitch.simulate.SIMULATED_CLASSES", (*LIKE_THE_HIDDEN, HIDDEN_CLASS))
    with session_of(service) as session:
        publish_folder(session, shipped_checkpoint(), service.settings.data_dir, activate=True)
        session.commit()
    start(service, PER_CLASS)
    work_until_done(service, besides={"label_audit", "project"})

    with session_of(service) as session:
        found = list_clusters(session).items
        assert found, list_runs(session).items[0].detail
        hidden = {one.gps_time for one in demo_plan([HIDDEN_CLASS], PER_CLASS)}
        members = list_members(session, found[0].id, limit=500).items
    assert found[0].state == "flagged"
    right = sum(round(one.glitch.gps_time or 0) in hidden for one in members)
    assert right >= 0.9 * len(members)
    assert right >= 0.6 * PER_CLASS
