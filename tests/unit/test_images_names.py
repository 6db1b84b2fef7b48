"""File names of spectrograms."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glitch.images import SpectrogramName, parse_file_name
from glitch.views import VIEW_DURATIONS_S

NOTHING = SpectrogramName()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("L1_HlF0RJURZ9_spectrogram_0.5.png", SpectrogramName("L1", "HlF0RJURZ9", None, 0.5)),
        ("H1_0Sug0tqkoL_spectrogram_4.0.PNG", SpectrogramName("H1", "0Sug0tqkoL", None, 4.0)),
        ("V1_0123abcdeF_spectrogram_2.jpeg", SpectrogramName("V1", "0123abcdeF", None, 2.0)),
        (
            "L1_1257492566.687500000_spectrogram_4.0.png",
            SpectrogramName("L1", None, Decimal("1257492566.687500000"), 4.0),
        ),
        (
            "H1_1126259462_spectrogram_1.0.jpg",
            SpectrogramName("H1", None, Decimal(1126259462), 1.0),
        ),
        (
            "source_Koi_Fish_H1_2opsMxFqzF_spectrogram_1.0.png",
            SpectrogramName("H1", "2opsMxFqzF", None, 1.0),
        ),
        ("GravitySpy__H1_0XpMvFpiuh__2.0.png", SpectrogramName("H1", "0XpMvFpiuh", None, 2.0)),
        ("h2_0123abcdeF_spectrogram_2.png", SpectrogramName("H2", "0123abcdeF", None, 2.0)),
        ("l1_HlF0RJURZ9_spectrogram_0.5.png", SpectrogramName("L1", "HlF0RJURZ9", None, 0.5)),
        ("I1_0123abcdeF_spectrogram_2 (1).png", SpectrogramName("I1", "0123abcdeF", None, 2.0)),
        ("golden_1080-2__0.5.png", SpectrogramName(duration_s=0.5)),
        (
            "/a/b c/L1_HlF0RJURZ9_spectrogram_0.5.png",
            SpectrogramName("L1", "HlF0RJURZ9", None, 0.5),
        ),
        (
            "C:\\x\\L1_HlF0RJURZ9_spectrogram_1.0.png",
            SpectrogramName("L1", "HlF0RJURZ9", None, 1.0),
        ),
        ("свист_L1_HlF0RJURZ9_spectrogram_0.5.png", SpectrogramName("L1", "HlF0RJURZ9", None, 0.5)),
    ],
)
def test_known_names(name: str, expected: SpectrogramName) -> None:
    assert parse_file_name(name) == expected


def test_the_gps_time_keeps_every_digit() -> None:
    name = parse_file_name("L1_1243436731.921880007_spectrogram_4.0.png")
    assert str(name.gps_time) == "1243436731.921880007"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "blip.png",
        "blip_1.png",  # a sequence number is not a window length
        "L1_HlF0RJURZ9_spectrogram_0.5",
        "L1_HlF0RJURZ9_spectrogram_0.5.png.exe",
        "L1_HlF0RJURZ9_spectrogram_0.5.png\n",
        "L1_HlF0RJURZ9_spectrogram_.png",
        "L1_HlF0RJURZ9_spectrogram_1e0.png",
        "L1_HlF0RJURZ9_spectrogram_-1.0.png",
        "L1_HlF0RJURZ9_spectrogram_\u0660.\u0665.png",  # Arabic digits
        "L1_HlF0RJURZ9_spectrogram_0.5.png/",
        "../../etc/passwd",
        "a" * 300 + "_spectrogram_0.5.png",
    ],
)
def test_other_names_say_nothing(name: str) -> None:
    assert parse_file_name(name) == NOTHING


@pytest.mark.parametrize(
    ("name", "duration_s"),
    [
        ("X1_HlF0RJURZ9_spectrogram_0.5.png", 0.5),  # not a detector
        ("L1_HlF0RJURZ_spectrogram_0.5.png", 0.5),  # nine characters, not ten
        ("L1_HlF0RJUR'9_spectrogram_0.5.png", 0.5),
        ("L1_99_spectrogram_0.5.png", 0.5),
        ("L1_1257492566.0000000001_spectrogram_0.5.png", 0.5),  # finer than a nanosecond
        ("../../L1_..%2f..%2fx_spectrogram_0.5.png", 0.5),
        ("xL1_HlF0RJURZ9_spectrogram_0.5.png", 0.5),
    ],
)
def test_file_names_outside_the_grammar_are_not_guessed(name: str, duration_s: float) -> None:
    assert parse_file_name(name) == SpectrogramName(duration_s=duration_s)


def test_a_window_that_gravity_spy_does_not_draw_is_unknown() -> None:
    parsed = parse_file_name("L1_HlF0RJURZ9_spectrogram_3.0.png")
    assert parsed == SpectrogramName("L1", "HlF0RJURZ9")


@given(st.text(max_size=400))
def test_any_text_gives_only_what_the_grammar_allows(text: str) -> None:
    for name in (text, f"{text}_spectrogram_0.5.png", f"L1_{text}_spectrogram_1.0.png"):
        parsed = parse_file_name(name)
        assert parsed.ifo in {None, "G1", "H1", "K1", "L1", "V1"}
        assert parsed.duration_s in {None, *VIEW_DURATIONS_S}
        gravityspy_id = parsed.gravityspy_id
        assert gravityspy_id is None or (gravityspy_id.isascii() and gravityspy_id.isalnum())
