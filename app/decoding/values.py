"""Python values as messages: numbers, texts, decimals, arrays, and lists and tables of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from app.decoding.messages import Array, Message

_ARRAY, _DECIMAL = "~array", "~decimal"


def pack(value: Any) -> Message:
    """A value as a message; see ``unpack``."""
    arrays: list[Array] = []
    return Message(_packed(value, arrays), tuple(arrays))


def unpack(message: Message) -> Any:
    """The value of ``pack``; tuples come back as lists, NumPy's scalars as Python's."""
    return _unpacked(message.value, message.arrays)


def _packed(value: Any, arrays: list[Array]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, Mapping):
        return {str(key): _packed(one, arrays) for key, one in value.items()}
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_packed(one, arrays) for one in value]
    return value


def _unpacked(value: Any, arrays: tuple[Array, ...]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if value.keys() == {_DECIMAL}:
            return Decimal(value[_DECIMAL])
        return {key: _unpacked(one, arrays) for key, one in value.items()}
    if isinstance(value, list):
        return [_unpacked(one, arrays) for one in value]
    return value
