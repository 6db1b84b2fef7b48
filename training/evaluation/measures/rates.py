"""Rate, distortion and their curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from glitch.errors import GlitchError
from glitch.model import ViewsModel, kl_to_standard_normal, sample_posterior
from training.data.pack import Pack

CHUNK = 64
ACTIVE_VARIANCE = 0.01  # Burda, Grosse and Salakhutdinov 2016: variance of the posterior mean


@dataclass(frozen=True, eq=False)
class Rates:
    """Means over glitches, nats. The distortion is of samples, so that ``elbo`` is a bound."""

    rate: float
    distortion: float
    rate_of_latents: Float[np.ndarray, " latent"]
    variance_of_means: Float[np.ndarray, " latent"]

    @property
    def elbo(self) -> float:
        """Evidence lower bound, nats; higher is better."""
        return -(self.rate + self.distortion)

    @property
    def active_units(self) -> int:
        """The number of latents whose posterior mean varies over glitches."""
        return int((self.variance_of_means > ACTIVE_VARIANCE).sum())


@torch.inference_mode()
def measure_rates(model: ViewsModel, pack: Pack, *, seed: int = 0, n_draws: int = 4) -> Rates:
    """Measure rate and distortion of a pack, with all views as input and as targets.

    Args:
        model: in evaluation mode.
        pack: the glitches.
        seed: of the samples.
        n_draws: samples of the latent for each glitch; their distortions are averaged.
    """
    if len(pack) == 0:
        raise GlitchError("There is no glitch to measure a rate on.")
    generator = torch.Generator().manual_seed(seed)
    rates: list[torch.Tensor] = []
    means: list[torch.Tensor] = []
    distortions: list[float] = []
    for start in range(0, len(pack), CHUNK):
        chosen = np.arange(start, min(start + CHUNK, len(pack)))
        pixels, rows = model.prepare(*pack.tensors(chosen))
        posterior = model.encode(pixels, rows)
        rates.append(kl_to_standard_normal(posterior))
        means.append(posterior.mean)
        for _ in range(n_draws):
            drawn = sample_posterior(posterior, generator)
            prediction = model.decode(drawn, rows.any(dim=2)).float()
            distortion = model.likelihood.distortion(pixels, prediction, rows)
            distortions.append(float(distortion.sum()) / n_draws)
    by_latent = torch.cat(rates).double().numpy()
    return Rates(
        float(by_latent.sum(axis=1).mean()),
        sum(distortions) / len(pack),
        by_latent.mean(axis=0),
        torch.cat(means).double().numpy().var(axis=0),
    )


@dataclass(frozen=True)
class CurvePoint:
    """One trained model on the rate-distortion plane."""

    run: str
    objective: str
    weight: str  # name of the hyperparameter that orders the curve
    value: float
    seed: int
    rate: float
    distortion: float


# The hyperparameter that orders each objective's curve.
WEIGHTS = {
    "beta_vae": "beta",
    "beta_annealed": "beta_start",
    "bottleneck": "capacity",
    "beta_tcvae": "beta",
    "dip_vae_1": "off_diagonal",
    "dip_vae_2": "off_diagonal",
    "factor_vae": "gamma",
}


def in_order(points: Sequence[CurvePoint]) -> list[CurvePoint]:
    """Sort by objective, then hyperparameter, then seed, for the plot and the CSV."""
    return sorted(points, key=lambda point: (point.objective, point.value, point.seed))
