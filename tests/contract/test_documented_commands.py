"""The commands in the README and in the first steps run exactly as written."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import typer
from api_fixtures import Service, gwosc_hdf5, picture, strain_values
from doing_jobs import doing_jobs

from app.cli import app

ROOT = Path(__file__).resolve().parents[2]
EVENT = "H-H1_LOSC_4_V2-1126259446-32.hdf5"
SCAN = "H1_0xA896L9Ao_spectrogram_{}.png"
WINDOWS = ("0.5", "1.0", "2.0", "4.0")
PAGES = ("README.md", "docs/first-steps.md")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and text of each fenced block; a block without language is shell."""
    found = re.findall(r"```(\w*)\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return [(language or "sh", text) for language, text in found]


def is_of_a_running_service(text: str) -> bool:
    return ("glitch-discovery " in text and ".venv" not in text) or text.startswith("curl")


@pytest.fixture
def folder(tmp_path: Path, service: Service) -> Path:
    """Provide what the pages assume: a data directory with a token, and some files."""
    (tmp_path / "data").mkdir()
    token = tmp_path / "data/admin-token"
    token.write_text(service.tokens["admin"])
    token.chmod(0o600)
    strain = gwosc_hdf5(strain_values(), start=1126259446)  # the burst is in the middle
    (tmp_path / EVENT).write_bytes(strain)
    (tmp_path / "pictures").mkdir()
    for number, window in enumerate(WINDOWS):
        scan = picture(number, duration_s=float(window))
        (tmp_path / SCAN.format(window)).write_bytes(scan)
        name = f"L1_Zz9yXwVuTs_spectrogram_{window}.png"
        (tmp_path / "pictures" / name).write_bytes(picture(9 + number, duration_s=float(window)))
    manifest = "gravityspy_id,label,gps_time,snr\nZz9yXwVuTs,Whistle,1264316116.5,21.5\n"
    (tmp_path / "pictures/manifest.csv").write_text(manifest)
    return tmp_path


@pytest.mark.timeout(900)  # a dozen processes, each with its own imports
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_does_what_it_says(
    page: str, folder: Path, service: Service
) -> None:
    """All commands succeed, run in order in one folder against a service with a worker."""
    address = service.url.removeprefix("http://")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GLITCH_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GLITCH_PORT": address.rpartition(":")[2],
    }
    run = []
    with doing_jobs(service):
        for language, block in blocks(page):
            text = block.replace("127.0.0.1:8000", address)
            if language == "python":
                command = [sys.executable, "-c", text]
            elif is_of_a_running_service(text):
                command = ["bash", "-euo", "pipefail", "-c", text.replace("curl", "curl -sS -f")]
            else:
                continue
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            run.append((text, done.stdout))
    outputs = dict(run)
    if page == "README.md":
        curls = [out for text, out in outputs.items() if text.startswith("curl")]
        assert len(curls) == 2
        assert all('"nearest"' in out or '"neighbours"' in out for out in curls)
        assert (folder / "pictures/H1_0xA896L9Ao_spectrogram_0.5.png").is_file()
        exported = "found.h5"
    else:
        exported = "glitches.h5"
    with h5py.File(folder / exported) as file:
        assert len(file["triggers"]) >= 1
    with service.client() as client:
        stored = {one["label"] for one in client.get("/glitches").json()["items"]}
    assert "Whistle" in stored


def commands(page: str) -> list[str]:
    lines = [
        line.split("#")[0].strip()
        for language, text in blocks(page)
        if language == "sh"
        for line in text.splitlines()
    ]
    return [line for line in lines if line.startswith((".venv/bin/glitch", "glitch-discovery"))]


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in commands(page)}))
def test_every_option_of_a_command_exists(line: str) -> None:
    """The command accepts its documented arguments; it is only parsed, because some take hours."""
    _, *words = shlex.split(line)
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(words[0] if words else "", list(words), resilient_parsing=False)
