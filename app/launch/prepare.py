"""The steps between a running database and a service that can answer requests."""

from pathlib import Path
from uuid import UUID

from app.core.access import Role, create_token, list_tokens, revoke_token, verify_token
from app.core.errors import UnauthenticatedError
from app.core.sign_on import create_login_code
from app.demo.service import demonstration, start_at_first
from app.launch.data_directory import read_token, write_token
from app.launch.database import Database, open_database, upgrade_schema
from app.launch.publish import publish_shipped
from app.launch.service_process import StartResult
from app.launch.settings import read_settings

FIRST_RUN_TOKEN = "first-run admin"  # noqa: S105 - its name


def prepare() -> StartResult:
    """Migrate, publish the shipped checkpoint, ensure the admin token, start the demonstration."""
    settings = read_settings()
    kept_token = read_token(settings.data_dir)  # before any change, because the file may be damaged
    with open_database(settings) as database:
        upgrade_schema(database.url)
        with database.sessions.begin() as session:
            checkpoint = publish_shipped(session, settings.data_dir)
        token_id = _ensure_token(database, settings.data_dir, kept_token)
        code = None
        if token_id is not None:
            with database.sessions.begin() as session:
                code = create_login_code(session, token_id)
        with database.sessions.begin() as session:
            if settings.demo:
                start_at_first(session, settings.demo_per_class)
            job = demonstration(session).job
    to_fill = str(job.id) if job is not None and job.is_open else None
    return StartResult(checkpoint=checkpoint.name, login_code=code, demo_job=to_fill)


def _ensure_token(database: Database, folder: Path, stored_token: str | None) -> UUID | None:
    """Ensure that there is a first-run token; return the id of the token in the folder if valid.

    If the file was removed, a new token is made and the previous one, which nobody has any more, is
    revoked. If the database is new and the file old, a new token is made as well.
    """
    if stored_token is not None:
        with database.sessions.begin() as session:
            try:
                holder = verify_token(session, stored_token)
            except UnauthenticatedError:
                if list_tokens(session):
                    return None
            else:
                return holder.token_id if holder.role is Role.ADMIN else None
    with database.sessions.begin() as session:
        for record in list_tokens(session):
            if record.name == FIRST_RUN_TOKEN and record.revoked_at is None:
                revoke_token(session, record.id)
        new_token = create_token(session, FIRST_RUN_TOKEN, Role.ADMIN)
        # Write before the commit: if the file cannot be written, no unknown token remains; if the
        # commit fails, the file holds a token that the next start replaces.
        write_token(folder, new_token.secret)
    return new_token.record.id
