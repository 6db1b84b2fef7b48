"""Wavelet scattering of views: the shape of a glitch, nearly independent of its exact time.

A picture is convolved with Morlet wavelets of several scales and directions; the moduli are
convolved with them once more, and all is averaged over patches (Bruna and Mallat 2013, "Invariant
scattering convolution networks"). The result changes little when the picture is shifted a little,
and has no learnt parameters. Over time, each frequency cell then keeps only the mean and the
maximum of its patches (Andén and Mallat 2014 average over time alone), so a shift of the whole view
has little effect.

Convolutions are products in the Fourier domain. Pictures are padded by reflection; filters are real
there and built once. Each convolution is subsampled as far as its wavelet allows by folding its
spectrum, which is exact.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Complex64, Float, Float64
from torch import Tensor, nn
from torch.nn.functional import pad

Pictures = Float[Tensor, "picture freq time"]  # energy divided by the clip, in [0, 1]
PictureRows = Bool[Tensor, "picture freq"]
Features = Float[Tensor, "picture feature"]
Loudness = Float[Tensor, " picture"]
Scattered = Float[Tensor, "picture path cell patch"]

BANDWIDTH = 0.8  # standard deviation of the finest envelope, pixels
CENTRE = 0.75 * math.pi  # wave number of the finest wavelet, radians per pixel
NEGLIGIBLE = 1e-9  # smaller values of a filter, whose maximum is near 1, are set to 0
MIN_OBSERVED = 0.5  # fraction of the rows of a frequency cell
AT_ONCE = {"cpu": 2, "cuda": 64}  # pictures per batch: their moduli, 1 MB each, stay in the cache
FAINTEST = 1e-6  # least length of a feature vector, which avoids a division by zero
Plane = Float64[np.ndarray, "freq time"]
Spectrum = Complex64[Tensor, "..."]


def _gabor(shape: tuple[int, int], sigma: float, angle: float, wave: float, slant: float) -> Plane:
    """Return the Fourier transform of a Gabor function on a periodic grid: real, as its centre is
    at 0.

    The Gaussian's standard deviation is ``sigma`` along the wave and ``sigma / slant`` across it.
    """
    row, column = (2 * np.pi * np.fft.fftfreq(size) for size in shape)
    total = np.zeros(shape)
    # The function is sampled on pixels, so its spectrum repeats every 2 pi.
    for row_turn in (-1, 0, 1):
        for column_turn in (-1, 0, 1):
            down = row[:, None] + 2 * np.pi * row_turn
            along_time = column[None, :] + 2 * np.pi * column_turn
            along = np.cos(angle) * along_time + np.sin(angle) * down - wave
            across = -np.sin(angle) * along_time + np.cos(angle) * down
            total += np.exp(-0.5 * sigma**2 * (along**2 + (across / slant) ** 2))
    return total


def morlet(shape: tuple[int, int], scale: int, direction: int, n_directions: int) -> Plane:
    """Return the Fourier transform of one Morlet wavelet of mean zero, which is real.

    Args:
        shape: of the periodic grid (freq, time).
        scale: j; the wavelet is ``2 ** j`` times the finest.
        direction: index of its wave vector's angle, ``direction * pi / n_directions`` from time.
        n_directions: number of directions in the half circle.
    """
    sigma, wave = BANDWIDTH * 2**scale, CENTRE / 2**scale
    angle, slant = direction * math.pi / n_directions, 4 / n_directions
    waves = _gabor(shape, sigma, angle, wave, slant)
    envelope = _gabor(shape, sigma, angle, 0.0, slant)
    return np.asarray(waves - waves[0, 0] / envelope[0, 0] * envelope, dtype=np.float64)


def band(spectrum: Tensor, level: int) -> Tensor:
    """Return the part of a spectrum that a grid ``2 ** level`` times coarser can represent.

    The zero frequency is in the middle of a spectrum, so a band is a slice.
    """
    height, width = spectrum.shape[-2] >> level, spectrum.shape[-1] >> level
    top, left = (spectrum.shape[-2] - height) // 2, (spectrum.shape[-1] - width) // 2
    return spectrum[..., top : top + height, left : left + width]


def _single(values: Float64[np.ndarray, ...]) -> Tensor:
    """Convert to single precision without the far tails, because denormal numbers are slow."""
    return torch.from_numpy(np.where(np.abs(values) < NEGLIGIBLE, 0, values)).float().contiguous()


def _modulus(values: Spectrum) -> Tensor:
    if values.device.type == "cpu":  # NumPy takes a third of torch's time
        return torch.from_numpy(np.abs(values.numpy()))
    return values.abs()


class Scattering(nn.Module):
    """Scattering of pictures of one size, without weights: only filters, which are not saved.

    ``n_paths`` moduli (orders 0 to 2), each on ``n_cells`` frequency cells of ``2 ** scales`` rows.
    """

    def __init__(self, n_rows: int, n_columns: int, scales: int = 3, directions: int = 8) -> None:
        super().__init__()
        self.scales, self.directions = scales, directions
        self._patch = 2**scales
        self._shape = (n_rows, n_columns)
        padded = (n_rows + 2 * self._patch, n_columns + 2 * self._patch)
        self.n_cells, self.n_patches = n_rows // self._patch, n_columns // self._patch
        pairs = scales * (scales - 1) // 2
        self.n_paths = 1 + scales * directions + pairs * directions**2
        # multiplying by this moves the zero frequency to the middle of the spectrum
        signs = 1 - 2 * ((torch.arange(padded[0])[:, None] + torch.arange(padded[1])) % 2)
        self.register_buffer("signs", signs.float(), persistent=False)
        for scale in range(scales):
            made = [morlet(padded, scale, turn, directions) for turn in range(directions)]
            centred = band(_single(np.fft.fftshift(np.stack(made), axes=(1, 2))), scale)
            doubled = torch.stack([centred, centred], dim=-1)  # for real and imaginary parts
            self.register_buffer(f"wavelets_{scale}", doubled, persistent=False)
        for level in range(scales):
            for axis, size in (("rows", n_rows), ("columns", n_columns)):
                weights = _single(self._averaging(size, level).T)
                self.register_buffer(f"{axis}_{level}", weights, persistent=False)

    def _averaging(self, size: int, level: int) -> Float64[np.ndarray, "patch pixel"]:
        """Return weights that average a padded line, sampled every ``2 ** level`` pixels, over
        patches.

        The Gaussian of the coarsest scale, at the centre of each patch inside the picture.
        """
        step, sigma = 2**level, BANDWIDTH * 2 ** (self.scales - 1)
        positions = np.arange(0, size + 2 * self._patch, step)
        # patches are centred between pixels, so that a mirrored picture has mirrored patches
        middles = self._patch * (np.arange(size // self._patch) + 1.5) - 0.5
        weights = np.exp(-0.5 * ((positions[None] - middles[:, None]) / sigma) ** 2)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def forward(self, pictures: Pictures) -> Scattered:
        """Return all paths of each picture, non-negative, finest scales first, without padding."""
        margin = self._patch
        padded = pad(pictures[:, None], (margin,) * 4, mode="reflect")  # (N, 1, F, T)
        spectrum = self._spectrum(padded)
        paths = [self._average(padded, 0)]
        second: list[Tensor] = []
        for first in range(self.scales):
            moduli = self._moduli(spectrum, first, 0)  # (N, L, F / 2^j, T / 2^j)
            paths.append(self._average(moduli, first))
            if first + 1 == self.scales:
                break
            spectra = self._spectrum(moduli)[:, :, None]  # (N, L, 1, F, T)
            for later in range(first + 1, self.scales):
                repeated = self._moduli(spectra, later, first).flatten(1, 2)
                second.append(self._average(repeated, later))
        return torch.cat(paths + second, dim=1)

    def _spectrum(self, moduli: Tensor) -> Spectrum:
        signs = self.get_buffer("signs")[: moduli.shape[-2], : moduli.shape[-1]]
        spectrum: Spectrum = torch.fft.fft2(moduli * signs)
        return spectrum

    def _moduli(self, spectrum: Spectrum, scale: int, level: int) -> Tensor:
        """Return moduli on the grid of the wavelet's scale, from a spectrum on the grid of
        ``level``.

        The position of the zero frequency does not affect a modulus.
        """
        parts = torch.view_as_real(band(spectrum, scale - level))  # (..., F, T, 2)
        # torch would make the filter complex before it multiplies
        passed = torch.view_as_complex(parts * self.get_buffer(f"wavelets_{scale}"))
        return _modulus(torch.fft.ifft2(passed)).mul_(0.25 ** (scale - level))

    def _average(self, moduli: Tensor, level: int) -> Tensor:
        over_time = moduli @ self.get_buffer(f"columns_{level}")  # (N, path, F, patch)
        averages: Tensor = over_time.transpose(2, 3) @ self.get_buffer(f"rows_{level}")
        return averages.transpose(2, 3)  # (N, path, cell, patch)


class ScatteringFeatures(nn.Module):
    """One vector of length one for each picture: square roots of the scattering, centred.

    Square roots make squared distances comparable between loud and faint parts (Hellinger
    distance). The length (loudness) and the mean (how much of the picture is filled) are left out.
    Unobserved rows contribute nothing: before the transform they repeat the nearest observed row,
    so that they do not create an edge, and their frequency cells are set to zero afterwards.
    """

    def __init__(self, n_rows: int, n_columns: int, scales: int = 3, directions: int = 8) -> None:
        super().__init__()
        self.scattering = Scattering(n_rows, n_columns, scales, directions)
        self.n_features = 2 * self.scattering.n_paths * self.scattering.n_cells

    def forward(self, pictures: Pictures, observed: PictureRows) -> tuple[Features, Loudness]:
        """Return the features of pictures, each with an observed row, and their loudness.

        The loudness is the logarithm of the root mean square of the observed square roots.
        """
        size = AT_ONCE[pictures.device.type]
        starts = range(0, max(len(pictures), 1), size)
        parts = [slice(start, start + size) for start in starts]
        results = [self._batch(pictures[part], observed[part]) for part in parts]
        features, loudness = (torch.cat(column) for column in zip(*results, strict=True))
        return features, loudness

    def _batch(self, pictures: Pictures, observed: PictureRows) -> tuple[Features, Loudness]:
        # wavelet filters at half precision would lose the small moduli
        with torch.autocast(pictures.device.type, enabled=False):
            filled = extended(pictures.float(), observed)
            patches = self.scattering(filled)
            pooled = torch.cat([patches.mean(dim=3), patches.amax(dim=3)], dim=1).sqrt()
            rows = observed.float().reshape(len(observed), self.scattering.n_cells, -1)
            cells = rows.mean(dim=2)
            valid = (cells >= MIN_OBSERVED).float()[:, None]  # (N, 1, cell)
            n_valid = valid.sum(dim=2, keepdim=True) * pooled.shape[1]
            mean = (pooled * valid).sum(dim=(1, 2), keepdim=True) / n_valid.clamp_min(1)
            centred = ((pooled - mean) * valid).flatten(1)
            length = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
            power = (pooled.square() * valid).sum(dim=(1, 2)) / n_valid[:, 0, 0].clamp_min(1)
            loudness = 0.5 * power.clamp_min(FAINTEST**2).log()
            return centred / length.clamp_min(FAINTEST), loudness


def extended(pictures: Pictures, observed: PictureRows) -> Pictures:
    """Replace the absent rows of pictures with the nearest observed row."""
    if bool(observed.all()):
        return pictures
    rows = torch.arange(observed.shape[1], device=observed.device)
    distances = (rows[:, None] - rows).abs().expand(len(observed), -1, -1)
    nearest = distances.masked_fill(~observed[:, None], len(rows)).argmin(dim=2)  # (N, F)
    return torch.gather(pictures, 1, nearest[..., None].expand_as(pictures))
