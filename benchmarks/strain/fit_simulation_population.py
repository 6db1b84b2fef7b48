"""Fit the simulation's parameters: noise spectra and the population of blip-like glitches.

Reads the public files under ``../shared/data`` (measured O3a spectra of H1 and L1, GWOSC strain
where those spectra have gaps, the design spectra, and the antiglitch parameters of 3,874 real O3
glitches) and writes two small JSON files that ``glitch.simulate`` reads:

    python -m benchmarks.strain.fit_simulation_population ../shared/data glitch/data/simulation

No measured data are copied: a spectrum becomes 48 knots of its smooth floor, their spread, and a
list of lines; a class of glitches becomes a three-component Gaussian mixture and a histogram of
phases. The fit is deterministic.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import h5py
import numpy as np
from gwpy.timeseries import TimeSeries
from scipy.ndimage import median_filter
from sklearn.mixture import GaussianMixture

KNOTS_HZ = np.geomspace(8.0, 4096.0, 48)
# A local maximum above the floor by this factor is a line: in 20 averaged spectra, and in one short
# file.
LINE_RATIO = 1.8
LINE_RATIO_SHORT = 6.0
MAX_LINES = 60
# antiglitch's priors: the mixture is fitted to the logit of log f0 and log gbw within them.
F0_RANGE_HZ = (10.0, 600.0)
GBW_RANGE = (0.25, 8.0)
LOWEST_SNR = 7.5


def measured_psds(folder: Path, ifo: str) -> np.ndarray:
    """Read usable measured spectra of one detector, shape (n, 1025), 1 Hz bins, strain^2/Hz."""
    psds = []
    for path in sorted((folder / "psd" / ifo).glob("*.hdf")):
        with h5py.File(path) as file:
            psds.append(file["data"][:])
    stack = np.array(psds)
    return stack[(stack[:, 20:1000] > 1e-50).all(axis=1)]


def strain_psd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Compute the median PSD of a GWOSC file at 1 Hz: frequencies and strain^2/Hz."""
    strain = TimeSeries.read(path, format="hdf5.gwosc")
    psd = strain.psd(1.0, 0.5, method="median", window="hann")
    return psd.frequencies.value, psd.value


def floor_of(frequencies: np.ndarray, psd: np.ndarray) -> np.ndarray:
    """Compute a running median over 1/8 octave, at least 11 bins, which removes lines."""
    out = np.empty_like(psd)
    for width, low, high in ((5, 0, 24), (11, 24, 100), (25, 100, 400), (61, 400, 1e9)):
        rows = (frequencies >= low) & (frequencies < high)
        out[rows] = median_filter(psd, width, mode="nearest")[rows]
    return out


