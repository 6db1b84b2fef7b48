"""The partition of a checkpoint's embeddings, and its vector index when it is large."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

INDEX_FROM_ROWS = 200_000  # with fewer rows an exact scan is fast enough
HNSW_M = 16
# with pgvector's default of 64, one row in a hundred is not reached at any ef
HNSW_EF_CONSTRUCTION = 200
_GRAPH_BYTES_PER_ROW = 750  # 730 measured at m = 16: a row and its neighbours on all levels
_MAX_BUILD_MB = 2000
_CHECK_EVERY_S = 0.5
PARTITION_PATTERN = r"^embedding_p\d+$"


def partition_name(checkpoint_id: int) -> str:
    """Return the name of the table with the embeddings of this checkpoint."""
    return f"embedding_p{int(checkpoint_id)}"


def vector_index_name(checkpoint_id: int) -> str:
    """Return the name of that table's HNSW index, whether it exists or not."""
    return f"{partition_name(checkpoint_id)}_mean_hnsw"


def create_partition(session: Session, checkpoint_id: int, latent_size: int) -> None:
    """Create the partition of a checkpoint, in the caller's transaction.

    The table is created separately and then attached. The lock for this allows reads and writes of
    the other partitions, which CREATE TABLE ... PARTITION OF does not.
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
    """Return whether searches under this checkpoint can use a complete vector index."""
    return bool(session.scalar(_IS_VALID, {"name": vector_index_name(checkpoint_id)}))


def has_rows(session: Session | Connection, checkpoint_id: int, least: int) -> bool:
    """Return whether a checkpoint has at least ``least`` embeddings, without counting the rest."""
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
    """Build the HNSW index of a checkpoint's embeddings if it is missing and worthwhile.

    Reads and writes continue meanwhile; a concurrent caller waits for the first. An incomplete
    index of an interrupted build is dropped and built again. A build waits for the transactions
    that are writing when it starts, so the caller must not have written anything in an open one.

    Args:
        engine: The database.
        checkpoint_id: Whose embeddings to index.
        latent_size: Dimension of the vectors.
        from_rows: Number of rows from which an index is built.
        check: Called twice a second; an exception that it raises cancels the build, whose index is
        then dropped.

    Returns:
        Whether there is an index now.
    """
    index = vector_index_name(checkpoint_id)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not has_rows(connection, checkpoint_id, from_rows):
            return False
        _run_checked(connection, check, "SELECT pg_advisory_lock(hashtext(:name))", {"name": index})
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
    """Return the progress of an index build in PostgreSQL's words; None if none is running."""
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
    """Return the memory in bytes that an HNSW build needs for this many vectors of this size.

    Vectors that do not fit are inserted on disk, which takes several times as long for each.
    """
    return rows * (4 * size + _GRAPH_BYTES_PER_ROW)


def _build(
    connection: Connection, checkpoint_id: int, size: int, check: Callable[[], None]
) -> None:
    table, index = partition_name(checkpoint_id), vector_index_name(checkpoint_id)
    rows = connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0  # noqa: S608
    needed_mb = graph_bytes(rows, size) // 1_000_000 + 64
    connection.execute(
        text("SELECT set_config('maintenance_work_mem', :size, false)"),
        {"size": f"{min(needed_mb, _MAX_BUILD_MB)}MB"},
    )
    statement = (
        f"CREATE INDEX CONCURRENTLY {index} ON {table}"
        f" USING hnsw ((mean::vector({size})) vector_l2_ops)"
        f" WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION})"
    )
    try:
        _run_checked(connection, check, statement, {})
    except Exception:
        # Close the connection, which also releases the lock that other callers wait for.
        connection.invalidate()
        # The incomplete index serves no search. If dropping it would have to wait for a long
        # transaction, the next build drops it.
        with suppress(DBAPIError), connection.engine.connect() as plain:
            autocommit = plain.execution_options(isolation_level="AUTOCOMMIT")
            autocommit.execute(text("SET statement_timeout = '2s'"))
            try:
                autocommit.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {index}"))
            finally:
                autocommit.invalidate()
        raise


def _run_checked(
    connection: Connection, check: Callable[[], None], statement: str, values: dict[str, str]
) -> None:
    """Run a long statement, and cancel it if ``check`` raises."""
    with ThreadPoolExecutor(1, thread_name_prefix="vector-index") as thread:
        running = thread.submit(connection.execute, text(statement), values)
        try:
            while not wait([running], _CHECK_EVERY_S).done:
                check()
        except BaseException:
            raw: Any = connection.connection.driver_connection
            with connection.engine.connect() as extra:
                extra.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": raw.info.backend_pid})
            wait([running])
            connection.invalidate()
            raise
        running.result()
