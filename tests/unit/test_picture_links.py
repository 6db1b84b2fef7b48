"""A signed link gives access to one picture for a limited time."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from app.models.picture_links import PictureLinks

NOW = 1_700_000_000.0
GLITCH = "0190a0a0-0000-7000-8000-000000000001"


def links(now: float = NOW, secret: bytes = b"s" * 32) -> PictureLinks:
    return PictureLinks(secret, lifetime_days=2, clock=lambda: now)


def query(path: str) -> tuple[int, str]:
    values = parse_qs(urlsplit(path).query)
    return int(values["expires"][0]), values["signature"][0]


def test_link_is_good_for_its_own_picture() -> None:
    path = links().path(GLITCH, 0.5)
    assert path.startswith(f"/glitches/{GLITCH}/views/0.5.png?")
    assert links().is_good(GLITCH, 0.5, *query(path))


def test_link_opens_nothing_else() -> None:
    expires, signature = query(links().path(GLITCH, 0.5))
    assert not links().is_good(GLITCH, 1.0, expires, signature)
    assert not links().is_good(GLITCH.replace("1", "2"), 0.5, expires, signature)
    assert not links().is_good(GLITCH, 0.5, expires + 86400, signature)
    assert not links().is_good(GLITCH, 0.5, expires, signature[:-1] + "é")
    assert not links(secret=b"t" * 32).is_good(GLITCH, 0.5, expires, signature)


@pytest.mark.parametrize(("days", "is_good"), [(1.99, True), (3.01, False)])
def test_link_lasts_its_days_and_no_more_than_one_above(days: float, is_good: bool) -> None:
    expires, signature = query(links().path(GLITCH, 4.0))
    assert links(NOW + days * 86400).is_good(GLITCH, 4.0, expires, signature) is is_good
