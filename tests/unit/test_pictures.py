"""Networks for pictures, with their data and training task."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from glitch.errors import CheckpointError, FormatError, GlitchError
from glitch.model import Posterior, kl_to_standard_normal
from training.core.config import LogConfig, ObjectiveConfig, OptimiserConfig
from training.core.loop import METRICS_FILE, TrainingError
from training.core.state import STATE_FILE, load_state
from training.dsprites import (
    GreyPictures,
    PackedPictures,
    PictureArchitecture,
    PictureConfig,
    PictureSet,
    PictureVAE,
    load_picture_run,
    train_on_pictures,
)
from training.dsprites import source as dsprites
from training.dsprites.architecture import bernoulli_distortion
from training.dsprites.packed import RERENDERED_NAME, halve, open_dsprites
from training.dsprites.sets import PictureSource, read_picture_folder
from training.dsprites.task import picture_outcome


def dots(n: int = 40, side: int = 32) -> PackedPictures:
    """Pictures with a white square at a random position."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((n, side, side), dtype=np.uint8)
    for picture, (row, column) in zip(pixels, rng.integers(side - 8, size=(n, 2)), strict=True):
        picture[row : row + 8, column : column + 8] = 1
    return PackedPictures(np.packbits(pixels.reshape(n, -1), axis=1), side, "dots")


def config(kind: str = "beta_vae", steps: int = 6, **parameters: float) -> PictureConfig:
    return PictureConfig(
        name="toy",
        data="dots",
        architecture=PictureArchitecture(side=32, latent=3),
        objective=ObjectiveConfig(kind, parameters),
        optimiser=OptimiserConfig(
            learning_rate=1e-3, batch_size=8, steps=steps, warmup_steps=0, final_factor=1.0
        ),
        log=LogConfig(1, 1_000, 2),
    )


def logged(folder: Path) -> list[dict[str, float]]:
    lines = (folder / METRICS_FILE).read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key != "seconds"}
        for line in lines
    ]


@pytest.mark.parametrize(
    ("kind", "side", "n_weights"),
    [
        ("burgess", 64, 502_005),  # Burgess et al. 2018
        ("burgess", 32, 469_173),  # two convolutions fewer, of 16,416 weights each
        ("conv_encoder", 64, 690_517),
        ("conv_encoder", 32, 608_469),
    ],
)
def test_architectures_have_their_weights_and_keep_the_pictures_size(
    kind: str, side: int, n_weights: int
) -> None:
    model = PictureVAE(PictureArchitecture(kind, side))
    assert sum(weight.numel() for weight in model.parameters()) == n_weights
    posterior = model.encode(torch.zeros(2, 1, side, side))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 10)
    painted = model.paint(posterior.mean)
    assert painted.shape == (2, 1, side, side)
    assert 0 <= painted.min() <= painted.max() <= 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"kind": "resnet"}, "kind"), ({"side": 48}, "side"), ({"latent": 0}, "latent")],
)
def test_impossible_architectures_name_what_is_wrong(changes: dict[str, object], word: str) -> None:
    with pytest.raises(GlitchError, match=word):
        PictureArchitecture(**changes)  # type: ignore[arg-type]


def test_first_weights_let_pictures_change_the_posterior() -> None:
    torch.manual_seed(0)
    model = PictureVAE(PictureArchitecture(side=32))
    pictures = torch.from_numpy(dots().pictures(np.arange(40)))
    with torch.no_grad():
        spread = model.encode(pictures).mean.std(dim=0).mean().item()
    assert spread > 0.003  # a tenth of that with the initial weights of torch
    assert all(not layer.bias.any() for layer in model.encoder if isinstance(layer, nn.Linear))


def test_distortion_of_even_odds_is_log_two_a_pixel() -> None:
    pictures = torch.tensor([0.0, 1.0, 1.0, 0.0]).reshape(1, 1, 2, 2)
    found = bernoulli_distortion(torch.zeros(1, 1, 2, 2), pictures)
    assert found.item() == pytest.approx(4 * np.log(2))


def test_trap_pixel_mean_reconstruction_more_pixels_weigh_more() -> None:
    small = bernoulli_distortion(torch.zeros(3, 1, 32, 32), torch.ones(3, 1, 32, 32))
    large = bernoulli_distortion(torch.zeros(3, 1, 64, 64), torch.ones(3, 1, 64, 64))
    assert small.shape == (3,)
    torch.testing.assert_close(large, 4 * small)


