"""The encoder: deterministic, independent of its batch, and strict about preprocessing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glitch.checkpoint import Checkpoint, load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.errors import GlitchError
from glitch.model import ScatteringVAE
from glitch.taxonomy import SIMULATED
from glitch.views import Preprocessing, Views

SIMULATED_CLASSES = sorted(SIMULATED)  # the order of the shipped checkpoint's head


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(shipped_checkpoint())


@pytest.fixture(scope="module")
def encoder(checkpoint: Checkpoint) -> Encoder:
    return Encoder(checkpoint)


def glitches(n: int, seed: int = 0) -> list[Views]:
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        values = rng.random((4, 128, 128), dtype=np.float32) ** 4
        observed = np.ones((4, 128), dtype=np.bool_)
        observed[: index % 4] = False
        made.append(Views(values * observed[..., None], observed))
    return made


def test_the_shape_and_meaning_of_an_encoding(encoder: Encoder) -> None:
    (found,) = encoder.encode(glitches(1))
    assert found.mean.shape == found.log_variance.shape == (encoder.latent,)
    assert found.mean.dtype == np.float32
    mean, log_variance = found.mean.astype(float), found.log_variance.astype(float)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum()
    assert found.kl == pytest.approx(kl, rel=1e-4)
    assert found.reconstruction_error > 0


def test_the_simulated_class_is_the_most_probable_one_of_the_head(
    encoder: Encoder, checkpoint: Checkpoint
) -> None:
    model = checkpoint.model
    assert isinstance(model, ScatteringVAE)
    assert model.namer is not None
    weight, bias = (one.detach().double().numpy() for one in (model.namer.weight, model.namer.bias))
    for one in encoder.encode(glitches(4)):
        scores = weight @ one.mean.astype(float) + bias
        probabilities = np.exp(scores) / np.exp(scores).sum()
        assert one.simulated_class is not None
        assert one.simulated_class.label == SIMULATED_CLASSES[int(probabilities.argmax())]
        assert one.simulated_class.probability == pytest.approx(probabilities.max(), rel=1e-4)


def test_a_model_without_simulated_classes_names_none() -> None:
    former = load_checkpoint(shipped_checkpoint().with_name("gravityspy-views-v1"))
    assert [one.simulated_class for one in Encoder(former).encode(glitches(2))] == [None, None]


def test_a_glitch_gets_in_a_batch_what_it_gets_alone(encoder: Encoder) -> None:
    views = glitches(5)
    together = encoder.encode(views)
    for one, expected in zip(views, together, strict=True):
        (alone,) = encoder.encode([one])
        np.testing.assert_allclose(alone.mean, expected.mean, atol=1e-5)
        np.testing.assert_allclose(alone.log_variance, expected.log_variance, atol=1e-5)
        assert alone.reconstruction_error == pytest.approx(expected.reconstruction_error, rel=1e-4)
        assert alone.simulated_class is not None
        assert expected.simulated_class is not None
        assert alone.simulated_class.label == expected.simulated_class.label


def test_encoding_twice_is_the_same_to_the_bit(encoder: Encoder) -> None:
    views = glitches(3)
    first, again = encoder.encode(views), encoder.encode(views)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.mean, other.mean)
        assert one.reconstruction_error == other.reconstruction_error


def test_order_is_kept_over_several_batches(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glitch.encoder.BATCH", 4)
    found = encoder.encode(glitches(2) * 3)
    assert len(found) == 6
    np.testing.assert_allclose(found[-1].mean, found[1].mean, atol=1e-5)
    assert encoder.encode([]) == []


def test_encoding_tracks_no_gradients(encoder: Encoder, checkpoint: Checkpoint) -> None:
    encoder.encode(glitches(1))
    assert not any(weight.requires_grad for weight in checkpoint.model.parameters())
    assert torch.is_grad_enabled()


def test_views_of_other_preprocessing_are_refused(encoder: Encoder) -> None:
    (one,) = glitches(1)
    other = replace(one, preprocessing=Preprocessing(energy_clip=20.0))
    with pytest.raises(GlitchError, match="preprocessing"):
        encoder.encode([other])
