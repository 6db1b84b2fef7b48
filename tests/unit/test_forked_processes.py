"""Several processes run the files of tests as one would, and what becomes of each is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FILES = {
    "conftest.py": """
        import os, pathlib, pytest
        @pytest.fixture(scope="session")
        def shared(tmp_path_factory):
            yield tmp_path_factory.mktemp("of_one_process")
            (pathlib.Path(__file__).parent / f"ended.{os.getpid()}").touch()
        """,
    "test_killed.py": """
        import os
        def test_before(shared): pass
        def test_killed(): os.kill(os.getpid(), 9)
        def test_never_run(): pass
        """,
    "test_fails.py": """
        import time
        def test_waits(shared): time.sleep(1)
        def test_fails():
            print("what it said")
            assert [1, 2] == [1, 3]
        """,
    "test_passes.py": """
        import pytest
        @pytest.mark.parametrize("number", range(40))
        def test_passes(shared, tmp_path, number): assert tmp_path.is_dir()
        """,
}


def test_all_is_run_once_and_the_dead_are_told(tmp_path: Path) -> None:
    for name, content in FILES.items():
        lines = content.strip("\n").splitlines()
        (tmp_path / name).write_text("\n".join(line[8:] for line in lines))
    command = [sys.executable, "-m", "pytest", "-p", "forked_processes", "--processes", "2"]
    options = ["-p", "no:cacheprovider", "--basetemp", str(tmp_path / "temporary"), "-ra"]
    run = subprocess.run(
        [*command, *options, "-c", "/dev/null", "--rootdir", ".", "."],
        env={"PYTHONPATH": str(TESTS), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "2 failed, 42 passed" in run.stdout, run.stdout + run.stderr
    assert "the process of this test ended SIGKILL" in run.stdout
    assert "FAILED test_killed.py::test_killed" in run.stdout
    assert "At index 1 diff: 2 != 3" in run.stdout
    assert "what it said" in run.stdout
    assert len(list(tmp_path.glob("ended.*"))) == 1  # by the process that was not killed
