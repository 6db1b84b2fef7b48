"""Views: the spectrograms of one glitch in Gravity Spy's four windows, on one fixed grid."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Bool, Float64

from glitch.errors import GlitchError
from glitch.types import ObservedArray, ViewArray, ViewsArray

VIEW_DURATIONS_S = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Preprocessing:
    """How strain or a picture becomes views. Stored in the checkpoint's manifest.

    Defaults follow Gravity Spy's recipe (GravitySpy ``utils.py`` and ``plot.py``), except for the
    grid. Row ``i`` of a view is centred on frequency ``10 * 204.8 ** ((i + 0.5) / n_frequency)`` Hz
    (log2 axis, upward); column ``j`` of a view of ``d`` seconds is centred on ``((j + 0.5) / n_time
    - 0.5) * d`` seconds from the GPS time. A pixel is the mean of the clipped normalised energy
    over its cell.
    """

    n_frequency: int = 128
    n_time: int = 128
    durations_s: tuple[float, ...] = VIEW_DURATIONS_S
    lowest_frequency_hz: float = 10.0
    highest_frequency_hz: float = 2048.0
    energy_clip: float = 25.5  # normalised energy at the top of Gravity Spy's colour scale
    lowest_q: float = 4.0
    highest_q: float = 64.0
    mismatch: float = 0.2
    search_half_width_s: float = 0.25  # the loudest Q plane is chosen within this of the GPS time
    asd_fft_s: float = 2.0  # median ASD, Hann window, 50 % overlap
    whitening_filter_s: float = 2.0

    def digest(self) -> str:
        """Return the hex SHA-256 of the values: embeddings of different digests are never compared.

        A field added after the first release is hashed only if it differs from its default, so that
        existing catalogues, checkpoints and packs keep their digests. Its default must therefore
        mean the behaviour before the field existed.
        """
        stated_fields = {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) != one.default or one.name in _FIRST_FIELDS
        }
        return hashlib.sha256(json.dumps(stated_fields, sort_keys=True).encode()).hexdigest()

    def frequencies_hz(self) -> Float64[np.ndarray, " freq"]:
        """Return the centre frequency of each row in Hz, ascending."""
        ratio = self.highest_frequency_hz / self.lowest_frequency_hz
        cells = (np.arange(self.n_frequency) + 0.5) / self.n_frequency
        return np.asarray(self.lowest_frequency_hz * ratio**cells, dtype=np.float64)

    def times_s(self, duration_s: float) -> Float64[np.ndarray, " time"]:
        """Return the centre of each column in seconds from the GPS time, ascending."""
        cells = (np.arange(self.n_time) + 0.5) / self.n_time
        return np.asarray((cells - 0.5) * duration_s, dtype=np.float64)

    def view_index(self, duration_s: float) -> int:
        """Return the position of a window length among the views.

        Raises:
            GlitchError: if the recipe has no such window.
        """
        for index, known in enumerate(self.durations_s):
            if abs(known - duration_s) < 1e-6:
                return index
        lengths = ", ".join(f"{known:g}" for known in self.durations_s)
        raise GlitchError(
            f"There is no view of {duration_s:g} s: give one of {lengths} s as view_duration_s.",
            field="view_duration_s",
        )


_FIRST_FIELDS = frozenset(
    (
        *("n_frequency", "n_time", "durations_s", "lowest_frequency_hz", "highest_frequency_hz"),
        *("energy_clip", "lowest_q", "highest_q", "mismatch", "search_half_width_s"),
        *("asd_fft_s", "whitening_filter_s"),
    )
)  # fields of the first release


@dataclass(frozen=True, eq=False)
class Views:
    """The views of one glitch.

    ``values`` is normalised energy divided by the clip, float32 in [0, 1], zero where not observed.
    ``observed`` marks the measured rows of each view: an absent view has none, and strain of a low
    sample rate has none above its Nyquist frequency. Missing parts are marked, never filled in.
    """

    values: ViewsArray
    observed: ObservedArray
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self) -> None:
        recipe = self.preprocessing
        shape = (len(recipe.durations_s), recipe.n_frequency, recipe.n_time)
        if self.values.shape != shape or self.observed.shape != shape[:2]:
            raise GlitchError(
                f"Views must have shape {shape}, not {self.values.shape} "
                f"with observed {self.observed.shape}."
            )
        if not np.isfinite(self.values).all() or self.values.min() < 0 or self.values.max() > 1:
            raise GlitchError("View values must be finite and lie in [0, 1].")
        if self.values[~self.observed].any():
            raise GlitchError("Rows that were not observed must be zero.")
        if not self.observed.any():
            raise GlitchError("At least one view must be observed.")

    @property
    def durations_s(self) -> tuple[float, ...]:
        """Window lengths of the views that are present, in seconds, ascending."""
        present = [bool(rows.any()) for rows in self.observed]
        return tuple(
            duration
            for duration, is_present in zip(self.preprocessing.durations_s, present, strict=True)
            if is_present
        )

    def view(self, duration_s: float) -> ViewArray:
        """Return one view, shape (freq, time).

        Raises:
            GlitchError: if that view is absent.
        """
        index = self.preprocessing.view_index(duration_s)
        if not self.observed[index].any():
            raise GlitchError(f"This glitch has no view of {duration_s:g} s.")
        return np.asarray(self.values[index], dtype=np.float32)


def views_from_images(
    images: dict[float, ViewArray],
    preprocessing: Preprocessing | None = None,
    *,
    observed_rows: dict[float, Bool[np.ndarray, " freq"]] | None = None,
) -> Views:
    """Build views from pictures by window length in seconds; the other windows are absent.

    Args:
        images: energy divided by the clip, on the recipe's grid.
        preprocessing: the recipe; by default Gravity Spy's.
        observed_rows: the measured rows of each picture; by default all.

    Raises:
        GlitchError: if the recipe does not have a window length.
    """
    recipe = preprocessing or Preprocessing()
    shape = (len(recipe.durations_s), recipe.n_frequency, recipe.n_time)
    values = np.zeros(shape, dtype=np.float32)
    observed = np.zeros(shape[:2], dtype=np.bool_)
    for duration_s, image in images.items():
        index = recipe.view_index(duration_s)
        values[index] = image
        observed[index] = True if observed_rows is None else observed_rows[duration_s]
    return Views(values, observed, recipe)
