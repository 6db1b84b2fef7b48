"""The console command: its commands, its speed, and its errors."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from pace import is_within
from typer.models import CommandInfo
from typer.testing import CliRunner

from app import cli
from app.client.remote import service_at
from app.launch.data_directory import write_token
from training import cli as training_cli

RUNNER = CliRunner()
TOKEN = "t" * 43
ANSWER = {
    "glitch": {
        "id": "0190-x",
        "gravityspy_id": None,
        "ifo": "H1",
        "gps_time": "1126259462.4",
        "snr": 24.0,
        "peak_frequency": 120.5,
        "label": None,
        "centring": "Loudest 100 ms later; the views are centred there.",
        "links": {"page": "http://h/ui/glitches/0190-x"},
    },
    "embedding": {
        "checkpoint": "c",
        "mean": [0.5, -1.25],
        "reconstruction_error": 1.5,
        "simulated_class": {"label": "Whistle", "probability": 0.968},
    },
    "novelty": {"score": 1.0, "p_value": 0.03, "is_judged": True, "reason": None},
    "neighbours": [
        {
            "id": "n1",
            "gravityspy_id": None,
            "ifo": "L1",
            "gps_time": "1",
            "label": "Chirp",
            "origin": "simulated",
            "distance": 0.25,
        }
    ],
    "assumed": [],
}


@pytest.fixture
def data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLITCH_DATA_DIR", str(tmp_path))
    for name in ("GLITCH_TOKEN", "GLITCH_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def strain_file(tmp_path: Path) -> Path:
    path = tmp_path / "strain.hdf5"
    path.write_bytes(b"strain")
    return path


class FakeService:
    """Answers the requests of the HTTP client with one fixed response, and records them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, response: httpx.Response) -> None:
        self.requests: list[dict[str, object]] = []
        self._response = response
        monkeypatch.setattr(httpx.Client, "request", self._request)

    def _request(self, method: str, url: str, **request: object) -> httpx.Response:
        self.requests.append({"method": method, "url": url, **request})
        return self._response


def test_help_is_quick_and_names_every_command() -> None:
    command = [sys.executable, "-c", "from app.cli import main; main()", "--help"]
    times = []
    for _ in range(3):
        started = time.monotonic()
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        times.append(time.monotonic() - started)
    commands = text.split("Commands:")[1]
    assert "..." not in commands  # each summary fits in one line
    assert commands.split()[0] == "up"
    for name in ("up", "embed", "publish", "migrate", "demo", "token", "train", "evaluate"):
        assert f"  {name} " in text
    # The real bound is 0.5 s on an idle machine; in tests, other processes share its cores.
    assert is_within(min(times), 2)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom app.cli import app\n"
        "heavy = {'torch', 'gwpy', 'numpy', 'sqlalchemy', 'httpx', 'fastapi', 'rich'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", training_cli.app.registered_commands)
def test_the_trainers_commands_are_among_the_others(command: CommandInfo) -> None:
    assert command.callback is not None
    name = command.callback.__name__.replace("_", "-")
    outcome = RUNNER.invoke(cli.app, [name, "--help"])
    assert outcome.exit_code == 0, outcome.output
    first_line = str(command.callback.__doc__).splitlines()[0]
    assert first_line in " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("assumed", "sentence"),
    [
        (["gps_start"], "its middle was assumed to be at the GPS time"),
        (["energy_max"], "the picture has no labels that state it: a colour scale of 0 to 25.5."),
    ],
)
def test_embed_says_what_was_assumed(
    data_directory: Path,
    strain_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    assumed: list[str],
    sentence: str,
) -> None:
    write_token(data_directory, TOKEN)
    FakeService(monkeypatch, httpx.Response(201, json={**ANSWER, "assumed": assumed}))
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file)])
    assert outcome.exit_code == 0, outcome.output
    assert sentence in outcome.output