def knots_of(frequencies: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return the natural log of the ASD at the knots (averaged over the cell around each knot)."""
    step = np.log(KNOTS_HZ[1] / KNOTS_HZ[0]) / 2
    log_asd = 0.5 * np.log(floor)
    values = []
    for knot in KNOTS_HZ:
        in_band = np.abs(np.log(np.maximum(frequencies, 0.1) / knot)) <= step
        values.append(
            log_asd[in_band].mean() if in_band.sum() >= 2 else np.interp(knot, frequencies, log_asd)
        )
    return np.array(values)


def lines_of(
    frequencies: np.ndarray, psd: np.ndarray, low: float, high: float, min_ratio: float
) -> list[list[float]]:
    """Return lines as [frequency Hz, ln of line power over (floor * 1 Hz)], strongest first."""
    floor = floor_of(frequencies, psd)
    ratio = psd / floor
    lines = []
    for i in range(2, len(psd) - 2):
        if not low <= frequencies[i] < high or ratio[i] < min_ratio:
            continue
        if ratio[i] < ratio[i - 2 : i + 3].max():
            continue
        weights = np.maximum(ratio[i - 2 : i + 3] - 1, 0)
        centre = float((weights * frequencies[i - 2 : i + 3]).sum() / weights.sum())
        lines.append([round(centre, 2), round(float(np.log(weights.sum())), 2)])
    return sorted(lines, key=lambda line: -line[1])


def fit_ligo(folder: Path, ifo: str) -> dict[str, object]:
    """Fit the measured spectrum of H1 or L1.

    The floor from 20 to 1000 Hz is from the 20 measured spectra; below and above it is from GWOSC
    strain and the O3 design, scaled to be continuous.
    """
    psds = measured_psds(folder, ifo)
    frequencies = np.arange(1025.0)
    floors = np.array([floor_of(frequencies, psd) for psd in psds])
    floor = np.median(floors, axis=0)
    if ifo == "H1":
        low_f, low = strain_psd(folder / "strain/H-H1_LOSC_4_V1-1167559920-32.hdf5")
        high_f, high = strain_psd(folder / "strain/H-H1_LOSC_16_V1-1126259446-32.hdf5")
    else:
        low_f, low = strain_psd(folder / "strain/L-L1_GWOSC_4KHZ_R1-1264316101-32.hdf5")
        high_f, high = low_f, low
    design = np.loadtxt(folder / "psd/LIGO-T1800545-v1-aLIGO_O3low.txt")
    join = np.arange(24, 40)
    low_floor = floor_of(low_f, low)
    scale = np.exp(np.mean(np.log(floor[join]) - np.log(np.interp(join, low_f, low_floor))))
    below = np.arange(4.0, 24.0)
    above = np.geomspace(1000.0, 4200.0, 400)
    design_psd = np.exp(2 * np.interp(np.log(above), np.log(design[:, 0]), np.log(design[:, 1])))
    design_psd *= np.median(floor[900:1000]) / np.exp(
        2 * np.interp(np.log(950.0), np.log(design[:, 0]), np.log(design[:, 1]))
    )
    grid = np.concatenate([below, frequencies[24:1000], above])
    joint = np.concatenate([scale * np.interp(below, low_f, low_floor), floor[24:1000], design_psd])
    knots = knots_of(grid, joint)
    each = np.array([knots_of(frequencies[8:1000], one[8:1000]) for one in floors])
    is_measured = (KNOTS_HZ > 24) & (KNOTS_HZ < 990)
    spread = np.where(is_measured, each.std(axis=0), np.nan)
    spread = np.interp(np.arange(48), np.flatnonzero(is_measured), spread[is_measured])
    lines = lines_of(frequencies, np.median(psds, axis=0), 24.0, 1020.0, LINE_RATIO)
    lines += lines_of(low_f, low, 24.0, 480.0, LINE_RATIO_SHORT)
    lines += lines_of(high_f, high, 1020.0, min(4090.0, 0.83 * high_f[-1]), LINE_RATIO_SHORT)
    return spectrum(knots, spread, lines)


def fit_virgo(folder: Path) -> dict[str, object]:
    """Fit the Advanced Virgo design. There is no measured spectrum, so the spread is LIGO's."""
    design = np.loadtxt(folder / "psd/LIGO-T1800545-v1-AdV_O4.txt")
    knots = np.interp(np.log(KNOTS_HZ), np.log(design[:, 0]), np.log(design[:, 1]))
    knots[KNOTS_HZ < 10] = knots[KNOTS_HZ >= 10][0] + 0.8
    # The mains frequency in Europe is 50 Hz; the violin modes of Virgo's fused-silica fibres are
    # near 440 Hz. Strengths are similar to those of LIGO's lines.
    lines = [[50.0, 4.0], [100.0, 2.5], [150.0, 3.0], [250.0, 2.0], [442.0, 6.0], [444.5, 5.5]]
    return spectrum(knots, np.full(48, 0.08), lines)


def spectrum(knots: np.ndarray, spread: np.ndarray, lines: list[list[float]]) -> dict[str, object]:
    strongest: list[list[float]] = []
    for line in sorted(lines, key=lambda line: -line[1]):
        if all(abs(line[0] - other[0]) > 1.0 for other in strongest):
            strongest.append(line)
    strongest = strongest[:MAX_LINES]
    return {
        "log_asd": [round(float(v), 4) for v in knots],
        "log_asd_spread": [round(float(v), 4) for v in np.clip(spread, 0.01, 0.5)],
        "lines": sorted(strongest),
    }


def logit_within(values: np.ndarray, low: float, high: float) -> np.ndarray:
    share = (np.log(values) - np.log(low)) / (np.log(high) - np.log(low))
    share = np.clip(share, 0.01, 0.99)
    return np.log(share / (1 - share))


def fit_population(folder: Path) -> dict[str, object]:
    """Fit, per class and detector, a mixture over (logit f0, logit gbw, ln SNR) and phases."""
    raw = json.loads((folder / "triggers/antiglitch_parameters_O3.json").read_text())
    columns = {key: np.array(list(value.values())) for key, value in raw.items()}
    classes: dict[str, dict[str, object]] = {}
    for label in ("Blip", "Koi_Fish", "Tomte", "Blip_Low_Frequency"):
        for ifo in ("H1", "L1", "V1"):
            rows = (columns["ml_label"] == label) & (columns["ifo"] == ifo)
            rows &= columns["snr"] >= LOWEST_SNR
            if rows.sum() < 40:
                continue
            data = np.stack(
                [
                    logit_within(columns["f0"][rows], *F0_RANGE_HZ),
                    logit_within(columns["gbw"][rows], *GBW_RANGE),
                    np.log(columns["snr"][rows]),
                ],
                axis=1,
            )
            mixture = GaussianMixture(
                3 if rows.sum() >= 120 else 1, reg_covar=1e-2, n_init=3, random_state=1
            ).fit(data)
            phases = np.histogram(columns["phase"][rows], 12, (-np.pi, np.pi))[0] + 1.0
            classes.setdefault(label, {})[ifo] = {
                "glitches": int(rows.sum()),
                "weights": mixture.weights_.round(4).tolist(),
                "means": mixture.means_.round(4).tolist(),
                "covariances": mixture.covariances_.round(4).tolist(),
                "phase_weights": (phases / phases.sum()).round(4).tolist(),
            }
    return {"f0_range_hz": F0_RANGE_HZ, "gbw_range": GBW_RANGE, "classes": classes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the public data (../shared/data)")
    parser.add_argument("out", type=Path, help="folder to write the two JSON files to")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    noise = {
        "source": "O3a spectra of H1 and L1 with GWOSC strain below 24 Hz and the O3 design above "
        "1000 Hz; the Advanced Virgo design (LIGO-T1800545)",
        "knots_hz": KNOTS_HZ.round(4).tolist(),
        "detectors": {
            "H1": fit_ligo(args.data, "H1"),
            "L1": fit_ligo(args.data, "L1"),
            "V1": fit_virgo(args.data),
        },
    }
    population = {
        "source": "antiglitch parameters of O3 glitches (andrew-lundgren/antiglitch, MIT)",
        **fit_population(args.data),
    }
    for name, content in (("noise", noise), ("population", population)):
        path = args.out / f"{name}.json"
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
