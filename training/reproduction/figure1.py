"""Figure 1: the rate-distortion plane, ELBO and reconstruction by hyperparameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from training.core.plots import figure
from training.evaluation.measures.collapse import LOWEST_RATE, is_collapsed
from training.reproduction.artefacts import COLOURS, MARKERS, markdown_table, write_csv
from training.reproduction.bootstrap import paired_bootstrap
from training.reproduction.plan import FAMILY_OF, MAIN_KINDS, Run
from training.reproduction.runs import Workspace, read_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
_MERGE_WITHIN = 0.08  # points closer than 8 % in rate and distortion share a label


def report_figure1(place: Workspace, runs: Sequence[Run]) -> str:
    """Write ``fig1.csv`` and ``fig1.png``, and return the section of the report."""
    rows: list[Row] = []
    for run in runs:
        score = read_scores(place, run)
        rows.append(
            {"objective": run.kind, "hyperparameter": run.value, "gamma": run.gamma}
            | {"seed": run.seed}
            | {key: score[key] for key in ("rate", "distortion", "elbo")}
            | {"is_collapsed": int(is_collapsed(score["rate"]))}
            | {"live_channels": " ".join(map(str, score.get("live_channels", ())))}
        )
    write_csv(place.folder / "fig1.csv", rows)
    _draw(place, rows)
    return (
        "## Figure 1: rate, ELBO and reconstruction\n\n"
        "![Rate-distortion plane, ELBO and distortion by hyperparameter](fig1.png)\n\n"
        + _table(runs, rows)
        + "\n"
        + _verdict(runs, rows)
    )


def _draw(place: Workspace, rows: list[Row]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    with figure(place.folder / "fig1.png", 1, 3, width=10, height=3.4) as (_, axes_of):
        plane, elbo, distortion = axes_of[0]
        for kind in MAIN_KINDS:
            style: dict[str, Any] = {"color": COLOURS[kind], "marker": MARKERS[kind]}
            label = FAMILY_OF[kind].label
            group = [
                row | {"negative_elbo": -row["elbo"]}
                for row in rows
                if row["objective"] == kind and row["gamma"] is None
            ]
            rates, distortions = [r["rate"] for r in group], [r["distortion"] for r in group]
            plane.plot(rates, distortions, linestyle="none", label=label, markersize=5, **style)
            failed = [row for row in group if row["is_collapsed"]]
            plane.plot([r["rate"] for r in failed], [r["distortion"] for r in failed], "kx", ms=9)
            _curve(plane, kind, group, style["color"])
            _by_hyperparameter(elbo, kind, group, "negative_elbo", style)
            _by_hyperparameter(distortion, kind, group, "distortion", style)
        plane.set(title="Rate-distortion plane", xlabel="rate / nats", ylabel="distortion / nats")
        plane.set_xscale("log")
        plane.margins(x=0.2, y=0.1)  # space for the labels of the points
        plane.legend()
        elbo.set(title="Negative ELBO (lower is better)", ylabel="nats")
        distortion.set(title="Distortion (lower is better)", ylabel="nats")
        names = [
            "\n".join(
                f"{FAMILY_OF[kind].symbol} = {FAMILY_OF[kind].values[place_]:g}"
                for kind in MAIN_KINDS
            )
            for place_ in range(3)
        ]
        for axes in (plane, elbo, distortion):  # one collapsed run must not flatten the others
            axes.set_yscale("log")
        for axis in (plane.xaxis, plane.yaxis, elbo.yaxis, distortion.yaxis):
            axis.set_major_locator(
                LogLocator(subs=(1, 2, 5) if axis is plane.xaxis else (1, 2, 3, 5, 7))
            )
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_locator(NullLocator())
        for axes in (elbo, distortion):
            axes.set_xticks(range(3), names, fontsize=8)
            axes.set_xlim(-0.4, 2.4)


def _curve(axes: Axes, kind: str, rows: list[Row], colour: str) -> None:
    """Draw an objective's line through the medians of each hyperparameter, ordered by rate."""
    points = sorted(
        (
            float(np.median([row["rate"] for row in matching])),
            float(np.median([row["distortion"] for row in matching])),
            value,
        )
        for value in FAMILY_OF[kind].values
        if (matching := [row for row in rows if row["hyperparameter"] == value])
    )
    axes.plot([p[0] for p in points], [p[1] for p in points], color=colour, linewidth=1)
    is_annealed = kind == "beta_annealed"
    for rate, distortion, values in _merged(points):
        axes.annotate(
            f"{FAMILY_OF[kind].symbol} = {', '.join(f'{value:g}' for value in sorted(values))}",
            (rate, distortion),
            xytext=(-5, -10) if is_annealed else (4, 4),  # it ends at the same point as beta = 1
            textcoords="offset points",
            ha="right" if is_annealed else "left",
            fontsize=6.5,
            color=colour,
        )


