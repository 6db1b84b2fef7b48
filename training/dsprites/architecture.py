"""The two published networks for 64 x 64 pictures, and their 32 x 32 versions.

``burgess``: Burgess et al. 2018, appendix A (502,005 weights at 64 x 64 x 1 with ten latents), used
in the paper. ``conv_encoder``: from the reference study (Locatello et al. 2019, appendix I). A 32 x
32 version has one halving less at the coarse end.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from glitch.errors import GlitchError
from glitch.model import Posterior
from glitch.types import LatentTensor

PicturesTensor = Float[Tensor, "batch channel row column"]  # in [0, 1]

# (channels, kernel) of each halving convolution of the encoder, then channels of each doubling
# convolution of the decoder except the last, whose output is the picture.
_ENCODERS = {
    "burgess": ((32, 4), (32, 4), (32, 4), (32, 4)),
    "conv_encoder": ((32, 4), (32, 4), (64, 2), (64, 2)),
}
_DECODERS = {"burgess": (32, 32, 32), "conv_encoder": (64, 32, 32)}
_COARSEST = 4  # pixels per side after the last convolution
_HIDDEN = 256


@dataclass(frozen=True)
class PictureArchitecture:
    """Everything that fixes the shapes of the weights."""

    kind: str = "burgess"  # or "conv_encoder"
    side: int = 64  # pixels: 64 or 32
    n_channels: int = 1  # of the picture
    latent: int = 10

    def __post_init__(self) -> None:
        if self.kind not in _ENCODERS:
            raise GlitchError(
                f"architecture.kind is {self.kind!r}, which is none of {', '.join(_ENCODERS)}."
            )
        if self.side not in {32, 64}:
            raise GlitchError(f"architecture.side must be 32 or 64, but is {self.side}.")
        for name in ("n_channels", "latent"):
            if getattr(self, name) < 1:
                raise GlitchError(f"The architecture's {name} must be at least 1.")


class PictureVAE(nn.Module):
    """Encoder to a diagonal Gaussian, decoder to Bernoulli logits; ReLU between layers."""

    def __init__(self, architecture: PictureArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        n_left_out = 0 if architecture.side == 64 else 1
        down = _ENCODERS[architecture.kind][: len(_ENCODERS[architecture.kind]) - n_left_out]
        up = _DECODERS[architecture.kind][n_left_out:]
        self.encoder = nn.Sequential()
        n_in = architecture.n_channels
        for n_out, kernel in down:
            padding = (kernel - 2) // 2
            self.encoder.append(nn.Conv2d(n_in, n_out, kernel, 2, padding)).append(nn.ReLU())
            n_in = n_out
        flat = n_in * _COARSEST**2
        self.encoder.append(nn.Flatten())
        is_burgess = architecture.kind == "burgess"
        dense = (flat, _HIDDEN, _HIDDEN) if is_burgess else (flat, _HIDDEN)
        for n_from, n_to in pairwise(dense):
            self.encoder.append(nn.Linear(n_from, n_to)).append(nn.ReLU())
        self.encoder.append(nn.Linear(_HIDDEN, 2 * architecture.latent))

        n_coarse = 32 if is_burgess else 64
        outward = (architecture.latent, _HIDDEN, *([_HIDDEN] if is_burgess else []))
        outward = (*outward, n_coarse * _COARSEST**2)
        self.decoder = nn.Sequential()
        for n_from, n_to in pairwise(outward):
            self.decoder.append(nn.Linear(n_from, n_to)).append(nn.ReLU())
        self.decoder.append(nn.Unflatten(1, (n_coarse, _COARSEST, _COARSEST)))
        n_in = n_coarse
        for n_out in up:
            self.decoder.append(nn.ConvTranspose2d(n_in, n_out, 4, 2, 1)).append(nn.ReLU())
            n_in = n_out
        self.decoder.append(nn.ConvTranspose2d(n_in, architecture.n_channels, 4, 2, 1))
        self.apply(_initialise)

    def encode(self, pictures: PicturesTensor) -> Posterior:
        """Return the posterior of each picture; its mean is the representation."""
        mean, log_variance = self.encoder(pictures).float().chunk(2, dim=1)
        return Posterior(mean, log_variance)

    def decode(self, latent: LatentTensor) -> PicturesTensor:
        """Return the Bernoulli logits of each pixel."""
        logits: Tensor = self.decoder(latent)
        return logits.float()

    def paint(self, latent: LatentTensor) -> PicturesTensor:
        """Return the expected picture, in [0, 1]."""
        return torch.sigmoid(self.decode(latent))


def _initialise(layer: nn.Module) -> None:
    """Set Glorot uniform weights and zero biases, the default of the reference study's framework.

    With torch's smaller weights a picture changes the posterior mean ten times less at first, and
    with a high beta most of the encoder's ReLUs then die permanently.
    """
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        assert layer.bias is not None  # noqa: S101 - every layer here has one
        nn.init.zeros_(layer.bias)


def bernoulli_distortion(
    logits: PicturesTensor, pictures: PicturesTensor
) -> Float[Tensor, " batch"]:
    """Return the negative log-likelihood in nats, summed over pixels.

    A mean would rescale beta, gamma and C. Grey values are treated as probabilities.
    """
    per_pixel = binary_cross_entropy_with_logits(logits, pictures, reduction="none")
    return per_pixel.flatten(1).sum(dim=1)
