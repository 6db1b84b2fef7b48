"""Messages between parent and child: JSON and raw arrays of limited size, never pickles.

A message is the length of its header (4 bytes, big-endian), the header as JSON, and the bytes of
the arrays that the header declares.
"""

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Shaped

MAX_HEADER_BYTES = 64 << 20
MAX_ARRAY_BYTES = 1 << 28
_DTYPES = frozenset({"<f8", "<f4", "|b1", "<i8"})
_LENGTH = struct.Struct(">I")

Array = Shaped[np.ndarray, "..."]


class BrokenMessageError(Exception):
    """The other side closed the connection or sent an invalid message."""


@dataclass(frozen=True, eq=False)
class Message:
    """A JSON value and the arrays that belong to it."""

    value: Any
    arrays: tuple[Array, ...] = ()


def send_message(channel: socket.socket, message: Message) -> None:
    """Send a complete message.

    Raises:
        OSError: if the other side is gone or does not receive it within the socket's timeout.
    """
    arrays = [np.ascontiguousarray(array) for array in message.arrays]
    shapes = [[array.dtype.str, list(array.shape)] for array in arrays]
    header = json.dumps({"value": message.value, "arrays": shapes}).encode()
    channel.sendall(_LENGTH.pack(len(header)) + header)
    for array in arrays:
        if array.size:
            channel.sendall(array.data.cast("B"))


def receive_message(channel: socket.socket) -> Message:
    """Receive a complete message, allocating no more than the limits above.

    Raises:
        BrokenMessageError: if the other side closed first or sent an invalid message.
        OSError: if it does not arrive within the socket's timeout.
    """
    (length,) = _LENGTH.unpack(_receive(channel, _LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise BrokenMessageError("the header is too long")
    try:
        header = json.loads(_receive(channel, length))
        value, declared = header["value"], _declared(header["arrays"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BrokenMessageError("the header is no message's") from error
    if sum(dtype.itemsize * prod(shape) for dtype, shape in declared) > MAX_ARRAY_BYTES:
        raise BrokenMessageError("the arrays are too large")
    return Message(value, tuple(_array(channel, dtype, shape) for dtype, shape in declared))


def _declared(arrays: Sequence[Any]) -> list[tuple[np.dtype, tuple[int, ...]]]:
    declared = []
    for dtype, shape in arrays:
        if dtype not in _DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError("an array of this kind is not taken")
        declared.append((np.dtype(dtype), tuple(shape)))
    return declared


def _array(channel: socket.socket, dtype: np.dtype, shape: tuple[int, ...]) -> Array:
    data = _receive(channel, dtype.itemsize * prod(shape))
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _receive(channel: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = channel.recv_into(view)
        if not count:
            raise BrokenMessageError("the other side ended")
        view = view[count:]
    return data


_ARRAY, _DECIMAL = "~array", "~decimal"


def pack(value: Any) -> Message:
    """Convert a value to a message; see ``unpack``."""
    arrays: list[Array] = []
    return Message(_packed(value, arrays), tuple(arrays))


def unpack(message: Message) -> Any:
    """Return the value given to ``pack``, with tuples as lists and NumPy scalars as Python's."""
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
