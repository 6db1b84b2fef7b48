"""Recognise unsupported file formats by their first bytes, and say what to send instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from glitch.errors import FormatError

_PICTURE = "save the scan as PNG and send that"
_TABLE = "write its table as CSV (pandas: to_csv) and send that"
_STRAIN = "save its strain with np.savez(path, strain=..., sample_rate_hz=..., gps_start=...)"
_STRAIN_OR_TABLE = f"{_STRAIN}, or its table as CSV"
_UNPACK = "unpack it and send what it holds, or pack that as tar or zip"


class Foreign(NamedTuple):
    """A file format that is recognised but not read."""

    kind: str
    instead: str  # what to do instead, as the end of a sentence


_KINDS: tuple[tuple[re.Pattern[bytes], Foreign], ...] = tuple(
    (re.compile(begins, re.DOTALL), Foreign(kind, instead))
    for begins, kind, instead in (
        (rb"GIF8", "GIF", _PICTURE),
        (rb"BM.{4}\0\0\0\0|\x28\0\0\0.{8}\x01\0[\x01\x04\x08\x10\x18\x20]\0", "BMP", _PICTURE),
        (rb"P[1-7]\s+(#[^\n]*\s+)*(\d+\s+\d+\s|WIDTH)", "PPM, PGM or PBM", _PICTURE),
        (rb"\0\0[\x01\x02]\0[^\0]\0.{3}\0|icns", "an icon", _PICTURE),
        (rb"\n[\0\x02-\x05]\x01[\x01\x02\x04\x08]", "PCX", _PICTURE),
        (
            rb".(\0[\x02\x03\x0a\x0b].{5}|\x01[\x01\x09].{5}).{8}[\x08\x0f\x10\x18\x20][\0-\x3f]",
            "TGA",
            _PICTURE,
        ),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", _PICTURE),
        (rb"8BPS", "a Photoshop file", _PICTURE),
        (
            rb"DDS |qoif|\x01\xda[\0\x01][\x01\x02]|#define \w+_width|/\* XPM",
            "another picture format",
            _PICTURE,
        ),
        (rb"II\*\0|MM\0\*", "TIFF", _PICTURE),
        (rb"%PDF", "PDF", _PICTURE),
        (rb"%!PS", "PostScript", _PICTURE),
        (rb"(<\?xml.{0,400})?\s*<svg", "SVG", _PICTURE),
        (rb"RIFF....WEBP", "WebP", _PICTURE),
        (rb"\0\0\0.ftyp(avif|avis|heic|heix|mif1)", "AVIF or HEIC", _PICTURE),
        (rb"\0\0\0\x0cjP  ", "JPEG 2000", _PICTURE),
        (rb"RIFF....WAVE|RF64....WAVE|fLaC|OggS|FORM....AIF", "sound", _STRAIN),
        (rb"\x80[\x02-\x05]|cnumpy|ccopy_reg|\((dp|lp)0", "a Python pickle", _STRAIN_OR_TABLE),
        (rb"SIMPLE  =", "FITS", _STRAIN_OR_TABLE),
        (
            rb"MATLAB 5\.0",
            "a MATLAB file of version 7 or older",
            f"save it with -v7.3, or {_STRAIN_OR_TABLE}",
        ),
        (rb"CDF[\x01\x02\x05]", "netCDF", _STRAIN_OR_TABLE),
        (rb"SQLite format 3\0", "an SQLite database", _TABLE),
        (rb"PAR1[\0-\x1f]", "Parquet", _TABLE),
        (rb"ARROW1|FEA1", "Feather or Arrow", _TABLE),
        (rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/|docProps/|xl/)", "an Office document", _TABLE),
        (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file", _TABLE),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document", _TABLE),
        (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
        (rb"Rar!\x1a", "a RAR archive", _UNPACK),
        (rb"BZh[1-9]1AY&SY", "compressed by bzip2", _UNPACK),
        (rb"\xfd7zXZ\0", "compressed by xz", _UNPACK),
        (rb"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
        (
            rb"version https://git-lfs",
            "a Git LFS pointer, not the file itself",
            "fetch that with git lfs pull",
        ),
        (
            rb"(?i:(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|body|table)\b)",
            "a web page, as saved when a download requires a log-in",
            f"download the file again, or {_TABLE}",
        ),
        (
            rb"(<\?xml.{0,800}?)?\s*<VOTABLE",
            "a VOTable",
            f"{_TABLE} (astropy: format='ascii.ecsv')",
        ),
        (
            rb"\s*\{.{0,900}\"(log_evidence|nested_samples|posterior|posterior_samples|priors)\"\s*:",
            "JSON of posterior samples, as written by bilby and PESummary, not of triggers",
            "send the time of that signal with its strain (gps_time)",
        ),
        (
            rb"(\xef\xbb\xbf)?\s*(\{\s*(\}|\"[^\"]*\"\s*:|'[^']*'\s*:)"
            rb"|\[\s*([\[{\"']|-?[\d.eE+-]+\s*(,|\]\s*\Z)))",
            "JSON that is larger than 8 MB, truncated, or without events that state their times",
            _STRAIN_OR_TABLE,
        ),
        (rb"(\xff\xfe\0\0|\0\0\xfe\xff)", "text in UTF-32", "save it in UTF-8"),
    )
)
HEAD_BYTES = 1024


def foreign_kind(head: bytes) -> Foreign | None:
    """Return the unsupported format whose first bytes these are, regardless of the file's name, or
    None.

    Args:
        head: the file's first ``HEAD_BYTES`` bytes, or fewer.
    """
    start = head[:HEAD_BYTES]
    return next((kind for begins, kind in _KINDS if begins.match(start)), None)


def refuse_foreign(path: Path, name: str) -> None:
    """Refuse a file whose format is recognised but not read.

    Args:
        path: the file.
        name: its original name, for the message.

    Raises:
        FormatError: says what to send instead.
    """
    with path.open("rb") as file:
        foreign = foreign_kind(file.read(HEAD_BYTES))
    if foreign is not None:
        raise FormatError(f"{name} is {foreign.kind}, which is not read here: {foreign.instead}.")
