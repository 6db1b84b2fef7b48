"""Random vectors as glitches for hard situations (``situations.py``): no pictures, no encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.discovery.situations import Variant

_DRAWN_ROWS_HZ = (500.0, 1000.0, 2000.0)


class DrawnBed:
    """Glitches drawn about one direction per class; needs no pictures and no encoder."""

    def __init__(self, sizes: dict[str, int], seed: int, latent: int = 12) -> None:
        rng = np.random.default_rng(seed)
        self.labels = [name for name, size in sizes.items() for _ in range(size)]
        self.groups = [f"g{place}" for place in range(len(self.labels))]
        self.windows = [(0.5, 1.0, 2.0, 4.0)] * len(self.labels)
        centres = 3.0 * np.eye(latent)[np.repeat(np.arange(len(sizes)), list(sizes.values()))]
        self._means = centres + rng.normal(scale=0.8, size=centres.shape)
        # Other observing conditions shift the vectors of all glitches in the same way.
        self._otherwise = rng.normal(size=(2, latent))
        self._otherwise /= np.linalg.norm(self._otherwise, axis=1, keepdims=True)

    def means(self, places: np.ndarray, variants: Sequence[Variant]) -> np.ndarray:
        vectors = self._means[places].copy()
        for row, (place, one) in enumerate(zip(places.tolist(), variants, strict=True)):
            if one.copy:
                noise = np.random.default_rng([place, one.copy]).normal(size=vectors.shape[1])
                vectors[row] += 0.05 * noise
            vectors[row] += 1.5 * self._otherwise[0] * (one.window_s is not None)
            vectors[row] += 1.5 * self._otherwise[1] * (one.highest_hz is not None)
            is_drawn_otherwise = one.power != 1 or one.black_hz is not None
            vectors[row] += 1.5 * self._otherwise[0] * is_drawn_otherwise
        return vectors

    def brightness(self, places: np.ndarray) -> np.ndarray:
        return self._means[places] @ self._otherwise[1]

    def observed(self, place: int, variant: Variant) -> np.ndarray:  # noqa: ARG002
        rows = np.ones((4, len(_DRAWN_ROWS_HZ)), dtype=bool)
        if variant.window_s is not None:
            rows[np.array(self.windows[0]) != variant.window_s] = False
        if variant.highest_hz is not None:
            rows[:, np.array(_DRAWN_ROWS_HZ) > variant.highest_hz] = False
        return rows

    def masked(
        self, places: np.ndarray, variants: Sequence[Variant], mask: np.ndarray
    ) -> np.ndarray:
        is_there = mask.any(axis=1)
        window = self.windows[0][int(is_there.argmax())] if is_there.sum() == 1 else None
        rows = mask.any(axis=0)
        highest = None if rows.all() else max(np.array(_DRAWN_ROWS_HZ)[rows])
        less = [one._replace(window_s=window, highest_hz=highest) for one in variants]
        return self.means(places, less)

    def conditions(self, places: np.ndarray, variants: Sequence[Variant]) -> np.ndarray:  # noqa: ARG002
        seen = np.array([(one.window_s or 0, one.highest_hz or 0) for one in variants])
        return np.unique(seen, axis=0, return_inverse=True)[1].ravel()
