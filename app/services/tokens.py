"""Bearer tokens: random, hashed at rest, with a role."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from app.services.records import NewToken, Principal, Role, TokenRecord


def parse_role(text: str) -> Role:
    """The role of this name, or InvalidRequestError that lists the roles."""
    raise NotImplementedError


def create_token(session: Session, name: str, role: Role) -> NewToken:
    """Make a token; its secret is in the answer and nowhere else."""
    raise NotImplementedError


def verify_token(session: Session, secret: str) -> Principal:
    """Who holds this token, or UnauthenticatedError."""
    raise NotImplementedError


def require_role(principal: Principal, role: Role) -> None:
    """PermissionDeniedError unless the principal has this role or a higher one."""
    raise NotImplementedError


def revoke_token(session: Session, token_id: UUID) -> TokenRecord:
    """Make a token useless from now on; ConflictError if it was revoked before."""
    raise NotImplementedError


def list_tokens(session: Session) -> list[TokenRecord]:
    """All tokens, latest first."""
    raise NotImplementedError
