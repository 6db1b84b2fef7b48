"""Damaged tars and zips: what can be read is, the rest is refused in a sentence, nothing fails."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mutants import damaged

from app.batches.bounds import Bounds
from app.batches.members import Member, list_members, read_member
from glitch.errors import GlitchError

FILES = {
    "a.png": np.random.default_rng(1).bytes(700),
    "dir/b.csv": b"gps_time,ifo\n1187008882.4,H1\n" * 20,
    "c.hdf5": bytes(3000),
}
MUTANTS = int(os.environ.get("MUTANTS", "250"))  # of each


def tarred(kind: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name if kind == tarfile.USTAR_FORMAT else "ü" * 120 + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in FILES.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return buffer.getvalue()


ARCHIVES = {
    "pax tar": tarred(tarfile.PAX_FORMAT),
    "GNU tar": tarred(tarfile.GNU_FORMAT),
    "old tar": tarred(tarfile.USTAR_FORMAT),
    "stored zip": zipped(zipfile.ZIP_STORED),
    "deflated zip": zipped(zipfile.ZIP_DEFLATED),
}


def read_all(path: Path) -> Counter[str]:
    """What becomes of the members."""
    found: Counter[str] = Counter()
    with path.open("rb") as file:
        for member in list_members(path, Bounds(10**9)):
            if not isinstance(member, Member):
                found["refused"] += 1
                continue
            try:
                assert len(read_member(file, member)) == member.size
                found["read"] += 1
            except GlitchError:
                found["damaged"] += 1
    return found


def mutant(name: str, number: int) -> bytes:
    """Damage near what a reader decides by: the end of a zip, a block of a tar; or anywhere."""
    dice = np.random.default_rng([7, number])
    content = ARCHIVES[name]
    for _ in range(int(dice.choice((1, 1, 2, 4)))):
        at: int | None = None
        if dice.integers(3):
            back = int(dice.integers(1, 400))
            block = 512 * int(dice.integers(max(1, len(content) // 512)))
            at = block + int(dice.integers(512)) if "tar" in name else max(0, len(content) - back)
        content = damaged(content, dice, at) or b"\0"
    return content


@pytest.mark.parametrize("name", ARCHIVES)
def test_no_damage_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    path = tmp_path / "archive"
    path.write_bytes(ARCHIVES[name])
    assert read_all(path) == {"read": len(FILES)}
    outcomes: Counter[str] = Counter()
    for number in range(MUTANTS):
        path.write_bytes(mutant(name, number))
        try:
            outcomes += read_all(path)
        except GlitchError:
            outcomes["no archive"] += 1
    assert outcomes["read"] > MUTANTS / 2
    assert outcomes["damaged"] + outcomes["refused"] + outcomes["no archive"] > 0


def header(kind: bytes, size: bytes) -> bytes:
    block = bytearray(tarfile.TarInfo("a.png").tobuf()[:512])
    block[124:136], block[156:157] = size, kind
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    return bytes(block)


@pytest.mark.parametrize("kind", [b"0", b"Z"])
@pytest.mark.parametrize("size", [-512, -1024])
def test_a_negative_size_is_no_endless_tar(tmp_path: Path, kind: bytes, size: int) -> None:
    """The header after it would be itself, or the one before."""
    negative = size.to_bytes(12, "big", signed=True)
    path = tmp_path / "archive"
    path.write_bytes(tarred(tarfile.USTAR_FORMAT)[:1536] + header(kind, negative) + bytes(1024))
    assert read_all(path)["refused"] >= 1
