"""Plots of the measures: curves over training, the rate-distortion plane, results by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from training.core.plots import COLOURS, GREY, figure
from training.evaluation.measures.by_class import ClassRow
from training.evaluation.measures.novelty import Hidden
from training.evaluation.measures.rates import ACTIVE_VARIANCE, CurvePoint, Rates


def draw_rate_of_latents(path: Path, rates: Rates) -> None:
    """Draw the KL of each latent, highest first; latents that do not vary are grey."""
    order = np.argsort(-rates.rate_of_latents, kind="stable")
    colours = [
        COLOURS[0] if rates.variance_of_means[latent] > ACTIVE_VARIANCE else GREY
        for latent in order
    ]
    with figure(path, width=6.4, height=2.6) as (_, axes):
        axis = axes[0, 0]
        axis.bar(range(len(order)), rates.rate_of_latents[order], color=colours)
        axis.set_xticks(range(len(order)), [str(latent) for latent in order], fontsize=6)
        axis.set_xlabel("latent")
        axis.set_ylabel("KL (nats)")
        axis.set_title(
            f"Rate {rates.rate:.1f} nats over {rates.active_units} active of {len(order)} latents"
        )


def draw_latents_over_training(path: Path, steps: Sequence[int], rates: np.ndarray) -> None:
    """Draw the KL of each latent against the step; ``rates`` is (evaluation, latent), nats."""
    with figure(path, width=6.4, height=3.2) as (_, axes):
        axis = axes[0, 0]
        final = np.argsort(-rates[-1], kind="stable")
        for place, latent in enumerate(final):
            colour = COLOURS[place] if place < len(COLOURS) else "#bbbbbb"
            label = f"latent {latent}" if place < len(COLOURS) else None
            axis.plot(steps, rates[:, latent], color=colour, lw=1.2, label=label, zorder=-place)
        axis.set_xlabel("step")
        axis.set_ylabel("KL on held-out glitches (nats)")
        axis.legend(fontsize=7, ncols=2)


def draw_curve(path: Path, points: Sequence[CurvePoint], labels: Mapping[str, str]) -> None:
    """Draw the rate-distortion plane, with a line per objective through the means over seeds."""
    with figure(path, width=5.6, height=3.8) as (_, axes):
        axis = axes[0, 0]
        for place, objective in enumerate(sorted({point.objective for point in points})):
            curve = [point for point in points if point.objective == objective]
            colour = COLOURS[place % len(COLOURS)]
            axis.plot([p.rate for p in curve], [p.distortion for p in curve], "o", color=colour,
                      alpha=0.4, ms=4)  # fmt: skip
            values = sorted({point.value for point in curve})
            means = np.asarray(
                [
                    np.mean([(p.rate, p.distortion) for p in curve if p.value == value], axis=0)
                    for value in values
                ]
            )
            ordered = means[np.argsort(means[:, 0])]
            axis.plot(*ordered.T, "-", color=colour, lw=1.4, label=labels.get(objective, objective))
            for value, (rate, distortion) in zip(values, means, strict=True):
                axis.annotate(
                    f"{curve[0].weight} {value:g}", (rate, distortion), fontsize=6.5, color=colour,
                    xytext=(4, 4), textcoords="offset points",
                )  # fmt: skip
        axis.set_xlabel("rate (nats)")
        axis.set_ylabel("distortion (nats)")
        axis.legend(fontsize=8)


def draw_by_class(path: Path, rows: Sequence[ClassRow]) -> None:
    """Draw the recall of each class with both probes, the largest classes first."""
    sizes = {row.label: row.n_glitches for row in rows}
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    with figure(path, width=6.4, height=1.2 + 0.22 * len(names)) as (_, axes):
        axis = axes[0, 0]
        for place, probe in enumerate(("linear", "neighbours")):
            recall = {row.label: row.recall for row in rows if row.probe == probe}
            at = [index + (place - 0.5) * 0.24 for index in range(len(names))]
            axis.plot(
                [100 * recall[name] for name in names], at, "os"[place], color=COLOURS[place], ms=5,
                label={"linear": "linear classifier", "neighbours": "five neighbours"}[probe],
            )  # fmt: skip
        ticks = [f"{name.replace('_', ' ')} ({sizes[name]})" for name in names]
        axis.set_yticks(range(len(names)), ticks, fontsize=7)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xlim(-3, 103)
        axis.set_xlabel("held-out glitches classified correctly (%)")
        axis.grid(color="#e4e4e4", lw=0.5)
        axis.set_axisbelow(True)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.45, 1.07), ncols=2)


def draw_novelty(path: Path, found: Sequence[Hidden]) -> None:
    """Draw the AUROC of each class when it is hidden; chance is the line at one half."""
    ordered = sorted(found, key=lambda one: -one.auroc)
    with figure(path, width=5.6, height=1.0 + 0.26 * len(ordered)) as (_, axes):
        axis = axes[0, 0]
        at = range(len(ordered))
        axis.hlines(at, 0.5, [one.auroc for one in ordered], color=COLOURS[0], lw=2)
        axis.plot([one.auroc for one in ordered], at, "o", color=COLOURS[0], clip_on=False)
        axis.axvline(0.5, color=GREY, lw=1, ls=":")
        ticks = [f"{one.label.replace('_', ' ')} ({one.n_novel})" for one in ordered]
        axis.set_yticks(at, ticks, fontsize=8)
        axis.set_ylim(len(ordered) - 0.5, -0.5)
        axis.set_xlim(min(0.45, min(one.auroc for one in ordered) - 0.03), 1.0)
        axis.set_xlabel("AUROC of the novelty score for the hidden class")
