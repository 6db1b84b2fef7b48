"""`/digest`: what is new since yesterday."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.digest.service import Digest, digest
from app.server.request_scope import Reader, SessionDep

router = APIRouter(prefix="/digest", tags=["digest"])


@router.get("", summary="What is new since yesterday")
def new(
    session: SessionDep,
    _: Reader,
    days: Annotated[int, Query(description="Of how many days, 1 to 31.")] = 1,
) -> Digest:
    """New glitches by detector, clusterings, decisions, and jobs that failed."""
    return digest(session, days=days)
