"""Shared parts of the commands: options, environment, database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.launch.database import Database


JobId = Annotated[UUID, typer.Argument(metavar="ID", help="Id of the job, from `jobs list`.")]
ServiceUrl = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="GLITCH_URL", help="Address of the service. Default: that of `up`."
    ),
]
EnergyMax = Annotated[
    float | None,
    typer.Option(help="For pictures: energy at the top of the colour scale. Default: 25.5."),
]
FrequencyRange = Annotated[
    str | None, typer.Option(help="For pictures: lowest and highest Hz. Default: 10,2048.")
]


def given(arguments: Mapping[str, Any], *but: str) -> dict[str, Any]:
    """Return the arguments of a command that are fields of its request, ids as texts."""
    fields = {name: value for name, value in arguments.items() if name not in but}
    return {name: str(one) if isinstance(one, UUID) else one for name, one in fields.items()}


def set_environment(**values: object) -> None:
    """Set environment variables from options that are given.

    Options take precedence over the environment. Settings are read from it, also by child
    processes.
    """
    os.environ.update({name: str(value) for name, value in values.items() if value is not None})


def open_store() -> AbstractContextManager[Database]:
    """Open the configured database; an embedded one is started if necessary."""
    from app.launch.database import open_database
    from app.launch.settings import read_settings

    return open_database(read_settings())


@contextmanager
def store_session() -> Iterator[Session]:
    """Run one transaction in the configured database."""
    with open_store() as database, database.sessions.begin() as session:
        yield session
