"""Addresses of external pages: filled in for a detector and a time, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.elsewhere import check_templates, pages_elsewhere
from app.core.settings import Settings

TEMPLATES = {
    "L1": {"Summary": "https://example.org/llo/day/{day}/", "Log": "https://log.org/?d={date}"},
    "*": {"Scan": "https://example.org/{ifo}/{gps}?s={gps_s}&at={utc}", "Log": "https://all.org/"},
}
GPS = Decimal("1266368424.250000")  # 2020-02-22 01:00:06.25 UTC


def test_places_are_filled_in_and_a_detectors_own_page_goes_first() -> None:
    assert dict(pages_elsewhere(TEMPLATES, "L1", GPS)) == {
        "Scan": "https://example.org/L1/1266368424.25?s=1266368424&at=2020-02-22T01:00:06",
        "Log": "https://log.org/?d=2020-02-22",
        "Summary": "https://example.org/llo/day/20200222/",
    }
    assert dict(pages_elsewhere(TEMPLATES, "V1", GPS))["Log"] == "https://all.org/"
    assert pages_elsewhere(TEMPLATES, None, GPS) == pages_elsewhere(TEMPLATES, "L1", None) == ()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("javascript:alert(1)", "does not begin with https"),
        ("https://example.org/{channel}", r"placeholder \{channel\}"),
        ("https://example.org/{gps.__class__}", "place"),
        ("https://example.org/{", "Log of L1"),
        # would fail on the page of each glitch
        ("https://example.org/{date:%Y}", "formats a place"),
        ("https://example.org/{gps_s:{day}}", "formats a place"),  # would make 20 MB of blanks
        ("https://example.org/{gps!x}", "formats a place"),
    ],
)
def test_invalid_link_templates_are_refused(address: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_templates({"L1": {"Log": address}})


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLITCH_LINKS", '{"*": {"Log": "https://log.org/{day}"}}')
    assert Settings().links == {"*": {"Log": "https://log.org/{day}"}}
    monkeypatch.setenv("GLITCH_LINKS", '{"*": {"Log": "https://log.org/{nothing}"}}')
    with pytest.raises(ValueError, match=r"links\n.*Log of"):
        Settings()
