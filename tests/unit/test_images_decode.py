"""Untrusted pictures: which are refused, and with which message."""

import struct
import zlib
from contextlib import suppress
from io import BytesIO
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glitch.errors import FormatError, GlitchError, ImageError, TooLargeError
from glitch.images import is_image, read_spectrogram, render_view
from glitch.images.decode import MAX_BYTES, MAX_PIXELS, decode_picture

VIEW = np.linspace(0, 1, 128 * 128, dtype=np.float32).reshape(128, 128) ** 2  # unlike a colour bar
PNG = render_view(VIEW)


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds a small stream of zeros for it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


RGB = Image.open(BytesIO(PNG)).convert("RGB")
JPEG = encode(RGB, "JPEG", quality=95)


def test_pictures_are_recognised_by_content_not_by_name() -> None:
    assert is_image(PNG)
    assert is_image(JPEG)
    assert not is_image(b"")
    assert not is_image(b"\x89HDF\r\n\x1a\n")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("orientation", "turned"), [(6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)]
)
def test_a_picture_is_read_as_its_exif_has_it_shown(
    kind: str, orientation: int, turned: Image.Transpose
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = decode_picture(encode(RGB, kind, quality=95)).pixels
    shown = decode_picture(encode(RGB.transpose(turned), kind, quality=95, exif=exif)).pixels
    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).mean() < (1 if kind == "JPEG" else 1e-9)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # it is only logged
def test_exif_that_cannot_be_read_says_nothing() -> None:
    data = encode(RGB, "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff broken")
    assert (decode_picture(data).pixels == np.asarray(RGB)).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "neither a PNG nor a JPEG"),
        (b"GIF89a" + bytes(50), "The file is GIF, which is not read here: save the scan as PNG"),
        (
            b"<!DOCTYPE html><html>",
            r"is a web page, as saved .* log-in, which is not read here: down",
        ),
        (b"%PDF-1.7", "The file is PDF, which is not read"),
        (PNG[:8], "truncated or damaged"),
        (PNG[:20], "truncated or damaged"),
        (PNG[: len(PNG) // 2], "truncated or damaged"),
        (PNG[:33], "truncated or damaged"),
        (JPEG[:3], "truncated or damaged"),
        (JPEG[: len(JPEG) // 2], "truncated or damaged"),
        (b"\xff\xd8\xff\xd9" + bytes(20), "truncated or damaged"),
        (png_of_size(0, 5), "truncated or damaged"),
        (png_of_size(1900, 1900), "truncated or damaged"),  # too little data for its size
    ],
)
def test_incomplete_pictures_are_format_errors(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_spectrogram(data, "x.png")


@pytest.mark.parametrize("size", [(50_000, 50_000), (2501, 2600), (1, MAX_PIXELS + 1), (2**31, 1)])
def test_a_large_png_is_refused_before_decoding(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)  # a call would raise TypeError
    with pytest.raises(TooLargeError, match="pixels; at most 6,500,000"):
        decode_picture(png_of_size(*size))


def test_a_large_jpeg_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    start = JPEG.index(b"\xff\xc0")
    large = JPEG[: start + 5] + struct.pack(">HH", 65_000, 65_000) + JPEG[start + 9 :]
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(TooLargeError, match="65,000 x 65,000"):
        decode_picture(large)


def test_too_many_bytes_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(TooLargeError, match="bytes; at most"):
        decode_picture(PNG + bytes(MAX_BYTES))


@pytest.mark.parametrize("piece", [b"\xff", b"\xff\xe1\x00\x02", b"\xff\x00", b"\xff\xd0"])
def test_a_jpeg_of_a_million_pieces_is_not_walked_through(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "open", None)
    many = piece * (MAX_BYTES // len(piece) - 40_000)
    scan = JPEG.index(b"\xff\xda")
    started = process_time()
    with pytest.raises(FormatError, match="states no size"):
        decode_picture(b"\xff\xd8" + many + JPEG[2:])
    with pytest.raises(TooLargeError, match="in more pieces"):
        decode_picture(JPEG[:scan] + many + JPEG[scan:])
    assert process_time() - started < 0.5


def test_a_bomb_in_the_text_of_a_png_is_refused() -> None:
    text = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(50 * 2**20)))
    with pytest.raises(FormatError, match="damaged"):
        decode_picture(PNG[:33] + text + PNG[33:])


def test_an_animation_is_refused() -> None:
    frames = [RGB, RGB.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    animated = encode(frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(FormatError, match="animated"):
        decode_picture(animated)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_a_grey_scale_picture_is_refused_with_the_reason(mode: str) -> None:
    grey = RGB.convert("L").convert(mode if mode != "I;16" else "I").convert(mode)
    with pytest.raises(ImageError, match="grey-scale"):
        decode_picture(encode(grey))


def with_alpha(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA")


@pytest.mark.parametrize(
    ("picture", "tolerance"),
    [
        (with_alpha(RGB), 0.005),
        (RGB.quantize(256), 0.03),
        (RGB.quantize(256).convert("RGBA").quantize(256), 0.03),
    ],
    ids=["rgba", "palette", "palette of rgba"],
)
def test_every_kind_of_colour_png_is_read(picture: Image.Image, tolerance: float) -> None:
    image = read_spectrogram(encode(picture), "x.png")
    assert np.abs(image.values - VIEW).mean() < tolerance


@pytest.mark.parametrize(("quality", "tolerance"), [(95, 0.01), (75, 0.015), (40, 0.02)])
def test_jpeg_noise_is_borne(quality: int, tolerance: float) -> None:
    image = read_spectrogram(encode(RGB, "JPEG", quality=quality), "x.jpg")
    assert np.abs(image.values - VIEW).mean() < tolerance


def test_transparency_lies_on_a_white_page() -> None:
    clear = Image.new("RGBA", (200, 200), (68, 1, 84, 0))
    assert (decode_picture(encode(clear)).pixels == 255).all()


@settings(max_examples=40)
@given(st.integers(0, len(PNG) - 1), st.integers(1, 255))
def test_a_changed_byte_never_escapes_as_another_error(position: int, change: int) -> None:
    data = bytearray(PNG)
    data[position] ^= change
    with suppress(GlitchError):
        read_spectrogram(bytes(data), "x.png")


@settings(max_examples=40)
@given(st.integers(2, len(JPEG) - 1), st.integers(1, 255))
def test_a_changed_byte_of_a_jpeg_never_escapes_either(position: int, change: int) -> None:
    data = bytearray(JPEG)
    data[position] ^= change
    with suppress(GlitchError):
        read_spectrogram(bytes(data), "x.jpg")
