"""Recognise the encoding of a text, and parse JSON without losing values."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from glitch.errors import FormatError

_MAX_ZERO_SHARE = 0.02  # share of the bytes: in UTF-16, every second byte of Latin text is zero


def encoding_of(head: bytes) -> str:
    """Return the encoding to decode a text with, judged by its first kilobytes.

    UTF-8, UTF-16 (as spreadsheets and PowerShell write it, with or without a byte order mark), else
    Windows-1252. The returned codec removes a byte order mark.
    """
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        even, odd = head[::2], head[1::2]
        if odd.count(0) > len(odd) / 2 and even.count(0) <= _MAX_ZERO_SHARE * len(even):
            return "utf-16-le"
        if even.count(0) > len(even) / 2 and odd.count(0) <= _MAX_ZERO_SHARE * len(odd):
            return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def unique_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; to be used as ``object_pairs_hook``.

    Raises:
        FormatError: if it has a key twice with different values, of which Python keeps the last.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        before = found.setdefault(key, value)
        if before is not value and before != value:  # NaN differs from itself
            raise FormatError(
                f"An object in it has the key {key[:40]!r} twice, with different values: keep the "
                "right one."
            )
    return found