def test_trap_float32_dsprites_is_held_as_bits() -> None:
    # never written, so takes no memory
    grid = np.empty((dsprites.N_IMAGES, dsprites.SIDE**2 // 8), dtype=np.uint8)
    assert PackedPictures(grid, dsprites.SIDE, "x").packed.nbytes < 378e6


def test_half_precision_changes_the_draws_little() -> None:
    torch.manual_seed(0)
    model = PictureVAE(PictureArchitecture(side=32))
    pictures = PictureSource(dots(), batch_size=8, seed=0).batch(3)
    full, half = (
        picture_outcome(
            model, pictures, torch.Generator().manual_seed(0), is_half_precision=is_half
        )
        for is_half in (False, True)
    )
    torch.testing.assert_close(half.distortion, full.distortion, rtol=5e-3, atol=0)
    torch.testing.assert_close(half.draw, full.draw, rtol=0, atol=0.03)
    assert half.distortion.dtype == half.draw.dtype == torch.float32


def test_batches_depend_on_seed_and_step_alone() -> None:
    source, again = (PictureSource(dots(), batch_size=8, seed=1) for _ in range(2))
    assert torch.equal(source.batch(5), again.batch(5))
    assert not torch.equal(source.batch(5), source.batch(6))
    assert not torch.equal(source.batch(5), PictureSource(dots(), batch_size=8, seed=2).batch(5))


def test_halving_keeps_a_cell_of_which_half_is_white() -> None:
    picture = np.zeros((1, 64, 64), dtype=np.uint8)
    picture[0, 0, 0] = 1  # one pixel of four
    picture[0, 2:4, 2] = 1  # two pixels of four
    packed = halve(np.packbits(picture.reshape(1, -1), axis=1))
    small = PackedPictures(packed, 32, "x").pictures(np.array([0]))[0, 0]
    assert np.argwhere(small).tolist() == [[1, 1]]


def test_dsprites_are_drawn_once_and_then_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(dsprites, "FACTOR_SIZES", (1, 1, 2, 32, 32))
    monkeypatch.setattr("training.dsprites.packed.FACTOR_SIZES", (1, 1, 2, 32, 32))
    found = open_dsprites(tmp_path, side=32, orientation_stride=2, on_progress=drawn.append)
    assert (len(found), found.factor_sizes) == (1024, (1, 1, 1, 32, 32))
    assert found.name == f"{RERENDERED_NAME}, 1 orientations"
    again = open_dsprites(tmp_path, side=32, orientation_stride=2, on_progress=drawn.append)
    assert sum(drawn) == 1024  # not rendered again
    assert isinstance(again.packed, np.memmap)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(FormatError, match="delete it"):
        open_dsprites(tmp_path, side=32, orientation_stride=2)


def test_a_folder_of_pictures_is_read_grey_and_scaled(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    Image.new("RGB", (100, 80), (255, 255, 255)).save(tmp_path / "deeper" / "white.png")
    Image.new("L", (64, 64), 51).save(tmp_path / "grey.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_picture_folder(tmp_path, 32)
    assert found.pictures(np.arange(2)).mean(axis=(1, 2, 3)).tolist() == pytest.approx([1.0, 0.2])
    assert len(read_picture_folder(tmp_path, 32, limit=1)) == 1
    (tmp_path / "broken.png").write_bytes(b"no picture either")
    with pytest.raises(FormatError, match=r"broken\.png"):
        read_picture_folder(tmp_path, 32)
    for folder, words in ((tmp_path / "none", "no folder"), (tmp_path / "deep", "no picture")):
        if words == "no picture":
            folder.mkdir()
        with pytest.raises(FormatError, match=words):
            read_picture_folder(folder, 32)


@pytest.mark.parametrize("kind", ["beta_vae", "bottleneck", "factor_vae", "beta_tcvae"])
def test_a_stopped_run_has_the_losses_of_an_uninterrupted_one(tmp_path: Path, kind: str) -> None:
    def interrupt(step: int, _metrics: dict[str, float]) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_on_pictures(config(kind), whole, dots())
    assert train_on_pictures(config(kind), stopped, dots(), report=interrupt).step == 3
    assert train_on_pictures(config(kind), stopped, dots()).is_complete
    assert logged(stopped) == logged(whole)
    assert (stopped / STATE_FILE).read_bytes() == (whole / STATE_FILE).read_bytes()


def test_a_run_learns_and_logs_the_kl_of_each_latent(tmp_path: Path) -> None:
    settings = config(steps=60)
    optimiser = replace(settings.optimiser, learning_rate=3e-3)
    train_on_pictures(replace(settings, optimiser=optimiser), tmp_path, dots())
    entries = logged(tmp_path)
    assert entries[-1]["distortion"] < 0.6 * entries[0]["distortion"]
    each = [entries[-1][f"kl.{index}"] for index in range(3)]
    assert sum(each) == pytest.approx(entries[-1]["rate"], rel=1e-4)


def test_data_of_another_size_or_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="64 pixels a side"):
        train_on_pictures(config(), tmp_path, dots(side=64))
    other: PictureSet = GreyPictures(np.zeros((4, 32, 32), dtype=np.uint8), "greys")
    with pytest.raises(FormatError, match="is configured for the data 'dots', not 'greys'"):
        train_on_pictures(config(), tmp_path, other)


class WithNan(PackedPictures):
    """Pictures whose pixels are NaN."""

    def pictures(self, indices: np.ndarray) -> np.ndarray:
        return super().pictures(indices) * np.float32(np.nan)


def test_nan_in_the_data_names_the_step(tmp_path: Path) -> None:
    spoilt = WithNan(dots().packed, 32, "dots")
    with pytest.raises(TrainingError, match="loss is nan at step 0"):
        train_on_pictures(config(), tmp_path, spoilt)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    train_on_pictures(config(steps=1), tmp_path, dots())
    read, model, step = load_picture_run(tmp_path)
    assert (read, step, model.training) == (config(steps=1), 1, False)
    other = PictureVAE(PictureArchitecture(side=32, latent=4))
    with pytest.raises(CheckpointError, match="another architecture"):
        load_state(tmp_path / STATE_FILE, other, None)


def test_rate_is_the_closed_form_of_the_posterior() -> None:
    posterior = Posterior(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, np.log(4.0)]]))
    expected = [0.5, 0.5 * (4 - 1 - np.log(4))]
    assert kl_to_standard_normal(posterior)[0].tolist() == pytest.approx(expected)
