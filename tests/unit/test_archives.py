"""Damaged tars and zips: what can be read is, the rest is refused in a sentence, nothing fails."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mutants import archives, mutant, tarred
from sent_batches import tar

from glitch.errors import GlitchError
from glitch.files.archives import Member, list_members, read_member

FILES = {
    "a.png": np.random.default_rng(1).bytes(700),
    "dir/b.csv": b"gps_time,ifo\n1187008882.4,H1\n" * 20,
    "c.hdf5": bytes(3000),
}
MUTANTS = int(os.environ.get("MUTANTS", "250"))  # of each


ARCHIVES = archives(FILES)


def read_all(path: Path) -> Counter[str]:
    """What becomes of the members."""
    found: Counter[str] = Counter()
    with path.open("rb") as file:
        for member in list_members(path, 10**9):
            if not isinstance(member, Member):
                found["refused"] += 1
                continue
            try:
                assert len(read_member(file, member)) == member.size
                found["read"] += 1
            except GlitchError:
                found["damaged"] += 1
    return found


@pytest.mark.parametrize("name", ARCHIVES)
def test_no_damage_is_an_error_of_ours(tmp_path: Path, name: str) -> None:
    path = tmp_path / "archive"
    kind, content = ARCHIVES[name]
    path.write_bytes(content)
    assert read_all(path) == {"read": len(FILES)}
    outcomes: Counter[str] = Counter()
    for number in range(MUTANTS):
        path.write_bytes(mutant(kind, content, np.random.default_rng([7, number])))
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
    path.write_bytes(
        tarred(FILES, tarfile.USTAR_FORMAT)[:1536] + header(kind, negative) + bytes(1024)
    )
    assert read_all(path)["refused"] >= 1


LITTER = [
    *(
        "Thumbs.db",
        "a/thumbs.db",
        "a\\Thumbs.db",
        "a/desktop.ini",
        "__MACOSX/a/._b.csv",
        "a/b.csv~",
        "a/.b.csv.swp",
        "a/#b.csv#",
        "a/._b.csv",
    ),
    *(
        "a/.ipynb_checkpoints/b-checkpoint.csv",
        ".git/config",
        "a/@eaDir/c.png",
        ".Trash-1000/d.csv",
    ),
    "~$triggers.csv",
]


def test_litter_of_systems_and_editors_is_left_out(tmp_path: Path) -> None:
    """A notebook's checkpoint is an older copy of a table: its rows came twice."""
    path = tmp_path / "a.tar"
    path.write_bytes(tar(dict.fromkeys([*LITTER, "a/b.csv", "thumbs.csv"], b"x")))
    found = list(list_members(path, 10**9))
    assert [one.name for one in found if isinstance(one, Member)] == ["a/b.csv", "thumbs.csv"]
    assert all(one.is_harmless for one in found if not isinstance(one, Member))


def test_what_is_gzipped_alone_is_no_archive_within_the_archive(tmp_path: Path) -> None:
    """Its reader takes it, or says how to unpack it; it was told to be an archive."""
    path = tmp_path / "archive"
    path.write_bytes(tar(dict.fromkeys(("a.hdf5.gz", "b.NPZ.gz", "c.csv.gz"), b"\x1f\x8b")))
    assert all(isinstance(one, Member) for one in list_members(path, 10**9))
    path.write_bytes(tar(dict.fromkeys(("a.tar.gz", "b.zip", "c.tgz"), b"\x1f\x8b")))
    assert not any(isinstance(one, Member) for one in list_members(path, 10**9))
