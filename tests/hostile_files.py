"""Small hostile files that would cost a reader much memory or time, or make it read other files."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np

RATE = 4096
GPS_START = 1_126_259_446


def good_strain(path: Path) -> Path:
    """Write valid strain as gwpy does, the counterpart of the hostile HDF5 files."""
    with h5py.File(path, "w") as file:
        values = np.random.default_rng(1).normal(size=32 * RATE) * 1e-21
        dataset = file.create_dataset("strain", data=values, compression="gzip")
        dataset.attrs.update({"x0": GPS_START, "dx": 1 / RATE, "channel": "H1:TEST-STRAIN"})
    return path


def npy_header(shape: str, dtype: str = "<f8", pad: int = 0) -> bytes:
    """Return the header of an npy file of version 2 with this text as its shape."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * pad + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npz_of_many_bytes(path: Path) -> Path:
    """Write 131 kB that unpack to 128 MiB of one-byte values, or 1 GiB for each float64 copy."""
    return zipped(path, {"views.npy": npy_header("(4, 4096, 8192)", "|u1") + bytes(1 << 27)})


def npz_of_negative_shape(path: Path) -> Path:
    content = npy_header("(-1, 128, 128)") + bytes(1 << 22)
    return zipped(path, {"views.npy": content})


def npy_of_long_header(path: Path) -> Path:
    """Write a header that declares a length of 3 GiB."""
    path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 3 << 30) + b"{" * 1000)
    return path


def npz_of_nested_header(path: Path) -> Path:
    """Write a header whose shape is 4000 nested brackets, too many for Python's parser."""
    return zipped(path, {"strain.npy": npy_header("(" * 4000 + ")" * 4000)})


def npz_of_large_scalar(path: Path) -> Path:
    """Write a sample rate whose header declares 1e12 values."""
    values = io.BytesIO()
    np.save(values, np.zeros(RATE))
    rate = npy_header("(1000000, 1000000)") + bytes(64)
    return zipped(path, {"strain.npy": values.getvalue(), "sample_rate_hz.npy": rate})


def nested_groups(path: Path, depth: int = 3000) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        group = file.id
        for _ in range(depth):
            group = h5py.h5g.create(group, b"g")
    return path


def many_objects(path: Path, count: int = 20_000) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(count):
            h5py.h5g.create(file.id, b"%d" % number)
    return path


def circle_of_groups(path: Path) -> Path:
    """Write a group with a hard link to itself, so that its paths never end."""
    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group["again"] = group
    return path


def inflating_chunk(path: Path, inflated: int = 3 << 28) -> Path:
    """Write a chunk whose compressed bytes unpack to far more than the size that it declares."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(inflated >> 24))
    packed += packer.flush()
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "strain", (32 * RATE,), "<f8", chunks=(32 * RATE,), compression="gzip"
        )
        dataset.attrs.update({"x0": GPS_START, "dx": 1 / RATE, "channel": "H1:TEST-STRAIN"})
        dataset.id.write_direct_chunk((0,), packed)
    return path


def long_scalar(path: Path) -> Path:
    """Write GWOSC's layout with a start of 1 GiB of text that takes no space in the file."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("strain/Strain", (32 * RATE,), "<f8")
        dataset.attrs["Xspacing"] = 1 / RATE
        text = h5py.h5t.C_S1.copy()
        text.set_size(1 << 30)
        meta = file.create_group("meta")
        h5py.h5d.create(meta.id, b"GPSstart", text, h5py.h5s.create(h5py.h5s.SCALAR))
    return path


def wide_triggers(path: Path) -> Path:
    """Write Omicron's table with a text of 100,000 bytes in each row."""
    kind = np.dtype([("time", "<f8"), ("snr", "<f8"), ("note", "S100000")])
    with h5py.File(path, "w") as file:
        file.create_dataset("triggers", (65_536,), kind, chunks=(100,), compression="gzip")
    return path


EMBEDDABLE = {
    "many-bytes.npz": npz_of_many_bytes,
    "negative.npz": npz_of_negative_shape,
    "long-header.npy": npy_of_long_header,
    "nested-header.npz": npz_of_nested_header,
    "large-scalar.npz": npz_of_large_scalar,
    "nested-groups.h5": nested_groups,
    "many-objects.h5": many_objects,
    "circle.h5": circle_of_groups,
    "inflating.h5": inflating_chunk,
    "long-scalar.h5": long_scalar,
}
"""Makers of hostile uploads by file name."""
