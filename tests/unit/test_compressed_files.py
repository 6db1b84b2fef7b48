"""Files compressed as a whole are unpacked; a truncated one up to where it ends."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from glitch.errors import FormatError
from glitch.files.compressed import Unpacked, unpack_whole


def test_a_compressed_empty_file_is_refused_as_empty(tmp_path: Path) -> None:
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
    # A skippable frame, and one whose only block repeats a byte.
    "zstd of odd frames": lambda content: (
        zstandard.ZstdCompressor().compress(content)
        + b"\x50\x2a\x4d\x18\x03\0\0\0abc"
        + b"\x28\xb5\x2f\xfd\x20\x28\x43\x01\0\x2a"
    ),
}


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_a_truncated_stream_is_unpacked_up_to_its_end(tmp_path: Path, compressor: str) -> None:
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
        assert len(found) > kept - 1_000_000  # bzip2 compresses blocks of 900 kB
