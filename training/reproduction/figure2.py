"""Figure 2: KL of each latent from the prior during training, annealed and Bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from training.core.loop import METRICS_FILE, logged_entries
from training.core.plots import figure
from training.reproduction.artefacts import LATENT_COLOURS, write_csv
from training.reproduction.plan import Run
from training.reproduction.runs import Workspace

_WINDOW = 5  # logged steps in the running mean, because a batch's KL is noisy
USED = 0.1  # nats: least KL of a latent in use


def report_figure2(place: Workspace, runs: Sequence[Run]) -> str:
    """Write ``fig2.csv`` and ``fig2.png``, and return the section of the report."""
    histories = {run: kl_history(place, run) for run in runs}
    write_csv(
        place.folder / "fig2.csv",
        [
            {
                "objective": run.kind,
                "hyperparameter": run.value,
                "seed": run.seed,
                "step": int(step),
            }
            | {f"kl_{index}": float(value) for index, value in enumerate(each)}
            for run, (steps, kl) in histories.items()
            for step, each in zip(steps, kl, strict=True)
        ],
    )
    _draw(place, histories)
    lines = [_opening(run, *history) for run, history in histories.items()]
    return (
        "## Figure 2: KL of each latent while training\n\n"
        "![KL of each latent over steps](fig2.png)\n\n"
        "Batch means, smoothed over five logged steps; in the order of their final KL; the "
        "dotted line is the end of the schedule. "
        f" A latent counts as in use from {USED} nats.\n\n" + "\n".join(lines) + "\n"
    )


def kl_history(
    place: Workspace, run: Run
) -> tuple[Float64[np.ndarray, " logged"], Float64[np.ndarray, "logged latent"]]:
    """Return logged steps, and the smoothed KL in nats of each latent at each."""
    entries = logged_entries(place.run_folder(run) / METRICS_FILE)
    n_latent = sum(name.startswith("kl.") for name in entries[0])
    steps = np.array([entry["step"] for entry in entries], dtype=np.float64)
    kl = np.array([[entry[f"kl.{i}"] for i in range(n_latent)] for entry in entries])
    kernel = np.ones(min(_WINDOW, len(kl)))
    weight = np.convolve(np.ones(len(kl)), kernel, "same")
    smooth = np.stack([np.convolve(column, kernel, "same") / weight for column in kl.T], axis=1)
    return steps, smooth


def opening_steps(steps: np.ndarray, kl: np.ndarray) -> list[int]:
    """Return the step from which each latent in use at the end stays in use, in order."""
    opened = []
    for column in kl.T:
        unused = np.nonzero(column < USED)[0]
        if column[-1] >= USED:
            opened.append(int(steps[unused[-1] + 1] if unused.size else steps[0]))
    return sorted(opened)


def _opening(run: Run, steps: np.ndarray, kl: np.ndarray) -> str:
    opened = opening_steps(steps, kl)
    if not opened:
        return f"- {run.label}: no latent is in use at the end."
    listed = ", ".join(f"{step:,}" for step in opened)
    return f"- {run.label}: {len(opened)} latents are in use at the end, since steps {listed}."


def _draw(place: Workspace, histories: dict[Run, tuple[np.ndarray, np.ndarray]]) -> None:
    with figure(place.folder / "fig2.png", 1, len(histories), width=10, height=3.6) as (_, axes_of):
        panels = axes_of[0]
        for axes in panels[1:]:
            axes.sharey(panels[0])
            axes.tick_params(labelleft=False)
        for axes, (run, (steps, kl)) in zip(panels, histories.items(), strict=True):
            order = np.argsort(-kl[-1])
            for rank, latent in enumerate(order):
                axes.plot(
                    steps,
                    kl[:, latent],
                    color=LATENT_COLOURS[rank % len(LATENT_COLOURS)],
                    linestyle="-" if rank < 5 else "--",
                    linewidth=1.2,
                    label=f"z{latent}",
                )
            axes.axvline(place.tier.annealing_steps, color="0.6", linestyle=":", linewidth=1)
            axes.set(title=run.label, xlabel="step")
            axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
        panels[0].set_ylabel("KL from the prior / nats")
