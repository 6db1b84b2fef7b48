"""The base class of all tables, and identifiers. A test compares its names with Alembic's."""

import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return the SQL condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def is_any_of(column: InstrumentedAttribute[UUID], ids: Iterable[UUID]) -> sa.ColumnElement[bool]:
    """Return the condition that a column holds one of these ids, bound as a single array."""
    return column == sa.any_(sa.cast(list(ids), ARRAY(sa.Uuid)))


class Base(DeclarativeBase):
    """Base class of the tables; its naming convention gives constraints names for migrations."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (read by SQLAlchemy once, at class creation)
        str: sa.Text,
        float: sa.Double,
        bytes: sa.LargeBinary,
        datetime: sa.DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


def as_uuid(text: str) -> UUID | None:
    """Return the identifier that a text states; None if it states none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def uuid7() -> UUID:
    """Return a new UUID of version 7 (RFC 9562).

    They sort by time, so new rows are appended to an index: 48 bits of Unix milliseconds, 12 bits
    of the fraction of a millisecond, 62 random bits.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000  # RFC 9562 section 6.2, method 3
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def lowest_id_at(when: datetime) -> UUID:
    """Return a lower bound for all identifiers made at ``when`` or later."""
    return UUID(int=int(when.timestamp() * 1000) << 80)
