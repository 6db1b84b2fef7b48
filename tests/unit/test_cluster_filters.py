"""The filters in the address of the cluster list: each unreadable value has its own message."""

from datetime import UTC, datetime

from app.clusters.pages.lists import _read
from glitch.gps import utc_to_gps


def test_invalid_ends_of_a_time_range_are_both_reported() -> None:
    filters, errors = _read({"start": "yesterday", "end": "tomorrow", "min_size": "many"}, [])
    assert [name in " ".join(errors) for name in ("yesterday", "tomorrow")] == [True, True]
    assert len(errors) == 3
    assert filters.gps_start is None


def test_the_end_of_a_day_is_meant_and_one_end_is_enough() -> None:
    filters, errors = _read({"end": "2020-02-22"}, [])
    assert errors == []
    assert filters.gps_start is None
    assert filters.gps_end == utc_to_gps(datetime(2020, 2, 23, tzinfo=UTC))
