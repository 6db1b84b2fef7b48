"""GPS and UTC against astropy's leap seconds, and times that people type."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from app.core.errors import InvalidRequestError
from app.frame.form_values import era_time_range, overlap, parse_end, parse_time
from glitch.gps import gps_to_utc, leap_second_days, utc_to_gps
from glitch.observing_runs import ERAS, era


@pytest.mark.parametrize("day", leap_second_days())
def test_leap_seconds_agree_with_astropy(day: datetime) -> None:
    from astropy.time import Time

    assert int(utc_to_gps(day)) == round(Time(day.replace(tzinfo=None), scale="utc").gps)


@pytest.mark.parametrize(
    "gps_time", [0, 46_828_799, 46_828_801, 1_126_259_462, 1_167_264_016, 1_187_008_881]
)
def test_conversion_agrees_with_astropy_and_comes_back(gps_time: int) -> None:
    from astropy.time import Time

    utc = gps_to_utc(Decimal(gps_time))
    assert utc == Time(gps_time, format="gps", scale="utc").to_datetime(timezone=UTC)
    assert utc_to_gps(utc) == gps_time


def test_gw150914() -> None:
    assert parse_time("2015-09-14 09:50:45.4") == Decimal("1126259462.4")
    assert parse_time("1126259462.4") == Decimal("1126259462.4")


@pytest.mark.parametrize(
    ("text", "gps_time"),
    [
        ("2020-02-22", "1266364818"),
        ("2020-2-22", "1266364818"),
        (" 2020-02-22T00:59:24.66Z ", "1266368382.66"),
        ("2020-02-22 00:59:24 UTC", "1266368382"),
        ("2020-02-22 00:59", "1266368358"),
        ("12", "12"),
        ("2016-12-31 23:59:60", "1167264017"),
        ("2015-09-14T09:50:45+00:00", "1126259462"),
        ("2015-09-14 09:50:45,4", "1126259462.4"),
    ],
)
def test_times_are_parsed_as_people_write_them(text: str, gps_time: str) -> None:
    assert parse_time(text) == Decimal(gps_time)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "-5", "1e9", "nan", "inf", "99999999999", "4000000001", "1126259462,4"),
        *(
            "2020-13-01",
            "2020-02-30",
            "2020-02-22 25:00:00",
            "2016-11-30 23:59:60",
            "1979-12-31",
            "22.02.2020",
        ),
        "2016-11-30 23:59:60",
        *("1126259462.4; DROP TABLE glitch", "<script>alert(1)</script>", "٣٤٥", "9" * 5000),
    ],
)
def test_no_time_is_refused_with_a_sentence_that_is_not_endless(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse_time(text)
    assert str(refusal.value).endswith(".") or str(refusal.value).endswith(").")
    assert len(str(refusal.value)) < 200


def test_a_day_ends_a_stretch_with_its_last_moment() -> None:
    assert parse_end("2020-02-22") == parse_time("2020-02-23")
    assert parse_end("2020-02-22 00:00") == parse_time("2020-02-22 00:00")
    assert parse_end("1266368382") == 1266368382


@pytest.mark.parametrize("run", ERAS)
def test_the_stretch_of_a_run_holds_that_run_alone(run: str) -> None:
    first, last = era_time_range(run)
    for at, step in ((first, -1), (last, 1)):
        if at is not None:
            assert era(at) == run
            assert era(at + step) != run
    assert (first, last) != (None, None)


def test_stretches_overlap_where_both_go_on() -> None:
    early, late = (Decimal(1), Decimal(5)), (Decimal(3), Decimal(9))
    both = (Decimal(3), Decimal(5))
    assert overlap(early, late) == both
    assert overlap(early, (None, None)) == early
    assert overlap((None, Decimal(5)), (Decimal(3), None)) == both
