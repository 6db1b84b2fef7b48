"""What clients say about their files, and which type each file is."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from app.core.errors import BusyError, InvalidRequestError, UnsupportedFileError
from app.glitches.facts import GlitchFacts
from app.glitches.upload import (
    ParsedUpload,
    SpooledFile,
    UploadDetails,
    UploadFields,
    clean_name,
    parse_gps_time,
    parse_ifo,
    parse_scales,
    parse_upload,
    spooled,
)
from app.models.inference import Turns
from glitch.detectors import DETECTORS
from glitch.errors import FormatError, TooLargeError
from glitch.images import render_view
from glitch.strain import Strain, StrainViews
from glitch.views import Preprocessing, views_from_images

RECIPE = Preprocessing()


def blob(column: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:128, 0:128]
    energy = np.exp(-(((rows - 50) / 10) ** 2) - ((columns - column) / 5) ** 2)
    return energy.astype(np.float32)


PNG = render_view(blob())


def no_strain(
    strain: Strain, gps_time: Decimal, preprocessing: Preprocessing, *, centre: bool
) -> StrainViews:
    raise AssertionError("this upload holds no strain")


def fake_strain_views(
    strain: Strain, gps_time: Decimal, preprocessing: Preprocessing, *, centre: bool
) -> StrainViews:
    views = views_from_images({0.5: blob()}, preprocessing)
    peak = gps_time + Decimal("0.1")
    return StrainViews(views, 9.0, 120.0, 0.1, 30.0, 8.0, peak, peak if centre else gps_time)


def parse(folder: Path, *files: tuple[str, bytes], **fields: object) -> ParsedUpload:
    kept = []
    for index, (name, content) in enumerate(files):
        path = folder / f"upload-{index}"
        path.write_bytes(content)
        kept.append(SpooledFile(path, name))
    return parse_upload(
        kept,
        UploadDetails(**fields),  # type: ignore[arg-type]
        preprocessing=RECIPE,
        strain_to_views=fake_strain_views,
    )


@pytest.mark.parametrize(
    "text", ["1126259462", "1126259462.4", "1126259462.391000000", " 5 ", "4000000000"]
)
def test_gps_times_stay_exact(text: str) -> None:
    assert parse_gps_time(text) == Decimal(text.strip())


@pytest.mark.parametrize("text", [None, "", "   "])
def test_gps_time_may_be_left_out(text: str | None) -> None:
    assert parse_gps_time(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("nan", "NaN", "inf", "-inf", "-1", "+5", "0", "0.0", "1e9", "1_000", "0x10", "12,5"),
        *("١٢٣٤٥٦٧٨٩", "1.1.1", ".5", "5.", "4000000001", "99999999999", "1.1234567890"),
        *("1126259462; DROP TABLE glitch", "1\n2", "1126259462\x00"),
    ],
)
def test_invalid_gps_times_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="gps_time"):
        parse_gps_time(text)


def test_quoted_input_is_shown_without_control_characters() -> None:
    with pytest.raises(InvalidRequestError, match="“2100-01-01T00:00:00_” is not a GPS time"):
        parse_gps_time("2100-01-01T00:00:00\x1b")


def test_detectors() -> None:
    for name in DETECTORS:
        assert parse_ifo(f" {name} ") == name
    assert parse_ifo("") is None
    assert {parse_ifo(name) for name in ("h1", "H", "LHO", "Hanford")} == {"H1"}
    for wrong in ("X", "H1L1", "X1", "\uff281", "'", "H1'", "H1\0"):
        with pytest.raises(InvalidRequestError, match="ifo"):
            parse_ifo(wrong)


def test_channel_tells_the_detector() -> None:
    assert UploadFields(channel="L1:GDS-CALIB_STRAIN").parsed().ifo == "L1"
    assert UploadFields(channel="L1:GDS-CALIB_STRAIN", ifo="L1").parsed().ifo == "L1"
    assert UploadFields(channel="STRAIN", ifo="H1").parsed().ifo == "H1"
    with pytest.raises(InvalidRequestError, match="belongs to L1"):
        UploadFields(channel="L1:GDS-CALIB_STRAIN", ifo="H1").parsed()
    for listed in ("H1/1126259446", "strain [H1], raw (x)"):  # names of series in HDF5 files
        assert UploadFields(channel=listed).parsed().channel == listed
    for wrong in ("x" * 201, "a\x00", "a\nb", "a;b", "a'b", "é"):
        with pytest.raises(InvalidRequestError, match="channel"):
            UploadFields(channel=wrong).parsed()


@pytest.mark.timeout(20)
def test_frequency_ranges() -> None:
    for text in ("10,4096", " 10 to 4096", "10 - 4096", "10  4096"):
        scales = parse_scales(None, text)
        assert scales is not None
        assert scales.frequency_range_hz == (10, 4096)
    for text in ("10", "10,,4096", "1" + " " * 64_000 + "x"):
        with pytest.raises(InvalidRequestError, match="is not a range"):
            parse_scales(None, text)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_sample_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(InvalidRequestError, match="sample_rate_hz"):
        UploadFields(sample_rate_hz=rate).parsed()


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("H1_0Sug0tqkoL_spectrogram_0.5.png", "H1_0Sug0tqkoL_spectrogram_0.5.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\x.png", "x.png"),
        ("a\x00b\nc.png", "a_b_c.png"),
        ("<b>.png", "_b_.png"),
        ("a\u202egnp.exe", "a_gnp.exe"),
        ("копие.png", "копие.png"),
        ("", "unnamed"),
        (None, "unnamed"),
        ("dir/", "unnamed"),
    ],
)
def test_names_are_cleaned(name: str | None, cleaned: str) -> None:
    assert clean_name(name) == cleaned


def test_long_names_keep_their_end() -> None:
    cleaned = clean_name("x" * 500 + "_spectrogram_0.5.png")
    assert len(cleaned) == 120
    assert cleaned.endswith("_spectrogram_0.5.png")


def test_spooled_files_have_our_names_and_go() -> None:
    with spooled([("../evil.png", io.BytesIO(b"abc")), (None, io.BytesIO(b"de"))]) as files:
        paths = [file.path for file in files]
        assert all(path.name.startswith("glitch-upload-") for path in paths)
        assert [path.read_bytes() for path in paths] == [b"abc", b"de"]
        assert [file.name for file in files] == ["evil.png", "unnamed"]
    assert not any(path.exists() for path in paths)


def test_spooled_files_go_after_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), spooled([("a", io.BytesIO(b"abc"))]) as files:
        raise ZeroDivisionError
    assert not files[0].path.exists()


@pytest.mark.parametrize("count", [0, 5])
def test_number_of_files_is_bounded(count: int) -> None:
    files = [("a", io.BytesIO(b"x"))] * count
    with pytest.raises(InvalidRequestError, match="up to 4"), spooled(files):
        pass


def test_pictures_fill_their_windows(tmp_path: Path) -> None:
    early, late = render_view(blob(30)), render_view(blob(90))
    upload = parse(tmp_path, ("late.png", late), ("early.png", early), view_durations_s=(4.0, 1.0))
    assert upload.views.durations_s == (1.0, 4.0)
    assert upload.views.view(1.0)[50].argmax() < 40
    assert upload.views.view(4.0)[50].argmax() > 80


def test_names_of_pictures_speak_where_the_client_does_not(tmp_path: Path) -> None:
    upload = parse(tmp_path, ("V1_abcde12345_spectrogram_2.0.png", PNG))
    assert (upload.ifo, upload.gravityspy_id) == ("V1", "abcde12345")
    assert upload.views.durations_s == (2.0,)
    named = parse(tmp_path, ("L1_1243436731.921880007_spectrogram_4.0.png", PNG))
    assert named.gps_time == Decimal("1243436731.921880007")


def test_a_time_given_may_differ_by_rounding_only(tmp_path: Path) -> None:
    file = ("L1_1243436731.921880007_spectrogram_4.0.png", PNG)
    rounded = parse(tmp_path, file, gps_time=Decimal("1243436731.92"))
    assert rounded.gps_time == Decimal("1243436731.92")
    with pytest.raises(InvalidRequestError, match="says 1243436731"):
        parse(tmp_path, file, gps_time=Decimal("1243436735"))


def test_strain_needs_a_time(tmp_path: Path) -> None:
    text = "\n".join(f"{value:.3e}" for value in np.random.default_rng(1).normal(size=9000))
    with pytest.raises(InvalidRequestError, match="gps_time"):
        parse(tmp_path, ("a.txt", text.encode()))


def test_strain_carries_what_its_loudest_tile_says(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=16 * 1024)
    buffer = io.BytesIO()
    np.save(buffer, values)
    upload = parse(
        tmp_path,
        ("L1_x.npy", buffer.getvalue()),
        gps_time=Decimal(1200000000),
        sample_rate_hz=1024.0,
        ifo="L1",
    )
    assert (upload.snr, upload.peak_frequency, upload.duration) == (9.0, 120.0, 0.1)
    assert (upload.ifo, upload.gps_time) == ("L1", Decimal(1200000000))
    assert upload.peak_gps_time == upload.centre_gps_time == Decimal("1200000000.1")
    assert upload.centring == "Loudest 100 ms later; centred there."
    kept = parse(
        tmp_path,
        ("L1_x.npy", buffer.getvalue()),
        gps_time=Decimal(1200000000),
        sample_rate_hz=1024.0,
        is_centred=False,
    )
    assert kept.centring == "Loudest 100 ms later; centred on the given time."


@pytest.mark.parametrize(
    ("peak", "centre", "words"),
    [
        ("10.0100", "10.0100", None),
        ("10.0104", "10.0104", "Loudest 10 ms later; centred there."),
        ("9.75", "9.75", "Loudest 250 ms earlier; centred there."),
        ("9.75", "9.9", "Loudest 250 ms earlier, too near the end of the data; "
         "centred 100 ms earlier."),
        (None, None, None),
    ],
)  # fmt: skip
def test_an_offset_is_put_into_words(peak: str | None, centre: str | None, words: str) -> None:
    known = GlitchFacts(
        gps_time=Decimal(10),
        peak_gps_time=None if peak is None else Decimal(peak),
        centre_gps_time=None if centre is None else Decimal(centre),
    )
    assert known.centring == words


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    upload = parse(tmp_path, ("strain.hdf5", PNG), view_durations_s=(1.0,))
    assert upload.views.durations_s == (1.0,)
    with pytest.raises(UnsupportedFileError):
        parse(tmp_path, ("scan.png", b"\x7fELF\x02\x01" * 50))
    with pytest.raises(FormatError, match="empty"):
        parse(tmp_path, ("scan.png", b""))


def test_huge_pictures_are_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "upload-0"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(40_000_000)
    with pytest.raises(TooLargeError):
        parse_upload(
            [SpooledFile(path, "a.png")],
            UploadDetails(view_durations_s=(1.0,)),
            preprocessing=RECIPE,
            strain_to_views=no_strain,
        )


def test_a_turn_is_waited_for_but_not_for_ever() -> None:
    turns = Turns(1, 0.01, "Too many wait: try again in a few seconds.")
    with turns.one(), pytest.raises(BusyError) as refused, turns.one():
        pass
    assert refused.value.retry_after_s >= 1
    with turns.one():
        pass
