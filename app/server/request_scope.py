"""What a request has of the process: its runtime, and one transaction. For API and pages alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.server.runtime import Runtime


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


RuntimeDep = Annotated[Runtime, Depends(_runtime)]


def transaction(runtime: RuntimeDep) -> Iterator[Session]:
    """One transaction a request: committed before the answer goes out, or rolled back."""
    with runtime.sessions() as session:
        yield session
        session.commit()


# scope="function" ends the dependency before the response is sent; the default would commit
# after it, and a failed commit would still have answered 201.
SessionDep = Annotated[Session, Depends(transaction, scope="function")]
