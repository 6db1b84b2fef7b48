"""Paging of lists by keyset cursors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import InvalidRequestError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list; ``next`` is the cursor of the page after it, or None at the end.

    ``previous`` leads to the page before it, where the list can be read in that direction.
    """

    items: tuple[Item, ...] = field(default_factory=tuple)
    next: str | None = None
    previous: str | None = None


RowT = TypeVar("RowT")


def check_limit(limit: int, largest: int) -> None:
    """Refuse a page of no or too many rows."""
    if not 1 <= limit <= largest:
        raise InvalidRequestError(f"limit must be from 1 to {largest}.")


def wrong_cursor() -> InvalidRequestError:
    """What to raise where a cursor is not of the list that it is given to."""
    return InvalidRequestError("That cursor is not one of this list: start from its top.")


def cursor_id(cursor: str) -> UUID:
    """The id that a cursor is."""
    try:
        return UUID(cursor)
    except ValueError:
        raise wrong_cursor() from None


def cut_page(rows: Sequence[RowT], limit: int) -> tuple[Sequence[RowT], RowT | None]:
    """The rows to show of those that were read, one more than the limit; the mark, if more follow.

    Returns:
        The rows of the page, and the last of them where there is a page after it.
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
    within: UUID | None = None,
    id_of: Callable[[Any], object] = attrgetter("id"),
) -> Page[Item]:
    """One page of the rows of a query, as records, ordered by two columns of one table.

    Each column comes with whether it is descending. A cursor is the id of the last record, by which
    that table finds its row, together with ``within`` if given.
    """
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
    return Page(shown, str(id_of(shown[-1])) if len(rows) > limit else None)
