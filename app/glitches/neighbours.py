"""The nearest known glitches to a latent vector, by Euclidean distance in SQL.

The search is exact below the size at which a checkpoint gets a vector index
(``app.core.postgres.partitions``), and limited by the recall of the index above it. Tests compare
it with ``glitch.neighbours``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from math import ceil
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float
from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Row,
    Select,
    Uuid,
    bindparam,
    cast,
    select,
    text,
)
from sqlalchemy.orm import Session

from app.core.errors import InvalidRequestError
from app.glitches import selection
from app.glitches.records import GlitchFilters, Neighbour
from app.glitches.tables import Embedding, Glitch
from app.models import checkpoints

MAX_NEIGHBOURS = 10_000
EF_SEARCH = 400  # candidates of an index search, enough for high recall of the nearest
MAX_CANDIDATES = 1000  # pgvector's own limit
SPARE = 1.5  # factor on the expected number of candidates needed
MIN_SHARE = 0.03  # fraction of the catalogue that must pass the filters for an index search
QUERY: BindParameter[Any] = bindparam("query", type_=Vector())
_NO_FILTERS = GlitchFilters()
NOBODY = UUID(int=0)


def check_neighbours(k: int) -> None:
    """Raise ``InvalidRequestError`` for a number of neighbours outside 0 to 10,000."""
    if not 0 <= k <= MAX_NEIGHBOURS:
        raise InvalidRequestError(
            f"neighbours must lie between 0 and {MAX_NEIGHBOURS:,}, not {k}.", field="neighbours"
        )


def find_neighbours(
    session: Session,
    *,
    vector: Float[np.ndarray, " latent"],
    checkpoint_id: int,
    k: int = 10,
    filters: GlitchFilters = _NO_FILTERS,
    exclude_id: UUID | None = None,
    exact: bool = False,
) -> list[Neighbour]:
    """The k nearest glitches under one checkpoint.

    Filters on novelty refer to this checkpoint. ``exact`` scans every row even if there is a vector
    index, to audit the recall of the index.

    Returns:
        Neighbours by ascending distance; equal distances by ascending id.

    Raises:
        InvalidRequestError: if k is out of range, the vector has the wrong size or is not finite,
            or a filter is invalid.
        NotFoundError: if the checkpoint does not exist.
    """
    check_neighbours(k)
    selection.check_filters(filters)
    facts = checkpoints.search_facts(session, checkpoint_id)
    query = check_vector(vector, facts.latent_size)
    if k == 0:
        return []
    # No glitch has id zero, so one statement serves with and without an excluded glitch.
    values = {"checkpoint_id": checkpoint_id, "k": k, "left_out": exclude_id or NOBODY}
    conditions: list[ColumnElement[bool]] = []
    share = 0.0  # do not use the index
    if facts.is_indexed and not exact and not _is_few(filters):
        conditions = selection.glitch_conditions(session, filters)
        share = _share(session, conditions)
    if share >= MIN_SHARE and SPARE * k <= MAX_CANDIDATES * share:
        n_candidates = max(EF_SEARCH, ceil(SPARE * k / share))
        prepare_index_scan(session, n_candidates)
        statement = _nearest_of_all(facts.latent_size)
        if filters != _NO_FILTERS:
            statement = _nearest_passing(n_candidates, facts.latent_size, conditions)
        rows = session.execute(statement, {QUERY.key: query, **values}).all()
        if len(rows) == k:
            return _neighbours(rows)
    if filters == _NO_FILTERS:
        statement = _nearest_of_all(None)
    else:
        statement = _nearest(_narrow(session, _by_distance(None), filters))
    return _neighbours(session.execute(statement, {QUERY.key: query, **values}))


def _neighbours(rows: Iterable[Row[Any]]) -> list[Neighbour]:
    return [Neighbour(selection.to_record(row), float(row.distance)) for row in rows]


def _is_few(filters: GlitchFilters) -> bool:
    """Whether the filters select few, scattered glitches, such as those of a cluster.

    Hardly any of them are among the nearest of all, which an index search returns.
    """
    of_some = (filters.cluster_id, filters.batch_id, filters.ids)
    about_embedding = selection.embedding_conditions(filters)
    return bool(about_embedding) or any(value is not None for value in of_some)


def _share(session: Session, conditions: Sequence[ColumnElement[bool]]) -> float:
    """Fraction of all glitches that pass the filters, by the planner's estimate."""
    if not conditions:
        return 1.0
    statement = select(Glitch.id).where(*conditions)
    compiled = statement.compile(session.connection(), compile_kwargs={"render_postcompile": True})
    plan = session.connection().exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", dict(compiled.params)
    )
    passing = float(plan.scalar_one()[0]["Plan"]["Plan Rows"])
    return min(1.0, passing / max(1.0, session.scalar(_ESTIMATED_TOTAL) or 0.0))


