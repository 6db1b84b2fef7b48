"""Our metrics against figures of the unmodified reference implementation for the same codes."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.evaluation.disentanglement import (
    EncodedGrid,
    beta_vae_score,
    dci_disentanglement,
    factor_vae_score,
    modularity,
    mutual_information_gap,
    separated_attribute_predictability,
)

SCORES = {
    "beta_vae": beta_vae_score,
    "factor_vae": lambda grid, rng: factor_vae_score(grid, rng).accuracy,
    "mig": mutual_information_gap,
    "sap": separated_attribute_predictability,
    "dci_lightgbm_gain": dci_disentanglement,
    "modularity_all_dims": lambda grid, rng: modularity(grid, rng).all_latents,
    "modularity_active_dims": lambda grid, rng: modularity(grid, rng).active_latents,
}
UNSTATED_SPREAD = 0.003  # the reference gives none for active dimensions: as for all


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> tuple[EncodedGrid, dict[str, list[float | None]]]:
    folder = shared_data / "disentanglement_golden"
    with np.load(folder / "codes_ann50.npz", allow_pickle=False) as codes:
        grid = EncodedGrid(codes["posterior_mean"])
    metrics = json.loads((folder / "metrics_ann50.json").read_text())
    return grid, metrics["noise_over_5_metric_seeds"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", SCORES)
def test_agrees_with_the_reference_within_three_times_its_spread(
    name: str, golden: tuple[EncodedGrid, dict[str, list[float | None]]]
) -> None:
    grid, figures = golden
    value, spread = figures[name]
    ours = SCORES[name](grid, np.random.default_rng(0))
    assert ours == pytest.approx(value, abs=3 * (spread or UNSTATED_SPREAD))
