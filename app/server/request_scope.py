"""Dependencies of routes: the authenticated caller, the transaction and the runtime.

Pages also use the last two.
"""

import base64
import binascii
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Annotated, Any, ClassVar, TypeVar

from anyio import CancelScope, to_thread
from fastapi import Depends, Query, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from app.core.access import Principal, Role, require_role, verify_token
from app.core.errors import UnauthenticatedError
from app.server.form_fields import check_form_fields
from app.server.runtime import Runtime
from glitch.tables.exports.formats import FORMATS

_Result = TypeVar("_Result")


def base_url(request: Request) -> str:
    """Return the address under which this client reaches the service, without a trailing slash."""
    return runtime_of(request).settings.public_url or str(request.base_url).rstrip("/")


def runtime_of(request: Request) -> Runtime:
    """Return the runtime that the application opened at start."""
    runtime: Runtime = request.app.state.runtime
    return runtime


# Dependencies that only look something up are coroutines, because a plain function would cost each
# upload a pass through the thread pool: milliseconds with concurrent requests.
async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


async def _base_url(request: Request) -> str:
    return base_url(request)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
BaseUrl = Annotated[str, Depends(_base_url)]


async def transaction(request: Request, runtime: RuntimeDep) -> AsyncIterator[Session]:
    """Provide one transaction per request: committed before the response is sent, or rolled back.

    The request holds a place meanwhile. Commit and rollback run in threads reserved for them.
    Otherwise a commit could wait for threads of requests that wait for its connection, a deadlock.
    """
    admissions = runtime.admissions
    places = admissions.uploads if request.state.is_multipart else admissions.reads
    async with places.place(getattr(request.state, "waited_s", 0.0)):
        session = runtime.sessions()
        try:
            yield session
        except BaseException:
            with CancelScope(shield=True):
                await to_thread.run_sync(session.close, limiter=admissions.endings)
            raise
        if session.in_transaction():
            with CancelScope(shield=True):
                await to_thread.run_sync(_commit, session, limiter=admissions.endings)


def _commit(session: Session) -> None:
    with session:
        session.commit()


async def look_up(request: Request, find: Callable[[Request], _Result]) -> _Result:
    """Run a short query in one of a few reserved threads, in its own transaction."""
    limiter = runtime_of(request).admissions.look_ups
    return await to_thread.run_sync(find, request, limiter=limiter)


async def caller_of(
    request: Request, find: Callable[[Request], _Result], *, wait_s: float | None = None
) -> _Result:
    """Identify the caller before anything else is done for the request.

    Raises:
        BusyError: if too many requests are being authenticated for ``wait_s``, by default 1 s.
    """
    started = time.monotonic()
    async with runtime_of(request).admissions.callers.place(wait_s=wait_s):
        request.state.waited_s = time.monotonic() - started
        return await look_up(request, find)


# scope="function" ends the dependency before the response is sent. The default would commit after
# it, so a failed commit would still have been answered with 201.
SessionDep = Annotated[Session, Depends(transaction, scope="function")]


async def _table_place(request: Request, runtime: RuntimeDep) -> AsyncIterator[None]:
    """Hold one of the few places for tables while a file is written before it is sent.

    Streamed formats take such a place themselves. This one is taken before any other, because
    writing lasts seconds and could use up all other places.
    """
    name = request.query_params.get("format")
    if request.method == "POST":  # a page's form, parsed already
        name = str((await request.form()).get("format"))
    if name not in FORMATS or FORMATS[name].is_streamed:
        yield
        return
    async with runtime.admissions.tables.place():
        yield


TablePlace = Depends(_table_place, scope="function")


# auto_error is off, because our error says what to do. The scheme is for the OpenAPI document.
_bearer = HTTPBearer(
    auto_error=False, description="A token made with `glitch-discovery token create`."
)

_HOW_TO_GET_ONE = (
    "send `Authorization: Bearer <token>`; `make up` keeps the first admin token in "
    "$GLITCH_DATA_DIR/admin-token, and `glitch-discovery token create` makes others."
)


