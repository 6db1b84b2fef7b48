"""Damaged tars and zips: intact members are read, others refused in a sentence."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutants import archives, mutant, tarred
from sent_batches import tar

from glitch.errors import FormatError, GlitchError
from glitch.files.archives import Member, Refused, list_members, read_member

FILES = {
    "a.png": np.random.default_rng(1).bytes(700),
    "dir/b.csv": b"gps_time,ifo\n1187008882.4,H1\n" * 20,
    "c.hdf5": bytes(3000),
}
MUTANTS = int(os.environ.get("MUTANTS", "250"))  # of each archive


ARCHIVES = archives(FILES)


def read_all(path: Path) -> Counter[str]:
    """Count the members that were read, damaged and refused."""
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


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            kind = zipfile.ZIP_STORED if name.endswith("npz") else None
            archive.writestr(name, data, kind)
    return buffer.getvalue()


def test_complete_members_of_a_cut_zip_are_read(tmp_path: Path) -> None:
    path = tmp_path / "cut.zip"
    inner = zipped({"views.npy": bytes(100)})
    content = zipped(FILES | {"\u00fc.npz": inner, "last.csv": bytes(50)})
    whole = [member for member in members(path, content) if isinstance(member, Member)]
    assert [one.name for one in whole] == [*FILES, "\u00fc.npz", "last.csv"]
    ends = [one.offset for one in whole[1:]]  # a member ends here; it contains others of its own
    for length in (*ends, ends[1] + 20, ends[-1] + 10, len(content) - 30):
        *found, rest = members(path, content[:length])
        assert found == whole[: len(found)]
        assert len(found) == sum(end <= length for end in [*ends, ends[-1] + 60])
        assert isinstance(rest, Refused)
        assert "truncated. Its complete members were read" in rest.reason
        with path.open("rb") as file:
            assert all(read_member(file, one) for one in found if isinstance(one, Member))
    with pytest.raises(FormatError, match="no member can be read"):
        members(path, content[:40])


def test_complete_members_of_a_cut_streamed_zip_are_read(tmp_path: Path) -> None:
    """The intact members of a truncated zip without sizes in its local headers are read.

    Such a zip has the sizes after each member, as macOS and programs that write to a pipe do.
    """

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.content += bytes(data)
            return len(data)

    pipe = Pipe()
    files = FILES | {"long.csv": np.random.default_rng(2).bytes(3_000_000), "last.csv": bytes(50)}
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    path, content = tmp_path / "cut.zip", bytes(pipe.content)
    whole = members(path, content)
    assert [one.name for one in whole] == list(files)
    starts = [one.offset for one in whole if isinstance(one, Member)]
    for length, count in ((starts[-1], len(whole) - 1), (starts[-1] - 1, len(whole) - 2)):
        *found, rest = members(path, content[:length])
        assert found == whole[:count]
        assert isinstance(rest, Refused)
        assert "truncated" in rest.reason
    damaged = bytearray(content[: starts[-1]])
    damaged[starts[1] + 60] ^= 1
    *found, rest = members(path, bytes(damaged))
    assert found == whole[:1]
    with pytest.raises(FormatError, match="no member can be read"):
        members(path, content[: starts[1] - 1])


def members(path: Path, content: bytes) -> list[Member | Refused]:
    path.write_bytes(content)
    return list(list_members(path, 10**9))


def header(kind: bytes, size: bytes) -> bytes:
    block = bytearray(tarfile.TarInfo("a.png").tobuf()[:512])
    block[124:136], block[156:157] = size, kind
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    return bytes(block)


@pytest.mark.parametrize("kind", [b"0", b"Z"])
@pytest.mark.parametrize("size", [-512, -1024])
def test_a_negative_size_is_no_endless_tar(tmp_path: Path, kind: bytes, size: int) -> None:
    """A negative size must not make the reader return to an earlier header, without end."""
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
    """Files that systems and editors leave behind are ignored.

    A checkpoint of a notebook holds an older copy of a table, whose rows would be read twice.
    """
    path = tmp_path / "a.tar"
    path.write_bytes(tar(dict.fromkeys([*LITTER, "a/b.csv", "thumbs.csv"], b"x")))
    found = list(list_members(path, 10**9))
    assert [one.name for one in found if isinstance(one, Member)] == ["a/b.csv", "thumbs.csv"]
    assert all(one.is_harmless for one in found if not isinstance(one, Member))


def test_a_gzipped_member_is_not_a_nested_archive(tmp_path: Path) -> None:
    """A single gzipped file in an archive is a member, not a nested archive.

    Its reader accepts it or says how to unpack it.
    """
    path = tmp_path / "archive"
    path.write_bytes(tar(dict.fromkeys(("a.hdf5.gz", "b.NPZ.gz", "c.csv.gz"), b"\x1f\x8b")))
    assert all(isinstance(one, Member) for one in list_members(path, 10**9))
    path.write_bytes(tar(dict.fromkeys(("a.tar.gz", "b.zip", "c.tgz"), b"\x1f\x8b")))
    assert not any(isinstance(one, Member) for one in list_members(path, 10**9))