def test_embed_sends_files_fields_and_the_kept_token(
    data_directory: Path, strain_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_token(data_directory, TOKEN)
    service = FakeService(monkeypatch, httpx.Response(201, json=ANSWER))
    monkeypatch.setenv("GLITCH_PORT", "8123")
    arguments = ["--gps-time", "1126259462.4", "--ifo", "H1", "--no-store", "--view-duration-s"]
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file), *arguments, "4"])
    assert outcome.exit_code == 0, outcome.output
    [request] = service.requests
    assert (request["method"], request["url"]) == ("POST", "http://127.0.0.1:8123/embed")
    assert request["data"] == {
        "gps_time": "1126259462.4",
        "ifo": "H1",
        "view_duration_s": ["4.0"],
        "neighbours": "10",
        "store": "false",
        "centre": "true",
    }
    assert [(name, part[0]) for name, part in request["files"]] == [("file", "strain.hdf5")]  # type: ignore[attr-defined]
    shown_facts = (
        "Whistle, probability 97 %",
        "0190-x",
        "H1 1126259462.4",
        "100 ms later",
        "p = 0.03",
        "Chirp",
        "0.25",
    )
    for shown in shown_facts:
        assert shown in outcome.output
    assert "http://h/ui/glitches/0190-x" in outcome.output
    assert "simulated" in next(line for line in outcome.output.splitlines() if "Chirp" in line)
    assert "0.500" not in outcome.output  # the vector is only printed with --json


def test_embed_passes_the_scales_of_a_picture(
    data_directory: Path, strain_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_TOKEN", TOKEN)
    service = FakeService(monkeypatch, httpx.Response(201, json=ANSWER))
    scales = ["--energy-max", "15", "--frequency-range", "20,1024"]
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file), "--url", "http://h", *scales])
    assert outcome.exit_code == 0, outcome.output
    [request] = service.requests
    sent = request["data"]
    assert isinstance(sent, dict)
    assert (sent["energy_max"], sent["frequency_range"]) == ("15.0", "20,1024")


def test_embed_prints_the_answer_as_it_came(
    data_directory: Path, strain_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_TOKEN", TOKEN)
    FakeService(monkeypatch, httpx.Response(201, json=ANSWER))
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file), "--json", "--url", "http://h"])
    assert json.loads(outcome.stdout) == ANSWER


def test_embed_says_what_could_not_be_judged(
    data_directory: Path, strain_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_TOKEN", TOKEN)
    novelty = {
        "score": None,
        "p_value": None,
        "is_judged": False,
        "reason": "Could not be judged: too few.",
    }
    answer = {**ANSWER, "novelty": novelty, "neighbours": []}
    FakeService(monkeypatch, httpx.Response(200, json=answer))
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file)])
    assert "Could not be judged: too few." in outcome.output


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (
            httpx.Response(422, json={"detail": "Give gps_time.", "field": "gps_time"}),
            "Give --gps-time.",
        ),
        (httpx.Response(200, text="<html>"), "answered 200 and no JSON"),
    ],
)
def test_embed_tells_a_refusal_in_one_sentence(
    data_directory: Path,
    strain_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    response: httpx.Response,
    sentence: str,
) -> None:
    monkeypatch.setenv("GLITCH_TOKEN", TOKEN)
    FakeService(monkeypatch, response)
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file)])
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("error: ")
    assert sentence in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_embed_without_a_token_says_where_it_comes_from(
    data_directory: Path, strain_file: Path
) -> None:
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file)])
    assert (outcome.exit_code, outcome.stderr.count("GLITCH_TOKEN")) == (1, 1)


