"""What can stop a start. Each message is one sentence or two: what is wrong, what to do."""

from __future__ import annotations


class LaunchError(Exception):
    """A reason, in words for an operator, why the service cannot start or go on."""


class DataDirectoryBusyError(LaunchError):
    """Another process holds the data directory."""


class ChildFailedError(LaunchError):
    """A child process ended with an error that it has already reported on the terminal."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"{name} ended with exit code {exit_code}.")
        self.exit_code = exit_code
