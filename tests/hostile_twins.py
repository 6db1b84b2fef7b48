"""More small hostile files by format: tables of file names and functions that make the bytes."""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import h5py
import numpy as np
from hostile_files import GPS_START, RATE, npy_header

Make = Callable[[], bytes]
_VALUES = np.random.default_rng(1).normal(size=32 * RATE) * 1e-21
_ATTRIBUTES = {"x0": GPS_START, "dx": 1 / RATE, "channel": "H1:TEST-STRAIN"}


def hdf5(build: Callable[[h5py.File], None], **options: object) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        build(file)
    return buffer.getvalue()


def strain(**options: object) -> Callable[[h5py.File], None]:
    """Return a function that writes a gwpy series; ``options`` go to ``create_dataset``."""

    def build(file: h5py.File) -> None:
        if "data" not in options and "shape" not in options:
            options["data"] = _VALUES
        file.create_dataset("strain", **options).attrs.update(_ATTRIBUTES)  # type: ignore[arg-type]

    return build


def with_attributes(**changed: object) -> Callable[[h5py.File], None]:
    def build(file: h5py.File) -> None:
        strain()(file)
        for name, value in changed.items():
            file["strain"].attrs[name] = value

    return build


def _references(file: h5py.File) -> None:
    file["target"] = _VALUES
    regions = file.create_dataset("strain", (100,), dtype=h5py.regionref_dtype)
    regions[:] = [file["target"].regionref[:10]] * 100
    regions.attrs.update(_ATTRIBUTES)


def _links(file: h5py.File) -> None:
    group = file.create_group("strain")
    group["Strain"] = h5py.ExternalLink("/etc/passwd", "/strain")
    file["meta/GPSstart"] = h5py.SoftLink("/strain/Strain")
    file["loop"] = h5py.SoftLink("/loop")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(32 * RATE,), dtype="<f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "strain", shape=(32 * RATE,))
    file.create_virtual_dataset("strain", layout)
    file["strain"].attrs.update(_ATTRIBUTES)


def _texts(file: h5py.File) -> None:
    rows = file.create_dataset("strain", (5_000,), dtype=h5py.string_dtype())
    rows[:] = ["x" * 20] * 5_000
    rows.attrs.update(_ATTRIBUTES)


def _ragged(file: h5py.File) -> None:
    rows = file.create_dataset("strain", (100,), dtype=h5py.vlen_dtype(np.float64))
    for row in range(100):
        rows[row] = np.zeros(100)
    rows.attrs.update(_ATTRIBUTES)


def _attributes(count: int) -> Callable[[h5py.File], None]:
    def build(file: h5py.File) -> None:
        strain()(file)
        space, node = h5py.h5s.create(h5py.h5s.SCALAR), file["strain"].id
        for number in range(count):
            h5py.h5a.create(node, b"a%d" % number, h5py.h5t.STD_I8LE, space)

    return build


