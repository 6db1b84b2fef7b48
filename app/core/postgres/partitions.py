"""The partition of a checkpoint's embeddings, and its vector index when it is large."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

INDEX_FROM_ROWS = 200_000  # below, an exact scan is quick enough and exact
HNSW_M = 16
HNSW_EF_CONSTRUCTION = 200  # with pgvector's own 64 one in a hundred is not reached at any ef
_GRAPH_BYTES_A_ROW = 750  # 730 used at m = 16: a row and its neighbours on all levels
_MOST_BUILD_MB = 2000
_CHECK_EVERY_S = 0.5
PARTITION_PATTERN = r"^embedding_p\d+$"


def partition_name(checkpoint_id: int) -> str:
    """The table that holds the embeddings of this checkpoint."""
    return f"embedding_p{int(checkpoint_id)}"


def vector_index_name(checkpoint_id: int) -> str:
    """The HNSW index of that table, where there is one."""
    return f"{partition_name(checkpoint_id)}_mean_hnsw"


def create_partition(session: Session, checkpoint_id: int, latent_size: int) -> None:
    """Create the partition of a checkpoint, in the caller's transaction.

    It is created separately and then attached. The lock for this allows reads and writes of the
    other partitions, which CREATE TABLE ... PARTITION OF does not.
    """
    table, key, size = partition_name(checkpoint_id), int(checkpoint_id), int(latent_size)
    session.execute(
        text(f"CREATE TABLE {table} (LIKE embedding INCLUDING DEFAULTS INCLUDING STORAGE)")
    )
    session.execute(
        text(
            f"ALTER TABLE {table}"
            f" ADD CONSTRAINT ck_{table}_checkpoint_id CHECK (checkpoint_id = {key}),"
            f" ADD CONSTRAINT ck_{table}_mean CHECK (vector_dims(mean) = {size}),"
            f" ADD CONSTRAINT ck_{table}_log_variance CHECK (cardinality(log_variance) = {size})"
        )
    )
    session.execute(text(f"ALTER TABLE embedding ATTACH PARTITION {table} FOR VALUES IN ({key})"))


_IS_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def has_vector_index(session: Session, checkpoint_id: int) -> bool:
    """Whether searches under this checkpoint can use a finished vector index."""
    return bool(session.scalar(_IS_VALID, {"name": vector_index_name(checkpoint_id)}))


def has_rows(session: Session | Connection, checkpoint_id: int, least: int) -> bool:
    """Whether a checkpoint has at least so many embeddings; counts no further."""
    first = text(
        f"SELECT count(*) FROM (SELECT 1 FROM {partition_name(checkpoint_id)} LIMIT :least) AS few"  # noqa: S608
    )
    return bool(session.scalar(first, {"least": least}) == least)


def ensure_vector_index(
    engine: Engine,
    checkpoint_id: int,
    latent_size: int,
    *,
    from_rows: int = INDEX_FROM_ROWS,
    check: Callable[[], None] = lambda: None,
) -> bool:
    """Build the HNSW index of a checkpoint's embeddings if they are many and it is missing.

    Reads and writes go on meanwhile; a second caller waits for the first. A build that was cut
    short is dropped and done again. It waits for the transactions that are writing when it starts,
    so the caller must have written nothing in one of its own.

    ``from_rows`` make an index worth while. ``check`` is called twice a second; what it raises ends
    the build, which is then undone.

    Returns:
        Whether there is an index now.
    """
    index = vector_index_name(checkpoint_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not has_rows(connection, checkpoint_id, from_rows):
            return False
        _unless(connection, check, "SELECT pg_advisory_lock(hashtext(:name))", {"name": index})
        try:
            is_valid = connection.scalar(_IS_VALID, {"name": index})
            if is_valid is False:
                connection.execute(text(f"DROP INDEX CONCURRENTLY {index}"))
            if not is_valid:
                _build(connection, checkpoint_id, int(latent_size), check)
        finally:
            if not connection.invalidated:
                unlock = text("SELECT pg_advisory_unlock(hashtext(:name))")
                connection.execute(unlock, {"name": index})
                connection.execute(text("RESET maintenance_work_mem"))
    return True


def build_progress(engine: Engine, checkpoint_id: int) -> str | None:
    """How far the build of a checkpoint's index is, in PostgreSQL's words; None where none is."""
    statement = text(
        "SELECT phase, 100 * blocks_done / nullif(blocks_total, 0) AS percent"
        " FROM pg_stat_progress_create_index WHERE relid = to_regclass(:table)"
    )
    with engine.connect() as connection:
        row = connection.execute(statement, {"table": partition_name(checkpoint_id)}).first()
    if row is None:
        return None
    share = "" if row.percent is None else f", {row.percent} % of the table"
    return f"The vector index: {row.phase}{share}."


def graph_bytes(rows: int, size: int) -> int:
    """Memory for the graph of so many vectors.

    Rows that it has no room for are put into it on disk, each in several times as long.
    """
    return rows * (4 * size + _GRAPH_BYTES_A_ROW)


def _build(
    connection: Connection, checkpoint_id: int, size: int, check: Callable[[], None]
) -> None:
    table, index = partition_name(checkpoint_id), vector_index_name(checkpoint_id)
    rows = connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0  # noqa: S608
    needed_mb = graph_bytes(rows, size) // 1_000_000 + 64
    connection.execute(
        text("SELECT set_config('maintenance_work_mem', :size, false)"),
        {"size": f"{min(needed_mb, _MOST_BUILD_MB)}MB"},
    )
    statement = (
        f"CREATE INDEX CONCURRENTLY {index} ON {table}"
        f" USING hnsw ((mean::vector({size})) vector_l2_ops)"
        f" WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION})"
    )
    try:
        _unless(connection, check, statement, {})
    except Exception:
        # Its own connection goes, and with it the lock that others wait for.
        connection.invalidate()
        # What is left of the index serves no search; where the drop would have to wait for a long
        # transaction, the next build does it.
        with suppress(DBAPIError), connection.engine.connect() as plain:
            other = plain.execution_options(isolation_level="AUTOCOMMIT")
            other.execute(text("SET statement_timeout = '2s'"))
            try:
                other.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index}"))
            finally:
                other.invalidate()
        raise


def _unless(
    connection: Connection, check: Callable[[], None], statement: str, values: dict[str, str]
) -> None:
    """Run a statement that may take long, unless ``check`` raises meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="vector-index") as thread:
        running = thread.submit(connection.execute, text(statement), values)
        try:
            while not wait([running], _CHECK_EVERY_S).done:
                check()
        except BaseException:
            own: Any = connection.connection.driver_connection
            with connection.engine.connect() as other:
                other.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": own.info.backend_pid})
            wait([running])
            connection.invalidate()
            raise
        running.result()
