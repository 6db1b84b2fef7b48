"""The similarity search of Gravity Spy's tools, as ``GravitySpyTable.search`` requests it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.glitches.similarity_search import parse_similarity_query, similarity_search
from app.glitches.upload import parse_ifo
from app.server.request_scope import MAY_BE_OPEN, BaseUrl, OpenOrReader, RuntimeDep, SessionDep

router = APIRouter(tags=["gwpy"])

_ERA = "event_time BETWEEN 1126400000 AND 1584057618"
_NO_NUL = r"^[^\x00]{0,500}$"


@router.get(
    "/search/similarity_search_restful_API/",
    summary="Search as gwpy does",
    openapi_extra=MAY_BE_OPEN,
)
def search(
    *,
    base: BaseUrl,
    runtime: RuntimeDep,
    session: SessionDep,
    _: OpenOrReader,
    imageid: Annotated[
        str, Query(pattern=_NO_NUL, description="A Gravity Spy id, or an id of this service.")
    ],
    howmany: Annotated[str, Query(pattern=_NO_NUL, description="How many rows.")] = "10",
    era: Annotated[str, Query(pattern=_NO_NUL, description=f"Such as `{_ERA}`.")] = _ERA,
    ifo: Annotated[str, Query(pattern=_NO_NUL, description="Such as `'H1', 'L1'`.")] = "'H1', 'L1'",
    database: Annotated[
        str, Query(pattern=_NO_NUL, description="Accepted as gwpy sends it.")
    ] = "similarity_index_o3",
) -> dict[str, list[Any]]:
    """Lists of equal length by column name, nearest first. The picture addresses are signed, so
    that ``GravitySpyTable.download()`` works on the rows.

    Needs the role reader, unless GLITCH_PUBLIC_SEARCH opens it to this machine.
    """
    query = parse_similarity_query(
        howmany=howmany, imageid=imageid, era=era, ifo=ifo, database=database
    )
    for detector in query.filters.ifos:
        parse_ifo(detector)

    def view_url(glitch_id: str, duration_s: float) -> str:
        return base + runtime.picture_links.path(glitch_id, duration_s)

    return similarity_search(session, query, view_url=view_url)
