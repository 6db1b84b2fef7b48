"""Packs on disk: streamed to disk, memory-mapped, refused if unfinished or of another recipe."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glitch.views import Preprocessing, Views
from training.data.pack import PackError, join_packs, new_array, pack_views, read_pack, write_pack


def views(seed: int) -> Views:
    rng = np.random.default_rng(seed)
    observed = np.ones((4, 128), dtype=np.bool_)
    observed[seed % 4] = False
    values = rng.random((4, 128, 128), dtype=np.float32) * observed[..., None]
    return Views(values, observed)


def test_a_pack_on_disk_holds_what_was_streamed_into_it(tmp_path: Path) -> None:
    samples = [(f"label{seed % 2}", views(seed)) for seed in range(5)]
    write_pack(tmp_path, iter(samples), 5, Preprocessing())
    pack = read_pack(tmp_path, Preprocessing())
    assert isinstance(pack.values, np.memmap)
    assert pack.labels == tuple(label for label, _ in samples)
    assert len(set(pack.groups)) == len(pack) == 5
    memory = pack_views([one for _, one in samples], pack.labels, pack.groups)
    np.testing.assert_array_equal(pack.values, memory.values)
    np.testing.assert_array_equal(pack.observed, memory.observed)
    tensors, observed = pack.tensors(np.asarray([3, 1]))
    np.testing.assert_allclose(tensors[0].numpy(), samples[3][1].values, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(observed[1].numpy(), samples[1][1].observed)


def test_subset_keeps_rows_and_names_together() -> None:
    pack = pack_views([views(seed) for seed in range(4)], "abcd", "wxyz").subset([2, 0])
    assert (pack.labels, pack.groups) == (("c", "a"), ("y", "w"))
    np.testing.assert_array_equal(pack.observed[0], views(2).observed)


def test_an_unfinished_pack_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="Only 2 of 3"):
        write_pack(tmp_path, (("a", views(seed)) for seed in range(2)), 3, Preprocessing())
    with pytest.raises(PackError, match="not contain a finished pack"):
        read_pack(tmp_path, Preprocessing())


def test_a_pack_of_other_preprocessing_is_refused(tmp_path: Path) -> None:
    write_pack(tmp_path, [("a", views(0))], 1, Preprocessing())
    with pytest.raises(PackError, match="other preprocessing"):
        read_pack(tmp_path, Preprocessing(energy_clip=20.0))


def test_packs_are_joined_and_keep_only_what_all_of_them_have() -> None:
    one = pack_views([views(seed) for seed in range(3)], "abc", "uvw")
    other = pack_views([views(seed) for seed in (3, 4)], "de", "xy")
    one, other = (
        replace(pack, twins=pack.values + np.uint8(1), parameters=None if pack is one else facts)
        for pack, facts in ((one, None), (other, np.ones((2, 5), dtype=np.float32)))
    )
    both = join_packs([one, other])
    assert (both.labels, both.groups) == (tuple("abcde"), tuple("uvwxy"))
    np.testing.assert_array_equal(both.values[3:], other.values)
    np.testing.assert_array_equal(both.observed[:3], one.observed)
    assert both.twins is not None
    np.testing.assert_array_equal(both.twins, both.values + np.uint8(1))
    assert both.parameters is None
    assert join_packs([one]) is one


def test_an_array_has_its_room_before_it_is_filled(tmp_path: Path) -> None:
    """Space is allocated first, as a full disk would end the process at some mapped page."""
    array = new_array(tmp_path / "values.npy", (1000, 1000), np.uint8)
    assert (tmp_path / "values.npy").stat().st_blocks * 512 >= array.nbytes
    assert not array.any()
