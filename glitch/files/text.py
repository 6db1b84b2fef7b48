"""Recognise the encoding of a text by its first bytes."""

from __future__ import annotations

import codecs

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
