"""Change of a glitch's vector when its GPS time is wrong, with and without centred views.

    python -m benchmarks.strain.time_error [--checkpoint FOLDER] [--members 8]

Glitches are labelled O3 segments if available, or else simulated ones. Each is cut to 10 s around
the given time, as 64 s are cut from a longer file, so that the tiles move with the error as in
practice. Prints the median over a class of the cosine distance between the vectors at the true and
the wrong time, and the median distance between two glitches of the class.
"""

import argparse
import os
from decimal import Decimal
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import h5py
import numpy as np

from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.simulate import simulate_numbered
from glitch.strain import Strain, views_from_strain

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "data" / "strain" / "o3_labelled_glitch_segments.hdf5"
ERRORS_MS = (0, 2, 5, 10, 20, 50, 100, 150, 200, 250)
RATE, LENGTH_S, MIDDLE_S = 4096, 14, 7  # of a segment
CUT_S = 10
CLASSES = ("Blip", "Tomte", "Whistle", "Scattered_Light", "Light_Modulation")


def segments(members: int) -> tuple[dict[str, list[np.ndarray]], str]:
    """Return strain of 14 s by class, with the glitch at 7 s."""
    by_label: dict[str, list[np.ndarray]] = {}
    if REAL.is_file():
        with h5py.File(REAL) as file:
            labels = [label.decode() for label in file["label"]]
            rows = np.asarray(file["strain"], dtype=np.float64)
        for label, row in zip(labels, rows, strict=True):
            by_label.setdefault(label, []).append(row)
        return {label: rows[:members] for label, rows in by_label.items()}, REAL.name
    for label in CLASSES:
        by_label[label] = [
            simulate_numbered(
                label, 0, index, sample_rate_hz=float(RATE), duration_s=float(LENGTH_S)
            ).strain.values
            for index in range(members)
        ]
    return by_label, "simulated glitches"


def cut(values: np.ndarray, given: Decimal) -> Strain:
    """Return the stretch that is analysed around the given time."""
    first = round(float(given - CUT_S // 2) * RATE)
    return Strain(values[first : first + CUT_S * RATE], float(RATE), Decimal(first) / RATE)


def cosine_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return 0 for the same direction, 2 for the opposite."""
    return 1 - float(one @ other) / float(np.linalg.norm(one) * np.linalg.norm(other))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, default=shipped_checkpoint())
    parser.add_argument("--members", type=int, default=8)
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    encoder = Encoder(checkpoint)
    classes, source = segments(arguments.members)
    print(f"checkpoint {checkpoint.manifest.name}; {source}, {arguments.members} a class")
    print("| views | class | two of it | " + " | ".join(f"{e} ms" for e in ERRORS_MS[1:]) + " |")
    print("| --- | --- | --- |" + " --- |" * (len(ERRORS_MS) - 1))
    for centre in (False, True):
        for label, rows in classes.items():
            rotated, true = [], []
            for row in rows:
                times = [MIDDLE_S + Decimal(error) / 1000 for error in ERRORS_MS]
                strains = [cut(row, time) for time in times]
                shifted = views_from_strain(strains, times, encoder.preprocessing, centre=centre)
                means = [one.mean for one in encoder.encode([one.views for one in shifted])]
                true.append(means[0])
                rotated.append([cosine_distance(means[0], mean) for mean in means[1:]])
            distances = [
                cosine_distance(one, other)
                for place, one in enumerate(true)
                for other in true[:place]
            ]
            cells = " | ".join(f"{value:.4f}" for value in np.median(rotated, axis=0))
            name = "centred on the loudest tile" if centre else "around the given time"
            print(f"| {name} | {label} | {np.median(distances):.3f} | {cells} |")


if __name__ == "__main__":
    main()