def _twice_deflated(file: h5py.File) -> None:
    """Write doubly compressed data: a few hundred bytes unpack to half a GiB."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((32 * RATE,))
    plist.set_deflate(9)
    plist.set_deflate(9)
    space = h5py.h5s.create_simple((32 * RATE,))
    made = h5py.h5d.create(file.id, b"strain", h5py.h5t.IEEE_F64LE, space, plist)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(32)) + packer.flush()
    made.write_direct_chunk((0,), zlib.compress(packed, 9))
    file["strain"].attrs.update(_ATTRIBUTES)


def _unknown_filter(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((RATE,))
    plist.set_filter(32_001, h5py.h5z.FLAG_OPTIONAL, (2, 2, 8, 1 << 20))
    space = h5py.h5s.create_simple((32 * RATE,))
    made = h5py.h5d.create(file.id, b"strain", h5py.h5t.IEEE_F64LE, space, plist)
    made.write_direct_chunk((0,), b"\x02\x01" + bytes(64))
    file["strain"].attrs.update(_ATTRIBUTES)


def _damaged_filter(**options: object) -> Callable[[h5py.File], None]:
    """Return a function that writes chunks of garbage under a filter with its own header."""

    def build(file: h5py.File) -> None:
        shape = {"shape": (32 * RATE,), "dtype": "<i4", "chunks": (RATE,)}
        made = file.create_dataset("strain", **shape, **options)  # type: ignore[arg-type]
        for chunk in range(32):
            made.id.write_direct_chunk((chunk * RATE,), b"\xff" * 64)
        made.attrs.update(_ATTRIBUTES)

    return build


def _tiny_chunks(file: h5py.File) -> None:
    made = file.create_dataset("strain", (16 * RATE,), "<f8", chunks=(1,), compression="gzip")
    packed = zlib.compress(bytes(8))
    for at in range(16 * RATE):
        made.id.write_direct_chunk((at,), packed)
    made.attrs.update(_ATTRIBUTES)


def _many_series(file: h5py.File) -> None:
    for number in range(1_000):
        made = file.create_dataset(f"H1:C{number}", (RATE,), "<f8")
        made.attrs.update({**_ATTRIBUTES, "channel": f"H1:C{number}"})


def _gps_start(value: object) -> Callable[[h5py.File], None]:
    def build(file: h5py.File) -> None:
        file["strain/Strain"] = _VALUES
        file["strain/Strain"].attrs["Xspacing"] = 1 / RATE
        file["meta/GPSstart"] = value

    return build


def _wide_float(file: h5py.File) -> None:
    """Write a floating point type of 256 bits with its exponent at an unusual position."""
    kind = h5py.h5t.IEEE_F64LE.copy()
    kind.set_size(32)
    kind.set_precision(256)
    kind.set_fields(255, 200, 55, 0, 200)
    made = h5py.h5d.create(file.id, b"strain", kind, h5py.h5s.create_simple((32 * RATE,)))
    file["strain"].attrs.update(_ATTRIBUTES)
    del made


def _null_space(file: h5py.File) -> None:
    file["strain"] = h5py.Empty("<f8")
    file["strain"].attrs.update(_ATTRIBUTES)


def _numbered_type(file: h5py.File) -> None:
    file["strain"] = np.dtype("<f8")
    file["strain"].attrs.update(_ATTRIBUTES)


PAIR = np.dtype([("time", "<f8"), ("value", "<f8"), ("more", "<f8", (1000,))])
HDF5: dict[str, Make] = {
    "references.h5": lambda: hdf5(_references),
    "links.h5": lambda: hdf5(_links),
    "virtual.h5": lambda: hdf5(_virtual),
    "texts.h5": lambda: hdf5(_texts),
    "ragged.h5": lambda: hdf5(_ragged),
    "compound.h5": lambda: hdf5(strain(shape=(32 * RATE,), dtype=PAIR)),
    "opaque.h5": lambda: hdf5(strain(shape=(RATE,), dtype="V100000")),
    "complex.h5": lambda: hdf5(strain(shape=(32 * RATE,), dtype="<c16")),
    "wide-float.h5": lambda: hdf5(_wide_float),
    "huge-chunk.h5": lambda: hdf5(strain(shape=(1 << 40,), dtype="<f8", chunks=(1 << 28,))),
    "endless.h5": lambda: hdf5(strain(shape=(1 << 62,), dtype="|i1", chunks=(1 << 20,))),
    "rank-32.h5": lambda: hdf5(strain(shape=(2,) * 32, dtype="|i1", chunks=(1,) * 32)),
    "long-attribute.h5": lambda: hdf5(with_attributes(x0=np.zeros(1 << 20)), libver="latest"),
    "deflated-twice.h5": lambda: hdf5(_twice_deflated),
    "unknown-filter.h5": lambda: hdf5(_unknown_filter),
    "bad-scale-offset.h5": lambda: hdf5(_damaged_filter(scaleoffset=0)),
    "bad-lzf.h5": lambda: hdf5(_damaged_filter(compression="lzf", shuffle=True)),
    "bad-checksum.h5": lambda: hdf5(_damaged_filter(fletcher32=True)),
    "tiny-chunks.h5": lambda: hdf5(_tiny_chunks, libver="latest"),
    "many-series.h5": lambda: hdf5(_many_series, libver="latest"),
    "null.h5": lambda: hdf5(_null_space),
    "named-type.h5": lambda: hdf5(_numbered_type),
    "user-block.h5": lambda: b"\x89PNG" + bytes(508) + hdf5(strain()),
    "x0-text.h5": lambda: hdf5(with_attributes(x0="soon")),
    "x0-nan.h5": lambda: hdf5(with_attributes(x0=np.nan)),
    "x0-large.h5": lambda: hdf5(with_attributes(x0=1e308)),
    "x0-lots.h5": lambda: hdf5(with_attributes(x0=np.uint64(2**64 - 1))),
    "dx-zero.h5": lambda: hdf5(with_attributes(dx=0.0)),
    "dx-tiny.h5": lambda: hdf5(with_attributes(dx=5e-324)),
    "dx-negative.h5": lambda: hdf5(with_attributes(dx=-1 / RATE)),
    "dx-complex.h5": lambda: hdf5(with_attributes(dx=1j)),
    "start-text.h5": lambda: hdf5(_gps_start("1e400")),
    "start-huge.h5": lambda: hdf5(_gps_start("9" * 60_000)),
    "start-many.h5": lambda: hdf5(_gps_start(np.zeros(1 << 20))),
}
"""HDF5 of kinds that no strain is kept in, or whose numbers make no sense."""


def npy(shape: str, dtype: str = "<f8", data: bytes = b"", version: int = 2) -> bytes:
    header = npy_header(shape, dtype)
    return header[:6] + bytes([version, 0]) + header[8:] + data


def npz(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def _saved(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _twice(second: bytes) -> bytes:
    """Return an npz with two members of one name; readers that look up by name see the last."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        good = npy("(131072,)", data=_VALUES.tobytes())
        return npz(("strain.npy", good), ("strain.npy", second))


