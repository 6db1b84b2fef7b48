"""Packing views for the database."""

import struct

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from glitch.codec import MAX_CELLS, pack_view, unpack_view
from glitch.errors import FormatError

fractions = st.floats(0, 1, width=32)
views = st_numpy.arrays(
    np.float32, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=fractions
)


@given(views)
def test_round_trip_is_within_half_a_step(view: np.ndarray) -> None:
    back = unpack_view(pack_view(view), view.shape)
    assert back.dtype == np.float32
    assert back.shape == view.shape
    assert np.abs(back.astype(np.float64) - view).max() <= 0.5 / 255 + 1e-7
    assert back.min() >= 0
    assert back.max() <= 1


def test_packing_twice_changes_nothing_more() -> None:
    view = np.random.default_rng(0).random((128, 128), dtype=np.float32)
    once = pack_view(view)
    assert pack_view(unpack_view(once, (128, 128))) == once


def test_the_ends_are_exact() -> None:
    view = np.array([[0.0, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(unpack_view(pack_view(view), (1, 2)), view)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.001, 1.001])
def test_non_finite_values_are_not_packed(value: float) -> None:
    with pytest.raises(FormatError, match="finite values in"):
        pack_view(np.array([[0.5, value]], dtype=np.float32))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_an_error_or_shows_no_change(position: int, change: int) -> None:
    view = np.random.default_rng(1).random((32, 32), dtype=np.float32)
    packed = bytearray(pack_view(view))
    packed[position % len(packed)] ^= change
    try:
        back = unpack_view(bytes(packed), (32, 32))
    except FormatError:
        return
    # Unused header bits may change without an error; the content may not, it has a checksum.
    np.testing.assert_array_equal(back, unpack_view(pack_view(view), (32, 32)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_clear_error(data: bytes) -> None:
    with pytest.raises(FormatError, match="stored view"):
        unpack_view(data, (128, 128))


@pytest.mark.parametrize("n_bytes", [0, 1, 4, 9, 100])
def test_truncated_bytes_are_an_error(n_bytes: int) -> None:
    packed = pack_view(np.random.default_rng(2).random((64, 64), dtype=np.float32))
    with pytest.raises(FormatError, match="stored view"):
        unpack_view(packed[:n_bytes], (64, 64))


def test_another_shape_is_an_error() -> None:
    packed = pack_view(np.zeros((64, 64), dtype=np.float32))
    with pytest.raises(FormatError, match="another grid"):
        unpack_view(packed, (128, 128))


def test_a_declared_size_is_never_allocated() -> None:
    magic = 0xFD2FB528
    declares_a_terabyte = struct.pack("<IBQ", magic, 0b11100000, 2**40) + b"\x01\x00\x00"
    assert zstandard.get_frame_parameters(declares_a_terabyte).content_size == 2**40
    with pytest.raises(FormatError, match="another grid"):
        unpack_view(declares_a_terabyte, (128, 128))


def test_a_frame_that_hides_its_size_is_an_error() -> None:
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**24))
    with pytest.raises(FormatError):
        unpack_view(bomb, (128, 128))


@pytest.mark.parametrize("shape", [(0, 4), (-1, 4), (MAX_CELLS, 2)])
def test_shapes_that_no_view_has_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(FormatError, match="shape"):
        unpack_view(b"", shape)


def test_extra_bytes_after_the_frame_are_an_error() -> None:
    packed = pack_view(np.zeros((8, 8), dtype=np.float32))
    with pytest.raises(FormatError):
        unpack_view(packed + b"more", (8, 8))
