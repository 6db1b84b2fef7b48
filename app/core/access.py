"""Authentication, roles and the audit trail. Bearer tokens are stored as hashes.

A secret has 256 random bits, so nobody can find it by trying values against a plain SHA-256, and a
slow password hash would only slow down every request. The lookup compares hashes, so its timing
reveals nothing about the secret. The final comparison takes constant time nevertheless.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.core import errors
from app.core.database import Base, one_of, uuid7

ROLES = ("reader", "submitter", "reviewer", "admin")


class ApiToken(Base):
    """A bearer token, stored as the SHA-256 of its secret.

    The name of a revoked token may be used again.
    """

    __tablename__ = "api_token"
    __table_args__ = (
        sa.CheckConstraint(one_of("role", ROLES), name="role"),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        sa.Index(
            "uq_api_token_name", "name", unique=True, postgresql_where=sa.text("revoked_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    role: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # None: never expires


class LoginCode(Base):
    """A single-use code in a login link, stored as its SHA-256; it expires after some minutes."""

    __tablename__ = "login_code"
    __table_args__ = (sa.CheckConstraint("octet_length(code_hash) = 32", name="code_hash"),)

    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    token_id: Mapped[UUID] = mapped_column(sa.ForeignKey("api_token.id"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class WebSessionRow(Base):
    """A browser session; the session cookie names this row.

    It belongs to the holder of a token, or to a person whom a login provider identified.
    """

    __tablename__ = "web_session"
    __table_args__ = (
        sa.CheckConstraint(one_of("role", ROLES), name="role"),
        sa.CheckConstraint("num_nonnulls(token_id, name) = 1", name="holder"),
        sa.CheckConstraint("num_nonnulls(name, role) <> 1", name="name_and_role"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    token_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey("api_token.id"))
    name: Mapped[str | None]
    role: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class AuditEvent(Base):
    """Who did what to what. Append-only."""

    __tablename__ = "audit_event"
    __table_args__ = (sa.Index("ix_audit_event_subject_id", "subject", "subject_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]]


SECRET_BYTES = 32
SECRET_PREFIX = "gd_"  # noqa: S105  (lets scanners find leaked tokens; not a secret)
LONGEST_SECRET = 200
LONGEST_NAME = 100
LONGEST_LIFETIME = timedelta(days=3650)
LAST_USED_RESOLUTION = timedelta(minutes=1)  # written at most this often, not per request


class Role(IntEnum):
    """What a token permits. A higher role includes the permissions of all lower ones."""

    READER = 1
    SUBMITTER = 2
    REVIEWER = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """The role's name as users write it, for example ``"reader"``."""
        return self.name.lower()


@dataclass(frozen=True)
class Principal:
    """The authenticated caller."""

    token_id: UUID | None  # None: authenticated by another issuer, not by a token of this service
    name: str
    role: Role


@dataclass(frozen=True)
class TokenRecord:
    """A token without its secret, for lists."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime | None = None  # None: never expires


@dataclass(frozen=True)
class NewToken:
    """A new token. ``secret`` is shown once and not stored."""

    secret: str
    record: TokenRecord


def record_event(
    session: Session, actor: str, action: str, subject: str, subject_id: object, **details: Any
) -> None:
    """Record an event in the audit trail. ``details`` are stored as JSON, never a secret."""
    fields = {"action": action, "subject": subject, "subject_id": str(subject_id)}
    session.add(AuditEvent(actor=actor, **fields, details=details))


# the action that removes glitches; ``details["stored"]`` counts them by time of storage
REMOVED = "remove"


def removed_since(session: Session, when: datetime) -> int:
    """Count the glitches stored before ``when`` that were removed since, from the audit trail."""
    rows = session.scalars(
        sa.select(AuditEvent.details).where(
            AuditEvent.subject == "references",
            AuditEvent.action == REMOVED,
            AuditEvent.created_at >= when,
        )
    )
    stored = (item for details in rows for item in details.get("stored", {}).items())
    return sum(n for time, n in stored if datetime.fromisoformat(time) < when)


def parse_role(text: str) -> Role:
    """Convert a role's name to a ``Role``; InvalidRequestError if there is no such role."""
    errors.check_choice(text, [role.label for role in Role], "role")
    return Role[text.upper()]


def holder_of(token: ApiToken | None) -> Principal | None:
    """Return the holder of a token, or None if the token is missing, revoked or expired."""
    if token is None or token.revoked_at is not None:
        return None
    if token.expires_at is not None and token.expires_at <= datetime.now(UTC):
        return None
    return Principal(token.id, token.name, parse_role(token.role))