def _lying_sizes(at: bytes, offset: int, size: int) -> bytes:
    """Return an npz with ``size`` written at an offset from the last occurrence of ``at``.

    The overwritten four bytes are a size or position in the directory, which becomes wrong.
    """
    data = bytearray(npz(("strain.npy", npy("(131072,)", data=bytes(8 * 131072)))))
    place = data.rfind(at) + offset
    data[place : place + 4] = struct.pack("<I", size)
    return bytes(data)


def _zip64() -> bytes:
    """Return an npz with a zip64 extra field that declares 2**63 - 1 bytes."""
    data = npz(("strain.npy", npy("(131072,)", data=bytes(64))))
    at = data.rfind(b"PK\x01\x02")
    entry = bytearray(data[at : data.rfind(b"PK\x05\x06")])
    entry[20:28] = b"\xff" * 8  # both sizes are in the extra field
    extra = struct.pack("<HHQQ", 1, 16, 2**63 - 1, 2**63 - 1)
    entry[30:32] = struct.pack("<H", len(extra))
    end = bytearray(data[data.rfind(b"PK\x05\x06") :])
    end[12:16] = struct.pack("<I", len(entry) + len(extra))
    return data[:at] + bytes(entry) + extra + bytes(end)


def _encrypted() -> bytes:
    data = bytearray(npz(("views.npy", npy("(4, 128, 128)", "<f4", bytes(4 * 65536)))))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rfind(mark) + offset] |= 1
    return bytes(data)


