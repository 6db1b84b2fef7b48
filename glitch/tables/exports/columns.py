"""The columns of an export, and their values."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LONG_TEXT = 400  # bytes for channels and classes, which have up to 200 and 100 characters
_SENTENCES = 1000
FETCHED = 2000  # rows held at a time, so that memory does not grow with the export


@dataclass(frozen=True)
class Column:
    """A column of an export."""

    name: str  # Gravity Spy's name, if it has one
    is_text: bool
    value: Callable[[Any], Any]  # value for a row; None if unknown
    is_whole: bool = False
    width: int = 64  # bytes per text in HDF5; longer texts are cut


def whole_seconds(gps_time: Decimal | None) -> int | None:
    """Return the whole seconds of a time, a column of its own in trigger tables."""
    return None if gps_time is None else math.floor(gps_time)


def nanoseconds(gps_time: Decimal | None) -> int | None:
    """Return the nanoseconds of a time beyond its whole seconds."""
    return None if gps_time is None else int((gps_time - math.floor(gps_time)) * 1_000_000_000)


COLUMNS: tuple[Column, ...] = (
    Column("event_time", False, lambda row: row.gps_time),
    Column("ifo", True, lambda row: row.ifo),
    Column("peak_time", False, lambda row: whole_seconds(row.gps_time), is_whole=True),
    Column("peak_time_ns", False, lambda row: nanoseconds(row.gps_time), is_whole=True),
    Column("duration", False, lambda row: row.duration),
    Column("peak_frequency", False, lambda row: row.peak_frequency),
    Column("bandwidth", False, lambda row: row.bandwidth),
    Column("channel", True, lambda row: row.channel, width=LONG_TEXT),
    Column("snr", False, lambda row: row.snr),
    Column("q_value", False, lambda row: row.q),
    Column("gravityspy_id", True, lambda row: row.gravityspy_id or str(row.id)),
    Column("ml_label", True, lambda row: row.label, width=LONG_TEXT),
    Column("ml_confidence", False, lambda row: row.ml_confidence),
    Column("data_quality", True, lambda row: " ".join(row.data_quality) or None, width=LONG_TEXT),
    Column("origin", True, lambda row: row.origin),
    Column("novelty_score", False, lambda row: row.novelty_score),
    Column("p_value", False, lambda row: row.p_value),
    Column("simulated_class", True, lambda row: row.simulated_class),
    Column("simulated_probability", False, lambda row: row.simulated_probability),
    Column("page", True, lambda row: row.page, width=160),
    # Properties of the requested cluster, repeated in every row, so that tables of several clusters
    # can be concatenated.
    Column("cluster", True, lambda row: row.cluster),
    Column("cluster_fdr", False, lambda row: row.cluster_fdr),
    Column("cluster_trust", True, lambda row: row.cluster_trust, width=_SENTENCES),
    Column("cluster_doubt", True, lambda row: row.cluster_doubt, width=_SENTENCES),
)
