"""Switching the model of a catalogue: the old one serves until the new one is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import torch
from api_fixtures import Service, assert_problem, picture, running_service, tiny_data_folder
from sqlalchemy import select, text

from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.jobs.service import get_job
from app.jobs.tables import Job
from app.launch import publish
from app.launch.publish import publish_folder, publish_shipped
from app.models import reembed
from app.models.checkpoints import activate_checkpoint, active_checkpoint, publish_checkpoint
from glitch.checkpoint import SHIPPED_BEFORE, SHIPPED_NAME, load_checkpoint, save_checkpoint
from glitch.errors import GlitchError
from glitch.model import Architecture, ViewsVAE
from glitch.views import Preprocessing
from worker.runner import JobRunner


@pytest.fixture(scope="module")
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    with (
        tiny_data_folder() as folder,
        running_service(postgres_server, migrated_template, folder) as running,
    ):
        _publish_next(running, folder)
        yield running


def _publish_next(service: Service, folder: Path) -> None:
    made = load_checkpoint(_saved(folder / "checkpoints", "next", 7))
    with make_session_factory(service.engine).begin() as session:
        publish_checkpoint(
            session,
            name="next",
            digest=made.digest,
            preprocessing_digest=made.manifest.preprocessing.digest(),
            latent_size=6,
            manifest={},
            activate=False,
        )


def _saved(folder: Path, name: str, seed: int) -> Path:
    torch.manual_seed(seed)
    model = ViewsVAE(
        Architecture(
            pooling=1, channels=(4, 4, 8, 8), painter_channels=(4, 4, 8, 8), hidden=16, latent=6
        )
    )
    save_checkpoint(
        folder / name,
        model,
        name=name,
        preprocessing=Preprocessing(),
        training={"data": "none"},
        schedule={},
        metrics={},
        licence="GPL-3.0-or-later",
    )
    return folder / name


def upload(client: httpx.Client, seed: int, name: str) -> str:
    files = {"file": (f"H1_{name}_spectrogram_0.5.png", picture(seed))}
    answer = client.post("/embed", files=files)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["glitch"]["id"])


def latent(client: httpx.Client, glitch: str) -> tuple[str, int]:
    embedding = client.get(f"/glitches/{glitch}").json()["embedding"]
    return embedding["checkpoint"], len(embedding["mean"])


def test_switch_and_back(service: Service) -> None:
    runner = JobRunner(make_session_factory(service.engine), service.settings)
    with service.client("admin") as client:
        ids = [upload(client, seed, f"reembed{seed:03d}") for seed in range(3)]
        answer = client.post("/checkpoints/next/activate")
        assert answer.status_code == 202, answer.text
        job = answer.json()["job"]
        assert client.post("/checkpoints/next/activate").json()["job"]["id"] == job["id"]
        runner.work(job["id"], slice_s=0)  # planning
        runner.work(job["id"], slice_s=0)  # all chunks, but not the finish
        assert latent(client, ids[0]) == ("tiny", 8)  # half done: the old model serves
        late = upload(client, 9, "reembedlat")
        runner.work(job["id"])
        with make_session_factory(service.engine)() as session:
            done = get_job(session, job["id"])
        assert (done.state, done.result and done.result["embedded"]) == ("succeeded", 4), done
        assert {latent(client, one) for one in [*ids, late]} == {("next", 6)}
        after = upload(client, 10, "reembedaft")
        answer = client.post("/checkpoints/tiny/activate")
        assert answer.status_code == 202  # one glitch is not embedded under it yet
        runner.work(answer.json()["job"]["id"])
        assert {latent(client, one) for one in [*ids, late, after]} == {("tiny", 8)}
        assert client.post("/checkpoints/next/activate").status_code == 200  # all are embedded
        assert latent(client, after) == ("next", 6)


def test_portions_hold_no_lock_and_a_failed_switch_answers_nothing_new(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finish works in short transactions; a failure before the switch changes nothing."""
    runner = JobRunner(make_session_factory(service.engine), service.settings)
    monkeypatch.setattr(reembed, "GLITCHES", 2)  # several portions
    monkeypatch.setattr(reembed, "REJUDGED_AT_ONCE", 1)
    monkeypatch.setattr(reembed, "_JUDGED_PER_PORTION", 2)
    with service.client("admin") as client:
        ids = [upload(client, seed, f"portions{seed:02d}") for seed in range(20, 25)]
        before, _ = latent(client, ids[0])
        target = "next" if before == "tiny" else "tiny"
        job = client.post(f"/checkpoints/{target}/activate").json()["job"]["id"]
        labelled: list[int] = []
        stored: list[str] = []

        def meanwhile(*_: object, **__: object) -> bool:
            """Act where the index would be built: after judging, before the switch."""
            answer = client.post(f"/glitches/{ids[0]}/labels", json={"label": "Blip"}, timeout=20)
            labelled.append(answer.status_code)
            stored.append(upload(client, 30, "portionslt"))
            return False

        def fails(*_: object) -> None:
            raise GlitchError("The switch fails: try again.")

        monkeypatch.setattr(reembed, "ensure_vector_index", meanwhile)
        with monkeypatch.context() as broken:
            broken.setattr(reembed, "_switch", fails)
            runner.work(job)
        assert labelled == [201]
        assert client.get(f"/jobs/{job}").json()["state"] == "failed"
        count = text(
            "SELECT count(*) FROM embedding e JOIN checkpoint c ON c.id = e.checkpoint_id"
            " WHERE c.name = :name AND e.glitch_id = ANY(:ids)"
        )
        with service.engine.connect() as connection:
            prepared = connection.scalar(count, {"name": target, "ids": [UUID(one) for one in ids]})
        assert prepared == len(ids)  # the finished portions are kept
        assert {latent(client, one)[0] for one in ids} == {before}  # but not used
        near = client.get(f"/glitches/{ids[0]}/neighbours").json()["items"]
        assert {latent(client, one["id"])[0] for one in near} == {before}
        assert client.post(f"/jobs/{job}/retry").status_code == 200
        runner.work(job)
        assert {latent(client, one)[0] for one in [*ids, *stored]} == {target}


