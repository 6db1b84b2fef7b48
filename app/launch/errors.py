"""Errors that stop a start. Each message says what is wrong and what to do.

Errors that a user can correct are printed as one sentence with an exit code. Others keep their
traceback.
"""

import contextlib
import sys
from collections.abc import Iterator

from app.core.errors import LaunchError


class DataDirectoryBusyError(LaunchError):
    """Another process is using the data directory."""


class ChildFailedError(LaunchError):
    """A child process ended with an error that it has already reported on the terminal."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"{name} ended with exit code {exit_code}.")
        self.exit_code = exit_code


FAILED = 1


@contextlib.contextmanager
def reported_as_sentences(*, except_for: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Print expected errors to standard error as one sentence, and exit with their code.

    Exceptions of the types ``except_for`` pass unchanged. Checking the others imports slow modules,
    half a second.

    Raises:
        SystemExit: instead of the expected errors.
    """
    try:
        yield
    except except_for:
        raise
    except ChildFailedError as error:  # it has already reported its reason
        raise SystemExit(error.exit_code) from None
    except LaunchError as error:
        _fail(str(error))
    except Exception as error:
        sentence = _foreseen(error)
        if sentence is None:
            raise
        _fail(sentence)


def _foreseen(error: Exception) -> str | None:
    """Return the message for a domain or database error, whose classes are slow to import."""
    from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

    from app.core.errors import ServiceError
    from glitch.errors import GlitchError

    if isinstance(error, ServiceError | GlitchError):
        return str(error)
    if isinstance(error, ProgrammingError) and "does not exist" in str(error.orig):
        return "The database lacks tables of this version: run `glitch-discovery migrate`."
    if isinstance(error, DBAPIError) and "extension" in str(error.orig):
        return (
            f"The database lacks pgvector ({_first_line(error.orig)}): have an administrator "
            "install it and run CREATE EXTENSION vector in this database."
        )
    if isinstance(error, OperationalError):
        return (
            f"The database cannot be reached or used ({_first_line(error.orig)}): check "
            "DATABASE_URL and the server."
        )
    return None


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no reason given"


def _fail(sentence: str) -> None:
    sys.stdout.flush()
    print(f"error: {sentence}", file=sys.stderr, flush=True)  # noqa: T201
    raise SystemExit(FAILED)
