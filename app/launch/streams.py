"""Standard streams that may be closed, or whose reader may leave: the service continues."""

import contextlib
import os
import sys

from rich.console import Console


def open_closed_streams() -> None:
    """Give each standard stream that is closed the null device.

    Else the next lock or socket would get its number, and a child of ours write its lines there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def print_line(line: str) -> None:
    """Print to standard output; nothing where its reader has left."""
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError:
        with contextlib.closing(open(os.devnull, "w")) as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class RobustConsole(Console):
    """A console that falls silent once its reader has left; Rich would end the program."""

    def on_broken_pipe(self) -> None:
        """Say nothing from now on."""
        self.quiet = True