NUMPY: dict[str, Make] = {
    "bomb.npz": lambda: npz(("strain.npy", npy("(134217728,)", "|u1", bytes(1 << 27)))),
    "objects.npy": lambda: npy("(1000,)", "|O", b"cos\nsystem\n(S'true'\ntR."),
    "objects.npz": lambda: npz(("strain.npy", npy("(9,)", "|O", b"cos\nsystem\n(S'true'\ntR."))),
    "twice.npz": lambda: _twice(npy("(-1,)", "|O", b"cos\nsystem\n.")),
    "two-of-one-name.npz": lambda: _twice(npy("(131072,)", data=(2 * _VALUES).tobytes())),
    "many-members.npz": lambda: npz(*((f"{n}.npy", b"") for n in range(20_000))),
    "zip64.npz": _zip64,
    "longer.npz": lambda: _lying_sizes(b"PK\x01\x02", 24, 2**32 - 2),
    "shorter.npz": lambda: _lying_sizes(b"PK\x01\x02", 24, 10),
    "packed-longer.npz": lambda: _lying_sizes(b"PK\x01\x02", 20, 2**31),
    "elsewhere.npz": lambda: _lying_sizes(b"PK\x01\x02", 42, 2**31 - 1),
    "encrypted.npz": _encrypted,
    "lzma.npz": lambda: npz(("views.npy", npy("(4, 128, 128)")), method=zipfile.ZIP_LZMA),
    "bz2-bomb.npz": lambda: npz(
        ("strain.npy", npy("(9,)") + bytes(1 << 23)), method=zipfile.ZIP_BZIP2
    ),
    "rows.npy": lambda: npy("(100,)", "<f8", bytes(800))[:40],
    "record.npy": lambda: npy("(1000,)", "<f8").replace(b"'<f8'", b"[('a','<f8',(99999,))]"),
    "many-fields.npy": lambda: npy("(9,)").replace(
        b"'<f8'", b"[" + b",".join(b"('f%d','<f8')" % n for n in range(5000)) + b"]"
    ),
    "subarray.npy": lambda: npy("(9,)").replace(b"'<f8'", b"('<f8',(999999999,))"),
    "fortran.npy": lambda: npy("(512, 256)", data=bytes(8 * 131072)).replace(b"False", b"True "),
    "negative.npy": lambda: npy("(-131072,)", data=bytes(8 * 131072)),
    "huge.npy": lambda: npy("(" + "9" * 3000 + ",)"),
    "overflow.npy": lambda: npy("(4294967296, 4294967296, 2)", "<f4", bytes(64)),
    "true.npy": lambda: npy("(True, 131072)", data=bytes(8 * 131072)),
    "floats.npy": lambda: npy("(1e400,)"),
    "many-axes.npy": lambda: npy("(" + "1," * 5000 + ")"),
    "version-9.npy": lambda: npy("(9,)", version=9),
    "complex.npy": lambda: npy("(131072,)", "<c16", bytes(16 * 131072)),
    "dates.npy": lambda: npy("(131072,)", "<M8[s]", bytes(8 * 131072)),
    "nan.npz": lambda: _saved(strain=np.full(32 * RATE, np.nan), sample_rate_hz=np.array(RATE)),
    "huge-values.npz": lambda: _saved(
        strain=np.full(32 * RATE, 1e308), sample_rate_hz=np.array(RATE)
    ),
    "views-nan.npz": lambda: _saved(views=np.full((4, 128, 128), np.nan)),
    "axis-huge.npz": lambda: _saved(
        views=np.zeros((4, 128, 128)), durations_s=np.array([1e308, np.nan, -1, 0])
    ),
}
"""npy and npz whose headers and tables of contents lie."""


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (800, 600), kind: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", *size, 8, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name
        + data
        + struct.pack(">I", zlib.crc32(name + data) & 0xFFFFFFFF)
        for name, data in parts
    )


def _pixels(size: tuple[int, int] = (800, 600)) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(bytes((1 + 3 * size[0]) * size[1]), 1)


def _bomb(mib: int = 64) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mib)) + packer.flush()


