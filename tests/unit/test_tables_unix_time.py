"""Unix time instead of GPS time: recognised, or asked about."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from glitch.gps import unix_to_gps, utc_to_gps, why_in_future
from glitch.tables.reading import table_row


def test_unix_time_taken_for_gps_lies_in_the_future() -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    assert unix_to_gps(Decimal("1442224245.4")) == Decimal("1126259462.4")
    assert why_in_future(utc_to_gps(now), now) is None
    unix = why_in_future(Decimal("1740000000.5"), now)
    assert unix == (
        "GPS time 1740000000.5 lies in the future. As Unix time it would be GPS 1424035218.5: "
        "give that."
    )
    assert "Unix" not in str(why_in_future(Decimal(3_000_000_000), now))


def test_a_timestamp_of_an_ambiguous_clock_is_refused() -> None:
    row = table_row("row 1", {"timestamp": "1442224245.4"})
    assert "may be GPS or Unix time" in row.reason


@pytest.mark.parametrize(
    "row",
    [
        {"unix_time": "1442224245", "unix_time_ns": "400000000"},
        {"unix_s": "1442224245", "unix_ns": "400000000"},
        {"unix_time_ns": "1442224245400000000"},
        {"unix_time_ms": "1442224245400"},
        {"unix": 1442224245, "ns": 400000000},
    ],
)
def test_nanoseconds_beside_unix_seconds_are_the_rest_of_them(row: dict[str, object]) -> None:
    """Nanoseconds complete the seconds beside them, and are not a second column of a time."""
    facts = table_row("row 1", row).facts
    assert facts is not None
    assert facts.gps_time == "1126259462.4"
