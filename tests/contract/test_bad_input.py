"""Bad input is refused with a problem document, nothing is stored, and the service still runs."""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from api_fixtures import (
    GPS_START,
    GPS_TIME,
    SAMPLE_RATE_HZ,
    Service,
    assert_problem,
    gwosc_hdf5,
    npy,
    picture,
    strain_values,
)
from PIL import Image

AT = {"gps_time": str(GPS_TIME), "ifo": "H1"}
WINDOW = {"view_duration_s": "0.5", "ifo": "H1"}


@pytest.fixture(autouse=True)
def nothing_is_stored(service: Service) -> Iterator[None]:
    before = service.counts()
    yield
    assert service.counts() == before
    with service.client() as client:
        assert client.get("/readyz").status_code == 200


def png_header(width: int, height: int) -> bytes:
    """Return a valid PNG that declares this size but contains almost no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def photo() -> bytes:
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 255, 600)[None, :, None] * np.array([1.0, 0.6, 0.3])
    pixels = ramp + rng.normal(0, 30, (450, 600, 3))
    return encoded(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def zip_bomb() -> bytes:
    """Return an npz whose only member declares 4 GB."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (536870912,), }"
    header = header.ljust(117) + b"\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("strain.npy", start + b"\0" * 20_000_000)
    return buffer.getvalue()


def hdf5_bomb() -> bytes:
    """Return an HDF5 file that declares 2 TB of strain without any data."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        shape = (1 << 38,)
        data = file.create_dataset("strain/Strain", shape, "f8", chunks=(1 << 16,), compression=9)
        data.attrs["Xstart"], data.attrs["Xspacing"] = GPS_START, 1e-9
    return buffer.getvalue()


def pickled_npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, strain=np.array([{"a": 1}, print], dtype=object))
    return buffer.getvalue()


def with_value(value: float, *, everywhere: bool = False) -> bytes:
    values = strain_values()
    if everywhere:
        values[:] = value
    else:
        values[10 * SAMPLE_RATE_HZ : 11 * SAMPLE_RATE_HZ] = value
        middle = round(float(GPS_TIME - GPS_START) * SAMPLE_RATE_HZ)
        values[middle] = value
    return gwosc_hdf5(values)


def plain_hdf5() -> bytes:
    """Return an HDF5 file with times and strain as rows of one array, without any metadata."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["x"] = np.stack([np.arange(4096.0), strain_values()[:4096]])
    return out.getvalue()


def other_npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, x=strain_values(), samplerate=SAMPLE_RATE_HZ)
    return out.getvalue()


GWOSC = gwosc_hdf5(strain_values())
SCAN = picture(1)
SAMPLES = npy(strain_values())

