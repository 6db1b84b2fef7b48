"""What several commands share: options, errors as sentences, the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from app.launch.database import Database


JobId = Annotated[UUID, typer.Argument(metavar="ID", help="As `jobs list` shows it.")]
ServiceUrl = Annotated[
    str | None,
    typer.Option("--url", envvar="GLITCH_URL", help="The service. Default: the one of `up`."),
]


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Within it, what a user can act on is told as a sentence, not a traceback."""
    from app.launch.sentences import told_as_sentences

    with told_as_sentences():
        yield


@contextlib.contextmanager
def open_store() -> Iterator[Database]:
    """The database that the settings name; for the embedded one, started if need be."""
    from app.launch.database import open_database
    from app.launch.settings import read_settings

    with open_database(read_settings()) as database:
        yield database
