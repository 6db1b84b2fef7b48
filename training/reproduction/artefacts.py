"""Common output of tables and figures: CSV files, Markdown tables, colours."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Okabe and Ito 2008: distinguishable for colour-blind readers; shapes and dashes repeat the
# distinction.
COLOURS = {
    "beta_vae": "#0072B2",
    "bottleneck": "#D55E00",
    "beta_annealed": "#009E73",
    "factor_vae": "#CC79A7",
    "beta_tcvae": "#56B4E9",
    "dip_vae_1": "#E69F00",
    "dip_vae_2": "#000000",
}
MARKERS = {"beta_vae": "o", "bottleneck": "s", "beta_annealed": "^"}
LATENT_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
    "#7F7F7F",
    "#8C510A",
    "#762A83",
)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; columns are the first row's keys. Floats have six significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()}
            )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table, one line per row."""
    lines = ["| " + " | ".join(header) + " |", "| " + " | ".join("---" for _ in header) + " |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
