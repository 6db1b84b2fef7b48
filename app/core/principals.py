"""Who asks: roles, principals, tokens as they may be listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID


class Role(IntEnum):
    """What a token may do; a higher role may do all that a lower one may."""

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
    """Who asks: the holder of a verified token."""

    token_id: UUID | None  # None: another issuer's word for it, not a token of ours
    name: str
    role: Role


@dataclass(frozen=True)
class TokenRecord:
    """A token as it may be listed: never its secret."""

    id: UUID
    name: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime | None = None  # None: never


@dataclass(frozen=True)
class NewToken:
    """A token just made. ``secret`` is shown once and kept nowhere."""

    secret: str
    record: TokenRecord
