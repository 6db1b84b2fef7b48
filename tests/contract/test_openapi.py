"""The OpenAPI document equals the committed file, and the documentation covers what it lists."""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import re
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.core.settings import Settings
from app.launch.settings import LaunchSettings
from app.main import create_app

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def application() -> FastAPI:
    return create_app(Settings(log_level="error"))


def operations(application: FastAPI) -> list[tuple[str, str, dict[str, object]]]:
    return [
        (method.upper(), path, operation)
        for path, item in application.openapi()["paths"].items()
        for method, operation in item.items()
    ]


def test_document_is_the_one_that_clients_know(application: FastAPI) -> None:
    known = (Path(__file__).with_name("openapi.json")).read_text()
    document = application.openapi()
    now = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    diff = "\n".join(difflib.unified_diff(known.splitlines(), now.splitlines(), lineterm="", n=2))
    assert not diff, f"meant? Then run python scripts/write_openapi.py and commit it:\n{diff}"


def test_document_is_served_and_whole(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["license"]["identifier"] == "GPL-3.0-or-later"
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', str(document)))
    assert references <= document["components"]["schemas"].keys()


def test_each_operation_says_what_it_does(application: FastAPI) -> None:
    ids = []
    for method, path, operation in operations(application):
        assert operation.get("summary"), (method, path)
        assert operation.get("description"), (method, path)
        ids.append(operation["operationId"])
        for status, response in operation["responses"].items():  # type: ignore[attr-defined]
            if status.startswith(("4", "5")):
                assert list(response["content"]) == ["application/problem+json"], (path, status)
    assert len(ids) == len(set(ids))


def test_contract_routes_exist(application: FastAPI) -> None:
    present = {(method, path) for method, path, _ in operations(application)}
    assert present >= {
        ("POST", "/embed"),
        ("POST", "/neighbours"),
        ("GET", "/glitches"),
        ("GET", "/glitches/{glitch_id}"),
        ("GET", "/glitches/{glitch_id}/neighbours"),
        ("GET", "/glitches/{glitch_id}/views/{duration}.png"),
        ("GET", "/glitches/{glitch_id}/labels"),
        ("POST", "/glitches/{glitch_id}/labels"),
        ("GET", "/classes"),
        ("GET", "/checkpoints"),
        ("GET", "/jobs"),
        ("GET", "/jobs/{job_id}"),
        ("GET", "/jobs/{job_id}/items"),
        ("GET", "/jobs/{job_id}/events"),
        ("POST", "/jobs/{job_id}/cancel"),
        ("POST", "/jobs/{job_id}/retry"),
        ("POST", "/clusters/runs"),
        ("GET", "/clusters/runs"),
        ("GET", "/clusters"),
        ("GET", "/clusters/{cluster_id}"),
        ("GET", "/clusters/{cluster_id}/members"),
        ("GET", "/label-audit"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/search/similarity_search_restful_API/"),
    }


def test_each_route_is_documented_with_a_command(application: FastAPI) -> None:
    text = (DOCS / "api.md").read_text()
    for method, path, _ in operations(application):
        shown = re.sub(r"{(glitch|job|cluster)_id}", "{id}", path)
        heading = f"`{method} {shown}`"
        assert heading in text, f"docs/api.md lacks {heading}"
        section = text.split(heading, 1)[1].split("\n## ", 1)[0]
        assert "curl" in section, f"docs/api.md shows no curl for {heading}"


def _explained(settings: type) -> set[str]:
    """Return the fields of a settings class that are followed by a docstring in its source."""
    [written] = ast.parse(inspect.getsource(settings)).body
    assert isinstance(written, ast.ClassDef)
    return {
        field.target.id
        for field, after in pairwise(written.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


def test_each_setting_is_documented() -> None:
    text = (DOCS / "operations" / "settings.md").read_text()
    explained = _explained(Settings) | _explained(LaunchSettings)
    for name, field in LaunchSettings.model_fields.items():
        variable = field.validation_alias or f"GLITCH_{name.upper()}"
        row = re.search(rf"^\| `{variable}` \| (.+) \| (.+) \|$", text, re.MULTILINE)
        assert row, f"docs/operations/settings.md lacks {variable}"
        default = field.get_default(call_default_factory=True)
        shown = str(default).lower() if isinstance(default, bool) else f"{default}"
        expected = "unset" if default in (None, (), {}, "") else f"`{shown}`"
        assert row[1] in {expected, "as in [Sign-on](sign-on.md)"}, (variable, row[1], expected)
        assert name in explained, f"{name} has no docstring"
    known = {field.validation_alias for field in LaunchSettings.model_fields.values()}
    known |= {f"GLITCH_{name.upper()}" for name in LaunchSettings.model_fields}
    assert set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE)) <= known


def test_each_problem_type_is_documented() -> None:
    from app.core.failures import FAILURES

    text = (DOCS / "api.md").read_text()
    for failure in FAILURES.values():
        row = rf"`{failure.code}` +\| {failure.status} "
        assert re.search(row, text), f"docs/api.md lacks {failure.code}"
