"""LIGO_LW: a document with one ``sngl_burst`` table, written as a stream.

igwn-ligolw, which reads it, keeps a whole document in memory and would have to be installed here;
the format is simple enough to write row by row. Columns and types are those of its
``SnglBurstTable``; other values go into its three named parameters, and properties of a cluster
into the document's comment.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape

from glitch.tables.exports.columns import nanoseconds, whole_seconds

BETWEEN = ",\n"  # between rows; a delimiter after the last row is not allowed
_TABLE = "sngl_burst"
_SEARCH = "GlitchDiscovery"

# Column, LIGO_LW type, value. Times are those of the peak; an unknown real is NaN.
_COLUMNS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("ifo", "lstring", lambda row: row.ifo),
    ("channel", "lstring", lambda row: row.channel),
    ("search", "lstring", lambda row: _SEARCH),  # noqa: ARG005  (all columns are asked alike)
    ("peak_time", "int_4s", lambda row: whole_seconds(row.gps_time)),
    ("peak_time_ns", "int_4s", lambda row: nanoseconds(row.gps_time)),
    ("start_time", "int_4s", lambda row: whole_seconds(_start(row))),
    ("start_time_ns", "int_4s", lambda row: nanoseconds(_start(row))),
    ("duration", "real_4", lambda row: row.duration),
    ("peak_frequency", "real_4", lambda row: row.peak_frequency),
    ("central_freq", "real_4", lambda row: row.peak_frequency),
    ("bandwidth", "real_4", lambda row: row.bandwidth),
    ("snr", "real_4", lambda row: row.snr),
    ("confidence", "real_4", lambda row: row.ml_confidence),
    ("param_one_name", "lstring", lambda row: row.gravityspy_id or str(row.id)),
    ("param_one_value", "real_8", lambda row: row.q),
    ("param_two_name", "lstring", lambda row: row.label),
    ("param_two_value", "real_8", lambda row: row.p_value),
    ("param_three_name", "lstring", lambda row: row.origin),
    ("param_three_value", "real_8", lambda row: row.novelty_score),
)

_TOP = (
    "<?xml version='1.0' encoding='utf-8'?>\n"
    '<!DOCTYPE LIGO_LW SYSTEM "http://ldas-sw.ligo.caltech.edu/doc/ligolwAPI/html/ligolw_dtd.txt">'
    "\n<LIGO_LW>\n"
)
_HEADER = (
    f'\t<Table Name="{_TABLE}:table">\n'
    + "".join(f'\t\t<Column Name="{_TABLE}:{name}" Type="{kind}"/>\n' for name, kind, _ in _COLUMNS)
    + f'\t\t<Stream Name="{_TABLE}:table" Delimiter="," Type="Local">\n'
)


def header(about: Mapping[str, Any]) -> str:
    """Return the text before the rows, with properties of the table in the document's comment."""
    stated = "; ".join(f"{name}: {value}" for name, value in about.items() if value is not None)
    return f"{_TOP}\t<Comment>{escape(stated)}</Comment>\n{_HEADER}" if stated else _TOP + _HEADER


FOOTER = "\n\t\t</Stream>\n\t</Table>\n</LIGO_LW>\n"


def stream_text(rows: Iterable[Any]) -> str:
    """Format rows for the table's stream, without a delimiter after the last one."""
    return BETWEEN.join(
        ",".join(_token(kind, value(row)) for _, kind, value in _COLUMNS) for row in rows
    )


def _token(kind: str, value: Any) -> str:
    if kind == "lstring":
        text = "" if value is None else str(value)
        return '"' + escape(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
    if kind == "int_4s":
        return str(int(value or 0))
    number = math.nan if value is None else float(value)
    return repr(number) if math.isfinite(number) else "nan"


def _start(row: Any) -> Decimal | None:
    gps_time: Decimal | None = row.gps_time
    if gps_time is None or not row.duration:
        return gps_time
    return gps_time - Decimal(repr(row.duration / 2))
