"""FactorVAE's discriminator, and the published traps by name."""

import math
from pathlib import Path

import pytest
import torch

from glitch.model import Posterior
from training.core.objectives import Discriminator, FactorVAE, Outcome
from training.core.state import load_state, save_state


def new_discriminator(n_latent: int = 2) -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(n_latent)


def copies(n: int = 64, seed: int = 0) -> torch.Tensor:
    """Two equal latents: as dependent as possible."""
    one = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
    return one.repeat(1, 2)


def test_the_discriminator_has_six_leaky_layers_of_1000_and_two_logits() -> None:
    discriminator = new_discriminator()
    layers = [layer for layer in discriminator.model if isinstance(layer, torch.nn.Linear)]
    assert [layer.out_features for layer in layers] == [1000] * 6 + [2]
    slopes = {a.negative_slope for a in discriminator.model if hasattr(a, "negative_slope")}
    assert slopes == {0.2}
    group = discriminator.optimiser.param_groups[0]
    assert (group["lr"], group["betas"]) == (1e-4, (0.5, 0.9))


def test_the_discriminator_learns_dependence() -> None:
    discriminator = new_discriminator()
    generator = torch.Generator().manual_seed(1)
    losses = [discriminator.learn(copies(seed=step), generator) for step in range(40)]
    assert losses[0] == pytest.approx(math.log(2), abs=0.02)
    assert losses[-1] < 0.6
    assert discriminator.log_ratio(copies(seed=99)).mean() > 0.2


def test_trap_its_own_loss_sends_no_gradient_into_the_encoder() -> None:
    draw = copies().requires_grad_()
    new_discriminator().learn(draw, torch.Generator().manual_seed(0))
    assert draw.grad is None


def test_the_vaes_loss_does_reach_the_encoder_through_it() -> None:
    draw = copies().requires_grad_()
    ratio = new_discriminator().log_ratio(draw).mean()
    posterior = Posterior(draw, torch.zeros_like(draw))
    FactorVAE(gamma=5).loss(Outcome(torch.ones(64), posterior, draw, ratio), 0).backward()
    assert draw.grad is not None


def test_trap_the_vaes_loss_leaves_no_gradient_that_could_move_it() -> None:
    clean, dirty = new_discriminator(), new_discriminator()
    draw = copies().requires_grad_()
    dirty.log_ratio(draw).mean().backward()
    assert draw.grad is not None
    assert all(weight.grad is None for weight in dirty.parameters())
    for discriminator in (clean, dirty):
        discriminator.learn(copies(), torch.Generator().manual_seed(0))
    for one, other in zip(clean.parameters(), dirty.parameters(), strict=True):
        assert torch.equal(one, other)


def test_trap_a_shared_step_counter_it_is_updated_at_every_call() -> None:
    discriminator = new_discriminator()
    for _ in range(3):
        discriminator.learn(copies(), torch.Generator().manual_seed(0))
    assert {state["step"].item() for state in discriminator.optimiser.state.values()} == {3}


def test_the_discriminator_is_saved_and_restored(tmp_path: Path) -> None:
    discriminator, model = new_discriminator(), torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(model.parameters())
    discriminator.learn(copies(), torch.Generator().manual_seed(0))
    save_state(tmp_path / "state", model, optimiser, 1, 0.0, discriminator)
    torch.manual_seed(5)
    other = Discriminator(2)
    load_state(tmp_path / "state", model, optimiser, other)
    losses = [
        one.learn(copies(seed=7), torch.Generator().manual_seed(2))
        for one in (discriminator, other)
    ]
    assert losses[0] == losses[1]
    for one, same in zip(discriminator.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, same)
