"""Paging of lists by keyset cursors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, and_, func, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.database import as_uuid
from app.core.errors import InvalidRequestError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list. ``next`` is the cursor of the following page, or None at the end.

    ``previous`` is the cursor of the preceding page, for lists that can be read backwards.
    ``total`` counts the items of all pages if the page was requested by its number.
    """

    items: tuple[Item, ...] = field(default_factory=tuple)
    next: str | None = None
    previous: str | None = None
    total: int = 0


RowT = TypeVar("RowT")


def check_limit(limit: int, largest: int) -> None:
    """Refuse a page size outside 1 to ``largest``."""
    if not 1 <= limit <= largest:
        raise InvalidRequestError(f"limit must be 1 to {largest}, not {limit}.")


def wrong_cursor() -> InvalidRequestError:
    """Return the error for a cursor that does not belong to the list."""
    return InvalidRequestError(
        "The cursor does not belong to this list: start from the first page."
    )


def cursor_id(cursor: str) -> UUID:
    """Return the id in a cursor; InvalidRequestError if the cursor is invalid."""
    if (row_id := as_uuid(cursor)) is None:
        raise wrong_cursor()
    return row_id


def cut_page(rows: Sequence[RowT], limit: int) -> tuple[Sequence[RowT], RowT | None]:
    """Split rows that were read with one more than the limit into a page and its last row.

    Returns:
        The rows of the page, and its last row if another page follows, else None.
    """
    shown = rows[:limit]
    return shown, shown[-1] if len(rows) > limit else None


def read_page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    record: Callable[[Any], Item],
    order: Sequence[tuple[InstrumentedAttribute[Any], bool]],
    limit: int,
    *,
    cursor: str | None,
    number: int | None = None,
    within: UUID | None = None,
    id_of: Callable[[Any], object] = attrgetter("id"),
) -> Page[Item]:
    """Return one page of a query's rows as records, ordered by two columns of one table.

    ``order`` gives each column and whether it is descending. A cursor is the id of the last record;
    together with ``within``, if given, it is the primary key of that table's row. A page is
    requested by a cursor or by its number.
    """
    total = 0
    if number is not None:
        counted = query.with_only_columns(func.count(), maintain_column_froms=True)
        total = session.scalar(counted) or 0
        query = query.offset(limit * (number - 1))
    query = query.order_by(*(column.desc() if falls else column.asc() for column, falls in order))
    if cursor is not None:
        key = cursor_id(cursor)
        table: Any = order[0][0].class_
        mark = session.get(table, key if within is None else (within, key))
        if mark is None:
            raise wrong_cursor()
        values = [getattr(mark, column.key) for column, _ in order]
        first, second = (
            column < value if falls else column > value
            for (column, falls), value in zip(order, values, strict=True)
        )
        query = query.where(or_(first, and_(order[0][0] == values[0], second)))
    rows = session.execute(query.limit(limit + 1)).all()
    shown = tuple(map(record, rows[:limit]))
    following = str(id_of(shown[-1])) if len(rows) > limit else None
    return Page(shown, following, total=total)
