"""Line coverage of our packages, measured by probes and reported by coverage.py.

On Python 3.11 coverage.py's own tracer is called for every call in every library, and takes as much
processor time as the tests. SlipCover inserts a probe before each line when a module is imported.

    LINE_COVERAGE=1 pytest tests/unit   # each test process writes a file
    coverage combine && coverage report

Only the processes of the tests are measured, not the services that they start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

from coverage import CoverageData
from slipcover import Slipcover

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("glitch", "glitch_discovery", "training", "app", "worker")
NEVER = sys.maxsize  # keep probes after a hit: removing one makes SlipCover replace live functions


class Probes(MetaPathFinder):
    """Finder of modules of some packages: delegates to the other finders and adds probes."""

    def __init__(self, root: Path, packages: Sequence[str]) -> None:
        self.root, self.packages = root, packages
        self._lines = Slipcover(d_miss_threshold=NEVER)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self.packages:
            return None
        others = (one for one in sys.meta_path if one is not self)
        found = (one.find_spec(fullname, path, target) for one in others)
        spec = next((one for one in found if one is not None), None)
        # Patch the loader instead of replacing it, so that jaxtyping's import hook still works.
        if spec is not None and isinstance(loader := spec.loader, SourceLoader):
            get_code = loader.get_code

            def with_probes(name: str) -> CodeType:
                return self._lines.instrument(get_code(name))

            loader.get_code = with_probes  # type: ignore[method-assign]
        return spec

    def save(self, path: Path) -> None:
        """Write the executed lines for coverage.py, listing files without any such line too."""
        reached = {
            str(self.root / name): found["executed_lines"]
            for name, found in self._lines.get_coverage()["files"].items()
        }
        data = CoverageData(str(path))
        data.add_lines(reached)
        for package in self.packages:
            data.touch_files(str(one) for one in (self.root / package).rglob("*.py"))
        data.write()


if "LINE_COVERAGE" in os.environ:
    early = sorted(set(PACKAGES) & sys.modules.keys())
    assert not early, f"{early} were imported before probes could be put in them"
    probes = Probes(ROOT, PACKAGES)
    sys.meta_path.insert(0, probes)

    def pytest_sessionfinish() -> None:
        os.chdir(ROOT)  # SlipCover's file names are relative to the working directory
        probes.save(ROOT / f".coverage.{os.getpid()}")
