"""Loose files of a batch become one tar, the same bytes whatever their order."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from app.batches.storage import MOST_LOOSE_FILES, Unpacked, packed, unpack_whole
from app.core.errors import InvalidRequestError
from glitch.errors import FormatError
from glitch_discovery.packing import as_archive, files_in
from glitch_discovery.transport import opened


def streams(*names: str) -> list[tuple[str | None, io.BytesIO]]:
    return [(name, io.BytesIO(f"content of {name}".encode())) for name in names]


def test_one_file_stays_what_it_is() -> None:
    with packed([("folder/month.zip", io.BytesIO(b"zip"))]) as (name, stream):
        assert (name, stream.read()) == ("month.zip", b"zip")


def test_several_are_packed_the_same_in_any_order() -> None:
    contents = []
    for names in (("b.gwf", "a.csv"), ("a.csv", "b.gwf")):
        with packed(streams(*names)) as (name, stream):
            assert name == "2 files"
            contents.append(stream.read())
    assert contents[0] == contents[1]
    with tarfile.open(fileobj=io.BytesIO(contents[0])) as tar:
        assert tar.getnames() == ["a.csv", "b.gwf"]
        member = tar.extractfile("b.gwf")
        assert member is not None
        assert member.read() == b"content of b.gwf"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "Choose a file first"),
        (("a.csv", "x/a.csv"), "Two files are called a.csv"),
        (tuple(f"{index}.gwf" for index in range(MOST_LOOSE_FILES + 1)), "into a tar or zip"),
    ],
)
def test_what_cannot_be_packed_is_said(names: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence), packed(streams(*names)):
        pass


def test_links_in_a_folder_stand_for_their_files(tmp_path: Path) -> None:
    """Frames are often linked from an archive; those to folders may go round."""
    archive, folder = tmp_path / "archive", tmp_path / "mine"
    archive.mkdir()
    folder.mkdir()
    (archive / "H1.gwf").write_bytes(b"frames")
    (folder / "H1.gwf").symlink_to(archive / "H1.gwf")
    (folder / "gone.gwf").symlink_to(archive / "gone.gwf")
    (folder / "round").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    os.mkfifo(folder / "pipe.gwf")
    assert [path.name for path in files_in(folder)] == ["H1.gwf"]
    with as_archive(folder) as made, tarfile.open(made) as tar:
        [member] = tar.getmembers()
        content = tar.extractfile(member)
        assert content is not None
        assert (member.name, content.read()) == ("H1.gwf", b"frames")


def test_a_pipe_is_refused_where_it_would_be_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(OSError, match="write it to a file first"), opened([("file", path)]):
            pass


def test_a_compressed_nothing_is_said_to_be_that(tmp_path: Path) -> None:
    path = tmp_path / "triggers.csv.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(FormatError, match="holds nothing"):
        unpack_whole(path, tmp_path / "content", 100, lambda: None)


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zstd of two frames": lambda content: b"".join(
        zstandard.ZstdCompressor().compress(part) for part in (content[:9], content[9:])
    ),
    # One of no data, and one whose only block is a byte repeated.
    "zstd of odd frames": lambda content: (
        zstandard.ZstdCompressor().compress(content)
        + b"\x50\x2a\x4d\x18\x03\0\0\0abc"
        + b"\x28\xb5\x2f\xfd\x20\x28\x43\x01\0\x2a"
    ),
}


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_what_comes_before_a_cut_is_unpacked(tmp_path: Path, compressor: str) -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    path, target = tmp_path / "sent", tmp_path / "content"
    path.write_bytes(COMPRESSORS[compressor](content))
    assert unpack_whole(path, target, 1 << 30, lambda: None) is Unpacked.WHOLE
    assert target.read_bytes()[: len(content)] == content
    whole = path.read_bytes()
    for kept in (len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        assert unpack_whole(path, target, 1 << 30, lambda: None) is Unpacked.CUT
        found = target.read_bytes()
        assert content.startswith(found[: len(content)])
        assert len(found) > kept - 1_000_000  # bzip2 packs 900 kB at once
