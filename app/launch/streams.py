"""Standard streams that are closed or whose reader has gone: the service continues."""

import contextlib
import os
import sys

from rich.console import Console


def open_closed_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next lock or socket would get its number, and a child process could write its
    output into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def print_line(line: str) -> None:
    """Print to standard output; later output is discarded if the reader has gone."""
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError:
        with contextlib.closing(open(os.devnull, "w")) as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class RobustConsole(Console):
    """A console that becomes silent when its reader has gone; Rich would end the program."""

    def on_broken_pipe(self) -> None:
        """Discard all further output."""
        self.quiet = True
