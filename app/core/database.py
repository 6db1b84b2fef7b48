"""The base class of all tables, and ids. Constraint names agree with ``alembic`` (tested)."""

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
    """The SQL condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def is_any_of(column: InstrumentedAttribute[UUID], ids: Iterable[UUID]) -> sa.ColumnElement[bool]:
    """Whether a column holds one of these ids: one bound array, however many they are."""
    return column == sa.any_(sa.cast(list(ids), ARRAY(sa.Uuid)))


class Base(DeclarativeBase):
    """Root of the tables; constraints get names that a migration can drop."""

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


def uuid7() -> UUID:
    """A new UUID of version 7 (RFC 9562), in order of time: new rows land at the end of an index.

    48 bits of Unix milliseconds, 12 of the fraction, 62 random.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000  # RFC 9562 section 6.2, method 3
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


def least_of(when: datetime) -> UUID:
    """Every identifier made at that time or later is at least this."""
    return UUID(int=int(when.timestamp() * 1000) << 80)
