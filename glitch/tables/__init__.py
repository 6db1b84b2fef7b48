"""Read tables of triggers and images in the formats of the field, as plain records."""

from glitch.tables.facts import Facts, facts_of, needed_columns
from glitch.tables.reading import (
    TableRow,
    is_text_table,
    origin_of,
    read_text_table,
    refuse_unread,
    table_row,
)

__all__ = [
    "Facts",
    "TableRow",
    "facts_of",
    "is_text_table",
    "needed_columns",
    "origin_of",
    "read_text_table",
    "refuse_unread",
    "table_row",
]
