"""Jobs in processes of their own: progress, stopping, failing and being killed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from works_apart import do

from glitch.errors import GlitchError
from training.core.parallel import Work, run_all


def works(folder: Path, *endings: str) -> list[Work]:
    return [
        Work(f"work {index}", 3, partial(do, folder, str(index), ending))
        for index, ending in enumerate(endings)
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_all_works_are_done_and_their_steps_reported(tmp_path: Path, jobs: int) -> None:
    steps: list[tuple[int, int | None, str]] = []
    assert run_all(
        works(tmp_path, "done", "done"), jobs=jobs, progress=lambda *one: steps.append(one)
    )
    done = [one[0] for one in steps]
    assert done == sorted(done)
    assert {total for _, total, _ in steps} == {6}
    assert max(done) >= 3 + 3 * (jobs == 1)
    workers = {(tmp_path / name).read_text() for name in "01"}
    assert len(workers) == jobs
    assert (str(os.getpid()) in workers) is (jobs == 1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stopped_work_stops_what_has_not_started(tmp_path: Path, jobs: int) -> None:
    assert not run_all(
        works(tmp_path, "stopped", "stopped", "done"), jobs=jobs, progress=lambda *_: None
    )
    assert not (tmp_path / "2").exists()


@pytest.mark.parametrize(
    ("ending", "words"),
    [("error", "work 0: the loss is not finite"), ("killed", "work 0 was killed.*fewer jobs")],
)
def test_a_failure_names_its_work_and_lets_the_others_save(
    tmp_path: Path, ending: str, words: str
) -> None:
    with pytest.raises(GlitchError, match=words):
        run_all(works(tmp_path, ending, "waits"), jobs=2, progress=lambda *_: None)
    assert (tmp_path / "1.saved").exists()


def test_a_terminals_interrupt_does_not_reach_a_work_that_has_just_been_started(
    tmp_path: Path,
) -> None:
    interrupted: list[int] = []

    def interrupt(*_progress: object) -> None:
        for process in multiprocessing.active_children():
            if process.pid is not None and process.pid not in interrupted:
                os.kill(process.pid, signal.SIGINT)  # while it is importing
                interrupted.append(process.pid)

    assert run_all(works(tmp_path, "done", "done"), jobs=2, progress=interrupt)
    assert len(interrupted) == 2


def test_works_whose_command_is_killed_save_and_end_without_a_trace(tmp_path: Path) -> None:
    code = (
        "import sys; from functools import partial; from pathlib import Path; "
        "from works_apart import do; from training.core.parallel import Work, run_all; "
        "run_all([Work(name, 3, partial(do, Path(sys.argv[1]), name, 'waits')) for name in '01'], "
        "jobs=2, progress=lambda *_: None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
    ) as command:
        while len(list(tmp_path.glob("*.waits"))) < 2:
            assert command.poll() is None
            time.sleep(0.01)
        command.kill()
        _, err = command.communicate(timeout=60)  # ends when all processes that hold it have ended
    assert {path.name for path in tmp_path.glob("*.saved")} == {"0.saved", "1.saved"}
    assert b"Traceback" not in err, err.decode()


def test_a_work_that_has_ended_is_not_cut_off_at_its_processs_end(tmp_path: Path) -> None:
    def interrupt(*_progress: object) -> None:
        while len(list(tmp_path.glob("*.ending"))) != 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    assert not run_all(works(tmp_path, "lingers", "lingers"), jobs=2, progress=interrupt)
    assert len(list(tmp_path.glob("*.ended"))) == 2
