"""Workers without a shared folder: an S3 server, and one worker killed during a batch."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from api_fixtures import picture
from jobs_stack import LEASE_S, Stack
from local_server import QuietHandler, serving
from sqlalchemy import text

from app.batches.options import BatchOptions, create_batch
from app.batches.storage import keep_upload
from app.classes.naming import seed_classes
from app.core.access import Principal, Role
from app.core.errors import StorageAwayError
from app.core.storage import storage_of
from app.glitches.exports.service import export_file, start_export
from app.glitches.records import GlitchFilters
from app.launch.publish import publish_shipped

ADA = Principal(UUID(int=1), "ada", Role.SUBMITTER)
GLITCHES = 70  # three chunks
PATIENCE_S = 600


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket on an S3 server that runs in its own process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                bucket = urllib.request.Request(f"{url}/glitches", method="PUT")
                urllib.request.urlopen(bucket, timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert server.poll() is None
                time.sleep(0.2)
        for name, value in {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "GLITCH_STORAGE_URL": "s3://glitches/site",
        }.items():
            monkeypatch.setenv(name, value)
        yield "s3://glitches/site"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.close()


def _worker(stack: Stack, folder: Path) -> subprocess.Popen[bytes]:
    """Start a worker with its own data directory; it ends once nothing is due."""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", "from app.cli import main; main()", "worker"),
            *("--until-idle", "--idle-s", str(4 * LEASE_S)),
        ],
        cwd=folder.parent,
        env={
            **os.environ,
            "DATABASE_URL": stack.url,
            "REDIS_URL": stack.redis_url,
            "GLITCH_DATA_DIR": str(folder),
            "GLITCH_JOB_LEASE_S": str(LEASE_S),
            "GLITCH_LOG_LEVEL": "warning",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )


def _archive() -> bytes:
    """Return a compressed archive, which planning unpacks for all the workers to read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for number in range(GLITCHES):
            data = picture(number)
            info = tarfile.TarInfo(f"H1_glitch{number:05d}_spectrogram_1.0.png")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_a_bucket_that_is_not_there_is_a_store_that_is_away(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing bucket used to count as missing files: batches failed, exports were "over"."""
    monkeypatch.setenv("GLITCH_STORAGE_URL", "s3://gone/site")
    store, path = storage_of(tmp_path), tmp_path / "exports" / "part"
    for ask in (store.fetch, store.holds, store.names, store.remove, lambda at: [*store.files(at)]):
        with pytest.raises(StorageAwayError, match="the bucket"):
            ask(path)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    with pytest.raises(StorageAwayError, match="the bucket"):
        store.keep(path)
    monkeypatch.setenv("GLITCH_STORAGE_URL", s3)
    assert not storage_of(tmp_path).holds(path)


def test_a_transfer_may_take_long_and_may_not_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each had 30 s in all, so a large file or a slow line was retried without end."""

    class Slow(QuietHandler):
        def reply(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "8")
            self.send_header("ETag", '"a"')
            self.send_header("Last-Modified", "Mon, 30 Nov 2026 15:00:00 GMT")
            self.end_headers()
            for _ in range(8):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(20 if self.path.endswith("stops") else 0.5)

    monkeypatch.setattr("app.core.storage.STEP_S", 2.0)
    monkeypatch.setenv("GLITCH_STORAGE_URL", "s3://glitches/slow")
    with serving(Slow) as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        store = storage_of(tmp_path)
        assert store.fetch(tmp_path / "exports" / "takes-long")
        assert (tmp_path / "exports" / "takes-long").read_bytes() == b"x" * 8
        with pytest.raises(StorageAwayError):
            store.fetch(tmp_path / "exports" / "stops")
        assert [one.name for one in (tmp_path / "exports").iterdir()] == ["takes-long"]


def test_a_worker_killed_on_another_machine_loses_and_doubles_nothing(
    stack: Stack, s3: str, tmp_path: Path
) -> None:
    service, *workers = [tmp_path / name for name in ("service", "one", "other", "third")]
    with stack.sessions.begin() as session:
        seed_classes(session)
        publish_shipped(session, service)
        digest, _, is_known = keep_upload(service, io.BytesIO(_archive()))
        job = create_batch(session, BatchOptions(digest, "a.tar.gz"), ADA.name)
    assert not is_known
    children = [_worker(stack, folder) for folder in workers[:2]]
    try:
        killed = stack.owner_at_work(job)  # it has a chunk of the batch
        os.kill(killed, signal.SIGKILL)
        [dead] = [child for child in children if child.pid == killed]
        assert dead.wait(20) == -signal.SIGKILL
        children.append(_worker(stack, workers[2]))
        with stack.sessions.begin() as session:
            export = start_export(session, GlitchFilters(), "csv", principal=ADA)
        deadline = time.monotonic() + PATIENCE_S
        while stack.look(job.id).is_open:
            assert time.monotonic() < deadline, stack.look(job.id)
            time.sleep(0.2)
        survivors = [child for child in children if child.pid != killed]
        assert [child.wait(PATIENCE_S) for child in survivors] == [0, 0]  # nothing was due
    finally:
        for child in children:
            child.kill()
            child.wait()

    ended = stack.look(job.id)
    assert (ended.state, ended.done, ended.failed) == ("succeeded", GLITCHES, 0), ended
    with stack.sessions() as session:
        stored = session.execute(
            text("SELECT count(*), count(DISTINCT content_digest) FROM glitch")
        ).one()
        embedded = session.scalar(text("SELECT count(*) FROM embedding"))
        assert (*stored, embedded) == (GLITCHES, GLITCHES, GLITCHES)
        path, _, _ = export_file(session, export.id, service, timedelta(days=1))
    assert path.is_relative_to(service)
    assert path.read_text().startswith("event_time,ifo,")
    kept = storage_of(service)
    assert not list(kept.listed(service / "batches" / "work"))  # unpacked files are removed
    assert [one.path.name for one in kept.listed(service / "batches/uploads")] == [digest]
    assert kept.names(service / "exports" / str(export.id)) == ["glitches.csv"]
