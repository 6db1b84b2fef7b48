"""Conventions of Gravity Spy: its ids of glitches."""

from __future__ import annotations

import re

_ID = re.compile(r"(?=[0-9]*[A-Za-z])[A-Za-z0-9]{10}", re.ASCII)
_ANY_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}", re.ASCII)


def is_gravityspy_id(text: str) -> bool:
    """Whether this is an id of Gravity Spy's own: ten letters and digits, such as 8FHTgA8MEu."""
    return _ID.fullmatch(text) is not None


def is_spelled_like_an_id(text: str) -> bool:
    """Whether this has the letters of an id, be it Gravity Spy's or one made in its place."""
    return _ANY_ID.fullmatch(text) is not None


def may_be_gravityspy_id(text: str) -> bool:
    """Whether this may be an id in a column of ids. A number never is one.

    Many tables call row numbers ids, which name different glitches in each.
    """
    return is_spelled_like_an_id(text) and bool(text.strip("0123456789_-"))
