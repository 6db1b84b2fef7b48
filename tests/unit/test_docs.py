"""The documentation covers every command, setting and make target, and its links work."""

import re
from pathlib import Path

import pytest
import typer

from app.cli import app
from app.core.settings import Settings
from app.launch.settings import LaunchSettings
from training.views.config import load_config

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def command_lines(command: object, words: str) -> list[str]:
    children = getattr(command, "commands", None)
    if children is None:
        return [words]
    return [
        line for name, child in children.items() for line in command_lines(child, f"{words} {name}")
    ]


@pytest.mark.parametrize("line", command_lines(typer.main.get_command(app), "glitch-discovery"))
def test_every_command_is_documented(line: str) -> None:
    assert f"`{line}`" in TEXT or f"`{line} " in TEXT


@pytest.mark.parametrize(
    "name", sorted(set(LaunchSettings.model_fields) - set(Settings.model_fields))
)
def test_every_setting_of_the_start_is_documented(name: str) -> None:
    assert f"`GLITCH_{name.upper()}`" in (ROOT / "docs/operations/running.md").read_text()


@pytest.mark.parametrize("target", ["up", "test", "lint", "bench", "clean"])
def test_every_make_target_is_documented_and_exists(target: str) -> None:
    assert f"make {target}" in " ".join(TEXT.split())
    assert f"\n{target}:" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Only relative links are checked; others would need the network."""
    text = page.read_text(encoding="utf-8")
    targets = [part.split(")")[0] for part in text.split("](")[1:]]
    broken = [
        target
        for target in targets
        if not target.startswith(("http", "mailto")) and not leads_somewhere(page, target)
    ]
    assert broken == []


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = page.parent / path if path else page
    if not (anchor and found.suffix == ".md"):
        return found.exists()
    headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", one.lower()) for one in headings)
    return anchor in {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", one)) for one in plain}


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    paths = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/**/*.md")]
    assert [str(path) for path in paths if f" {path}\n" not in nav and path.name[:1] != "0"] == []


@pytest.mark.parametrize("page", ["README.md", "docs/science/model.md"])
def test_pages_make_the_packs_that_the_recipe_which_ships_reads(page: str) -> None:
    made = re.findall(r"simulate-pack (\S+) ", (ROOT / page).read_text(encoding="utf-8"))
    data = load_config(ROOT / "training/configs/shipped.yaml").data
    assert made == [data.simulated, *data.more_simulated]