def _animated(frames: int = 20_000) -> bytes:
    control = struct.pack(">IIIIIHHBB", 0, 800, 600, 0, 0, 1, 1, 0, 0)
    chunks = [(b"acTL", struct.pack(">II", frames, 0)), (b"fcTL", control), _pixels()]
    numbers = itertools.count(1)
    for _ in range(frames):
        chunks.append((b"fcTL", struct.pack(">I", next(numbers)) + control[4:]))
        chunks.append((b"fdAT", struct.pack(">I", next(numbers)) + b"x"))
    return png(*chunks)


def _scans(count: int = 1000) -> bytes:
    """Return a JPEG of many scans; for each, a decoder processes the whole picture."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (2400, 1600), "navy").save(buffer, "JPEG", progressive=True, quality=5)
    data = buffer.getvalue()
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
    last = data[starts[-1] : data.rfind(b"\xff\xd9")]
    return data[: data.rfind(b"\xff\xd9")] + last * count + b"\xff\xd9"


def _jpeg_of(size: int) -> bytes:
    frame = struct.pack(">BHHB", 8, size, size, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0))
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xd9"


PICTURES: dict[str, Make] = {
    "wide.png": lambda: png(_pixels(), size=(2**31 - 1, 2**31 - 1)),
    "flat.png": lambda: png(_pixels(), size=(4_000_000, 1)),
    "inflating.png": lambda: png((b"IDAT", _bomb())),
    "profile.png": lambda: png((b"iCCP", b"x\0\0" + _bomb()), _pixels()),
    "text.png": lambda: png((b"zTXt", b"x\0\0" + _bomb()), _pixels()),
    "international.png": lambda: png((b"iTXt", b"x\0\1\0\0\0" + _bomb()), _pixels()),
    "texts.png": lambda: png(*((b"tEXt", b"k%d\0v" % n) for n in range(50_000)), _pixels()),
    "many-chunks.png": lambda: png(*((b"teSt", b"") for _ in range(100_000)), _pixels()),
    "animated.png": _animated,
    "palette.png": lambda: png(_pixels(), kind=3),
    "short.png": lambda: png((b"IDAT", zlib.compress(bytes(100)))),
    "scans.jpg": _scans,
    "wide.jpg": lambda: _jpeg_of(65_500),
    "empty.jpg": lambda: _jpeg_of(600),
}
"""Pictures that unpack to much, or take a decoder long."""


def _gzipped(parts: Iterator[bytes]) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)
    return buffer.getvalue()


TEXTS: dict[str, Make] = {
    "bomb.txt.gz": lambda: _gzipped(itertools.repeat(b"0\n" * (1 << 19), 140)),
    "one-line.txt.gz": lambda: _gzipped(itertools.repeat(b"9" * (1 << 20), 140)),
    "blank.txt.gz": lambda: _gzipped(itertools.repeat(b"\n" * (1 << 20), 140)),
    "comments.txt.gz": lambda: _gzipped(itertools.repeat(b"#\n" * (1 << 19), 140)),
    "nested.txt.gz": lambda: gzip.compress(_gzipped(itertools.repeat(b"0\n" * 999_999, 80))),
    "members.txt.gz": lambda: gzip.compress(b"1\n") + gzip.compress(b"") * 50_000,
    "wide.txt": lambda: b"1 " * 2_000_000,
    "digits.txt": lambda: b"1\n" + b"9" * 3_000_000 + b"\n",
    "exponents.txt": lambda: b"1e999999999\n" * 200_000,
    "zeros.txt": lambda: b"1\0\n" * 200_000,
    "steps.txt": lambda: b"1126259446 0\n1126259446 0\n" * 50_000,
    "utf16.txt": lambda: ("1\n" * 50_000).encode("utf-16"),
}
"""Text that unpacks to much, or is slow to take apart."""

EMBEDDABLE = HDF5 | NUMPY | PICTURES | TEXTS


def many_attributes() -> bytes:
    """Valid strain that only looks hostile: it has far more attributes than usual."""
    return hdf5(_attributes(2_000), libver="latest")
