"""Detection of collapsed runs, whose encoder carries no information."""

from __future__ import annotations

import math

import numpy as np
import torch

from glitch.model import ViewsVAE
from training.data.pack import Pack
from training.evaluation.measures.rates import CHUNK

LOWEST_RATE = 0.1  # nats a picture: a seventh of a bit


def is_collapsed(rate: float, active_units: float = math.inf, live_features: float = 1.0) -> bool:
    """Whether a run's vector says nothing of the pictures.

    Either its posterior is the prior for every picture (posterior collapse), or no feature of the
    encoder's convolutions is live, so that all that it says is which views there are.

    Args:
        rate: KL of the posterior from the prior, nats, mean over pictures; NaN where there is none.
        active_units: latents whose posterior mean varies over pictures, where they were counted.
        live_features: share of the encoder's features that let anything pass, where it was counted.
    """
    return rate < LOWEST_RATE or active_units == 0 or live_features == 0


@torch.inference_mode()
def live_feature_share(model: ViewsVAE, pack: Pack) -> float:
    """Share of the encoder's features that let anything of any glitch of a pack pass.

    Args:
        model: in evaluation mode.
        pack: the glitches, at least one.
    """
    live = torch.zeros(model.architecture.hidden, dtype=torch.bool)
    for start in range(0, len(pack), CHUNK):
        chosen = np.arange(start, min(start + CHUNK, len(pack)))
        live |= model.live_features(*model.prepare(*pack.tensors(chosen)))
    return float(live.float().mean())
