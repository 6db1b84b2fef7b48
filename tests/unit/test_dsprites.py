"""The dSprites grid: its order and packing, and the refusal of other files."""

from pathlib import Path

import numpy as np
import pytest

from glitch.errors import FormatError
from training.dsprites import source as dsprites
from training.dsprites.source import DSprites, load_dsprites, render_dsprites, render_pose

LARGEST = 5


def test_position_moves_the_sprite_and_nothing_else() -> None:
    images = render_pose(shape=0, scale=LARGEST, orientation=0)
    rows, columns = np.nonzero(images[0, 31])  # x = 0, y = 1
    assert columns.mean() == pytest.approx(15.5, abs=0.5)
    assert rows.mean() == pytest.approx(47.5, abs=0.5)
    areas = images.sum(axis=(2, 3))
    assert areas.min() > 0.85 * areas.max()


def test_square_has_its_area_and_a_quarter_turn_is_the_same() -> None:
    assert render_pose(0, LARGEST, 0)[0, 0].sum() == 400  # as in the published data set
    assert render_pose(0, 0, 0)[0, 0].sum() == 100


def test_whole_grid_is_packed_in_the_public_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsprites, "FACTOR_SIZES", (2, 1, 1, 32, 32))
    monkeypatch.setattr(dsprites, "N_IMAGES", 2 * 1024)
    added: list[int] = []
    grid = render_dsprites(added.append)
    assert sum(added) == 2048
    assert grid.is_rerendered
    image = grid.images(np.array([1024 + 5 * 32 + 9]))[0, 0]  # ellipse, x = 5, y = 9
    assert np.array_equal(image > 0, render_pose(1, 0, 0)[5, 9])


def test_public_file_is_read_without_unpickling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dsprites, "N_IMAGES", 720)
    images = (np.random.default_rng(0).random((720, 64, 64)) > 0.5).astype(np.uint8)
    path = tmp_path / dsprites.PUBLIC_FILE
    np.savez_compressed(path, imgs=images, metadata=np.array({"a": 1}, dtype=object))
    grid = load_dsprites(path)
    assert not grid.is_rerendered
    assert np.array_equal(grid.images(np.arange(720))[:, 0], images)


def test_absent_damaged_and_foreign_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="deepmind/dsprites-dataset"):
        load_dsprites(tmp_path / "none.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(FormatError, match="download it again"):
        load_dsprites(tmp_path / "broken.npz")
    np.savez(tmp_path / "foreign.npz", imgs=np.zeros((3, 64, 64), dtype=np.uint8))
    with pytest.raises(FormatError, match="not the dSprites grid"):
        load_dsprites(tmp_path / "foreign.npz")
    np.savez(tmp_path / "empty.npz", other=np.zeros(3))
    with pytest.raises(FormatError, match="not a whole dSprites"):
        load_dsprites(tmp_path / "empty.npz")


def test_images_come_as_zeros_and_ones() -> None:
    grid = DSprites(np.full((1, 512), 0b10101010, dtype=np.uint8), is_rerendered=True)
    assert grid.images(np.array([0])).sum() == 64 * 64 / 2
