"""The decoder as a service shares it: a bounded number of paintings at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from app.models.batching import Turns
from glitch.types import LatentArray, ViewsArray
from glitch.views import Preprocessing, Views

if TYPE_CHECKING:
    from glitch.decoder import Decoder

CONCURRENCY = 2  # pictures painted at once: more would only take turns on the same cores


class Painter:
    """One checkpoint's decoder for concurrent requests. Blocks: call it from a pool thread.

    Threads share its decoder.
    """

    def __init__(self, decoder: Decoder, *, timeout_s: float = 30.0) -> None:
        self._decoder = decoder
        sentence = "Too many pictures wait to be painted: try again in a few seconds."
        self._turns = Turns(CONCURRENCY, timeout_s, sentence)

    @property
    def preprocessing(self) -> Preprocessing:
        """The recipe of the views that it paints."""
        return self._decoder.preprocessing

    def paint(self, latents: LatentArray, durations_s: Sequence[float]) -> ViewsArray:
        """As ``glitch.decoder.Decoder.paint``.

        Raises:
            BusyError: if its turn does not come in time.
            GlitchError: if that cannot be painted.
        """
        with self._turns.one():
            return self._decoder.paint(latents, durations_s)

    def residual(self, views: Views, latent: Float32[np.ndarray, " latent"]) -> ViewsArray:
        """As ``glitch.decoder.Decoder.residual``.

        Raises:
            BusyError: if its turn does not come in time.
            GlitchError: if that cannot be painted.
        """
        with self._turns.one():
            return self._decoder.residual(views, latent)
