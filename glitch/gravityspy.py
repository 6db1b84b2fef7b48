"""Gravity Spy's ids of glitches."""

from __future__ import annotations

import re

_ID = re.compile(r"(?=[0-9]*[A-Za-z])[A-Za-z0-9]{10}", re.ASCII)
_ANY_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}", re.ASCII)


def is_gravityspy_id(text: str) -> bool:
    """Whether this is an id assigned by Gravity Spy: ten letters and digits, such as 8FHTgA8MEu."""
    return _ID.fullmatch(text) is not None


def is_spelled_like_an_id(text: str) -> bool:
    """Whether this could be an id by its characters, from Gravity Spy or generated in its place."""
    return _ANY_ID.fullmatch(text) is not None


def may_be_gravityspy_id(text: str) -> bool:
    """Whether an entry of a column of ids may be a Gravity Spy id. A number never is.

    Many tables have row numbers as ids, which denote different glitches in each table.
    """
    return is_spelled_like_an_id(text) and bool(text.strip("0123456789_-"))
