"""What lists share that are read page by page, from a mark onwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_
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
    """Refuse a page of no or too many rows.

    Raises:
        InvalidRequestError: if the limit is out of range.
    """
    if not 1 <= limit <= largest:
        raise InvalidRequestError(f"limit must be from 1 to {largest}.")


def wrong_cursor() -> InvalidRequestError:
    """What to raise where a cursor is not of the list that it is given to."""
    return InvalidRequestError("That cursor is not one of this list: start from its top.")


def cursor_id(cursor: str) -> UUID:
    """The id that a cursor is.

    Raises:
        InvalidRequestError: if it is none.
    """
    try:
        return UUID(cursor)
    except ValueError:
        raise wrong_cursor() from None


def marked_row(session: Session, table: type[RowT], key: Any) -> RowT:
    """The last row of the page before.

    Raises:
        InvalidRequestError: if it is not there.
    """
    row = session.get(table, key)
    if row is None:
        raise wrong_cursor()
    return row


def beyond(
    mark: object,
    first: InstrumentedAttribute[Any],
    second: InstrumentedAttribute[Any],
    *,
    falls: tuple[bool, bool],
) -> ColumnElement[bool]:
    """Whether a row comes after a marked one.

    The list is ordered by the first column, and by the second where that is equal; ``falls``
    says which of the two descend. ``mark`` has attributes of their names.
    """
    values = getattr(mark, first.key), getattr(mark, second.key)
    after = [
        column < value if is_falling else column > value
        for column, value, is_falling in zip((first, second), values, falls, strict=True)
    ]
    return or_(after[0], and_(first == values[0], after[1]))


def cut_page(rows: Sequence[RowT], limit: int) -> tuple[Sequence[RowT], RowT | None]:
    """The rows to show of those that were read, one more than the limit; the mark, if more follow.

    Returns:
        The rows of the page, and the last of them where there is a page after it.
    """
    shown = rows[:limit]
    return shown, shown[-1] if len(rows) > limit else None
