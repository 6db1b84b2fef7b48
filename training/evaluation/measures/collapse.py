"""Detection of collapsed runs, whose encoder carries no information."""

from __future__ import annotations

import math

import numpy as np
import torch

from glitch.model import ViewsVAE
from training.data.pack import Pack
from training.evaluation.measures.rates import CHUNK

LOWEST_RATE = 0.1  # nats per picture: a seventh of a bit


def is_collapsed(rate: float, active_units: float = math.inf, live_features: float = 1.0) -> bool:
    """Whether a run's vectors carry no information about the pictures.

    Either its posterior is the prior for every picture (posterior collapse), or no feature of the
    encoder's convolutions is active, so that the vectors only depend on which views are present.

    Args:
        rate: KL of the posterior from the prior, nats, mean over pictures; NaN if there is none.
        active_units: number of latents whose posterior mean varies over pictures, if known.
        live_features: fraction of the encoder's features that are ever active, if known.
    """
    return rate < LOWEST_RATE or active_units == 0 or live_features == 0


@torch.inference_mode()
def live_feature_share(model: ViewsVAE, pack: Pack) -> float:
    """Return the fraction of the encoder's features that are active for any glitch of a pack.

    Args:
        model: in evaluation mode.
        pack: the glitches, at least one.
    """
    live = torch.zeros(model.architecture.hidden, dtype=torch.bool)
    for start in range(0, len(pack), CHUNK):
        chosen = np.arange(start, min(start + CHUNK, len(pack)))
        live |= model.live_features(*model.prepare(*pack.tensors(chosen)))
    return float(live.float().mean())
