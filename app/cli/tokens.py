"""`glitch-discovery token`: who may do what."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from app.cli.options import open_store, told

app = typer.Typer(help="Bearer tokens of the service.", no_args_is_help=True)


@app.command("create", epilog="Example: glitch-discovery token create omicron --role submitter")
def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    role: Annotated[str, typer.Option(help="reader, submitter, reviewer or admin.")] = "submitter",
) -> None:
    """Make a token and print it: it is shown this once."""
    with told(), open_store() as database:
        from app.core.access import create_token, parse_role

        with database.transaction() as session:
            made = create_token(session, name, parse_role(role))
        typer.echo(made.secret)


@app.command("list")
def list_all() -> None:
    """List the tokens, never their secrets."""
    with told(), open_store() as database:
        from rich.table import Table

        from app.client.remote import plain_console
        from app.core.access import list_tokens

        with database.transaction() as session:
            records = list_tokens(session)
        table = Table("id", "name", "role", "created", "last used", "revoked", box=None)
        for record in records:
            times = (record.created_at, record.last_used_at, record.revoked_at)
            shown = [f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times]
            table.add_row(str(record.id), record.name, record.role.label, *shown)
        plain_console().print(table)


@app.command("revoke")
def revoke(
    token_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `token list` shows it.")],
) -> None:
    """Make a token useless from now on."""
    with told(), open_store() as database:
        from app.core.access import revoke_token

        with database.transaction() as session:
            record = revoke_token(session, token_id)
        typer.echo(f"Revoked the token {record.name!r}.")
