"""The shipped latent vector beats pixels. Its encoder saw every picture, but no label."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from pace import is_within

from glitch.checkpoint import Checkpoint, load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.views import Views
from training.data.pack import Pack
from training.data.real_images import read_real_images
from training.data.split import split_real
from training.evaluation.encoding import evaluate_model, lone_view_agreement
from training.evaluation.probe import PREDICTORS, classes_with_groups, score
from training.evaluation.report import Vectors, pooled_pixels, reduce_by_pca
from training.views.config import config_from_mapping

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(shipped_checkpoint())


@pytest.fixture(scope="module")
def split(checkpoint: Checkpoint, shared_data: Path) -> tuple[Pack, Pack]:
    real = read_real_images(shared_data / "gravityspy_images")
    config = config_from_mapping(checkpoint.manifest.training["config"])
    return split_real(real, config.data)


def test_the_checkpoint_was_trained_on_every_picture(
    checkpoint: Checkpoint, split: tuple[Pack, Pack]
) -> None:
    train, validation = split
    assert not set(train.groups) & set(validation.groups)
    assert checkpoint.manifest.training["real_train"]["glitches"] == len(train) + len(validation)
    assert checkpoint.manifest.training["validation"] is None


@pytest.fixture(scope="module")
def of_pixels(checkpoint: Checkpoint, split: tuple[Pack, Pack]) -> tuple[Vectors, Vectors]:
    """Pixel PCA of the known and of the queried pictures, with the latent dimension."""
    train, validation = split
    both = Pack(
        np.concatenate([train.values, validation.values]),
        np.concatenate([train.observed, validation.observed]),
        train.labels + validation.labels,
        train.groups + validation.groups,
    )
    n = len(train)
    turned = pooled_pixels(checkpoint.model, both, is_amplitude=False, is_filled=False)
    return reduce_by_pca(checkpoint.model.architecture.latent)(turned[:n], turned[n:])


@pytest.fixture(scope="module")
def ours(checkpoint: Checkpoint, split: tuple[Pack, Pack]) -> Mapping[str, float]:
    return evaluate_model(checkpoint.model, *split)


@pytest.mark.parametrize("probe", sorted(PREDICTORS))
def test_the_encoder_beats_pixel_pca_of_equal_dimension(
    of_pixels: tuple[Vectors, Vectors],
    ours: Mapping[str, float],
    split: tuple[Pack, Pack],
    probe: str,
) -> None:
    (train, validation), (known, queries) = split, of_pixels
    classes = classes_with_groups(train.labels, train.groups, 1)
    answers = PREDICTORS[probe](known, train.labels, queries).tolist()
    peer = score(validation.labels, answers, classes)
    assert ours[f"{probe}.balanced_accuracy"] > peer.balanced_accuracy
    # Zero-filled PCA shows which windows were published, worth one point of plain accuracy.
    assert ours[f"{probe}.accuracy"] > peer.accuracy - 0.01


def test_a_lone_view_lands_near_its_full_set(
    checkpoint: Checkpoint, split: tuple[Pack, Pack]
) -> None:
    agreement = lone_view_agreement(checkpoint.model, split[1])
    assert agreement["distance"] < 0.5
    assert agreement["retrieval"] > 0.8


def test_encoding_one_glitch_is_quick_and_repeats_the_manifest(
    checkpoint: Checkpoint, split: tuple[Pack, Pack]
) -> None:
    encoder = Encoder(checkpoint)
    _, validation = split
    one = Views(validation.values[0].astype(np.float32) / 255, np.asarray(validation.observed[0]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        encoder.encode([one])
        took = []
        for _ in range(20):
            start = time.thread_time()
            encoder.encode([one])
            took.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    # Processor time of this thread, so that a slow model fails, but not a busy machine.
    assert is_within(min(took), 0.03)
