"""The code keeps its structure: short modules, small folders, each package on its page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 500
MAX_MODULES = 20  # in one folder, without its __init__


def modules_of(package: str) -> list[Path]:
    found = [path for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"]
    assert found
    return found


@pytest.mark.parametrize("package", ["app", "glitch", "training", "worker"])
def test_modules_are_small(package: str) -> None:
    lines = {path: path.read_text().count("\n") for path in modules_of(package)}
    assert not {path: n for path, n in lines.items() if n > MAX_LINES}


@pytest.mark.parametrize("package", ["app", "benchmarks", "glitch", "training", "worker"])
def test_folders_are_not_crowded(package: str) -> None:
    folders = Counter(path.parent for path in modules_of(package))
    assert not {folder: n for folder, n in folders.items() if n > MAX_MODULES}


def test_every_room_is_shown_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = [path.parent.name for path in (ROOT / "app").glob("*/__init__.py")]
    assert len(rooms) > 10
    assert not [room for room in rooms if f"`{room}/`" not in text]


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        ("worker.main", {"torch"}),
        ("app.launch.up", {"torch", "sqlalchemy", "numpy", "httpx"}),
        ("app.main", {"scipy", "matplotlib"}),
    ],
)
def test_processes_start_without_what_they_do_not_need(module: str, slow: set[str]) -> None:
    """Processes start without importing modules that they may not need.

    A worker embeds only if a job asks for it, and the supervisor starts other processes first.
    """
    code = f"import sys, {module}; print(*(set(sys.modules) & {slow}))"
    found = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    assert found.stdout.split() == []


def test_every_lock_of_the_database_has_a_number_of_its_own() -> None:
    """Two locks with the same number would wait for each other without need, and could deadlock."""
    numbers = [
        number
        for path in [*(ROOT / "app").rglob("*.py"), ROOT / "alembic" / "env.py"]
        for number in re.findall(r"_LOCK = ([\d_]+)", path.read_text())
    ]
    assert len(numbers) >= 3
    assert len(set(numbers)) == len(numbers)
