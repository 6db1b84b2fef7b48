"""Browser logins: single-use codes, and sessions that can be ended.

A code is part of a login link, which remains in browser histories and logs. So it works once, for
some minutes, and is never the token itself. A session is a database row, so logging out ends it
wherever its cookie was copied to.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.core.access import (
    ApiToken,
    AuditEvent,
    LoginCode,
    Principal,
    WebSessionRow,
    hash_of,
    holder_of,
    parse_role,
    record_event,
)
from app.core.database import as_uuid, lowest_id_at
from app.core.errors import ConflictError, UnauthenticatedError

CODE_LIFETIME = timedelta(minutes=15)
LONGEST_CODE = 64
LOGGED_IN, LOGGED_OUT, REFUSED = "log in", "log out", "log in refused"
LOGINS_KEPT = timedelta(days=365)
MAX_REFUSED_KEPT = 200
LONGEST_CLIENT = 100  # of a client's address, which a proxy may pass on unchecked
_CODE_BYTES = 24
_EXPIRED_KEPT = timedelta(days=7)  # how long expired rows are kept, to investigate logins


@dataclass(frozen=True)
class Attempt:
    """A login at a provider that is in progress; stored in the browser, signed, meanwhile."""

    state: str
    nonce: str
    verifier: str  # PKCE code verifier


def create_login_code(session: Session, token_id: UUID) -> str:
    """Create a code that logs in once, within CODE_LIFETIME, as the holder of a token.

    Raises:
        ConflictError: if the token has expired or was revoked.
    """
    if holder_of(session.get(ApiToken, token_id)) is None:
        raise ConflictError(
            "This token has expired or was revoked, so it cannot be used to log in: make another "
            "with `glitch-discovery token create`."
        )
    now = datetime.now(UTC)
    session.execute(delete(LoginCode).where(LoginCode.expires_at < now - _EXPIRED_KEPT))
    code = secrets.token_urlsafe(_CODE_BYTES)
    expires_at = now + CODE_LIFETIME
    session.add(LoginCode(code_hash=hash_of(code), token_id=token_id, expires_at=expires_at))
    return code


def holder_of_code(session: Session, code: str) -> Principal:
    """Return whom a code would log in, without using it up.

    Raises:
        UnauthenticatedError: if the code is unknown, used or too old, or its token is not valid.
    """
    row = session.get(LoginCode, hash_of(code)) if 0 < len(code) <= LONGEST_CODE else None
    if row is None or row.used_at is not None or row.expires_at <= datetime.now(UTC):
        raise _INVALID_CODE
    return _holder(session, row.token_id)


def redeem_code(session: Session, code: str) -> Principal:
    """Use up a code, and return whom it logs in; UnauthenticatedError as for ``holder_of_code``."""
    token_id = session.scalar(
        update(LoginCode)
        .where(
            LoginCode.code_hash == hash_of(code[: LONGEST_CODE + 1]),
            LoginCode.used_at.is_(None),
            LoginCode.expires_at > func.now(),
        )
        .values(used_at=func.now())
        .returning(LoginCode.token_id)
    )
    if token_id is None:
        raise _INVALID_CODE
    return _holder(session, token_id)


def open_session(session: Session, principal: Principal, lifetime_s: int, method: str) -> UUID:
    """Start a browser session and return its id.

    ``method`` is the kind of login for the audit trail: token, code or provider.
    """
    now = datetime.now(UTC)
    session.execute(delete(WebSessionRow).where(WebSessionRow.expires_at < now - _EXPIRED_KEPT))
    row = WebSessionRow(
        token_id=principal.token_id,
        name=None if principal.token_id else principal.name,
        role=None if principal.token_id else principal.role.label,
        expires_at=now + timedelta(seconds=lifetime_s),
    )
    session.add(row)
    session.flush()
    _record(session, principal, row.id, LOGGED_IN, way=method)
    return row.id


def end_session(session: Session, session_id: str, principal: Principal) -> None:
    """End a browser session, for all copies of its cookie."""
    session.execute(
        update(WebSessionRow)
        .where(WebSessionRow.id == UUID(session_id), WebSessionRow.ended_at.is_(None))
        .values(ended_at=func.now())
    )
    _record(session, principal, session_id, LOGGED_OUT)


def _record(
    session: Session, principal: Principal, session_id: object, action: str, **details: str
) -> None:
    is_of_token = principal.token_id is not None
    subject = "token" if is_of_token else "session"
    subject_id = principal.token_id or session_id
    record_event(session, principal.name, action, subject, subject_id, **details)


def note_refused_login(session: Session, client: str) -> None:
    """Record a refused login and the client's address, but nothing that was sent.

    Anybody can cause refusals, so only the first ``MAX_REFUSED_KEPT`` of an hour are recorded. The
    log has all of them.
    """
    earliest = lowest_id_at(datetime.now(UTC) - timedelta(hours=1))
    of_hour = select(AuditEvent.id).where(AuditEvent.id >= earliest, AuditEvent.action == REFUSED)
    if len(session.scalars(of_hour.limit(MAX_REFUSED_KEPT)).all()) < MAX_REFUSED_KEPT:
        record_event(session, "unknown", REFUSED, "client", client[:LONGEST_CLIENT])


def remove_old_logins(session: Session) -> int:
    """Delete logins, logouts and refusals older than a year from the audit trail.

    Returns how many. Other events are kept. Logins are numerous and contain clients' addresses.
    """
    removed = session.scalars(
        delete(AuditEvent)
        .where(
            AuditEvent.id < lowest_id_at(datetime.now(UTC) - LOGINS_KEPT),
            AuditEvent.action.in_((LOGGED_IN, LOGGED_OUT, REFUSED)),
        )
        .returning(AuditEvent.id)
    )
    return len(removed.all())


def holder_of_session(session: Session, session_id: str) -> Principal | None:
    """Return the holder of a session; None if it has ended or its token is not valid."""
    row_id = as_uuid(session_id)
    row = session.get(WebSessionRow, row_id) if row_id else None
    if row is None or row.ended_at is not None or row.expires_at <= datetime.now(UTC):
        return None
    if row.name is not None and row.role is not None:
        return Principal(None, row.name, parse_role(row.role))
    return holder_of(session.get(ApiToken, row.token_id))


_INVALID_CODE = UnauthenticatedError(
    "This login link has been used or has expired: get another with `glitch-discovery token "
    "link`, or enter a token."
)


def _holder(session: Session, token_id: UUID) -> Principal:
    holder = holder_of(session.get(ApiToken, token_id))
    if holder is None:
        raise _INVALID_CODE
    return holder