def token_of(request: Request) -> str:
    """Return the token of a request: a Bearer token, or the password of Basic authentication.

    Basic is for clients that take only an address, such as gwpy's
    ``GravitySpyTable.search(host="http://token:<token>@127.0.0.1:8000")``.

    Raises:
        UnauthenticatedError: if there is none.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer" and value:
        return value
    if scheme.lower() == "basic" and value:
        try:
            password = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            password = ""
        if password:
            return password
    raise UnauthenticatedError(f"This address needs a token: {_HOW_TO_GET_ONE}")


def principal_of(request: Request, session: Session) -> Principal:
    """Authenticate the caller by the request's token, ours or a SciToken.

    Raises:
        UnauthenticatedError: if the token is missing or not valid.
    """
    secret = token_of(request)
    if not secret.isascii() or not secret.isprintable():
        raise UnauthenticatedError(f"This is not a token of this service: {_HOW_TO_GET_ONE}")
    scitokens = runtime_of(request).scitokens
    if scitokens is not None and secret.count(".") == 2:  # a JWT; our own tokens contain no dot
        principal = scitokens.principal(secret)
    else:
        principal = verify_token(session, secret)
    request.state.who = principal.name
    return principal


def _caller(role: Role) -> Callable[..., Principal]:
    def caller(
        request: Request,
        session: SessionDep,
        _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
    ) -> Principal:
        principal = principal_of(request, session)
        require_role(principal, role)
        return principal

    return caller


Cursor = Annotated[str | None, Query(max_length=64, description="`next` of the page before.")]
Reader = Annotated[Principal, Depends(_caller(Role.READER), scope="function")]
Submitter = Annotated[Principal, Depends(_caller(Role.SUBMITTER), scope="function")]
Reviewer = Annotated[Principal, Depends(_caller(Role.REVIEWER), scope="function")]
Admin = Annotated[Principal, Depends(_caller(Role.ADMIN), scope="function")]


def _identify(request: Request) -> Principal:
    with runtime_of(request).look_ups() as session:
        return principal_of(request, session)


async def open_or_reader(
    request: Request,
    runtime: RuntimeDep,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> None:
    """Admit everyone if the settings allow it, otherwise callers with the role reader.

    This takes no place, so that metrics can be read while all places are taken.

    Even on a loopback address, a foreign page whose host name resolves to 127.0.0.1 can make a
    browser send requests here (DNS rebinding). Such a request carries the foreign name as its host,
    so it needs a token.
    """
    settings = runtime.settings
    is_own_name = (request.url.hostname or "") in _LOOPBACK_NAMES
    if settings.has_public_search and (is_own_name or not settings.is_loopback):
        return
    require_role(await look_up(request, _identify), Role.READER)


_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
MAY_BE_OPEN: dict[str, Any] = {"security": [{}]}
"""For the OpenAPI document: a token is optional."""
OpenOrReader = Annotated[None, Depends(open_or_reader, scope="function")]


class UploadRoute(APIRoute):
    """Checks the token before it reads the body, so that strangers cannot fill the disk.

    The thread that runs the endpoint also commits, because another thread would cost an upload
    milliseconds.
    """

    body_role: ClassVar[Role] = Role.READER  # lowest role that may send a body

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        @wraps(endpoint)
        def committing(*, session: Session, **arguments: Any) -> Any:
            answer = endpoint(session=session, **arguments)
            session.commit()
            return answer

        super().__init__(path, committing, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            wait_s = runtime_of(request).admissions.uploads.wait_s
            request.state.principal = await caller_of(request, _identify, wait_s=wait_s)
            require_role(request.state.principal, self.body_role)
            return await handler(request)

        return guarded


class BatchRoute(UploadRoute):
    """An ``UploadRoute`` whose requests need at least the role submitter."""

    body_role = Role.SUBMITTER


async def upload_caller(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> Principal:
    """Return the caller that ``UploadRoute`` authenticated, after checking the form's fields."""
    await check_form_fields(request)
    principal: Principal = request.state.principal
    return principal


Uploader = Annotated[Principal, Depends(upload_caller)]
