"""Files of tests in several processes, forked once everything is collected: ``--processes 4``.

Collecting imports every library there is, for a quarter of a minute of processor time; forked, the
processes share what one has imported. Each takes the next file as soon as it is done with its last,
so that what the tests of a file share (a database, a service) is started once.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import traceback
from collections.abc import Iterator, Sequence
from io import FileIO, StringIO
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import pytest

NUMBER_BYTES = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=1, help="how many run the files of tests")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """In place of pytest's own loop, where there are to be several."""
    wanted, config = session.config.getoption("processes"), session.config
    if wanted < 2 or session.testsfailed or config.option.collectonly:
        return None
    config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one, for all of them
    files = [list(items) for _, items in groupby(session.items, key=lambda item: item.path)]
    queue, numbers = os.pipe()
    os.write(numbers, b"".join(place.to_bytes(NUMBER_BYTES, "big") for place in range(len(files))))
    os.close(numbers)  # so that whoever finds none left sees the end
    with selectors.DefaultSelector() as selector:
        for _ in range(min(wanted, len(files))):
            reports, told = os.pipe()
            if (child := os.fork()) == 0:
                _run_as_child(session, taken(queue, files), told)
            os.close(told)
            selector.register(reports, selectors.EVENT_READ, Told(session, child))
        while selector.get_map():
            for key, _ in selector.select():
                if content := os.read(key.fd, 1 << 20):
                    key.data.hear(content)
                    continue
                selector.unregister(key.fd)
                os.close(key.fd)
                key.data.ends()
            if session.shouldfail or session.shouldstop:  # after what is under way
                while os.read(queue, NUMBER_BYTES * len(files)):
                    continue
    os.close(queue)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    return True


def taken(queue: int, files: Sequence[list[pytest.Item]]) -> Iterator[pytest.Item]:
    """The tests of one file after the other that no other process has taken."""
    while number := os.read(queue, NUMBER_BYTES):
        yield from files[int.from_bytes(number, "big")]


class Telling:
    """In a child: tells the parent of each test that begins, and of each report."""

    def __init__(self, config: pytest.Config, told: int) -> None:
        self._config, self._file = config, FileIO(told, "wb")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell({"begins": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook.pytest_report_to_serializable
        self._tell({"report": hook(config=self._config, report=report)})

    def _tell(self, message: dict[str, object]) -> None:
        left = memoryview(json.dumps(message).encode() + b"\n")
        while left:
            left = left[self._file.write(left) :]


class Told:
    """What one child has told the parent: reports go the way of those of its own tests."""

    def __init__(self, session: pytest.Session, child: int) -> None:
        self._session, self._child = session, child
        self._unread, self._at = b"", ""

    def hear(self, content: bytes) -> None:
        *lines, self._unread = (self._unread + content).split(b"\n")
        for message in map(json.loads, lines):
            self._at = message.get("begins", self._at)
            if found := message.get("report"):
                hook = self._session.config.hook.pytest_report_from_serializable
                self._report(hook(config=self._session.config, data=found))

    def ends(self) -> None:
        """Report a child that did not get to its end as a failure of the test it was at."""
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        if code:
            how = signal.Signals(-code).name if code < 0 else f"with {code}"
            told = f"the process of this test ended {how}; the rest of its file was not run"
            at = self._at or str(Path(__file__).name)
            self._report(pytest.TestReport(at, (at, None, at), {}, "failed", told, "call"))

    def _report(self, report: pytest.TestReport) -> None:
        self._session.config.hook.pytest_runtest_logreport(report=report)


def _run_as_child(session: pytest.Session, items: Iterator[pytest.Item], told: int) -> NoReturn:
    code = 1
    try:
        atexit._clear()  # the parent's to do
        _write_nothing(session.config)
        session.config.pluginmanager.register(Telling(session.config, told))
        _run(session, items)
        code = 0
    except BaseException:  # noqa: BLE001 - of pytest itself or a plugin, or Ctrl-C
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


def _run(session: pytest.Session, items: Iterator[pytest.Item]) -> None:
    """As pytest's own loop does, but for the list of tests."""
    try:
        item = next(items, None)
        while item is not None:
            following = next(items, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                return
            item = following
    finally:  # what a session has started ends here, also after Ctrl-C
        session.config.hook.pytest_sessionfinish(session=session, exitstatus=0)


def _write_nothing(config: pytest.Config) -> None:
    """The parent writes what the children tell; each child has its own file of captured output."""
    config.get_terminal_writer()._file = StringIO()
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()
