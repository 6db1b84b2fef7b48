"""Encoded real pictures as glitches for hard situations (``situations.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.discovery.situations import Variant
from glitch.encoder import Encoder
from glitch.views import Preprocessing, Views
from training.data.pack import GREY_LEVELS, Pack

MAX_SHIFT = 4  # columns of 128
SCALED_BY = 0.1
_BLOCK = 256


class PicturedBed:
    """Encodings of a pack and of its variants; stored in a file, if one is given."""

    def __init__(self, pack: Pack, encoder: Encoder, cache: Path | None = None) -> None:
        self._pack, self._encoder, self._cache = pack, encoder, cache
        self.labels: Sequence[str] = pack.labels
        self.groups: Sequence[str] = pack.groups
        recipe = encoder.preprocessing
        self.windows = [
            tuple(np.array(recipe.durations_s)[rows.any(axis=1)]) for rows in pack.observed
        ]
        self._masked: dict[tuple[int, Variant, bytes], np.ndarray] = {}
        self._known: dict[tuple[int, Variant], np.ndarray] = {}
        if cache is not None and cache.exists():
            with np.load(cache) as stored:
                for place, row, mean in zip(
                    stored["places"], stored["variants"], stored["means"], strict=True
                ):
                    self._known[int(place), _variant(row)] = mean

    def means(self, places: np.ndarray, variants: Sequence[Variant]) -> np.ndarray:
        keys = list(zip(places.tolist(), variants, strict=True))
        lacking = [one for one in dict.fromkeys(keys) if one not in self._known]
        for start in range(0, len(lacking), _BLOCK):
            block = lacking[start : start + _BLOCK]
            for key, one in zip(
                block, self._encoder.encode([self._views(*key) for key in block]), strict=True
            ):
                self._known[key] = one.mean
        return np.stack([self._known[one] for one in keys])

    def conditions(self, places: np.ndarray, variants: Sequence[Variant]) -> np.ndarray:
        seen = [
            self.observed(place, variant).tobytes()
            for place, variant in zip(places.tolist(), variants, strict=True)
        ]
        return np.unique(np.array(seen), return_inverse=True)[1]

    def observed(self, place: int, variant: Variant) -> np.ndarray:
        """Return the observed rows of each view of one glitch."""
        recipe: Preprocessing = self._encoder.preprocessing
        observed = np.array(self._pack.observed[place])
        if variant.window_s is not None:
            other = np.arange(len(observed)) != recipe.view_index(variant.window_s)
            observed[other] = False
        if variant.highest_hz is not None:
            observed[:, recipe.frequencies_hz() > variant.highest_hz] = False
        return observed

    def brightness(self, places: np.ndarray) -> np.ndarray:
        """Return the mean colour of the observed rows of each, 0 to 1."""
        return np.array(
            [
                self._pack.values[at][np.array(self._pack.observed[at])].mean() / GREY_LEVELS
                for at in places.tolist()
            ]
        )

    def masked(
        self, places: np.ndarray, variants: Sequence[Variant], mask: np.ndarray
    ) -> np.ndarray:
        """Return posterior means under a mask that each of them contains; cached in memory."""
        key = mask.tobytes()
        requested = [
            (place, one._replace(window_s=None, highest_hz=None), key)
            for place, one in zip(places.tolist(), variants, strict=True)
        ]
        lacking = [one for one in dict.fromkeys(requested) if one not in self._masked]
        for start in range(0, len(lacking), _BLOCK):
            block = lacking[start : start + _BLOCK]
            views = [self._views(place, one, mask) for place, one, _ in block]
            for known, encoding in zip(block, self._encoder.encode(views), strict=True):
                self._masked[known] = encoding.mean
        return np.stack([self._masked[one] for one in requested])

    def keep(self) -> None:
        """Write the encodings to the file, for the next run."""
        if self._cache is None or not self._known:
            return
        keys = list(self._known)
        np.savez(
            self._cache,
            places=np.array([place for place, _ in keys]),
            variants=np.array(
                [
                    (one.copy, one.window_s or 0, one.highest_hz or 0, one.power, one.black_hz or 0)
                    for _, one in keys
                ]
            ),
            means=np.stack([self._known[key] for key in keys]),
        )

    def _views(self, place: int, variant: Variant, mask: np.ndarray | None = None) -> Views:
        values = self._pack.values[place].astype(np.float32) / GREY_LEVELS
        observed = self.observed(place, variant) if mask is None else mask
        if variant.copy:
            rng = np.random.default_rng([place, variant.copy])
            shift = int(rng.integers(-MAX_SHIFT, MAX_SHIFT + 1))
            values = np.roll(values, shift, axis=2) * rng.uniform(1 - SCALED_BY, 1 + SCALED_BY)
            values = np.clip(values, 0, 1)
        values = values**variant.power
        if variant.black_hz is not None:
            recipe = self._encoder.preprocessing
            values[:, recipe.frequencies_hz() > variant.black_hz] = 0
        values[~observed] = 0
        return Views(values.astype(np.float32), observed, self._encoder.preprocessing)


def _variant(row: np.ndarray) -> Variant:
    copy, window, highest, power, black = row.tolist()
    return Variant(int(copy), window or None, highest or None, power, black or None)
