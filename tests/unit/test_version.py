"""There is one version, that of the next release during development, and a changelog for it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.version import Version
from typer.testing import CliRunner

from app.cli import app
from glitch_discovery.version import VERSION

ROOT = Path(__file__).parents[2]


def test_the_command_says_it() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"glitch-discovery {VERSION}\n"


@pytest.mark.parametrize("folder", [ROOT, ROOT / "glitch_discovery"])
def test_distributions_take_it_from_its_one_place(folder: Path) -> None:
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert "version" not in settings["project"]
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "glitch_discovery.version.VERSION"
    }


def test_changelog_and_citation_follow() -> None:
    """During development, the changelog begins with `Unreleased` and the citation is older.

    At a release, both have its number.
    """
    on_top = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert on_top is not None
    cited = Version(yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"])
    if Version(VERSION).is_devrelease:
        assert on_top[1] == "Unreleased"
        assert cited < Version(VERSION)
    else:
        assert on_top[1] == VERSION
        assert cited == Version(VERSION)
