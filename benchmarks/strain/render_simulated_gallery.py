"""Contact sheets of simulated and real glitches, all four windows, class by class.

    python -m benchmarks.strain.render_simulated_gallery ../shared/data build/gallery --labels Blip

One PNG per class: real pictures on the left (empty if there are none), simulated ones on the right,
one row for each window. It prints the optimal and the loudest tile's SNR of each.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from glitch.images import render_view
from glitch.simulate import SIMULATED_CLASSES, simulate_views
from glitch.strain import StrainViews
from glitch.views import VIEW_DURATIONS_S

TILE = (170, 140)
TITLE = 13


def real_pictures(data: Path, label: str, duration_s: float, count: int) -> list[Image.Image]:
    folder = data / "gravityspy_images"
    if not (folder / "manifest.csv").exists():
        return []
    with (folder / "manifest.csv").open() as file:
        rows = [
            row["path"]
            for row in csv.DictReader(file)
            if row["label"] == label and row["duration_s"] == str(float(duration_s))
        ]
    random.Random(0).shuffle(rows)  # noqa: S311 - a choice of pictures, not a secret
    return [Image.open(folder / path).convert("RGB") for path in rows[:count]]


def simulated_picture(seen: StrainViews, duration_s: float) -> Image.Image:
    return Image.open(io.BytesIO(render_view(seen.views.view(duration_s)))).convert("RGB")


def sheet(data: Path, label: str, count: int, seed: int, ifos: tuple[str, ...]) -> Image.Image:
    simulated = list(simulate_views([label] * count, seed, ifos=ifos))
    width, height = TILE[0] + 3, TILE[1] + TITLE + 1
    image = Image.new("RGB", (2 * count * width + 8, len(VIEW_DURATIONS_S) * height), "white")
    draw = ImageDraw.Draw(image)
    for row, duration_s in enumerate(VIEW_DURATIONS_S):
        draw.text((2, row * height), f"real {label}, {duration_s:g} s", fill="black")
        for column, picture in enumerate(real_pictures(data, label, duration_s, count)):
            image.paste(picture.resize(TILE), (column * width, row * height + TITLE))
        for column, (record, seen) in enumerate(simulated):
            left = (count + column) * width + 8
            title = f"{record.ifo} snr {record.snr:.0f}, tile {seen.snr:.0f}, q {seen.q:.0f}"
            draw.text((left, row * height), title, fill="firebrick")
            picture = simulated_picture(seen, duration_s).resize(TILE, Image.Resampling.BOX)
            image.paste(picture, (left, row * height + TITLE))
    snr = np.array([seen.snr for _, seen in simulated])
    peak = np.array([seen.peak_frequency_hz for _, seen in simulated])
    print(f"{label}: tile snr {np.median(snr):.1f}, peak {np.median(peak):.0f} Hz (medians)")
    return image


# The window that shows a class best, if it is not the shortest.
BEST_WINDOW_S = {
    "Extremely_Loud": 4.0,
    "Fast_Scattering": 4.0,
    "Helix": 2.0,
    "Koi_Fish": 1.0,
    "Light_Modulation": 2.0,
    "Low_Frequency_Burst": 4.0,
    "Low_Frequency_Lines": 2.0,
    "Paired_Doves": 4.0,
    "Repeating_Blips": 4.0,
    "Scattered_Light": 4.0,
    "Scratchy": 1.0,
    "Violin_Mode": 1.0,
    "Wandering_Line": 2.0,
}


def overview(seed: int, columns: int = 7) -> Image.Image:
    """Draw one simulated glitch of every class, each in the window that shows it best."""
    width, height = 118, 98 + TITLE
    rows = -(-len(SIMULATED_CLASSES) // columns)
    image = Image.new("RGB", (columns * width, rows * height), "white")
    draw = ImageDraw.Draw(image)
    series = simulate_views(SIMULATED_CLASSES, seed)
    for index, (record, seen) in enumerate(series):
        left, top = index % columns * width, index // columns * height
        duration_s = BEST_WINDOW_S.get(record.label, 0.5)
        picture = simulated_picture(seen, duration_s)
        image.paste(picture.resize((width - 4, 95), Image.Resampling.BOX), (left, top + TITLE))
        name = record.label.replace("_", " ")
        draw.text((left + 1, top), f"{name} {duration_s:g} s", fill="black", font_size=9)
    return image.quantize(48, Image.Quantize.MAXCOVERAGE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the public data (../shared/data)")
    parser.add_argument("out", type=Path, help="folder for the sheets")
    parser.add_argument("--labels", default=",".join(SIMULATED_CLASSES))
    parser.add_argument("--count", type=int, default=6, help="pictures a side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ifos", default="H1,L1")
    parser.add_argument("--overview", action="store_true", help="one picture of all classes")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.overview:
        overview(args.seed).save(args.out / "simulation.png", optimize=True)
        return
    for label in args.labels.split(","):
        image = sheet(args.data, label, args.count, args.seed, tuple(args.ifos.split(",")))
        image.save(args.out / f"{label}.png")


if __name__ == "__main__":
    main()
