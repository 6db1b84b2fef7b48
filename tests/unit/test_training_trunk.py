"""Training of the trunk: its targets for real glitches, and what it must not use."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glitch.model import ScatteringArchitecture, ScatteringVAE
from glitch.simulate import UNNAMED
from training.data.pack import Pack
from training.views import trunk
from training.views.trunk import train_trunk

SMALL = ScatteringArchitecture(
    n_frequency=32, n_time=32, scales=2, directions=2, axes=8, trunk=4, hidden=16, latent=4
)
BY_VIEW = torch.tensor([[4.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.5]])


def pack(labels: tuple[str, ...], observed: np.ndarray, seed: int = 0) -> Pack:
    """Rows that are bright where the label says, in noise."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 60, (len(labels), 4, 32, 32), dtype=np.uint8)
    for index, label in enumerate(labels):
        row = {"a": 6, "b": 20}.get(label, 13)
        values[index, :, row : row + 4] += 150
    groups = tuple(f"g{index}" for index in range(len(labels)))
    return Pack(values, np.repeat(observed[:, :, None], 32, axis=2), labels, groups)


def everywhere(n: int) -> np.ndarray:
    return np.ones((n, 4), dtype=np.bool_)


SIMULATED = pack(("a", "b", UNNAMED) * 8, everywhere(24))


class ByView(nn.Module):
    """A teacher whose answer depends only on the window."""

    def forward(self, _pictures: Tensor, view: Tensor) -> Tensor:
        return BY_VIEW[view]


def taught(real: Pack | None, real_steps: int = 6) -> ScatteringVAE:
    torch.manual_seed(0)
    model = ScatteringVAE(SMALL)
    train_trunk(model, SIMULATED, real, steps=6, real_steps=real_steps, seed=1)
    return model


def weights(model: ScatteringVAE) -> Tensor:
    assert model.trunk is not None
    return torch.cat([one.flatten() for one in model.trunk.parameters()])


def test_the_answer_on_a_real_glitch_is_that_of_all_its_views_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The target is the geometric mean over views; the picture is of an observed view."""
    monkeypatch.setattr(trunk, "REAL_BATCH", 40)
    observed = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=np.bool_)
    real = pack(("?", "?"), observed)
    source = trunk._Real(ScatteringVAE(SMALL), real, np.random.default_rng(0))
    pictures, view, answers, is_sure = source.draw(ByView())
    assert pictures.shape == (40, 16, 16)
    is_first = view != 3
    assert set(view.tolist()) == {0, 1, 3}
    together = BY_VIEW[[0, 1]].log_softmax(dim=1).mean(dim=0).softmax(dim=0)
    assert together[0] == pytest.approx(0.924, abs=1e-3)
    assert (answers == torch.where(is_first, 0, 1)).all()
    assert (is_sure == is_first).all()  # 0.92 is above the threshold, 0.62 is not


def test_labels_of_real_glitches_teach_nothing() -> None:
    real = pack(("a", "b") * 6, everywhere(12), seed=3)
    renamed = replace(real, labels=("b", "c") * 6)
    torch.testing.assert_close(weights(taught(real)), weights(taught(renamed)), rtol=0, atol=0)


def test_real_glitches_teach_by_their_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk, "SURE", 0.0)  # after so few steps, no answer is sure
    real = pack(("a", "b") * 6, everywhere(12), seed=3)
    other = pack(("b", "b") * 6, everywhere(12), seed=4)
    assert not torch.equal(weights(taught(real)), weights(taught(other)))
    alone, without = taught(real, real_steps=0), taught(None)
    torch.testing.assert_close(weights(alone), weights(without), rtol=0, atol=0)


def test_unsure_answers_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no answer is sure, it makes no difference which pictures were used."""
    monkeypatch.setattr(trunk, "SURE", 1.1)
    found = [weights(taught(pack(("a", "b") * 6, everywhere(12), seed=seed))) for seed in (3, 4)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-4)


def test_training_leaves_the_global_random_stream_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = ScatteringVAE(replace(SMALL, trunk=0))
    torch.set_rng_state(before)
    train_trunk(model, SIMULATED, None, steps=2, real_steps=0, seed=1)  # has no trunk
    assert torch.equal(torch.get_rng_state(), before)
    model = ScatteringVAE(SMALL)
    before = torch.get_rng_state()
    train_trunk(model, SIMULATED, None, steps=2, real_steps=0, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