def test_switching_checkpoints_needs_an_admin_and_a_known_name(service: Service) -> None:
    with service.client("admin") as admin, service.client("reviewer") as reviewer:
        unknown = assert_problem(admin.post("/checkpoints/none/activate"), 404)
        assert "see the list of checkpoints" in unknown
        assert_problem(reviewer.post("/checkpoints/tiny/activate"), 403)


def test_a_new_release_embeds_what_the_former_one_shipped(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former checkpoint serves until then; a worker that dies half-way loses nothing."""
    sessions = make_session_factory(service.engine)
    data_dir = service.settings.data_dir
    with sessions() as session:
        before = active_checkpoint(session)
    old, new = SHIPPED_BEFORE[-1], SHIPPED_NAME
    with service.client("admin") as client:
        upload(client, 39, "older039")
    with sessions.begin() as session:
        publish_folder(session, _saved(tmp_path, old, 11), data_dir, activate=True)
    monkeypatch.setattr(publish, "shipped_checkpoint", lambda: _saved(tmp_path, new, 12))
    with service.client("admin") as client:
        ids = [upload(client, seed, f"release{seed:03d}") for seed in range(40, 43)]

        def start() -> str:
            with sessions.begin() as session:
                return publish_shipped(session, data_dir).name

        assert start() == old
        assert start() == old  # after a restart there is still one job
        with sessions() as session:
            (job,) = session.scalars(
                select(Job.id).where(Job.kind == reembed.KIND, Job.author == "upgrade")
            )
        first = JobRunner(sessions, service.settings)
        first.work(job, slice_s=0)
        first.work(job, slice_s=0)  # then its worker dies
        assert {latent(client, one) for one in ids} == {(old, 6)}
        JobRunner(sessions, service.settings).work(job)
        assert {latent(client, one) for one in ids} == {(new, 6)}
        assert start() == new
        back = client.post(f"/checkpoints/{old}/activate").json()["job"]["id"]
        JobRunner(sessions, service.settings).work(back)  # an older glitch is not embedded with it
        assert start() == old  # a switch back is kept
    with sessions.begin() as session:
        activate_checkpoint(session, before.id)


def test_other_weights_of_the_shipped_name_are_embedded_once(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions, data_dir = make_session_factory(service.engine), service.settings.data_dir
    with sessions() as session:
        before = active_checkpoint(session)
    with sessions.begin() as session:
        first = publish_folder(session, _saved(tmp_path, SHIPPED_NAME, 21), data_dir, activate=True)
    with service.client("admin") as client:
        upload(client, 60, "weights060")
    monkeypatch.setattr(publish, "shipped_checkpoint", lambda: _saved(tmp_path, SHIPPED_NAME, 22))
    for _ in range(2):  # the service is restarted
        with sessions.begin() as session:
            assert publish_shipped(session, data_dir).digest == first.digest
    second = load_checkpoint(_saved(tmp_path, SHIPPED_NAME, 22)).digest
    with sessions() as session:
        jobs = session.scalars(select(Job).where(Job.kind == reembed.KIND)).all()
        (job,) = [one.id for one in jobs if one.parameters["digest"] == second]
    JobRunner(sessions, service.settings).work(job)
    with sessions() as session:
        active = active_checkpoint(session)
    assert active.digest == second != first.digest
    with service.client("admin") as client:  # the name alone is ambiguous now
        answer = client.post(f"/checkpoints/{SHIPPED_NAME}/activate")
        assert first.digest[:12] in assert_problem(answer, 409)
    with sessions.begin() as session:
        activate_checkpoint(session, before.id)
