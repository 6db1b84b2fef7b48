"""Checkpoints: saving and loading, and a clear message for each defect of a folder."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.models.inference import find_checkpoint
from glitch.checkpoint import (
    MANIFEST_FILE,
    WEIGHTS_FILE,
    load_checkpoint,
    save_checkpoint,
    shipped_checkpoint,
)
from glitch.errors import CheckpointError
from glitch.model import Architecture, ViewsVAE
from glitch.views import Preprocessing

SMALL = Architecture(channels=(4, 4), painter_channels=(4, 4), hidden=8, latent=3)


def write(folder: Path, *, is_half_precision: bool = False, seed: int = 0) -> ViewsVAE:
    torch.manual_seed(seed)
    model = ViewsVAE(SMALL)
    save_checkpoint(
        folder,
        model,
        name="small",
        preprocessing=Preprocessing(),
        training={"step": 1},
        schedule={"kind": "beta_vae"},
        metrics={"rate": 1.5},
        licence="GPL-3.0-or-later",
        is_half_precision=is_half_precision,
    )
    return model


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST_FILE
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


def test_round_trip_keeps_weights_and_manifest(tmp_path: Path) -> None:
    model = write(tmp_path)
    loaded = load_checkpoint(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)
    assert loaded.manifest.name == "small"
    assert loaded.manifest.architecture == SMALL
    assert loaded.manifest.preprocessing == Preprocessing()
    assert loaded.manifest.preprocessing.digest() == Preprocessing().digest()
    assert loaded.manifest.metrics == {"rate": 1.5}
    assert not loaded.model.training
    assert not any(weight.requires_grad for weight in loaded.model.parameters())


def test_half_precision_halves_the_file_and_loads_as_float32(tmp_path: Path) -> None:
    write(tmp_path / "full")
    write(tmp_path / "half", is_half_precision=True)
    sizes = [(tmp_path / kind / WEIGHTS_FILE).stat().st_size for kind in ("full", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    weights = load_checkpoint(tmp_path / "half").model.state_dict().values()
    assert {value.dtype for value in weights} == {torch.float32}


def test_the_digest_distinguishes_weights_and_repeats(tmp_path: Path) -> None:
    write(tmp_path / "a")
    write(tmp_path / "b")
    write(tmp_path / "c", seed=1)
    digests = [load_checkpoint(tmp_path / name).digest for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


def test_a_field_that_a_later_release_adds_leaves_the_digest(tmp_path: Path) -> None:
    """A manifest field added in a later release does not change the digests of older checkpoints.

    Catalogues refer to a checkpoint by the digest under which it was published.
    """
    write(tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    architecture = json.loads((tmp_path / "old" / MANIFEST_FILE).read_text())["architecture"]
    del architecture["has_normalised_features"]
    edit_manifest(tmp_path / "old", architecture=architecture)
    old = load_checkpoint(tmp_path / "old")
    assert old.manifest == load_checkpoint(tmp_path / "new").manifest
    shipped = {
        load_checkpoint(folder).digest[:12] for folder in shipped_checkpoint().parent.iterdir()
    }
    assert shipped == {"2a2e360f3d2c", "d8f5a59483a7", "d019af77a628"}
    # named by a digest of a release that had other fields
    copy = tmp_path / "catalogue" / ("0" * 64)
    shutil.copytree(tmp_path / "old", copy)
    roots = [tmp_path / "catalogue"]
    assert find_checkpoint(roots, copy.name).digest == find_checkpoint(roots, old.digest).digest


def test_a_step_of_the_recipe_that_a_later_release_adds_leaves_its_digest() -> None:
    """A preprocessing step added in a later release does not change the digest while it is off.

    Catalogues, checkpoints and packs store this digest to identify their preprocessing.
    """

    @dataclass(frozen=True)
    class Release(Preprocessing):
        line_width_hz: float = 0.0

    @dataclass(frozen=True)
    class OtherDefault(Preprocessing):
        energy_clip: float = 30.0

    first = "fff6a17ccc4ff485cb5673bee66cf41595fda640b3f2070c73608bf7542b086a"
    assert Preprocessing().digest() == Release().digest() == first
    assert Release(line_width_hz=1.0).digest() not in (first, Release(line_width_hz=2.0).digest())
    assert OtherDefault().digest() == Preprocessing(energy_clip=30.0).digest() != first
    assert OtherDefault(energy_clip=25.5).digest() == first


@pytest.mark.parametrize("name", [MANIFEST_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointError, match=f"no readable {name}"):
        load_checkpoint(tmp_path)


def test_damaged_weights_are_found_by_their_digest(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)


def test_weights_that_are_no_safetensors_are_never_unpickled(tmp_path: Path) -> None:
    import hashlib
    import pickle

    write(tmp_path)
    evil = pickle.dumps({"weights": 1})
    (tmp_path / WEIGHTS_FILE).write_bytes(evil)
    edit_manifest(tmp_path, weights_sha256=hashlib.sha256(evil).hexdigest())
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    import hashlib

    write(tmp_path)
    path = tmp_path / WEIGHTS_FILE
    tensors = load_file(path)
    tensors["join.bias"][0] = float("nan")
    save_file(tensors, path)
    edit_manifest(tmp_path, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "format 99"),
        ({"schedule": ...}, "lacks schedule"),
        ({"architecture": {"latent": 7}}, "another architecture"),
        ({"architecture": {"colour": 7}}, "cannot build"),
        ({"architecture": [1]}, "cannot build"),
        ({"architecture": {"latent": 0}}, "cannot build"),
        ({"preprocessing": {"n_time": 64}}, "does not match its digest"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    write(tmp_path)
    edit_manifest(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path)
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)


def test_the_shipped_checkpoint_loads_and_is_small_enough() -> None:
    folder = shipped_checkpoint()
    assert load_checkpoint(folder).manifest.preprocessing == Preprocessing()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20e6
