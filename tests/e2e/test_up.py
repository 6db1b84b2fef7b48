"""`glitch-discovery up` and `POST /embed` with real processes, as clients rely on them."""

import io
import json
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import h5py
import httpx
import numpy as np
import psutil
import pytest
from pace import is_within
from PIL import Image
from service_process import COMMAND, Service

from app.demo.plan import HIDDEN_CLASS
from glitch.images import render_omega_scan
from glitch.simulate import SIMULATED_CLASSES, simulate_glitch
from glitch.strain import Strain, views_from_strain

pytestmark = pytest.mark.timeout(900)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of live processes that use a data directory, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            here = (entry / "cwd").resolve()
        except OSError:
            continue
        of_ours = f"GLITCH_DATA_DIR={folder}".encode() in environment
        if command and (of_ours or here.is_relative_to(folder)):
            found.append(command)
    return found


def strain_file(strain: Strain) -> bytes:
    """Return the strain as a GWOSC file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        data = file.create_dataset("strain/Strain", data=strain.values)
        data.attrs["Xstart"] = float(strain.gps_start)
        data.attrs["Xspacing"] = 1 / strain.sample_rate_hz
        file["meta/GPSstart"] = float(strain.gps_start)
        file["meta/Detector"] = strain.ifo
    return buffer.getvalue()


def test_up_prints_ready_once_and_a_login_link(service: Service) -> None:
    assert [line.startswith("ready ") for line in service.lines].count(True) == 1
    assert service.url.startswith("http://127.0.0.1:")


def test_the_admin_token_is_private(service: Service) -> None:
    status = (service.data_directory / "admin-token").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600


def test_the_demonstration_is_simulated_spread_and_labelled_but_for_one_class(
    client: httpx.Client,
) -> None:
    items, cursor = [], None
    while True:
        answer = client.get(
            "/glitches", params={"limit": 100} | ({"cursor": cursor} if cursor else {})
        )
        page = answer.raise_for_status().json()
        items += [item for item in page["items"] if item["origin"] == "simulated"]
        cursor = page["next"]
        if cursor is None:
            break
    counts = {name: sum(item["label"] == name for item in items) for name in SIMULATED_CLASSES}
    assert counts == {**dict.fromkeys(SIMULATED_CLASSES, 2), HIDDEN_CLASS: 0}
    assert sum(item["label"] is None for item in items) == 2
    assert {item["ifo"] for item in items} == {"H1", "L1"}


def test_strain_gets_its_vector_novelty_and_neighbours(client: httpx.Client) -> None:
    made = simulate_glitch("Koi_Fish", np.random.default_rng(1), ifo="H1", snr=40.0)
    form = {"gps_time": str(made.gps_time), "ifo": "H1", "neighbours": "5", "label": "Koi_Fish"}
    files = {"file": ("a.hdf5", strain_file(made.strain))}
    answer = client.post("/embed", data=form, files=files)
    assert answer.status_code == 201, answer.text
    content = answer.json()
    assert set(content) >= {"glitch", "embedding", "novelty", "neighbours"}
    assert content["glitch"]["views"] == [0.5, 1.0, 2.0, 4.0]
    assert content["glitch"]["label"] == "Koi_Fish"
    assert Decimal(content["glitch"]["gps_time"]) == made.gps_time
    assert len(content["embedding"]["mean"]) == len(content["embedding"]["log_variance"]) > 1
    distances = [item["distance"] for item in content["neighbours"]]
    assert len(distances) == 5
    assert distances == sorted(distances)
    assert content["novelty"]["is_judged"] is False  # the demo's references are simulated
    assert content["novelty"]["reason"]
    again = client.post("/embed", data=form, files=files)
    assert again.status_code == 200
    assert again.json()["glitch"]["id"] == content["glitch"]["id"]


def test_a_spectrogram_gets_its_neighbours_and_nothing_is_stored(client: httpx.Client) -> None:
    made = simulate_glitch("Tomte", np.random.default_rng(2), ifo="L1", snr=30.0)
    [seen] = views_from_strain([made.strain], [made.gps_time])
    picture = render_omega_scan(seen.views.view(1.0), 1.0)
    assert Image.open(io.BytesIO(picture)).size == (800, 600)
    answer = client.post(
        "/embed",
        data={"store": "false", "view_duration_s": "1.0"},
        files={"file": ("tomte.png", picture)},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["glitch"]["views"] == [1.0]
    assert len(answer.json()["neighbours"]) == 10


def test_a_bad_upload_is_a_problem_in_words(client: httpx.Client) -> None:
    answer = client.post("/embed", files={"file": ("empty.png", b"")})
    assert answer.headers["content-type"] == "application/problem+json"
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) >= {"type", "title", "status", "detail"}


def test_the_command_embeds_through_the_service(service: Service, tmp_path: Path) -> None:
    made = simulate_glitch("Blip", np.random.default_rng(3), ifo="H1", snr=25.0)
    path = tmp_path / "blip.hdf5"
    path.write_bytes(strain_file(made.strain))
    arguments = ["embed", str(path), "--gps-time", str(made.gps_time), "--no-store", "--json"]
    url = ["--url", service.url]
    done = subprocess.run(
        [*COMMAND, *arguments, *url],
        env=service.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(done.stdout)["neighbours"]) == 10


def test_commands_work_beside_the_running_service(service: Service) -> None:
    def run(*arguments: str) -> str:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=service.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    secret = run("token", "create", "beside", "--role", "reader").strip()
    headers = {"Authorization": f"Bearer {secret}"}
    url = service.url
    assert httpx.get(f"{url}/glitches", headers=headers).status_code == 200
    assert "already known" in run("demo", "--url", url)
    assert "active" in run("publish")
    assert service.process.poll() is None


def test_a_second_start_is_quick_and_nothing_is_lost_or_left(
    start: Callable[..., Service], copied: Path
) -> None:
    first = start(copied)
    first.wait_until_ready()
    with first.client() as client:
        made = simulate_glitch("Whistle", np.random.default_rng(4), ifo="L1", snr=30.0)
        form = {"gps_time": str(made.gps_time), "ifo": "L1"}
        files = {"file": ("w.hdf5", strain_file(made.strain))}
        stored = client.post("/embed", data=form, files=files).raise_for_status().json()
        before = listed(client)
    token = (copied / "admin-token").read_text()
    assert first.stop(signal.SIGINT) == 0
    assert processes_of(copied) == []

    second = start(copied)
    second.wait_until_ready()
    # The service promises to be ready within 10 s on two free cores. On a busy machine only the
    # processor time of a start can be tested: 10 s on an idle machine, of which the imports of an
    # additional API process take 2 s.
    tree = [psutil.Process(second.process.pid)]
    tree += tree[0].children(recursive=True)
    assert is_within(sum(sum(process.cpu_times()[:2]) for process in tree), 18)
    assert (copied / "admin-token").read_text() == token
    with second.client() as client:
        kept = client.get(f"/glitches/{stored['glitch']['id']}").raise_for_status().json()
    assert kept["gps_time"] == stored["glitch"]["gps_time"]
    second.process.kill()
    second.ends()

    third = start(copied)  # at once: it waits until the second's processes have ended
    third.wait_until_ready()
    with third.client() as client:
        assert listed(client) == before
    third.process.kill()
    third.ends()
    deadline = time.monotonic() + 120
    while processes_of(copied):  # children and database end with their supervisor
        assert time.monotonic() < deadline, processes_of(copied)
        time.sleep(0.2)


def listed(client: httpx.Client) -> list[str]:
    answer = client.get("/glitches", params={"limit": 100}).raise_for_status().json()
    return [item["id"] for item in answer["items"]]
