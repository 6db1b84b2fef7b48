"""`glitch-discovery token`: access tokens."""

from typing import Annotated
from uuid import UUID

import typer

from app.cli.options import ServiceUrl, store_session

app = typer.Typer(help="Bearer tokens of the service.", no_args_is_help=True)


@app.command("create", epilog="Example: glitch-discovery token create omicron --role submitter")
def create(
    name: Annotated[str, typer.Argument(help="Person or program that the token is for.")],
    role: Annotated[str, typer.Option(help="reader, submitter, reviewer or admin.")] = "submitter",
    expires_days: Annotated[
        float | None, typer.Option(help="Days until it expires. Default: never.")
    ] = None,
) -> None:
    """Make a token and print it; it is shown only once."""
    from datetime import timedelta

    from app.core.access import create_token, parse_role

    lifetime = None if expires_days is None else timedelta(days=expires_days)
    with store_session() as session:
        new_token = create_token(session, name, parse_role(role), lifetime=lifetime)
    typer.echo(new_token.secret)


@app.command("list")
def list_all() -> None:
    """List the tokens, without their secrets."""
    from rich.table import Table

    from app.client.remote import plain_console
    from app.core.access import list_tokens

    with store_session() as session:
        records = list_tokens(session)
    table = Table("id", "name", "role", "created", "last used", "expires", "revoked", box=None)
    for record in records:
        times = (record.created_at, record.last_used_at, record.expires_at, record.revoked_at)
        shown = [f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times]
        table.add_row(str(record.id), record.name, record.role.label, *shown)
    plain_console().print(table)


@app.command("revoke")
def revoke(
    token_id: Annotated[
        UUID, typer.Argument(metavar="ID", help="Id of the token, from `token list`.")
    ],
) -> None:
    """Revoke a token."""
    from app.core.access import revoke_token

    with store_session() as session:
        record = revoke_token(session, token_id)
    typer.echo(f"Revoked the token {record.name!r}.")


@app.command("link")
def link(
    name: Annotated[
        str | None, typer.Argument(help="Name of the token. Default: the first-run admin's.")
    ] = None,
    url: ServiceUrl = None,
) -> None:
    """Print a login link for the pages, valid once within 15 minutes."""
    from app.core.access import list_tokens
    from app.core.errors import NotFoundError
    from app.core.sign_on import create_login_code
    from app.launch.address import address_of
    from app.launch.prepare import FIRST_RUN_TOKEN
    from app.launch.settings import read_settings

    settings = read_settings()
    address = url or settings.public_url or address_of(settings.host, settings.port)
    title = name or FIRST_RUN_TOKEN
    with store_session() as session:
        tokens = [one for one in list_tokens(session) if one.name == title and not one.revoked_at]
        if not tokens:
            raise NotFoundError(
                f"There is no token named {title!r}: `token list` shows all tokens."
            )
        code = create_login_code(session, tokens[0].id)
    typer.echo(f"{address.rstrip('/')}/ui/login?code={code}")
