"""Hostile files over HTTP: refused soon, in bounded memory, while another client is served."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import hostile_files
import hostile_twins
import httpx
import psutil
import pytest
from api_fixtures import GPS_TIME, Service, assert_problem, gwosc_hdf5, picture, strain_values
from map_helpers import work
from mutants import ARCHIVES, MUTATIONS, archives, mutant
from pace import is_within

REFUSED_WITHIN_S = 12.0  # under two seconds on an idle machine; tests share cores
MAX_GROWTH = 900 << 20  # two children of 512 MiB, less what they share
SERVED_WITHIN_S = 5.0
FIELDS = {"gps_time": str(hostile_files.GPS_START + 16), "ifo": "H1", "store": "false"}


class Watch:
    """What a second client and a memory monitor observe during an attack."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.statuses: set[int] = set()
        self.max_bytes = 0


@contextmanager
def watched(service: Service) -> Iterator[Watch]:
    """Run a second client all the time; measure the memory of this process and its children."""
    watch, is_over = Watch(), threading.Event()

    def look() -> None:
        me = psutil.Process()
        with service.client() as client:
            while not is_over.wait(0.1):
                answer = client.get("/glitches?limit=1")
                watch.statuses.add(answer.status_code)
                watch.longest_s = max(watch.longest_s, answer.elapsed.total_seconds())
                total = me.memory_info().rss
                for child in me.children(recursive=True):
                    try:
                        total += child.memory_info().rss
                    except psutil.NoSuchProcess:
                        continue
                watch.max_bytes = max(watch.max_bytes, total)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        is_over.set()
        thread.join()


def assert_refused(service: Service, name: str, content: bytes) -> None:
    before = psutil.Process().memory_info().rss
    with watched(service) as watch, service.client() as client:
        started = time.monotonic()
        answer = client.post("/embed", files={"file": (name, content)}, data=FIELDS)
        took_s = time.monotonic() - started
        good = ("good.h5", gwosc_hdf5(strain_values(7)))
        fields = {"gps_time": str(GPS_TIME), "store": "false"}
        assert client.post("/embed", files={"file": good}, data=fields).status_code == 200
    detail = assert_problem(answer, 400, 413, 415)
    assert "send" in detail.lower() or "save" in detail.lower(), detail
    assert is_within(took_s, REFUSED_WITHIN_S)
    assert watch.statuses == {200}
    assert is_within(watch.longest_s, SERVED_WITHIN_S)
    assert watch.max_bytes - before < MAX_GROWTH


@pytest.mark.parametrize("name", sorted(hostile_files.EMBEDDABLE))
def test_a_hostile_file(service: Service, tmp_path: Path, name: str) -> None:
    path = hostile_files.EMBEDDABLE[name](tmp_path / name)
    assert_refused(service, name, path.read_bytes())


def test_hostile_files_of_every_kind(service: Service) -> None:
    """The smaller hostile files, one after the other, while one client watches."""
    before = psutil.Process().memory_info().rss
    with watched(service) as watch, service.client() as client:
        for name, make in hostile_twins.EMBEDDABLE.items():
            rate = {} if name in hostile_twins.HDF5 else {"sample_rate_hz": "4096"}
            fields = FIELDS | ({"view_duration_s": "1"} if name in hostile_twins.PICTURES else rate)
            content = make()
            started = time.monotonic()
            answer = client.post("/embed", files={"file": (name, content)}, data=fields)
            assert 400 <= answer.status_code < 500, (name, answer.text)
            assert_problem(answer, answer.status_code)
            assert is_within(time.monotonic() - started, REFUSED_WITHIN_S), name
        good = ("many-attributes.h5", hostile_twins.many_attributes())
        assert client.post("/embed", files={"file": good}, data=FIELDS).status_code == 200
    assert watch.statuses == {200}
    assert is_within(watch.longest_s, SERVED_WITHIN_S)
    assert watch.max_bytes - before < MAX_GROWTH


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "freeze.h5",
        "crash_sig14_2018.h5",
        "deep2000.h5",
        "h5_triggers_wide.h5",
        "views_neg.npz",
        "views_u8_128M.npz",
    ],
)
def test_known_hostile_files_are_refused(service: Service, shared_data: Path, name: str) -> None:
    assert_refused(service, name, (shared_data / "faults" / "hostile" / name).read_bytes())


def test_the_children_outlast_a_row_of_hostile_files(service: Service, tmp_path: Path) -> None:
    """More files at once than child processes: each gets a response, and the next client too."""
    path = hostile_files.inflating_chunk(tmp_path / "inflating.h5")
    content = path.read_bytes()
    answers: list[httpx.Response] = []

    def attack() -> None:
        with service.client() as client:
            answers.append(client.post("/embed", files={"file": ("a.h5", content)}, data=FIELDS))

    threads = [threading.Thread(target=attack) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {400, 413}
    with service.client() as client:
        fields = {"view_duration_s": "1", "store": "false"}
        answer = client.post("/embed", files={"file": ("a.png", picture(9))}, data=fields)
        assert answer.status_code == 200


@pytest.mark.parametrize("kind", sorted(MUTATIONS.keys() - ARCHIVES - {"gwf"}))
def test_damaged_twins_are_never_a_server_error(
    service: Service, tmp_path: Path, kind: str
) -> None:
    import numpy as np

    content = {
        "hdf5": lambda: hostile_files.good_strain(tmp_path / "good.h5").read_bytes(),
        "npy": lambda: saved(tmp_path / "views.npy"),
        "npz": lambda: saved(tmp_path / "views.npz"),
        "png": lambda: picture(3, duration_s=1.0),
        "text": lambda: "\n".join(f"{value:.5e}" for value in strain_values(5, 9)).encode(),
    }[kind]()
    fields = {**FIELDS, "sample_rate_hz": "4096"} if kind == "text" else FIELDS
    with service.client() as client:
        for seed in range(25):
            bad = mutant(kind, content, np.random.default_rng([11, seed]))
            name = f"twin_spectrogram_1.0.{kind}"
            answer = client.post("/embed", files={"file": (name, bad)}, data=fields)
            assert answer.status_code < 500, (seed, answer.text)


@pytest.mark.parametrize("name", archives({}))
def test_damaged_archives_never_fail_unforeseen(service: Service, name: str) -> None:
    """POST /batches and the worker store what is readable and explain the rest in sentences."""
    import numpy as np

    files = {"H1_a_spectrogram_1.0.png": picture(3, duration_s=1.0), "dir/b": bytes(999)}
    kind, content = archives(files)[name]
    states = set()
    with service.client() as client:
        for seed in range(12):
            bad = mutant(kind, content, np.random.default_rng([12, seed])) if seed else content
            answer = client.post("/batches", files={"file": (f"many.{kind}", bad)})
            assert answer.status_code < 500, (seed, answer.text)
            if answer.status_code != 202:
                continue
            job = work(service, UUID(answer.json()["job"]))
            items = client.get(f"/jobs/{job.id}/items", params={"state": "failed"}).json()["items"]
            sentences = [job.detail or "", *(one["reason"] for one in items)]
            assert not any(
                "Unexpected error" in one or "error in this program" in one for one in sentences
            ), seed
            states.add(job.state)
    assert "succeeded" in states, sentences


def saved(path: Path) -> bytes:
    import numpy as np

    views = np.random.default_rng(3).random((4, 128, 128), dtype=np.float32)
    np.savez_compressed(path, views=views) if path.suffix == ".npz" else np.save(path, views)
    return path.read_bytes()