def test_embed_without_the_file_or_the_service_says_so(
    data_directory: Path, strain_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_TOKEN", TOKEN)
    outcome = RUNNER.invoke(cli.app, ["embed", str(data_directory / "absent")])
    assert "absent cannot be used (No such file or directory)" in outcome.stderr
    outcome = RUNNER.invoke(cli.app, ["embed", str(strain_file), "--url", "http://127.0.0.1:9"])
    assert "No service answers at http://127.0.0.1:9" in outcome.stderr
    assert outcome.exit_code == 1


def test_a_reader_of_the_output_may_go(
    data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLITCH_TOKEN", TOKEN)
    with pytest.raises(BrokenPipeError), service_at("http://h"):
        raise BrokenPipeError


@pytest.mark.parametrize("is_after", [False, True])
def test_options_count_before_the_environment(
    data_directory: Path, monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    elsewhere = data_directory / "elsewhere"
    elsewhere.mkdir()
    write_token(elsewhere, TOKEN)
    monkeypatch.setenv("GLITCH_PORT", "1")
    service = FakeService(monkeypatch, httpx.Response(200, json={"glitches": 832}))
    place, command = ["--data-dir", str(elsewhere), "--port", "8123"], ["demo", "--remove"]
    outcome = RUNNER.invoke(cli.app, [*command, *place] if is_after else [*place, *command])
    assert "832 simulated glitches were removed, with their labels, clusters" in outcome.output
    assert service.requests[0]["url"] == "http://127.0.0.1:8123/demonstration"
    assert RUNNER.invoke(cli.app, ["--version"]).output.startswith("glitch-discovery 0.")


def leaves(group: Any) -> Iterator[Any]:
    for one in group.commands.values():
        yield from leaves(one) if hasattr(one, "commands") else [one]


def test_every_command_of_the_service_takes_its_place() -> None:
    for command in leaves(typer.main.get_command(cli.app)):
        options = [option for one in command.params for option in one.opts]
        is_of_the_service = command.callback.__module__.startswith("app.")
        for option in ("--data-dir", "--port"):
            assert options.count(option) == is_of_the_service, command.name


@pytest.mark.parametrize("command", ["migrate", "publish"])
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("mysql://host/glitch", "only PostgreSQL is supported"),
        ("postgresql://nobody@127.0.0.1:9/glitch", "The database cannot be reached or used"),
    ],
)
def test_a_wrong_database_is_reported_without_a_traceback(
    data_directory: Path, monkeypatch: pytest.MonkeyPatch, command: str, address: str, sentence: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", address)
    outcome = RUNNER.invoke(cli.app, [command])
    assert outcome.exit_code == 1
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.output


def test_the_life_of_a_token(
    data_directory: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    made = RUNNER.invoke(cli.app, ["token", "create", "a pipeline", "--role", "reader"])
    assert made.exit_code == 0, made.output
    secret = made.stdout.strip()
    assert len(secret) >= 43
    listed = RUNNER.invoke(cli.app, ["token", "list"]).stdout
    [row] = [line for line in listed.splitlines() if "a pipeline" in line]
    assert "reader" in row
    assert secret not in listed
    monkeypatch.setenv("GLITCH_PORT", "8123")
    link = RUNNER.invoke(cli.app, ["token", "link", "a pipeline"]).stdout
    assert link.startswith("http://127.0.0.1:8123/ui/login?code=")
    monkeypatch.setenv("GLITCH_PUBLIC_URL", "https://glitches.example.org/")
    link = RUNNER.invoke(cli.app, ["token", "link", "a pipeline"]).stdout
    assert link.startswith("https://glitches.example.org/ui/login?code=")
    identifier = row.split()[0]
    assert RUNNER.invoke(cli.app, ["token", "revoke", identifier]).exit_code == 0
    again = RUNNER.invoke(cli.app, ["token", "revoke", identifier])
    assert (again.exit_code, again.stderr.startswith("error: ")) == (1, True)
    wrong = RUNNER.invoke(cli.app, ["token", "create", "x", "--role", "emperor"])
    assert (wrong.exit_code, wrong.stderr.startswith("error: ")) == (1, True)


def test_an_empty_database_asks_for_migration(
    data_directory: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    outcome = RUNNER.invoke(cli.app, ["token", "list"])
    assert "run `glitch-discovery migrate`" in outcome.stderr
    assert RUNNER.invoke(cli.app, ["migrate"]).exit_code == 0
    assert RUNNER.invoke(cli.app, ["token", "list"]).exit_code == 0
    assert os.environ["DATABASE_URL"] == empty_database_url