def create_token(
    session: Session,
    name: str,
    role: Role,
    *,
    author: Principal | None = None,
    lifetime: timedelta | None = None,
) -> NewToken:
    """Create a token. Only the returned record contains its secret.

    Labels record the token's name as their author. Without a lifetime the token is valid until it
    is revoked. The command line creates tokens without an author.

    Raises:
        PermissionDeniedError: if the author is not an admin.
        InvalidRequestError: if the name is empty or too long, or the lifetime is out of range.
        ConflictError: if a token of that name is in use.
    """
    if author is not None:
        require_role(author, Role.ADMIN)
    if not 1 <= len(name.strip()) <= LONGEST_NAME or not name.isprintable():
        raise errors.InvalidRequestError(
            f"A token needs a name of 1 to {LONGEST_NAME} printable characters."
        )
    if lifetime is not None and not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise errors.InvalidRequestError(
            f"A token may expire after at most {LONGEST_LIFETIME.days:,} days; without a number of "
            "days it is valid until it is revoked."
        )
    expires_at = None if lifetime is None else datetime.now(UTC) + lifetime
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    row = session.scalar(
        insert(ApiToken)
        .values(
            name=name.strip(), role=role.label, secret_hash=hash_of(secret), expires_at=expires_at
        )
        .on_conflict_do_nothing()
        .returning(ApiToken)
    )
    if row is None:
        raise errors.ConflictError(
            f"A token named {name.strip()!r} is in use: choose another name or revoke that one."
        )
    actor = author.name if author else "command line"
    record_event(session, actor, "create", "token", row.id, role=role.label)
    return NewToken(secret, _to_record(row))


def verify_token(session: Session, secret: str) -> Principal:
    """Return the holder of a token and note the time of use, to the minute.

    Raises:
        UnauthenticatedError: if it is unknown, revoked or expired; the message does not say which.
    """
    refusal = errors.UnauthenticatedError(
        "The token is not valid: send a current one as 'Authorization: Bearer TOKEN'."
    )
    if len(secret) > LONGEST_SECRET:
        raise refusal
    hashed = hash_of(secret)
    row = session.scalar(_OF_HASH, {"hash": hashed})
    if row is None or not hmac.compare_digest(row.secret_hash, hashed):
        raise refusal
    holder = holder_of(row)
    if holder is None:
        raise refusal
    now = datetime.now(UTC)
    if row.last_used_at is None or row.last_used_at < now - LAST_USED_RESOLUTION:
        _note_use(session, row.id, now)
    return holder


_OF_HASH = select(ApiToken).where(ApiToken.secret_hash == bindparam("hash"))


def require_role(principal: Principal, role: Role) -> None:
    """Raise ``PermissionDeniedError`` if the caller's role is lower than ``role``."""
    if principal.role < role:
        raise errors.PermissionDeniedError(
            f"This needs the role {role.label} or a higher one; the token's role is "
            f"{principal.role.label}. Ask an admin for another token."
        )


def revoke_token(
    session: Session, token_id: UUID, *, principal: Principal | None = None
) -> TokenRecord:
    """Revoke a token. Admins may revoke any token, other callers only their own.

    Raises:
        PermissionDeniedError: if the caller may not revoke this token.
        NotFoundError: if there is no such token.
        ConflictError: if it was already revoked.
    """
    if principal is not None and principal.token_id != token_id:
        require_role(principal, Role.ADMIN)
    row = session.scalar(
        update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiToken)
        .execution_options(populate_existing=True)
    )
    if row is None:
        errors.required(session.get(ApiToken, token_id), f"There is no token {token_id}.")
        raise errors.ConflictError(f"Token {token_id} is already revoked.")
    actor = principal.name if principal else "command line"
    record_event(session, actor, "revoke", "token", token_id)
    return _to_record(row)


def list_tokens(session: Session) -> list[TokenRecord]:
    """List all tokens, newest first, without their secrets."""
    return [
        _to_record(row) for row in session.scalars(select(ApiToken).order_by(ApiToken.id.desc()))
    ]


def hash_of(secret: str) -> bytes:
    """Return the SHA-256 of a secret, as it is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _note_use(session: Session, token_id: UUID, now: datetime) -> None:
    """Record the time of use, unless a concurrent request does so or the database is read-only."""
    if session.scalar(sa.text("SHOW transaction_read_only")) == "on":
        return  # as on a standby: nothing can be noted, but requests that only read succeed
    token_to_update = (
        select(ApiToken.id)
        .where(ApiToken.id == token_id)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    session.execute(
        update(ApiToken)
        .where(ApiToken.id == token_to_update)
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


def _to_record(row: ApiToken) -> TokenRecord:
    fields = {name: getattr(row, name) for name in TokenRecord.__dataclass_fields__}
    return TokenRecord(**fields | {"role": parse_role(row.role)})
