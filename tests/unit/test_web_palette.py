"""Colours of classes: fixed, legible in both themes, and distinct with each colour vision."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.frame.palette import UNLABELLED_COLOUR, class_colour
from glitch.taxonomy import CLASS_NAMES

STYLES = [Path("app/frame/static") / name for name in ("base.css", "dark.css")]
COMMONEST = ("Scattered_Light", "Fast_Scattering", "Tomte", "Blip", "Koi_Fish", "Extremely_Loud")
# Machado, Oliveira and Fernandes (2009), severity 1, on linear sRGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _oklab(linear: np.ndarray) -> np.ndarray:
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return lab @ np.cbrt(cones @ np.clip(linear, 0, 1))


def _contrast(one: str, other: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    dark, light = sorted(float(weights @ _linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def _panels() -> list[str]:
    sheets = "".join(path.read_text() for path in STYLES)
    found = re.findall(r"--panel: (#[0-9a-f]{6});", sheets)
    assert len(found) == 2  # light and dark
    return found


@pytest.mark.parametrize("name", [*CLASS_NAMES, "", "Thunder", "Whistling_Kettle"])
def test_class_colours_contrast_with_both_panels(name: str) -> None:
    assert all(_contrast(class_colour(name), panel) >= 2.2 for panel in _panels())


@pytest.mark.parametrize("sight", SIGHTS)
def test_common_classes_differ_for_every_sight(sight: str) -> None:
    seen = [_oklab(SIGHTS[sight] @ _linear(class_colour(name))) for name in COMMONEST]
    nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2))
    assert nearest > 0.06  # about three just noticeable differences


def test_gravity_spy_classes_in_use_share_no_colour() -> None:
    proposed = {"Pizzicato", "70Hz_Line"}
    colours = [class_colour(name) for name in CLASS_NAMES if name not in proposed]
    assert len(set(colours)) == len(colours)
    assert UNLABELLED_COLOUR not in colours


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=64))
def test_any_name_has_one_colour_that_no_gravity_spy_class_has(name: str) -> None:
    colour = class_colour(name)
    assert re.fullmatch("#[0-9a-f]{6}", colour)
    assert class_colour(name) == colour
    if name not in CLASS_NAMES:
        assert colour not in {class_colour(known) for known in CLASS_NAMES}


def test_an_empty_name_is_no_label() -> None:
    assert class_colour("") == UNLABELLED_COLOUR


def test_names_keep_their_colours_between_releases() -> None:
    assert class_colour("Blip") == "#006000"
    assert class_colour("Thunder") == "#78a0e8"
