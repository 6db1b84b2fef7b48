"""Unsupported file types: each is recognised, and the message says what to send instead."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.batches.table_files import read_table
from app.decoding.files import kinds_of
from glitch.errors import FormatError
from glitch.files.foreign import foreign_kind

STRAIN = np.linspace(0, 1, 8)
ROWS = [{"gps_time": 1262304016.25, "ifo": "H1"}]
FOREIGN = {
    "a Python pickle": [pickle.dumps(STRAIN, protocol=number) for number in range(6)],
    "sound": [b"RIFF\x24\0\0\0WAVEfmt ", b"fLaC\0"],
    "FITS": [b"SIMPLE  =                    T"],
    "a MATLAB file": [b"MATLAB 5.0 MAT-file, Platform: posix"],
    "Parquet": [b"PAR1\x15\x04"],
    "Feather": [b"ARROW1\0\0", b"FEA1"],
    "an Office document": [
        b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml",
        b"PK\x03\x04" + bytes(26) + b"docProps/app.xml",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ],
    "JSON": [
        json.dumps(ROWS).encode()[:-1],
        json.dumps(ROWS[0] | {"gps_time": "x" * (1 << 23)}).encode(),
        json.dumps({"snr": [9.5], "ifo": ["H1"]}).encode(),
        b'{"type": "FeatureCollection", "features": [{"id": 1}]}',
        b"[1262304016.25, 1262304020.5]",
        repr(ROWS).encode(),
    ],
    "a VOTable": [b'<?xml version="1.0"?>\n<!-- made -->\n<VOTABLE version="1.4">'],
    "a web page": [b"<!DOCTYPE html>\n<html>", b"\n<HTML><head>", b'<table border="1">'],
    "Git LFS": [b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"],
    "7z": [b"7z\xbc\xaf\x27\x1c\0\4"],
    "bzip2": [b"BZh91AY&SY"],
    "TIFF": [b"II*\0", b"MM\0*"],
    "AVIF": [b"\0\0\0\x20ftypavif"],
    "SQLite": [b"SQLite format 3\0"],
}


@pytest.mark.parametrize(
    ("form", "mode", "kind"),
    [
        *(("PPM", mode, "PPM, PGM or PBM") for mode in ("RGB", "L", "1")),
        *(("TGA", mode, "TGA") for mode in ("RGB", "RGBA", "L", "P")),
        *(("PCX", mode, "PCX") for mode in ("RGB", "L", "P", "1")),
        *(("DIB", mode, "BMP") for mode in ("RGB", "L", "P", "1")),
        *((form, "RGB", "an icon") for form in ("ICO", "ICNS")),
        *((form, "L", "another picture format") for form in ("SGI", "DDS")),
        ("XBM", "1", "another picture format"),
    ],
)
def test_pictures_of_other_formats_are_named(
    tmp_path: Path, form: str, mode: str, kind: str
) -> None:
    """A PGM picture was taken for strain, since it begins with numbers."""
    pixels = np.random.default_rng(1).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    path = tmp_path / "H1_spectrogram.png"
    Image.fromarray(pixels).convert(mode).save(path, form)
    with pytest.raises(FormatError, match=f"is {kind}, which is not read here: save the scan as"):
        kinds_of(path, path.name)


@pytest.mark.parametrize("kind", FOREIGN)
def test_unsupported_files_are_named_with_what_to_send(kind: str, tmp_path: Path) -> None:
    for number, content in enumerate(FOREIGN[kind]):
        name = f"triggers{number}.csv"
        path = tmp_path / name
        path.write_bytes(content)
        words = rf"{name} is .*{kind.removeprefix('an ')}.*, which is not read here: \w.*\.\Z"
        for read in (kinds_of, lambda *of: list(read_table(*of))):
            with pytest.raises(FormatError, match=words):
                read(path, name)  # type: ignore[operator]


@pytest.mark.parametrize(
    "head",
    [
        b"gps_time,ifo\n",
        b"BMS_time,snr\n1,2\n",
        b"[GPS s],(kHz)\n1,2\n",
        b'<?xml version="1.0"?>\n<!DOCTYPE LIGO_LW SYSTEM "x"><LIGO_LW>',
        b"\x89HDF\r\n\x1a\n",
        b"IGWD\0",
        b"\x93NUMPY\1\0",
        b"PK\x03\x04" + bytes(26) + b"strain.npy",
        b"PK\x03\x04" + bytes(26) + b"scans/a.png",
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64",
        b"PAR10_time gps\n",
        b"{gps_time}\n",
        b'{"gps_time"} {"snr"}\n',
        b"[1] 1126259462.4\n[2] 1126259470.5\n",  # as R prints it
    ],
)
def test_supported_files_are_not_foreign(head: bytes) -> None:
    assert foreign_kind(head) is None
