"""The probes that record which lines the tests reach: they record, and change nothing else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from coverage import Coverage
from line_coverage import Probes

from glitch.images.grid import shares

CODE = '''"""Of the test below."""


def sign(number: int) -> str:
    if number > 0:
        return "+"
    raise ValueError(
        f"of several lines: {number}"
    )
'''


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Probes]:
    """Probes for a package of the test, which jaxtyping checks like those of this project."""
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "used.py").write_text(CODE)
    (package / "unused.py").write_text("number = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    hook = jaxtyping.install_import_hook("some_package", "beartype.beartype")
    probes = Probes(tmp_path, ["some_package"])
    sys.meta_path.insert(0, probes)
    yield probes
    sys.meta_path.remove(probes)
    hook.uninstall()
    for name in [name for name in sys.modules if name.startswith("some_package")]:
        del sys.modules[name]


def test_lines_are_counted_and_types_are_checked(probes: Probes, tmp_path: Path) -> None:
    used = importlib.import_module("some_package.used")
    assert used.sign(3) == "+"
    with pytest.raises(jaxtyping.TypeCheckError):
        used.sign("three")
    probes.save(tmp_path / ".coverage")
    report = Coverage(tmp_path / ".coverage", config_file=False)
    report.load()
    for name, lines, missed in (("used", [4, 5, 6, 7], [7]), ("unused", [1], [1])):
        found = report.analysis2(str(tmp_path / "some_package" / f"{name}.py"))
        assert (found[1], found[3]) == (lines, missed)


def test_shapes_and_dtypes_of_this_project_are_checked_in_its_tests() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        shares(np.zeros((2, 2)), 0)  # floats instead of booleans
