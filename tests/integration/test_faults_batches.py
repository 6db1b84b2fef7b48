"""The service is killed or its disk fills up during a batch: every glitch is stored once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from api_fixtures import GPS_START, Service, gwosc_hdf5, picture, strain_values
from sent_batches import tar
from small_disk import small_file_system
from sqlalchemy import text

from app.batches.cleanup import ABANDONED_S, clean_up_batches
from app.core.engine import make_session_factory
from worker.runner import JobRunner

SCRIPT = Path(__file__).parents[1] / "api_process.py"
PATIENCE_S = 400  # long because the cores are shared; waits end as soon as they can
STAGES = {"arriving": 200, "storage": 210, "storing": 220}  # where it is killed: picture seed


class KilledService:
    """A second service on the same database and data directory."""

    def __init__(self, service: Service, stage: str) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        known = service.settings
        assert known.database_url is not None
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(listener.fileno()), stage],
            pass_fds=[listener.fileno()],
            env={
                **os.environ,
                "DATABASE_URL": known.database_url.get_secret_value(),
                "GLITCH_DATA_DIR": str(known.data_dir),
                "GLITCH_SIGNING_KEY": "a-signing-key-for-tests-of-32-bytes",
                "GLITCH_LOG_LEVEL": "error",
                "OMP_NUM_THREADS": "1",
            },
        )
        listener.close()
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def wait_until(is_so: object) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def send_half(port: int, token: str, content: bytes) -> None:
    """Send the first half of an upload, then close the connection after a moment."""
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.tar"\r\n\r\n' + content
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST /batches HTTP/1.1\r\nHost: here\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            + f"Authorization: Bearer {token}\r\nContent-Length: {2 * len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.5)


def kept(service: Service) -> list[Path]:
    folder = service.settings.data_dir / "batches" / "uploads"
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("stage", STAGES)
def test_the_service_is_killed_during_an_upload(service: Service, stage: str) -> None:
    members = {
        f"H1_{stage[:7]}{number:03d}_spectrogram_1.0.png": picture(STAGES[stage] + number)
        for number in range(3)
    }
    content = tar(members)
    before = kept(service)
    sender = None
    token = service.tokens["submitter"]
    killed = KilledService(service, "nowhere" if stage == "arriving" else stage)
    try:
        if stage == "arriving":
            send_half(killed.port, token, content)
        else:
            arguments = (killed.port, token, f"{stage}.tar", content)
            sender = threading.Thread(target=_send, args=arguments)
            sender.start()
            wait_until(
                lambda: any(
                    path.name.startswith(".") == (stage == "storage")
                    for path in kept(service)
                    if path not in before
                )
            )
    finally:
        killed.kill()
        if sender is not None:
            sender.join()
    with service.engine.connect() as connection:
        count = text("SELECT count(*) FROM job WHERE parameters->>'name' = :name")
        assert connection.scalar(count, {"name": f"{stage}.tar"}) == 0
    left = [path for path in kept(service) if path not in before]
    assert len(left) == (0 if stage == "arriving" else 1)

    with service.client() as client:  # the service runs again
        answer = client.post("/batches", files={"file": (f"{stage}.tar", content)})
        assert answer.status_code == 202, answer.text
        assert answer.json()["is_known_upload"] is (stage == "storing")
        job = answer.json()["job"]
        JobRunner(make_session_factory(service.engine), service.settings).work(job)
        assert client.get(f"/jobs/{job}").json()["progress"]["done"] == 3
    with service.engine.connect() as connection:
        found = text("SELECT count(*) FROM glitch WHERE gravityspy_id LIKE :like")
        assert connection.scalar(found, {"like": f"{stage[:7]}%"}) == 3

    then = time.time() - ABANDONED_S - 60
    for path in kept(service):
        os.utime(path, (then, then))
    with make_session_factory(service.engine).begin() as session:
        removed = clean_up_batches(session, service.settings.data_dir, timedelta(days=30))
    assert removed.leftovers == (stage == "storage")
    names = {path.name for path in kept(service)}
    assert answer.json()["upload"] in names  # kept for another day
    assert not any(name.startswith(".") for name in names)


def _send(port: int, token: str, name: str, content: bytes) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.post(
            f"http://127.0.0.1:{port}/batches",
            files={"file": (name, content)},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE_S,
        )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path) as folder:
        yield folder


def test_a_full_disk_during_the_upload_and_during_the_job(
    service: Service, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strain = gwosc_hdf5(strain_values(5))
    rows = f"gps_time,ifo\n{GPS_START + 16}.0625,H1\n".encode()
    name = f"H-H1_FULL-{GPS_START}-32.hdf5"
    content = tar({"t.csv": rows, name: strain})
    (small_disk / "checkpoints").symlink_to(service.settings.data_dir / "checkpoints")
    monkeypatch.setattr(service.settings, "data_dir", small_disk)
    filler = small_disk / "filler"

    fill(filler, leave=len(content) // 2)
    with service.client() as client:
        answer = client.post("/batches", files={"file": ("full.tar", content)})
        assert answer.status_code == 507
        assert "no disk space left" in answer.json()["detail"]
        assert not kept(service)  # the partial upload is removed
        filler.unlink()
        fill(filler, leave=len(content) + len(strain) // 2)  # not enough to unpack it
        job = client.post("/batches", files={"file": ("full.tar", content)}).json()["job"]
        runner = JobRunner(make_session_factory(service.engine), service.settings)
        runner.work(job)
        assert client.get(f"/jobs/{job}").json()["state"] == "running"
        events = text("SELECT detail, attempts FROM job_chunk WHERE job_id = :job AND phase = 0")
        with service.engine.connect() as connection:
            detail, attempts = connection.execute(events, {"job": job}).one()
        assert "disk of the data directory or of temporary files" in detail
        assert attempts == 0
        filler.unlink()
        with service.engine.begin() as connection:  # instead of waiting 15 s
            connection.execute(
                text("UPDATE job_chunk SET due_at = now() WHERE job_id = :job"), {"job": job}
            )
        runner.work(job)
        ended = client.get(f"/jobs/{job}").json()
    assert (ended["state"], ended["progress"]["done"]) == ("succeeded", 1), ended


def fill(filler: Path, *, leave: int) -> None:
    filler.write_bytes(bytes(shutil.disk_usage(filler.parent).free - leave))
