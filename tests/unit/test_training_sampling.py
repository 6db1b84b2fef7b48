"""Batches: repeatable by (seed, step), even over strata, and exact about what is hidden."""

import numpy as np
import pytest
import torch

from glitch.errors import GlitchError
from training.data.config import AugmentationConfig
from training.data.pack import Pack
from training.data.sampling import BatchSource, StratifiedSampler, choose_targets, hide_views, vary

NONE = AugmentationConfig(
    single_view_share=0, some_views_share=0, shift_pixels=0, energy_scale=1, owed_views=4
)


def pack(n: int = 6, seed: int = 0) -> Pack:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, size=(n, 4, 8, 8)).astype(np.uint8)
    observed = np.ones((n, 4, 8), dtype=np.bool_)
    observed[0, 1:] = False
    names = tuple(f"g{index}" for index in range(n))
    return Pack(values * observed[..., None].astype(np.uint8), observed, names, names)


def source(seed: int = 0, augmentation: AugmentationConfig | None = None) -> BatchSource:
    return BatchSource(
        pack(),
        pack(seed=1),
        real_share=0.25,
        batch_size=8,
        augmentation=augmentation or AugmentationConfig(),
        seed=seed,
    )


def test_a_step_always_gives_the_same_batch() -> None:
    first, again = source().batch(5), source().batch(5)
    for name in ("values", "observed", "input_views", "target_views", "target_weight"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.values, source().batch(6).values)
    assert not torch.equal(first.values, source(seed=1).batch(5).values)


def test_without_augmentation_a_batch_holds_the_pack_itself() -> None:
    batch = source(augmentation=NONE).batch(0)
    known = {pack(seed=seed).values[i].tobytes() for seed in (0, 1) for i in range(6)}
    grey = (batch.values * 255).round().to(torch.uint8).numpy()
    assert all(one.tobytes() in known for one in grey)
    real = {pack().values[i].tobytes() for i in range(6)}
    assert sum(one.tobytes() in real for one in grey) == 2  # a quarter of eight
    assert torch.equal(batch.input_views, batch.observed.any(dim=2))
    assert torch.equal(batch.target_views, batch.input_views)
    assert torch.equal(batch.target_weight, torch.ones(8))


def test_strata_are_drawn_evenly_however_large() -> None:
    sampler = StratifiedSampler(("a",) * 90 + ("b",) * 10)
    drawn = sampler.draw(4000, np.random.default_rng(0))
    assert abs((drawn >= 90).mean() - 0.5) < 0.03
    assert len(set(drawn.tolist())) == 100
    with pytest.raises(GlitchError, match="no glitch"):
        StratifiedSampler(())


def test_hiding_leaves_at_least_one_present_view_and_the_stated_shares() -> None:
    observed = torch.ones(4000, 4, 8, dtype=torch.bool)
    observed[::2, 2:] = False
    settings = AugmentationConfig(single_view_share=0.5, some_views_share=0.0)
    input_views = hide_views(observed, settings, np.random.default_rng(0))
    present = observed.any(dim=2)
    assert not (input_views & ~present).any()
    counts = input_views.sum(dim=1)
    assert counts.min() == 1
    assert abs((counts == 1).float().mean() - 0.5) < 0.03
    assert ((counts == 1) | (counts == present.sum(dim=1))).all()
    lone = input_views[(counts == 1) & (present.sum(dim=1) == 4)].float().mean(dim=0)
    assert (lone - 0.25).abs().max() < 0.05  # all views equally often


def test_target_views_are_weighted_so_that_the_sum_stays_unbiased() -> None:
    observed = torch.ones(20_000, 4, 2, dtype=torch.bool)
    observed[1::2, 3] = False
    target_views, weight = choose_targets(observed, 2, np.random.default_rng(0))
    assert (target_views.sum(dim=1) == 2).all()
    cost = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    estimate = (target_views * cost).sum(dim=1) * weight
    assert abs(estimate[::2].mean() / 1111 - 1) < 0.03
    assert abs(estimate[1::2].mean() / 111 - 1) < 0.03


def test_shifts_repeat_the_edge_and_never_wrap() -> None:
    grey = np.zeros((200, 1, 1, 8), dtype=np.uint8)
    grey[..., 0] = 255
    settings = AugmentationConfig(shift_pixels=2, energy_scale=1)
    moved = vary(grey, settings, np.random.default_rng(0))[:, 0, 0]
    assert not moved[:, 3:].any()  # nothing enters from the other side
    lengths = moved.sum(dim=1)
    assert set(lengths.tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_energies_are_scaled_within_bounds_and_clipped() -> None:
    grey = np.full((500, 1, 1, 2), 128, dtype=np.uint8)
    grey[..., 1] = 255
    settings = AugmentationConfig(shift_pixels=0, energy_scale=1.5)
    scaled = vary(grey, settings, np.random.default_rng(0))[:, 0, 0]
    assert scaled.max() == 1
    factors = scaled[:, 0] / (128 / 255)
    assert 1 / 1.5 <= factors.min() < 0.7
    assert 1.4 < factors.max() <= 1.5
