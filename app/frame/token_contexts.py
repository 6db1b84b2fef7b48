"""What the template of access tokens is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Choice, PageContext


@dataclass(frozen=True)
class TokenRow:
    """One token; never its secret."""

    name: str
    role: str
    made: str
    used: str
    revoked: str | None
    revoke_href: str | None  # where to post, if this visitor may revoke it
    is_own: bool  # the one that this session came in with


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

    rows: tuple[TokenRow, ...]
    revoked: tuple[TokenRow, ...]
    can_create: bool
    roles: tuple[Choice, ...]
    typed_name: str
    made: MadeToken | None
    error: str | None
