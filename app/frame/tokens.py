"""The page of access tokens: admins see all tokens, others their own."""

from uuid import UUID

from fastapi import APIRouter, Response

from app.core import access
from app.core.errors import ConflictError, InvalidRequestError
from app.frame.contexts import PageContext
from app.frame.deps import AdminVisit, AnyText, PageRoute, ReaderVisit, ShortText, Visit
from app.frame.failures import see_other


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
def tokens(visit: ReaderVisit) -> Response:
    """Show the tokens that this visitor may see."""
    return visit.show(_page(visit))


@router.post("/tokens")
def make_token(visit: AdminVisit, name: AnyText = "", role: ShortText = "") -> Response:
    """Create a token. Its secret is only in this response, so there is no redirect."""
    try:
        with visit.session.begin_nested():
            typed = access.parse_role(role)
            new = access.create_token(visit.session, name, typed, author=visit.principal)
    except (InvalidRequestError, ConflictError) as error:
        page = _page(visit, typed_name=name, typed_role=role, error=str(error))
        return visit.refuse(page, error)
    return visit.show(_page(visit, made=new))


@router.post("/tokens/{token_id}/revoke")
def end_token(visit: ReaderVisit, token_id: UUID) -> Response:
    """Revoke a token. Admins may revoke any token, other visitors only their own."""
    access.revoke_token(visit.session, token_id, principal=visit.principal)
    if token_id == visit.principal.token_id:
        return see_other("/ui/login", done="own-token-revoked")
    return see_other("/ui/tokens", done="token-revoked")


def _page(
    visit: Visit,
    *,
    typed_name: str = "",
    typed_role: str = access.Role.READER.label,
    made: access.NewToken | None = None,
    error: str | None = None,
) -> TokensPage:
    is_admin, own_id = visit.principal.role >= access.Role.ADMIN, visit.principal.token_id
    known = access.list_tokens(visit.session)
    visible = [token for token in known if is_admin or token.id == own_id]
    return TokensPage(
        rows=tuple(token for token in visible if token.revoked_at is None),
        revoked=tuple(token for token in visible if token.revoked_at is not None),
        own_id=own_id,
        roles=ROLE_TEXTS,
        typed_role=typed_role,
        typed_name=typed_name[: access.LONGEST_NAME],
        made=made,
        error=error,
    )
