"""Errors that stop a start. Each message says what is wrong and what to do.

Errors that a person can correct become that sentence and an exit code; others keep their traceback.
"""

import contextlib
import sys
from collections.abc import Iterator


class LaunchError(Exception):
    """A reason, in words for an operator, why the service cannot start or go on."""


class DataDirectoryBusyError(LaunchError):
    """Another process holds the data directory."""


class ChildFailedError(LaunchError):
    """A child process ended with an error that it has already reported on the terminal."""

    def __init__(self, name: str, exit_code: int) -> None:
        super().__init__(f"{name} ended with exit code {exit_code}.")
        self.exit_code = exit_code


FAILED = 1


@contextlib.contextmanager
def reported_as_sentences(*, but_not: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Print the sentence of a foreseen error to standard error and exit with its code.

    What is ``but_not`` passes without a look, which takes half a second of imports.

    Raises:
        SystemExit: in place of the foreseen errors.
    """
    try:
        yield
    except but_not:
        raise
    except ChildFailedError as error:  # it has given its own reason already
        raise SystemExit(error.exit_code) from None
    except LaunchError as error:
        _fail(str(error))
    except Exception as error:
        sentence = _foreseen(error)
        if sentence is None:
            raise
        _fail(sentence)


def _foreseen(error: Exception) -> str | None:
    """The sentence of a domain or database error. Imported late: they are slow to import."""
    from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

    from app.core.engine import DatabaseUrlError
    from app.core.errors import ServiceError
    from app.core.migrate import MigrationsNotFoundError
    from glitch.errors import GlitchError

    if isinstance(error, ServiceError | GlitchError | DatabaseUrlError | MigrationsNotFoundError):
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