_ESTIMATED_TOTAL = text("SELECT reltuples FROM pg_class WHERE oid = 'glitch'::regclass")


def _by_distance(index_size: int | None) -> Select[*tuple[Any, ...]]:
    distance = distance_to(QUERY, index_size)
    return select(Embedding.glitch_id, distance.label("distance")).where(
        Embedding.checkpoint_id == bindparam("checkpoint_id"),
        Embedding.glitch_id != bindparam("left_out", type_=Uuid),
    )


def _nearest_passing(
    n_candidates: int, index_size: int, conditions: Sequence[ColumnElement[bool]]
) -> Select[*tuple[Any, ...]]:
    """The k nearest that pass the filters among ``n_candidates`` of all; may give fewer.

    Iterative index scans until k pass find only a third of the ten nearest of a class that is far
    from the query (with 100,000 glitches).
    """
    nearest = _by_distance(index_size).order_by(distance_to(QUERY, index_size))
    candidates = nearest.limit(n_candidates).subquery()
    passing = select(candidates.c.glitch_id, candidates.c.distance).join(
        Glitch, Glitch.id == candidates.c.glitch_id
    )
    return _nearest(passing.where(*conditions))


def _nearest(candidates: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    # First the k ids, then their columns: sorting whole rows would cost more.
    order = (candidates.selected_columns.distance, candidates.selected_columns.glitch_id)
    chosen = candidates.order_by(*order).limit(bindparam("k", type_=Integer)).subquery()
    return (
        selection.select_glitches(chosen.c.distance)
        .join(chosen, chosen.c.glitch_id == Glitch.id)
        .order_by(chosen.c.distance, Glitch.id)
    )


@cache  # used for every upload; building it takes longer than searching a small catalogue
def _nearest_of_all(index_size: int | None) -> Select[*tuple[Any, ...]]:
    return _nearest(_by_distance(index_size))


def check_vector(
    vector: Float[np.ndarray, " latent"], latent_size: int
) -> Float[np.ndarray, " latent"]:
    """The vector as float32; InvalidRequestError if its size is wrong or a value is not finite."""
    query = np.asarray(vector, dtype=np.float32)
    if query.shape != (latent_size,):
        raise InvalidRequestError(
            f"The vector has shape {query.shape}, but the checkpoint's latent vectors have "
            f"{latent_size} dimensions: encode with the checkpoint that is searched."
        )
    if not np.isfinite(query).all():
        raise InvalidRequestError("The vector contains values that are not finite.")
    return query


def distance_to(query: BindParameter[Any], index_size: int | None = None) -> ColumnElement[float]:
    """Euclidean distance of ``embedding.mean`` to a vector.

    With ``index_size`` (the latent size) the expression matches the vector index, which covers the
    mean cast to its size, because the parent table has no fixed size.
    """
    mean: Any = Embedding.mean if index_size is None else cast(Embedding.mean, Vector(index_size))
    distance: ColumnElement[float] = mean.l2_distance(query)
    return distance


def _narrow(
    session: Session, statement: Select[*tuple[Any, ...]], filters: GlitchFilters
) -> Select[*tuple[Any, ...]]:
    """Apply the filters; the filter on the detector needs no join."""
    statement = statement.where(*selection.embedding_conditions(filters))
    if filters.ifos:
        statement = statement.where(Embedding.ifo.in_(filters.ifos))
    others = replace(filters, ifos=())
    conditions = selection.glitch_conditions(session, others)
    if conditions:
        statement = statement.join(Glitch, Glitch.id == Embedding.glitch_id).where(*conditions)
    return statement


def prepare_index_scan(session: Session, candidates: int = EF_SEARCH) -> None:
    """Set ``hnsw.ef_search``, and let index scans continue if filters reject their results."""
    session.execute(
        text(
            "SELECT set_config('hnsw.ef_search', :ef, true),"
            " set_config('hnsw.iterative_scan', 'strict_order', true)"
        ),
        {"ef": str(candidates)},
    )
