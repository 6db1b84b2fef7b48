"""The Markdown report: the settings, then one section for each finished table and figure."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path

import torch

from training.reproduction.runs import Workspace

ORDER = ("table1", "likelihoods", "table2", "grids", "fig1", "fig2", "fig3", "fig4", "lemma")
BEYOND = ("likelihoods", "grids")  # not part of "all": not in the paper, or hours longer
REPORT_FILE = "report.md"
_SECTIONS = "sections"


def keep_section(place: Workspace, target: str, text: str) -> None:
    """Store the section of one target, so that others can be added later."""
    folder = place.folder / _SECTIONS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{target}.md").write_text(text, encoding="utf-8")


def write_report(place: Workspace, data: str, now: datetime.datetime) -> Path:
    """Join the existing sections, and return the report's path."""
    tier = place.tier
    part = "" if tier.grid_stride == 1 else f", one in {tier.grid_stride} orientations, x and y"
    grid = f"grid{part}"
    heading = (
        f"# Reproduction of the β-Annealed VAE paper: {tier.name} tier\n\n"
        f"- data: {data}, {tier.side} × {tier.side} pixels\n"  # noqa: RUF001 - a times sign
        f"- network: Burgess et al. 2018, ten latents, Bernoulli likelihood summed over pixels\n"
        f"- schedule: {tier.steps:,} steps of {tier.batch_size} pictures, Adam at "
        f"{tier.learning_rate:g}; β and C move over the first {tier.annealing_steps:,}, so "
        f"{1 - tier.annealing_steps / tier.steps:.0%} of the steps are a tail; "
        f"Bottleneck γ = {tier.bottleneck_gamma:g}\n"  # noqa: RUF001 - Greek
        f"- seeds: {tier.main_seeds} paired for the main comparison, {tier.other_seeds} elsewhere\n"
        f"- evaluation: rate and distortion on {tier.n_judged:,} pictures with one sample each; "
        f"metrics on the {grid}, {tier.n_points:,} training points\n"
        f"- made: {now:%Y-%m-%d %H:%M} UTC, torch {torch.__version__}, {platform.machine()}\n\n"
    )
    if tier.name == "smoke":
        heading += "**The smoke tier shows that everything runs; its numbers mean nothing.**\n\n"
    sections = [
        path.read_text(encoding="utf-8")
        for target in ORDER
        if (path := place.folder / _SECTIONS / f"{target}.md").exists()
    ]
    path = place.folder / REPORT_FILE
    path.write_text(heading + "\n".join(sections), encoding="utf-8")
    return path
