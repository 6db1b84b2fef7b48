"""The tables of tokens and of who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, one_of, uuid7

ROLES = ("reader", "submitter", "reviewer", "admin")


class ApiToken(Base):
    """A bearer token: its SHA-256, never itself. A name is free again once its token is revoked."""

    __tablename__ = "api_token"
    __table_args__ = (
        sa.UniqueConstraint("secret_hash"),
        sa.CheckConstraint(one_of("role", ROLES), name="role"),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        sa.Index(
            "uq_api_token_name", "name", unique=True, postgresql_where=sa.text("revoked_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    role: Mapped[str]
    secret_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # None: never


class LoginCode(Base):
    """What a login link carries: good once, for minutes. Its SHA-256, never itself."""

    __tablename__ = "login_code"
    __table_args__ = (sa.CheckConstraint("octet_length(code_hash) = 32", name="code_hash"),)

    code_hash: Mapped[bytes] = mapped_column(primary_key=True)
    token_id: Mapped[UUID] = mapped_column(sa.ForeignKey("api_token.id"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class WebSessionRow(Base):
    """A session of the pages: its cookie names this row.

    It is of a token's holder, or of one whom a provider of logins vouched for.
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
