"""Simulated glitches as training samples: balanced classes, two noise realisations each.

A pack is made in chunks, each a pure function of the seed and its position, so that an interrupted
simulation can be continued.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from glitch.simulate import SIMULATED_CLASSES, UNNAMED, in_other_noise, simulate_glitch
from glitch.strain import StrainViews, views_from_strain
from glitch.views import Preprocessing
from training.core.one_at_a_time import one_at_a_time
from training.data.pack import (
    NAMES_FILE,
    OBSERVED_FILE,
    PARAMETERS,
    PARAMETERS_FILE,
    TWINS_FILE,
    VALUES_FILE,
    PackError,
    new_array,
    quantise,
    write_names,
)

ROUNDS = 5  # rounds in a chunk; a round has one glitch of each class
UNNAMED_IN_ROUND = 8  # shapes without a class, in addition to one glitch of each class
BATCH = 17  # glitches transformed at once: bounds memory
IFOS = ("H1", "L1", "H1", "L1", "V1")
PROGRESS_FILE = "progress.json"


def round_labels() -> list[str]:
    """Return the labels of a round, in order."""
    return [*SIMULATED_CLASSES] + [UNNAMED] * UNNAMED_IN_ROUND


def parameters_of(seen: StrainViews, snr: float) -> list[float]:
    """Return the targets of parameter prediction, as logarithms, in the order of ``PARAMETERS``."""
    return [
        math.log1p(seen.snr),
        math.log(seen.peak_frequency_hz),
        math.log(seen.duration_s),
        math.log(seen.q),
        math.log1p(snr),
    ]


def simulate_pack(
    folder: Path,
    per_class: int,
    seed: int,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Make a pack of simulated glitches with twins and parameters, or complete an unfinished one.

    Args:
        folder: of the pack.
        per_class: number of glitches of each class.
        seed: of the whole pack.
        preprocessing: recipe of the views; by default Gravity Spy's.
        on_progress: called with the number of glitches done and the total.

    Raises:
        PackError: if the number is too small, or the folder has an unfinished different pack.
        FolderInUseError: if another command is making a pack there.
    """
    recipe = preprocessing or Preprocessing()
    if per_class < 1:
        raise PackError(f"Simulate at least one glitch per class, not {per_class}.")
    with one_at_a_time(folder):
        _simulate(folder, per_class, seed, recipe, on_progress)


def _simulate(
    folder: Path,
    per_class: int,
    seed: int,
    recipe: Preprocessing,
    on_progress: Callable[[int, int], None],
) -> None:
    labels = round_labels() * per_class
    size = ROUNDS * len(round_labels())
    plan = {"per_class": per_class, "seed": seed, "preprocessing_digest": recipe.digest()}
    done = _claim(folder, plan)
    arrays = _open_arrays(folder, len(labels), recipe, is_new=done == 0)
    for chunk in range(done, math.ceil(len(labels) / size)):
        _fill(arrays, chunk, labels[chunk * size : (chunk + 1) * size], seed, recipe)
        for array in arrays.values():
            array.flush()
        _replace_json(folder / PROGRESS_FILE, {**plan, "done": chunk + 1})
        on_progress(min((chunk + 1) * size, len(labels)), len(labels))
    write_names(folder, labels, recipe)


def _claim(folder: Path, plan: dict[str, object]) -> int:
    """Return the number of finished chunks of the same pack in the folder."""
    path = folder / PROGRESS_FILE
    if not path.exists():
        if (folder / NAMES_FILE).exists():
            raise PackError(f"{folder} contains another pack: choose another folder.")
        return 0
    saved = json.loads(path.read_text(encoding="utf-8"))
    done = int(saved.pop("done"))
    if saved != plan:
        raise PackError(
            f"{folder} contains an unfinished pack with other settings ({saved}): finish it with "
            "these settings, or choose another folder."
        )
    return done


def _open_arrays(
    folder: Path, n_glitches: int, recipe: Preprocessing, *, is_new: bool
) -> dict[str, np.memmap[tuple[int, ...], np.dtype[np.generic]]]:
    rows = (n_glitches, len(recipe.durations_s), recipe.n_frequency)
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        VALUES_FILE: ((*rows, recipe.n_time), np.uint8),
        TWINS_FILE: ((*rows, recipe.n_time), np.uint8),
        OBSERVED_FILE: (rows, np.bool_),
        PARAMETERS_FILE: ((n_glitches, len(PARAMETERS)), np.float32),
    }
    if not is_new:
        return {name: np.load(folder / name, mmap_mode="r+") for name in shapes}
    return {name: new_array(folder / name, shape, dtype) for name, (shape, dtype) in shapes.items()}


def _fill(
    arrays: dict[str, np.memmap[tuple[int, ...], np.dtype[np.generic]]],
    chunk: int,
    labels: list[str],
    seed: int,
    recipe: Preprocessing,
) -> None:
    for first in range(0, len(labels), BATCH):
        glitches, twin_glitches = [], []
        for position in range(first, min(first + BATCH, len(labels))):
            series = np.random.SeedSequence(seed, spawn_key=(chunk, position))
            rng = np.random.default_rng(series)
            ifo = IFOS[int(rng.integers(len(IFOS)))]
            glitches.append(simulate_glitch(labels[position], rng, ifo=ifo))
            twin_glitches.append(in_other_noise(glitches[-1], rng))
        times = [glitch.gps_time for glitch in glitches]
        views = views_from_strain([glitch.strain for glitch in glitches], times, recipe)
        twins = views_from_strain(twin_glitches, times, recipe)
        for index, (glitch, one, twin) in enumerate(zip(glitches, views, twins, strict=True)):
            place = chunk * ROUNDS * len(round_labels()) + first + index
            arrays[VALUES_FILE][place] = quantise(one.views)
            arrays[TWINS_FILE][place] = quantise(twin.views)
            arrays[OBSERVED_FILE][place] = one.views.observed
            arrays[PARAMETERS_FILE][place] = parameters_of(one, glitch.snr)


def _replace_json(path: Path, content: dict[str, object]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)
