"""Figure 3 (traversals on dSprites) and figure 4 (on 3D Chairs or their replacement)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from glitch.simulate import SIMULATED_CLASSES, simulate_views
from training.dsprites import GreyPictures, PictureSet, load_picture_run, train_on_pictures
from training.dsprites.sets import read_picture_folder
from training.reproduction.plan import FAMILY_OF, Run
from training.reproduction.runs import DATA_FOLDER, Workspace
from training.reproduction.traversals import (
    draw_traversals,
    spread_examples,
    uses_on_dsprites,
    uses_on_pictures,
)

CHAIRS_SOURCE = "rendered_chairs.tar of Aubry et al. 2014 (Seeing 3D chairs, www.di.ens.fr/willow)"
_SPAN = 2.0  # the paper traverses [-2, 2]
_SIMULATED_PER_CLASS = {"smoke": 1, "reduced": 8, "paper": 40}


def report_figure3(place: Workspace, runs: Sequence[Run]) -> str:
    """Write ``fig3.png`` and ``fig3.csv``, and return the section of the report."""
    [run] = runs
    pictures = place.dsprites()
    _, model, _ = load_picture_run(place.run_folder(run))
    rng = np.random.default_rng(0)
    uses = uses_on_dsprites(model, pictures, place.tier.grid_stride, rng)
    examples = spread_examples(pictures, rng)
    draw_traversals(
        place.folder / "fig3", model, pictures, uses=uses, examples=examples, span=_SPAN
    )
    dead = sum(use.is_dead for use in uses)
    return (
        "## Figure 3: latent traversals\n\n"
        "![Originals, reconstructions and a row for each latent](fig3.png)\n\n"
        f"{run.label}, seed {run.seed}. Rows are ordered by how much the latent's mean varies "
        "over the data; its attribute is the factor with which it shares most information. "
        f"{dead} of {len(uses)} latents are dead (greyed): their mean varies by less than 0.05.\n"
    )


def report_figure4(
    place: Workspace, chairs: Path | None, on_step: Callable[[int], None] = lambda _step: None
) -> str | None:
    """Train on chairs, or on simulated glitches instead, and write ``fig4`` and its section.

    Returns:
        The section of the report, or None if training was stopped before its end.

    Raises:
        FormatError: if the folder of chairs is missing or has a file that is not a picture.
    """
    tier = place.tier
    pictures: PictureSet
    if chairs is None:
        pictures = _simulated_pictures(place)
        words = (
            f"The 3D Chairs pictures were not given (`--chairs FOLDER`, from {CHAIRS_SOURCE}), so "
            f"the 0.5 s views of {len(pictures)} simulated glitches replace them."
        )
    else:
        pictures = read_picture_folder(chairs, tier.side)
        words = f"{len(pictures):,} pictures of `{chairs.name}`."
    run = Run("beta_annealed", FAMILY_OF["beta_annealed"].main, 0)
    folder = place.folder / "runs" / f"fig4-{run.name}"
    result = train_on_pictures(
        run.config(tier, pictures.name),
        folder,
        pictures,
        report=lambda step, _metrics: on_step(step),
    )
    if not result.is_complete:
        return None
    _, model, _ = load_picture_run(folder)
    uses = uses_on_pictures(model, pictures, 2_000)
    examples = spread_examples(pictures, np.random.default_rng(0))
    draw_traversals(
        place.folder / "fig4", model, pictures, uses=uses, examples=examples, span=_SPAN
    )
    live = sum(not use.is_dead for use in uses)
    return (
        "## Figure 4: traversals on pictures without known factors\n\n"
        "![Originals, reconstructions and a row for each latent](fig4.png)\n\n"
        f"{words} {run.label}; {live} of {len(uses)} latents are live.\n"
    )


def _simulated_pictures(place: Workspace) -> GreyPictures:
    """Simulate glitches and store their shortest views, averaged to the tier's size."""
    per_class = _SIMULATED_PER_CLASS[place.tier.name]
    path = place.folder / DATA_FOLDER / f"simulated-{place.tier.side}.npy"
    if not path.exists():
        labels = [label for _ in range(per_class) for label in SIMULATED_CLASSES]
        side = place.tier.side
        values = np.empty((len(labels), side, side), dtype=np.uint8)
        for index, (_, glitch) in enumerate(simulate_views(labels, 0)):
            view = glitch.views.values[0]
            cell = view.shape[0] // side
            pooled = view.reshape(side, cell, side, cell).mean(axis=(1, 3))
            values[index] = np.rint(255 * np.sqrt(pooled))[::-1]  # frequency upward
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".partial").open("wb") as file:
            np.save(file, values, allow_pickle=False)
        path.with_suffix(".partial").replace(path)
    return GreyPictures(np.load(path, allow_pickle=False), "simulated glitches, 0.5 s")
