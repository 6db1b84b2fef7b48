"""Dependencies of routes, each named once: the caller by token, the transaction, the runtime.

Pages use the last two as well.
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

_Found = TypeVar("_Found")


def base_url(request: Request) -> str:
    """The address that this client sees the service at, without a slash at the end."""
    return runtime_of(request).settings.public_url or str(request.base_url).rstrip("/")


def runtime_of(request: Request) -> Runtime:
    """The runtime that the application opened at start."""
    runtime: Runtime = request.app.state.runtime
    return runtime


# Dependencies that only look something up are coroutines: each plain function would cost an upload
# a trip through the thread pool, milliseconds where requests come side by side.
async def _runtime(request: Request) -> Runtime:
    return runtime_of(request)


async def _base_url(request: Request) -> str:
    return base_url(request)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
BaseUrl = Annotated[str, Depends(_base_url)]


async def transaction(request: Request, runtime: RuntimeDep) -> AsyncIterator[Session]:
    """One transaction a request: committed before the answer goes out, or rolled back.

    The request has a place while it lasts, and its end, unless who worked on it ended it, has
    threads of its own: a commit that waited for the threads of requests that wait for its
    connection would never come.
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


async def look_up(request: Request, find: Callable[[Request], _Found]) -> _Found:
    """The result of a short query in its own transaction, by one of a few reserved threads."""
    limiter = runtime_of(request).admissions.look_ups
    return await to_thread.run_sync(find, request, limiter=limiter)


async def caller_of(request: Request, find: Callable[[Request], _Found]) -> _Found:
    """The caller, before anything else is done for them.

    Raises:
        BusyError: if too many are looked up already.
    """
    started = time.monotonic()
    async with runtime_of(request).admissions.callers.place():
        request.state.waited_s = time.monotonic() - started
        return await look_up(request, find)


# scope="function" ends the dependency before the response is sent; the default would commit
# after it, and a failed commit would still have answered 201.
SessionDep = Annotated[Session, Depends(transaction, scope="function")]


async def _table_place(request: Request, runtime: RuntimeDep) -> AsyncIterator[None]:
    """One of the few places of tables while one is written; what streams has it while it is sent.

    Taken before any other place, because writing lasts seconds and may take all of those.
    """
    name = request.query_params.get("format")
    if request.method == "POST":  # a page's form, which is read already
        name = str((await request.form()).get("format"))
    if name not in FORMATS or FORMATS[name].is_streamed:
        yield
        return
    async with runtime.admissions.tables.place():
        yield


TablePlace = Depends(_table_place, scope="function")


# auto_error off: our own error says what to do. The scheme is here for the OpenAPI document.
_bearer = HTTPBearer(
    auto_error=False, description="A token made with `glitch-discovery token create`."
)

_HOW_TO_GET_ONE = (
    "send `Authorization: Bearer <token>`; `make up` keeps the first admin token in "
    "$GLITCH_DATA_DIR/admin-token, and `glitch-discovery token create` makes others."
)


def token_of(request: Request) -> str:
    """The token that a request carries: Bearer, or the password of Basic.

    Basic is for clients that can be given an address only, such as gwpy's
    ``GravitySpyTable.search(host="http://token:<token>@127.0.0.1:8000")``.
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
    """The caller."""
    secret = token_of(request)
    if not secret.isascii() or not secret.isprintable():
        raise UnauthenticatedError(f"That is no token of ours: {_HOW_TO_GET_ONE}")
    scitokens = runtime_of(request).scitokens
    if scitokens is not None and secret.count(".") == 2:  # a JWT; no token of ours holds a dot
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
    """Lets everyone of this machine in where the settings say so, else readers.

    Without a place: while all are taken, the metrics say so.

    On a loopback address a browser can still be led here by a foreign page whose name was pointed
    at 127.0.0.1; such a request carries that name as its host, so it needs a token.
    """
    settings = runtime.settings
    is_own_name = (request.url.hostname or "") in _LOOPBACK_NAMES
    if settings.has_public_search and (is_own_name or not settings.is_loopback):
        return
    require_role(await look_up(request, _identify), Role.READER)


_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
MAY_BE_OPEN: dict[str, Any] = {"security": [{}]}
"""For the OpenAPI document: beside a token, none may do."""
OpenOrReader = Annotated[None, Depends(open_or_reader, scope="function")]


class UploadRoute(APIRoute):
    """Looks at the token before it reads the body, so that the untrusted cannot fill the disk.

    The thread that runs the endpoint commits, too: to pass that on costs an upload milliseconds.
    """

    body_role: ClassVar[Role] = Role.READER  # the least role that may send a body

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
            request.state.principal = await caller_of(request, _identify)
            require_role(request.state.principal, self.body_role)
            return await handler(request)

        return guarded


class BatchRoute(UploadRoute):
    """As ``UploadRoute``, for what readers may not send at all, however large."""

    body_role = Role.SUBMITTER


async def upload_caller(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
) -> Principal:
    """Who uploads, as ``UploadRoute`` found; the form holds no field that would be dropped."""
    await check_form_fields(request)
    principal: Principal = request.state.principal
    return principal


Uploader = Annotated[Principal, Depends(upload_caller)]