def _merged(points: list[tuple[float, float, float]]) -> list[tuple[float, float, list[float]]]:
    """Group points for labelling, so that labels do not overlap."""
    groups: list[tuple[float, float, list[float]]] = []
    for rate, nats, value in points:
        for other_rate, other_nats, values in groups:
            if max(abs(np.log(rate / other_rate)), abs(np.log(nats / other_nats))) < _MERGE_WITHIN:
                values.append(value)
                break
        else:
            groups.append((rate, nats, [value]))
    return groups


def _by_hyperparameter(
    axes: Axes, kind: str, rows: list[Row], key: str, style: dict[str, Any]
) -> None:
    """Draw every run as a point, and a line through the medians, objectives side by side."""
    shift = 0.12 * (MAIN_KINDS.index(kind) - 1)
    medians: list[tuple[float, float]] = []
    for place, value in enumerate(FAMILY_OF[kind].values):
        nats = [row[key] for row in rows if row["hyperparameter"] == value]
        if nats:
            axes.plot([place + shift] * len(nats), nats, linestyle="none", markersize=5, **style)
            collapsed = [r[key] for r in rows if r["hyperparameter"] == value and r["is_collapsed"]]
            axes.plot([place + shift] * len(collapsed), collapsed, "kx", markersize=9)
            medians.append((place + shift, float(np.median(nats))))
    if medians:
        axes.plot(*zip(*medians, strict=True), color=style["color"], linewidth=1)


def _table(runs: Sequence[Run], rows: list[Row]) -> str:
    lines = []
    for label in sorted({run.label for run in runs}, key=_order(runs)):
        matching = [row for run, row in zip(runs, rows, strict=True) if run.label == label]
        cells = [_spread([row[key] for row in matching]) for key in ("rate", "distortion", "elbo")]
        alive = [list(map(int, row["live_channels"].split())) for row in matching]
        channels = ", ".join(f"{sum(each) / len(each):.0f}" for each in zip(*alive, strict=True))
        collapsed = ", ".join(str(row["seed"]) for row in matching if row["is_collapsed"]) or "none"
        lines.append([label, str(len(matching)), collapsed, *cells, channels])
    return markdown_table(
        ["", "seeds", "collapsed", "rate", "distortion", "ELBO", "live channels"], lines
    ) + (
        "\nLive channels: for each convolution of the encoder, the number of its 32 channels whose "
        "ReLU is active for any of 1,024 pictures (mean over seeds).\n"
    )


def _order(runs: Sequence[Run]) -> Callable[[str], tuple[int, float, float]]:
    """Return a sort key: objectives in the order of MAIN_KINDS, then by hyperparameter."""
    places = {run.label: (MAIN_KINDS.index(run.kind), run.value, run.gamma or 0.0) for run in runs}
    return lambda label: places[label]


def _spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def _verdict(runs: Sequence[Run], rows: list[Row]) -> str:
    """Compare at the main hyperparameters, in pairs: the paper's claim on reconstruction."""
    by_seed: dict[str, dict[int, Row]] = {}
    for run, row in zip(runs, rows, strict=True):
        by_seed.setdefault(run.label, {})[run.seed] = row
    [main] = {run.label for run in runs if run.is_main and run.kind == "beta_annealed"} or {""}
    baselines = {run.label for run in runs if run.label != main and (run.is_main or run.gamma)}
    baselines |= {run.label for run in runs if run.kind == "beta_vae" and run.value == 1}
    lines = []
    for other in sorted(baselines, key=_order(runs)):
        seeds = sorted(set(by_seed.get(main, {})) & set(by_seed[other]))
        sound = [
            seed
            for seed in seeds
            if not by_seed[main][seed]["is_collapsed"] and not by_seed[other][seed]["is_collapsed"]
        ]
        for paired, name in ((seeds, ""), (sound, ", without collapsed runs")):
            if not paired or (name and sound == seeds):
                continue
            cells = [
                paired_bootstrap(
                    [by_seed[main][seed][key] for seed in paired],
                    [by_seed[other][seed][key] for seed in paired],
                ).signed(2)
                for key in ("distortion", "elbo")
            ]
            lines.append([f"{main} minus {other}{name}", str(len(paired)), *cells])
    if not lines:
        return ""
    note = (
        f"\nCollapsed: a rate under {LOWEST_RATE} nats, so the latent carries no information. "
        "Such runs are included unless stated otherwise; they are crosses in the figure.\n"
        if any(row["is_collapsed"] for row in rows)
        else ""
    )
    return (
        "The paper claims that annealing reconstructs better: a negative difference in "
        "distortion and a positive one in ELBO. Paired by seed, mean difference and 95 % "
        "bootstrap interval (of one pair: the difference alone), nats:\n\n"
        + markdown_table(["", "pairs", "distortion", "ELBO"], lines)
        + note
    )
