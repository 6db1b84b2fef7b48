"""Gravity Spy's own conventions: the ids that it gives to glitches."""

from __future__ import annotations

import re

_ID = re.compile(r"(?=[0-9]*[A-Za-z])[A-Za-z0-9]{10}", re.ASCII)
_NAMED_ID = re.compile(r"(?=[0-9_\-]*[A-Za-z])[A-Za-z0-9_\-]{1,64}", re.ASCII)


def is_gravityspy_id(text: str) -> bool:
    """Whether this is an id of Gravity Spy's own: ten letters and digits, such as 8FHTgA8MEu."""
    return _ID.fullmatch(text) is not None


def may_be_gravityspy_id(text: str) -> bool:
    """Whether this may be an id where somebody calls it so: a number alone never is one.

    Row numbers are called ids by many tables, and name another glitch in each.
    """
    return _NAMED_ID.fullmatch(text) is not None
