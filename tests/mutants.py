"""Reproducible damaged copies of valid files, changed mainly where a format's readers branch."""

from __future__ import annotations

import io
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping

import numpy as np

Mutate = Callable[[bytes, np.random.Generator], bytes]

# Sizes and offsets that break arithmetic: zero, all ones, powers of two and their neighbours.
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_HDF5_MARKS = re.compile(rb"OHDR|OCHK|TREE|SNOD|HEAP|GCOL|FRHP|FHDB|BTHD|BTLF|FSHD|FSSE")
_TEXTS = (b"-1", b"nan", b"inf", b"1e999", b"9" * 400, b"\x00", b"\xff\xfe", b",", b"\n" * 50)


def mutant(kind: str, content: bytes, dice: np.random.Generator) -> bytes:
    """Return a damaged copy of a file whose format is a key of ``MUTATIONS``."""
    for _ in range(int(dice.choice((1, 1, 2, 4)))):
        content = MUTATIONS[kind](content, dice) or b"\x00"
    return content


def damaged(content: bytes, dice: np.random.Generator, at: int | None = None) -> bytes:
    """Make one change at one place, ``at`` or random, independent of the format."""
    data = bytearray(content)
    at = int(dice.integers(len(data))) if at is None else min(at, len(data) - 1)
    match int(dice.integers(6)):
        case 0:
            data[at] ^= 1 << int(dice.integers(8))
        case 1:
            data[at] = int(dice.integers(256))
        case 2:
            size = int(dice.choice((1, 2, 4, 8)))
            order = ("little", "big")[int(dice.integers(2))]
            number = _NUMBERS[int(dice.integers(len(_NUMBERS)))] & (256**size - 1)
            data[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        case 3:
            del data[at : at + int(dice.integers(1, 64))]
        case 4:
            length = int(dice.integers(1, 64))
            begin = int(dice.integers(len(data)))
            data[at:at] = data[begin : begin + length]
        case _:
            if dice.integers(4) == 0:
                del data[at:]
            else:
                data[at : at + 8] = dice.bytes(8)
    return bytes(data)


def _hdf5(content: bytes, dice: np.random.Generator) -> bytes:
    """Damage the superblock, a structure (object header, tree, heap) or a random byte."""
    marks = [match.start() for match in _HDF5_MARKS.finditer(content)] or [0]
    place = int(dice.integers(4))
    if place == 0:
        return damaged(content, dice, int(dice.integers(min(2048, len(content)))))
    if place < 3:
        mark = marks[int(dice.integers(len(marks)))]
        return damaged(content, dice, mark + int(dice.integers(200)))
    return damaged(content, dice)


def _npy(content: bytes, dice: np.random.Generator) -> bytes:
    """Damage the header, mostly by replacing one number or type, or damage a random byte."""
    end = content.find(b"\n") + 1
    header, rest = content[:end], content[end:]
    match int(dice.integers(4)):
        case 0:
            return damaged(content, dice, int(dice.integers(max(end, 1))))
        case 1:
            number = str(int(dice.choice((-1, 0, 10**6, 2**31, 2**62)))).encode()
            return re.sub(rb"(?<=[(, ])\d+(?=[,)])", number, header, count=1) + rest
        case 2:
            kinds = (b"|O", b"<c16", b"|V8", b"<f2", b">f8", b"|S100000", b"<U99999", b"<M8[s]")
            kind = kinds[int(dice.integers(len(kinds)))]
            return re.sub(rb"'[<>|=][a-zA-Z]\d*'", b"'" + kind + b"'", header, count=1) + rest
        case _:
            return damaged(content, dice)


def _npz(content: bytes, dice: np.random.Generator) -> bytes:
    """Damage the bytes of the archive, or damage a member and pack it again correctly."""
    if dice.integers(2):
        return damaged(content, dice)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, ValueError):
        return damaged(content, dice)
    if not members:
        return damaged(content, dice)
    chosen = list(members)[int(dice.integers(len(members)))]
    members[chosen] = _npy(members[chosen] or b"\n", dice)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def _png(content: bytes, dice: np.random.Generator) -> bytes:
    """Damage a chunk and recompute its checksum, or damage a random byte."""
    if dice.integers(2) or len(content) < 20:
        return damaged(content, dice)
    chunks, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return damaged(content, dice)
    chosen = int(dice.integers(len(chunks)))
    kind, data = chunks[chosen]
    chunks[chosen] = kind, damaged(data or b"\x00", dice)
    packed = content[:8]
    for kind, data in chunks:
        checksum = zlib.crc32(kind + data)
        packed += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return packed


def _text(content: bytes, dice: np.random.Generator) -> bytes:
    """Replace a few bytes by text that parsers handle badly, or damage a random byte."""
    if dice.integers(3) == 0:
        return damaged(content, dice)
    at = int(dice.integers(len(content)))
    word = _TEXTS[int(dice.integers(len(_TEXTS)))]
    return content[:at] + word + content[at + int(dice.integers(12)) :]


def _tar(content: bytes, dice: np.random.Generator) -> bytes:
    """Damage a 512-byte block, as headers begin there, or damage a random byte."""
    if dice.integers(3) == 0:
        return damaged(content, dice)
    block = 512 * int(dice.integers(max(1, len(content) // 512)))
    return damaged(content, dice, block + int(dice.integers(512)))


def _zip(content: bytes, dice: np.random.Generator) -> bytes:
    """Damage mostly the last bytes, where the directory is."""
    if dice.integers(3) == 0:
        return damaged(content, dice)
    return damaged(content, dice, max(0, len(content) - int(dice.integers(1, 400))))


MUTATIONS: dict[str, Mutate] = {
    "hdf5": _hdf5,
    "npy": _npy,
    "npz": _npz,
    "png": _png,
    "gwf": damaged,
    "text": _text,
    "tar": _tar,
    "zip": _zip,
}
ARCHIVES = frozenset({"tar", "zip"})  # archives of many glitches, for POST /batches


def tarred(files: Mapping[str, bytes], kind: int) -> bytes:
    """Return a tar in tarfile's format ``kind``; names are long, except in ustar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name if kind == tarfile.USTAR_FORMAT else "ü" * 120 + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes], method: int) -> bytes:
    """Return a zip with zip64 fields, compressed with zipfile's ``method``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return buffer.getvalue()


def archives(files: Mapping[str, bytes]) -> dict[str, tuple[str, bytes]]:
    """Return archives of these files by name: the format for ``mutant`` and the content."""
    return {
        "pax tar": ("tar", tarred(files, tarfile.PAX_FORMAT)),
        "GNU tar": ("tar", tarred(files, tarfile.GNU_FORMAT)),
        "old tar": ("tar", tarred(files, tarfile.USTAR_FORMAT)),
        "stored zip": ("zip", zipped(files, zipfile.ZIP_STORED)),
        "deflated zip": ("zip", zipped(files, zipfile.ZIP_DEFLATED)),
    }