# name -> (file name, content, fields, allowed statuses, a word of the message)
CASES: dict[str, tuple[str, bytes, dict[str, Any], tuple[int, ...], str]] = {
    "empty file": ("a.hdf5", b"", AT, (400,), "empty"),
    "wrong type": (
        "a.pdf",
        b"%PDF-1.7\n1 0 obj",
        AT,
        (415,),
        "is PDF, which is not read here: save the scan as PNG",
    ),
    "WebP named as a picture": (
        "a.png",
        b"RIFF\0\0\0\0WEBPVP8 " + bytes(50),
        WINDOW,
        (415,),
        "a.png is WebP, which is not read here: save the scan as PNG",
    ),
    "sound": ("a.wav", b"RIFF\0\0\0\0WAVEfmt " + bytes(50), AT, (415,), "is sound"),
    "executable named as a picture": (
        "a.png",
        b"\x7fELF" + b"\0" * 500,
        WINDOW,
        (415,),
        "no supported",
    ),
    "gzipped frames": ("a.gwf.gz", gzip.compress(b"IGWD\0" + bytes(100)), AT, (400,), "damaged"),
    "HDF5 of no series": ("a.hdf5", plain_hdf5(), AT, (415,), "a series with x0 and dx"),
    "npz of other names": ("a.npz", other_npz(), AT, (415,), "np.savez(path, strain=..."),
    "a table of triggers": (
        "a.csv",
        b"gps_time,ifo\n1187008882.4,H1\n",
        AT,
        (415,),
        "is sent as a batch",
    ),
    "html": ("a.html", b"<html><body>hello</body></html>", AT, (400, 415), ""),
    "truncated PNG": ("a.png", SCAN[: len(SCAN) // 2], WINDOW, (400,), ""),
    "PNG magic only": ("a.png", SCAN[:8], WINDOW, (400,), ""),
    "truncated HDF5": ("a.hdf5", GWOSC[: len(GWOSC) // 2], AT, (400,), ""),
    "HDF5 magic only": ("a.hdf5", GWOSC[:16], AT, (400, 415), ""),
    "GWF without frames": ("a.gwf", b"IGWD\x08\0\0\0" + b"\0" * 200, AT, (400, 415), ""),
    "huge PNG": ("a.png", png_header(50_000, 50_000), WINDOW, (413,), "pixels"),
    "zip bomb": ("a.npz", zip_bomb(), AT | {"sample_rate_hz": "4096"}, (400, 413), ""),
    "HDF5 bomb": ("a.hdf5", hdf5_bomb(), AT, (400, 413), ""),
    "pickled objects": ("a.npz", pickled_npz(), AT | {"sample_rate_hz": "4096"}, (400, 415), ""),
    "NaN strain": ("a.hdf5", with_value(np.nan), AT, (400,), "NaN"),
    "infinite strain": ("a.hdf5", with_value(np.inf), AT, (400,), "infinite"),
    "all NaN": ("a.hdf5", with_value(np.nan, everywhere=True), AT, (400,), "NaN"),
    "all zeros": ("a.hdf5", with_value(0, everywhere=True), AT, (400,), "zero"),
    "constant": ("a.hdf5", with_value(1e-21, everywhere=True), AT, (400,), "constant"),
    "one second": ("a.hdf5", gwosc_hdf5(strain_values()[:4096]), AT, (400,), ""),
    "GPS time outside": ("a.hdf5", GWOSC, AT | {"gps_time": "1187009999"}, (400,), "1187008"),
    "GPS time at the edge": (
        "a.hdf5",
        GWOSC,
        AT | {"gps_time": "1187008860.3"},
        (400,),
        "give one",
    ),
    "GPS time missing": ("a.hdf5", GWOSC, {"ifo": "H1"}, (400,), "gps_time"),
    "GPS time NaN": ("a.hdf5", GWOSC, AT | {"gps_time": "nan"}, (400,), "gps_time"),
    "GPS time negative": ("a.hdf5", GWOSC, AT | {"gps_time": "-5"}, (400,), "gps_time"),
    "GPS time absurd": ("a.hdf5", GWOSC, AT | {"gps_time": "1e400"}, (400,), "gps_time"),
    "GPS time in words": ("a.hdf5", GWOSC, AT | {"gps_time": "noon"}, (400,), "gps_time"),
    "sample rate missing": ("a.npy", SAMPLES, AT, (400,), "sample_rate_hz"),
    "100 Hz": ("a.npy", SAMPLES, AT | {"sample_rate_hz": "100"}, (400,), "100"),
    "sample rate NaN": ("a.npy", SAMPLES, AT | {"sample_rate_hz": "nan"}, (400,), "sample_rate_hz"),
    "sample rate of zero": ("a.npy", SAMPLES, AT | {"sample_rate_hz": "0"}, (400,), "positive"),
    "sample rate in words": (
        "a.npy",
        SAMPLES,
        AT | {"sample_rate_hz": "4k"},
        (422,),
        "sample_rate",
    ),
    "photo": ("a.png", photo(), WINDOW, (400,), ""),
    "white page": ("a.png", encoded(Image.new("RGB", (800, 600), "white")), WINDOW, (400,), ""),
    "black JPEG": ("a.jpg", encoded(Image.new("L", (800, 600)), "JPEG"), WINDOW, (400,), ""),
    "tiny picture": ("a.png", encoded(Image.new("RGB", (1, 1))), WINDOW, (400,), ""),
    "window not known": ("scan.png", SCAN, {"ifo": "H1"}, (400,), "view_duration_s"),
    "window of 3 s": ("scan.png", SCAN, {"view_duration_s": "3"}, (400,), "0.5"),
    "window NaN": ("scan.png", SCAN, {"view_duration_s": "nan"}, (400,), "view"),
    "too many windows": ("s.png", SCAN, {"view_duration_s": ["1", "2"]}, (400,), "1 picture"),
    "window for strain": ("a.hdf5", GWOSC, AT | {"view_duration_s": "1"}, (400,), "pictures"),
    "unknown ifo": ("scan.png", SCAN, WINDOW | {"ifo": "X9"}, (400,), "H1"),
    "ifo with SQL": ("scan.png", SCAN, WINDOW | {"ifo": "H1'; DROP TABLE x"}, (400,), "ifo"),
    "ifo against the file": ("a.hdf5", GWOSC, AT | {"ifo": "L1"}, (400,), "H1"),
    "channel of another ifo": ("a.hdf5", GWOSC, AT | {"channel": "L1:X"}, (400,), "L1"),
    "channel with SQL": ("scan.png", SCAN, WINDOW | {"channel": "a' OR 1=1"}, (400,), "channel"),
    "10,001 neighbours": ("scan.png", SCAN, WINDOW | {"neighbours": "10001"}, (400,), "10,000"),
    "-1 neighbours": ("scan.png", SCAN, WINDOW | {"neighbours": "-1"}, (400,), "10,000"),
    "neighbours in words": ("scan.png", SCAN, WINDOW | {"neighbours": "few"}, (422,), "neighbours"),
    "unknown label": ("scan.png", SCAN, WINDOW | {"label": "Nonsense"}, (400, 404), "Nonsense"),
    "label with NUL": ("scan.png", SCAN, WINDOW | {"label": "Bl\x00ip"}, (400,), "class"),
    "label without storing": (
        *("scan.png", SCAN, WINDOW | {"label": "Blip", "store": "false"}, (400,), "store"),
    ),
    "store in words": ("scan.png", SCAN, WINDOW | {"store": "perhaps"}, (422,), "store"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(client: httpx.Client, case: str) -> None:
    name, content, fields, statuses, word = CASES[case]
    answer = client.post("/embed", files={"file": (name, content)}, data=fields)
    assert word.lower() in assert_problem(answer, *statuses).lower()
    if word == "gps_time":  # pages and commands replace the field's name by their own for it
        assert answer.json()["field"] == word


@pytest.mark.parametrize("case", ["truncated HDF5", "huge PNG", "unknown ifo", "10,001 neighbours"])
def test_refused_as_a_query_too(client: httpx.Client, case: str) -> None:
    name, content, fields, statuses, _ = CASES[case]
    answer = client.post("/neighbours", files={"file": (name, content)}, data=fields)
    assert_problem(answer, *statuses)


@pytest.mark.parametrize(
    ("files", "fields", "word"),
    [
        ([("a.png", SCAN), ("b.hdf5", GWOSC)], AT, "different kinds"),
        ([("a.hdf5", GWOSC), ("b.hdf5", GWOSC)], AT, "one strain file"),
        ([("a.png", SCAN)] * 2, {"view_duration_s": ["1", "1"]}, "window of 1 s"),
        ([("a.png", SCAN)] * 2, {"view_duration_s": ["1"]}, "2 pictures"),
        ([("a.png", SCAN)] * 5, {"view_duration_s": ["1"] * 5}, "up to 4"),
        (
            [
                ("H1_aaaaaaaaaa_spectrogram_0.5.png", SCAN),
                ("H1_bbbbbbbbbb_spectrogram_1.0.png", SCAN),
            ],
            {},
            "different glitches",
        ),
        (
            [
                ("H1_aaaaaaaaaa_spectrogram_0.5.png", SCAN),
                ("L1_aaaaaaaaaa_spectrogram_1.0.png", SCAN),
            ],
            {},
            "different glitches",
        ),
        ([("H1_aaaaaaaaaa_spectrogram_0.5.png", SCAN)], {"ifo": "V1"}, "says H1"),
    ],
)
def test_files_that_do_not_belong_together(
    client: httpx.Client, files: list[tuple[str, bytes]], fields: dict[str, Any], word: str
) -> None:
    answer = client.post("/embed", files=[("file", file) for file in files], data=fields)
    assert word in assert_problem(answer, 400)


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd",
        "..\\..\\windows\\system32\\x.png",
        "/etc/passwd",
        "a\u202egnp.exe",
        "копие (1).png",
        "a" * 1000 + ".png",
        "scan.png; rm -rf /",
        "'; DROP TABLE glitch; --.png",
        "<script>alert(1)</script>.png",
        "..",
        "%2e%2e%2f%00.png",
    ],
)
def test_file_names_are_data(client: httpx.Client, name: str) -> None:
    file = {"file": (name, SCAN)}
    answer = client.post("/embed", files=file, data=WINDOW | {"store": "false"})
    assert answer.status_code == 200, answer.text
    refused = client.post("/embed", files={"file": (name, b"nothing")}, data=WINDOW)
    detail = assert_problem(refused, 400, 415)
    assert "<" not in detail
    assert ".." + "/" not in detail
    assert len(detail) < 600


def test_body_without_a_file(client: httpx.Client) -> None:
    assert "file" in assert_problem(client.post("/embed", data=AT), 422)
    assert_problem(client.post("/embed", json={"file": "x"}), 422)
    as_text = client.post("/embed", files={"other": ("a.png", SCAN)}, data=WINDOW)
    assert_problem(as_text, 422)


def test_file_name_of_absurd_length(client: httpx.Client) -> None:
    file = {"file": ("a" * 20_000 + ".png", SCAN)}
    assert "multipart" in assert_problem(client.post("/embed", files=file, data=WINDOW), 400)


def test_body_that_is_no_multipart(client: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert_problem(client.post("/embed", content=b"no parts at all", headers=headers), 400, 422)
    headers = {"Content-Type": "multipart/form-data"}
    assert_problem(client.post("/embed", content=b"--x", headers=headers), 400, 422)


def test_temporary_files_are_gone(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the service runs in this process
    made: list[str] = []
    named = tempfile.NamedTemporaryFile

    def noted(**options: Any) -> Any:
        file = named(**options)
        made.append(file.name)
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", noted)
    client.post("/embed", files={"file": ("a.hdf5", GWOSC[:5000])}, data=AT)
    client.post("/embed", files={"file": ("a.hdf5", GWOSC)}, data=AT | {"store": "false"})
    assert len([one for one in made if Path(one).name.startswith("glitch-upload-")]) == 2
    assert not list(tmp_path.glob("glitch-upload-*"))


@pytest.mark.parametrize("kind", ["multipart/form-data", "Multipart/Form-Data"])
def test_a_form_that_was_cut_on_its_way_is_refused(client: httpx.Client, kind: str) -> None:
    """A truncated form is refused: its last field, here ``store``, would count as not sent."""
    request = client.build_request(
        "POST", "/embed", files={"file": ("a.png", SCAN)}, data=WINDOW | {"store": "false"}
    )
    headers = {"Content-Type": request.headers["content-type"].replace("multipart/form-data", kind)}
    whole = request.read()
    for cut in (4, 20, 120):
        answer = client.post("/embed", content=whole[:-cut], headers=headers)
        assert "it was truncated on the way" in assert_problem(answer, 400)
    assert client.post("/embed", content=whole, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "body", "sentence"),
    [
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhello\r\n--x--\r\n',
            "send it as curl -F file=@PATH does",
        ),
        ("application/json", b'{"fdr": 0.', "It is not valid JSON from there on"),
    ],
)
def test_errors_name_the_wrong_field_as_it_was_sent(
    client: httpx.Client, content_type: str, body: bytes, sentence: str
) -> None:
    is_form = content_type != "application/json"
    for path in ["/batches", "/embed"] if is_form else ["/clusters/runs"]:
        answer = client.post(path, content=body, headers={"content-type": content_type})
        assert sentence in assert_problem(answer, 422)


@pytest.mark.parametrize("form", [{"ifo": "H1" * 40_000}, {"ifo": ["H1"] * 100}])
def test_a_form_with_too_much_text_is_refused(client: httpx.Client, form: dict[str, Any]) -> None:
    answer = client.post("/embed", data=form, files={"file": ("a.png", b"x")})
    assert assert_problem(answer, 400).endswith(": send fewer or shorter fields.")
