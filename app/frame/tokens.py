"""The page of access tokens: admins see all tokens, others their own."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.core import access
from app.core.errors import ConflictError, InvalidRequestError
from app.frame.contexts import PageContext
from app.frame.deps import Admin, CsrfChecked, PageRoute, Reader
from app.frame.failures import see_other, status_of
from app.frame.render import render
from app.server.request_scope import SessionDep


class TokensPage(PageContext, template="tokens.html", section="tokens"):
    """The tokens that the visitor may see."""

    rows: tuple[access.TokenRecord, ...]
    revoked: tuple[access.TokenRecord, ...]
    own_id: UUID | None  # the token with which this session was opened
    roles: dict[str, str]  # role to a description of its permissions
    typed_role: str
    typed_name: str
    made: access.NewToken | None  # its secret is shown only once, on this page
    error: str | None


router = APIRouter(route_class=PageRoute)

ROLE_TEXTS = {
    "reader": "reader: look, search, download",
    "submitter": "submitter: also upload and label",
    "reviewer": "reviewer: also review clusters and classes",
    "admin": "admin: also tokens and models",
}


@router.get("/tokens")
def tokens(request: Request, session: SessionDep, principal: Reader) -> Response:
    """Show the tokens that this visitor may see."""
    return render(request, _page(session, principal))


@router.post("/tokens", dependencies=[CsrfChecked])
def make_token(
    *,
    request: Request,
    session: SessionDep,
    principal: Admin,
    name: Annotated[str, Form()] = "",
    role: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Create a token. Its secret is only in this response, so there is no redirect."""
    try:
        with session.begin_nested():
            new = access.create_token(session, name, access.parse_role(role), author=principal)
    except (InvalidRequestError, ConflictError) as error:
        page = _page(session, principal, typed_name=name, typed_role=role, error=str(error))
        return render(request, page, status=status_of(error))
    return render(request, _page(session, principal, made=new))


@router.post("/tokens/{token_id}/revoke", dependencies=[CsrfChecked])
def end_token(session: SessionDep, principal: Reader, token_id: UUID) -> Response:
    """Revoke a token. Admins may revoke any token, other visitors only their own."""
    access.revoke_token(session, token_id, principal=principal)
    if token_id == principal.token_id:
        return see_other("/ui/login", done="own-token-revoked")
    return see_other("/ui/tokens", done="token-revoked")


def _page(
    session: Session,
    principal: access.Principal,
    *,
    typed_name: str = "",
    typed_role: str = access.Role.READER.label,
    made: access.NewToken | None = None,
    error: str | None = None,
) -> TokensPage:
    is_admin = principal.role >= access.Role.ADMIN
    visible = [
        token for token in access.list_tokens(session) if is_admin or token.id == principal.token_id
    ]
    return TokensPage(
        rows=tuple(token for token in visible if token.revoked_at is None),
        revoked=tuple(token for token in visible if token.revoked_at is not None),
        own_id=principal.token_id,
        roles=ROLE_TEXTS,
        typed_role=typed_role,
        typed_name=typed_name[: access.LONGEST_NAME],
        made=made,
        error=error,
    )
