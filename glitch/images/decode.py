"""Decode an untrusted PNG or JPEG to RGB pixels, or raise an error that explains the refusal.

The size is read from the header before any decoder runs, so a decompression bomb is never unpacked.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt32
from PIL import Image, ImageFile, ImageOps

from glitch.errors import FormatError, GlitchError, ImageError, TooLargeError
from glitch.files.foreign import foreign_kind

MAX_PIXELS = 6_500_000  # Gravity Spy's have 480,000; 12 x 6 inches at 300 dpi have 6,480,000
MAX_BYTES = 16 * 2**20
MAX_CHUNKS = 10_000  # chunks of a PNG or segments of a JPEG; even an empty one takes time
MAX_SCANS = 100  # scans of a JPEG; each may cover the whole picture; encoders make ten
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
GREY = (
    "The picture is grey-scale: without the viridis colours its energies cannot be read. Send the "
    "colour original."
)
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
# Everything that Pillow is known to raise on damaged PNG and JPEG bytes.
_DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

_OPAQUE = 0xFF000000  # words of pixels with full alpha are not smaller

CELLS_KEY = "Glitch-Discovery-Cells"  # PNG text in which our own pictures declare grid and panel

RgbPixels = UInt8[np.ndarray, "height width 3"]
Words = UInt32[np.ndarray, "height width"]


class Picture(NamedTuple):
    """A decoded picture."""

    words: Words  # red + 256 green + 65,536 blue per pixel; the top byte is arbitrary
    stated_cells: str | None  # the file's text under CELLS_KEY, not yet checked

    @property
    def pixels(self) -> RgbPixels:
        """Separate red, green and blue channels."""
        return self.words.view(np.uint8).reshape(*self.words.shape, 4)[..., :3]


def is_image(data: bytes) -> bool:
    """Return whether the bytes begin like a PNG or a JPEG, regardless of the file's name."""
    return data.startswith((_PNG, _JPEG))


def decode_picture(data: bytes) -> Picture:
    """Decode a PNG or JPEG to 8-bit RGB; transparency is composited on white.

    Raises:
        FormatError: empty, truncated, damaged, animated, or in another format.
        TooLargeError: more than MAX_PIXELS pixels or MAX_BYTES bytes, or too many pieces.
        ImageError: a grey-scale picture, which has no colours to read energies from.
    """
    _refuse_other_kinds(data)
    if len(data) > MAX_BYTES:
        raise TooLargeError(
            f"The picture has {len(data):,} bytes; at most {MAX_BYTES:,} are read. "
            "Send the 800x600 original."
        )
    width, height = _declared_size(data)
    if width * height > MAX_PIXELS:
        raise TooLargeError(
            f"The picture declares {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} in all "
            "are read. Send the 800x600 original."
        )
    if _is_in_pieces(data):
        raise TooLargeError(
            "The picture is stored in more pieces than any encoder makes, each of which takes time "
            "to decode. Save it again as a PNG and send that."
        )
    try:
        picture = Image.open(BytesIO(data), formats=("PNG", "JPEG"))
        _refuse_surprises(picture, (width, height))
        picture.load()
        _refuse_grey(picture)
        _turn_upright(picture)
        stated = picture.info.get(CELLS_KEY)
        return Picture(_words(picture), str(stated) if stated is not None else None)
    except GlitchError:
        raise
    except _DECODER_ERRORS as error:
        raise FormatError(
            "The picture is truncated or damaged and cannot be decoded. Send the file again."
        ) from error


def _refuse_other_kinds(data: bytes) -> None:
    if not data:
        raise FormatError("The file is empty.")
    if is_image(data):
        return
    if (foreign := foreign_kind(data)) is not None:
        raise FormatError(f"The file is {foreign.kind}, which is not read here: {foreign.instead}.")
    raise FormatError("The file is neither a PNG nor a JPEG picture.")


def _refuse_surprises(picture: ImageFile.ImageFile, declared: tuple[int, int]) -> None:
    if picture.size != declared:
        raise FormatError("The picture states two different sizes, so it is not read.")
    if getattr(picture, "is_animated", False):
        raise FormatError("The picture is animated. Send one still PNG for each window length.")


def _turn_upright(picture: Image.Image) -> None:
    """Rotate a picture according to its Exif orientation, as viewers do."""
    with suppress(*_DECODER_ERRORS):  # unreadable Exif data are ignored
        ImageOps.exif_transpose(picture, in_place=True)


def _refuse_grey(picture: Image.Image) -> None:
    if picture.mode in _GREY_MODES:
        raise ImageError(GREY)


def _words(picture: Image.Image) -> Words:
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    # Pillow holds four bytes per pixel: taking them unchanged is twice as fast as packing them.
    if picture.mode not in ("RGBA", "PA", "RGBa"):
        colored = picture if picture.mode == "RGB" else picture.convert("RGB")  # convert() copies
        return _as_words(colored, colored.tobytes("raw", "RGBX"))
    colored = picture if picture.mode == "RGBA" else picture.convert("RGBA")
    words = _as_words(colored, colored.tobytes())
    if words.min() < _OPAQUE:
        page = Image.new("RGBA", colored.size, "white")
        words = _as_words(colored, Image.alpha_composite(page, colored).tobytes())
    return words


def _as_words(picture: Image.Image, packed: bytes) -> Words:
    return np.frombuffer(packed, dtype="<u4").reshape(picture.height, picture.width)


def _declared_size(data: bytes) -> tuple[int, int]:
    size = _png_size(data) if data.startswith(_PNG) else _jpeg_size(data)
    if size is None or 0 in size:
        raise FormatError(
            "The picture is truncated or damaged: its header states no size. Send the file again."
        )
    return size


def _is_in_pieces(data: bytes) -> bool:
    """Return whether a PNG has more chunks, or a JPEG more segments or scans, than are decoded.

    In the coded data of a JPEG, 0xFF is followed only by zero or a restart marker (ISO/IEC 10918-1,
    B.2.3).
    """
    if not data.startswith(_PNG):
        return data.count(b"\xff\xda") > MAX_SCANS or len(_jpeg_segments(data)) > MAX_CHUNKS
    count, at = 0, len(_PNG)
    while at + 8 <= len(data) and count <= MAX_CHUNKS:
        count += 1
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return count > MAX_CHUNKS


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return int(width), int(height)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in the first start-of-frame segment (ISO/IEC 10918-1, B.2.2)."""
    for marker, at in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(data):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width), int(height)
    return None


def _jpeg_segments(data: bytes) -> list[tuple[int, int]]:
    """Return marker and offset of each segment, and each fill byte, before the first scan."""
    segments: list[tuple[int, int]] = []
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and len(segments) <= MAX_CHUNKS:
        marker = data[at + 1]
        segments.append((marker, at))
        if marker in (0xD9, 0xDA):
            break
        if marker == 0xFF:
            at += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return segments
