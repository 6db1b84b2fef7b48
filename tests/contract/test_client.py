"""The Python client against the live service, as scripts and notebooks call it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from api_fixtures import GPS_TIME, Service, gwosc_hdf5, picture, strain_values

from app.core.engine import make_session_factory
from glitch_discovery import Answer, Client, Job, JobFailedError, ServiceError, UnreachableError
from glitch_discovery.tables import Table
from worker.runner import JobRunner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def asking(service: Service) -> Iterator[Client]:
    with Client(service.url, token=service.tokens["reviewer"]) as client:
        yield client


@pytest.fixture
def strain_file(tmp_path: Path) -> Path:
    path = tmp_path / "H-H1_TEST-1187008860-32.hdf5"
    path.write_bytes(gwosc_hdf5(strain_values()))
    return path


@pytest.fixture
def embedded(asking: Client, strain_file: Path) -> Answer:
    return asking.embed(strain_file, gps_time=GPS_TIME, label="Blip")


def test_embed_answers_records_with_exact_times(asking: Client, embedded: Answer) -> None:
    assert embedded.glitch.ifo == "H1"
    assert isinstance(embedded.glitch.gps_time, Decimal)
    assert abs(embedded.glitch.gps_time - GPS_TIME) < Decimal("0.25")
    assert embedded.glitch.views == (0.5, 1.0, 2.0, 4.0)
    assert len(embedded.embedding.mean) == len(embedded.embedding.log_variance) == 8
    assert not embedded.novelty.is_judged
    assert embedded.novelty.reason

    again = asking.glitch(str(embedded.glitch.id))
    assert again.glitch.label == "Blip"
    assert again.embedding is not None
    assert again.embedding.mean == pytest.approx(embedded.embedding.mean)


def test_neighbours_are_narrowed_by_filters(
    asking: Client, embedded: Answer, tmp_path: Path
) -> None:
    for seed, ifo in ((201, "H1"), (202, "L1")):
        path = tmp_path / f"{seed}.png"
        path.write_bytes(picture(seed))
        asking.embed(path, ifo=ifo, view_duration_s=[1], gps_time=1_200_000_000 + seed)
    glitch_id = str(embedded.glitch.id)

    everywhere = asking.neighbours(glitch_id, k=5)
    assert [one.distance for one in everywhere] == sorted(one.distance for one in everywhere)
    assert {one.ifo for one in everywhere} >= {"H1", "L1"}
    assert {one.ifo for one in asking.neighbours(glitch_id, k=5, ifo=["L1"])} == {"L1"}
    assert asking.picture(glitch_id, 0.5).startswith(b"\x89PNG")


def test_labels_are_given_and_revoked(asking: Client, embedded: Answer) -> None:
    glitch_id = str(embedded.glitch.id)

    given = asking.label(glitch_id, "Koi_Fish")
    assert [one.label for one in asking.labels(glitch_id)][-1] == "Koi_Fish"

    assert asking.revoke_label(glitch_id, given.id).revoked_at is not None


def test_a_table_is_read_by_astropy_and_gwpy(asking: Client, embedded: Answer) -> None:
    table = asking.table(label="Blip", ifo="H1")

    assert len(table) == len(list(asking.glitches(label="Blip", ifo="H1"))) == 1
    assert table.to_astropy()["ml_label"][0] == "Blip"
    found = table.to_gwpy()
    assert type(found).__name__ == "GravitySpyTable"
    assert found["event_time"][0] == pytest.approx(float(embedded.glitch.gps_time or 0))


@pytest.mark.parametrize(
    ("way", "missing"),
    [("to_pandas", "pandas"), ("to_astropy", "astropy.table"), ("to_gwpy", "gwpy.table")],
)
def test_a_library_that_is_missing_is_named_with_the_extra(
    way: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=f"{missing} is not installed.*extra `tables`"):
        getattr(Table(b"ifo\nH1\n"), way)()


def test_a_batch_is_waited_for_and_says_what_failed(
    service: Service, asking: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    (folder / "february").mkdir(parents=True)
    good = folder / "february" / "H1_AAAAAAAAAA_spectrogram_1.0.png"
    good.write_bytes(picture(301, duration_s=1.0))
    (folder / "H1_BBBBBBBBBB_spectrogram_1.0.png").write_bytes(b"no picture")
    (folder / ".DS_Store").write_bytes(b"left behind")
    (folder / "manifest.csv").write_text("gravityspy_id,label\nAAAAAAAAAA,Whistle\n")
    queued = asking.ingest(folder, wait=False)
    assert queued.state == "queued"

    runner = JobRunner(make_session_factory(service.engine), service.settings)
    worker = threading.Thread(target=runner.work, args=[queued.id])
    worker.start()
    seen: list[Job] = []
    job = asking.wait(queued.id, on_progress=seen.append)
    worker.join()

    assert (job.done, job.failed) == (1, 1)
    assert [one.gravityspy_id for one in asking.glitches(label="Whistle")] == ["AAAAAAAAAA"]
    assert seen[-1] == job
    ((name, reason),) = asking.failures(job.id)
    assert "BBBBBBBBBB" in name
    assert reason.endswith(".")


def test_clusters_and_their_members_are_listed(service: Service, asking: Client) -> None:
    with worked(service, asking, "cluster"):
        found = asking.cluster(scope="everything", min_cluster_size=3)
    assert found == asking.clusters()  # too few glitches: an empty list, no error


def test_an_export_has_the_format_that_its_name_ends_in(
    service: Service, asking: Client, embedded: Answer, tmp_path: Path
) -> None:
    path = tmp_path / "all.h5"
    with worked(service, asking, "export"):
        asking.export(path, ifo=embedded.glitch.ifo)
    assert path.read_bytes().startswith(b"\x89HDF")
    with pytest.raises(ValueError, match=r"all\.parquet does not tell its format: end it in \.csv"):
        asking.export(tmp_path / "all.parquet")


@contextmanager
def worked(service: Service, asking: Client, kind: str) -> Iterator[None]:
    """Run the first job of a kind in a worker thread as soon as the client has submitted it."""
    runner = JobRunner(make_session_factory(service.engine), service.settings)

    def work() -> None:
        while not (jobs := asking._transport.ask("GET", f"/jobs?kind={kind}")["items"]):
            pass
        runner.work(jobs[0]["id"])

    worker = threading.Thread(target=work)
    worker.start()
    yield
    worker.join()


def test_refusals_carry_the_service_s_sentence(asking: Client, strain_file: Path) -> None:
    with pytest.raises(ServiceError, match="GPS time") as refused:
        asking.embed(strain_file, gps_time="1.0")
    assert refused.value.status == 400
    assert refused.value.kind == "bad-strain"
    assert refused.value.request_id


def test_a_wrong_address_or_a_failed_job_is_reported(
    service: Service, asking: Client, tmp_path: Path
) -> None:
    with pytest.raises(UnreachableError, match="No service answers"):
        Client("http://127.0.0.1:9").glitch("x")

    path = tmp_path / "empty.tar"
    with tarfile.open(path, "w"):
        pass
    queued = asking.ingest(path, wait=False)
    JobRunner(make_session_factory(service.engine), service.settings).work(queued.id)
    with pytest.raises(JobFailedError, match="no glitch"):
        asking.wait(queued.id)


def test_the_client_s_own_wheel_holds_the_client_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    copytree(ROOT / "glitch_discovery", source, ignore=ignore_patterns("__pycache__", "build"))
    script = f"import setuptools.build_meta as b; print(b.build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=source, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"glitch_discovery"}
