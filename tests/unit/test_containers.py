"""Static checks of the Dockerfile and the compose file; no container engine is needed."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from uvicorn.main import main as uvicorn_command

from app.server.http_protocol import GRACEFUL_STOP_S, KEEP_ALIVE_S

ROOT = Path(__file__).parents[2]
Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    """The instructions of the Dockerfile in order, with continued lines joined."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [
        (name.upper(), rest.strip()) for name, _, rest in (one.partition(" ") for one in joined)
    ]


@pytest.fixture(scope="module")
def final(instructions: list[Instruction]) -> list[Instruction]:
    """The instructions of the last build stage."""
    last = max(n for n, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def values(stage: list[Instruction], name: str) -> list[str]:
    return [rest for found, rest in stage if found == name]


def test_the_last_stage_has_no_build_tools_and_no_root(final: list[Instruction]) -> None:
    users = values(final, "USER")
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), "by number, and not 0"
    after = final[[name for name, _ in final].index("USER") :]
    assert not {name for name, _ in after} & {"RUN", "COPY", "ADD"}
    assert not any("pip install" in rest or "apt-get" in rest for rest in values(final, "RUN"))
    assert values(final, "HEALTHCHECK")
    assert values(final, "VOLUME") == ["/data"]


def test_images_are_named_by_tag_and_digest(
    instructions: list[Instruction], compose: dict[str, Any]
) -> None:
    arguments = dict(rest.partition("=")[::2] for rest in values(instructions, "ARG"))
    images = [compose["services"][name]["image"] for name in ("db", "redis")]
    for base in values(instructions, "FROM"):
        images.append(re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], base.split()[0]))
    for image in images:
        assert re.fullmatch(r"[a-z/]+:(?!latest@)[\w.-]+@sha256:[0-9a-f]{64}", image)


def test_the_image_has_no_secrets_and_downloads_nothing(instructions: list[Instruction]) -> None:
    assert not values(instructions, "ADD")
    for name, rest in instructions:
        assert not re.search(r"curl |wget |chmod 777|sudo ", rest), rest
        if name in ("ARG", "ENV"):
            assert not re.search("PASSWORD|TOKEN|SECRET|_KEY", rest), rest
    for rest in values(instructions, "WORKDIR"):
        assert rest.startswith("/")


def test_everything_that_is_copied_is_there_and_sent(instructions: list[Instruction]) -> None:
    sent = {
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        source
        for rest in values(instructions, "COPY")
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert len(copied) > 8
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in sent, source


def test_commands_are_ones_that_the_programs_take(final: list[Instruction]) -> None:
    words = json.loads(values(final, "CMD")[-1])
    assert words[0] == "uvicorn"
    context = uvicorn_command.make_context("uvicorn", words[1:])
    chosen = context.params
    assert chosen["timeout_graceful_shutdown"] == GRACEFUL_STOP_S
    assert chosen["timeout_keep_alive"] == KEEP_ALIVE_S
    assert not chosen["server_header"]
    assert not chosen["access_log"]
    for name in (chosen["app"], chosen["http"]):
        module, _, attribute = name.partition(":")
        assert hasattr(importlib.import_module(module), attribute)
    check = json.loads(values(final, "HEALTHCHECK")[-1].partition("CMD")[2])
    compile(check[2], "the health check", "exec")
    assert f":{values(final, 'EXPOSE')[0]}/readyz" in check[2]


def test_every_container_is_bounded(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"db", "redis", "migrate", "api", "worker", "beat"}
    for name, service in services.items():
        assert re.search(r"\d+[mg]", service["mem_limit"]), name
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service, name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        if name != "db":  # its image starts as root to change the owner of its folder
            assert service["cap_drop"] == ["ALL"], name
            assert service["read_only"], name


def test_only_the_api_port_is_published_on_this_machine(compose: dict[str, Any]) -> None:
    ports = {name: one["ports"] for name, one in compose["services"].items() if "ports" in one}
    assert ports == {"api": ["${GLITCH_BIND:-127.0.0.1}:${GLITCH_PORT:-8000}:8000"]}


def test_stops_end_before_the_kill(compose: dict[str, Any]) -> None:
    def grace_s(name: str) -> int:
        return int(compose["services"][name]["stop_grace_period"].removesuffix("s"))

    assert grace_s("api") >= 2 * GRACEFUL_STOP_S
    assert grace_s("worker") >= 30  # a worker returns its chunk to the queue within seconds
    assert grace_s("db") >= 60


def test_containers_wait_for_their_dependencies(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("api", "worker", "beat"):
        needs = services[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        if name != "api":
            assert needs["redis"]["condition"] == "service_healthy"
    for name in ("db", "redis"):
        assert services[name]["healthcheck"]["test"]


def test_secrets_have_no_default(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert re.findall(rf"\$\{{{name}:-", text) == []
        assert f"${{{name}:?" in text
