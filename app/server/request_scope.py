"""What a request has of the process: its runtime, and one transaction. For API and pages alike."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar

from anyio import CancelScope, to_thread
from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.server.runtime import Runtime

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

    Raises:
        BusyError: if the request gets no place in time.
    """
    admissions = runtime.admissions
    is_upload = request.headers.get("content-type", "").startswith("multipart/form-data")
    async with (admissions.uploads if is_upload else admissions.reads).place():
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
    """What a short look-up of its own transaction finds, by one of a few threads kept for that."""
    limiter = runtime_of(request).admissions.look_ups
    return await to_thread.run_sync(find, request, limiter=limiter)


# scope="function" ends the dependency before the response is sent; the default would commit
# after it, and a failed commit would still have answered 201.
SessionDep = Annotated[Session, Depends(transaction, scope="function")]
