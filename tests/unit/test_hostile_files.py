"""Malicious files are refused by the readers, or stopped by the limits of the child process."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import hostile_files
import numpy as np
import pytest
from pace import is_within

from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.images.arrays import holds_views, read_views
from glitch.images.stacks import is_npz_stack, npz_to_hdf5
from glitch.strain.reading import is_strain_file, read_strain
from glitch.tables.hdf5 import trigger_table

GPS_TIME = Decimal(hostile_files.GPS_START + 16)
# Processor time in seconds: half a second on a slow core, two on shared ones.
# Without a bound, the costliest file took a hundred.
REFUSED_WITHIN_S = 5.0
BOUNDED_BY_THE_CHILD = {"inflating.h5"}  # only the memory limit of the child stops it


def read(path: Path) -> None:
    """Read a file with the reader for its content, like an upload."""
    if holds_views(path):
        read_views(path, path.name)
    elif is_strain_file(path, path.name):
        read_strain(path, file_name=path.name, gps_time=GPS_TIME)
    else:
        raise FormatError("of no kind that is read here")


@pytest.mark.parametrize("name", sorted(hostile_files.EMBEDDABLE.keys() - BOUNDED_BY_THE_CHILD))
def test_a_hostile_file_is_refused_quickly_and_in_little_memory(tmp_path: Path, name: str) -> None:
    path = hostile_files.EMBEDDABLE[name](tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises((FormatError, TooLargeError)):
        read(path)
    assert is_within(time.process_time() - started, REFUSED_WITHIN_S)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 300_000


def test_the_twin_that_is_not_hostile_is_read(tmp_path: Path) -> None:
    read(hostile_files.good_strain(tmp_path / "good.h5"))


def test_wide_triggers_are_refused(tmp_path: Path) -> None:
    path = hostile_files.wide_triggers(tmp_path / "triggers.h5")
    with pytest.raises(TooLargeError, match="100,016 bytes"):
        trigger_table(path, path.name)


def test_an_npz_of_many_glitches_declares_bounded_glitches(tmp_path: Path) -> None:
    content = hostile_files.npy_header("(2, 4, 100000, 100000)")
    path = hostile_files.zipped(tmp_path / "stack.npz", {"views.npy": content})
    assert is_npz_stack(path)
    with pytest.raises(TooLargeError, match="for one glitch"):
        npz_to_hdf5(path, tmp_path / "stack.h5", 1 << 50)


def save_npy(path: Path) -> None:
    np.save(path, np.random.default_rng(2).random((4, 128, 128), dtype=np.float32))


def save_npz(path: Path) -> None:
    rng = np.random.default_rng(3)
    np.savez_compressed(
        path, strain=rng.normal(size=16 * 4096), sample_rate_hz=4096.0, gps_start=GPS_TIME - 8
    )


def save_views_npz(path: Path) -> None:
    views = np.random.default_rng(4).random((4, 128, 128), dtype=np.float32)
    np.savez_compressed(path, views=views, durations_s=[0.5, 1.0, 2.0, 4.0])


MUTABLE: dict[str, Callable[[Path], object]] = {
    "views.npy": save_npy,
    "strain.npz": save_npz,
    "views.npz": save_views_npz,
}


@pytest.mark.parametrize("name", sorted(MUTABLE))
@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_refused_by_a_sentence(tmp_path: Path, name: str, seed: int) -> None:
    path = tmp_path / name
    MUTABLE[name](path)
    data = bytearray(path.read_bytes())
    dice = np.random.default_rng(seed)
    for _ in range(dice.choice((1, 3, 30))):
        near = dice.choice((200, len(data)))  # damage to headers has most effect
        data[dice.integers(min(near, len(data)))] = dice.integers(256)
    path.write_bytes(data[: dice.choice((len(data), dice.integers(1, len(data))))])
    with contextlib.suppress(GlitchError):  # anything else fails the test
        read(path)
