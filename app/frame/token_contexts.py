"""What the template of access tokens is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from app.core.principals import TokenRecord
from app.frame.contexts import Choice, PageContext


@dataclass(frozen=True)
class MadeToken:
    """A token just made; its secret is shown on this page and never again."""

    name: str
    role: str
    secret: str


@dataclass(frozen=True)
class TokensPage(PageContext):
    """The tokens that the visitor may see."""

    template: ClassVar[str] = "tokens.html"
    section: ClassVar[str] = "tokens"

    rows: tuple[TokenRecord, ...]
    revoked: tuple[TokenRecord, ...]
    own_id: UUID | None  # of the one that this session came in with
    can_create: bool
    roles: tuple[Choice, ...]
    typed_name: str
    made: MadeToken | None
    error: str | None
