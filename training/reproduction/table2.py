"""Table 2: six metrics of disentanglement on dSprites, ours and the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.measures.collapse import is_collapsed
from training.reproduction.artefacts import markdown_table, write_csv
from training.reproduction.bootstrap import paired_bootstrap
from training.reproduction.plan import FAMILIES, FAMILY_OF, MAIN_KINDS, Run
from training.reproduction.runs import Workspace, read_scores
from training.reproduction.scores import METRICS

# BetaVAE, FactorVAE, MIG, DCI, Modularity, SAP, as printed.
PAPER: dict[tuple[str, float], tuple[float, ...]] = {
    ("beta_vae", 1): (0.851, 0.685, 0.072, 0.127, 0.790, 0.052),
    ("beta_vae", 4): (0.816, 0.627, 0.078, 0.138, 0.800, 0.028),
    ("beta_vae", 16): (0.742, 0.546, 0.141, 0.277, 0.809, 0.010),
    ("bottleneck", 5): (0.868, 0.596, 0.334, 0.402, 0.791, 0.078),
    ("bottleneck", 25): (0.765, 0.539, 0.025, 0.059, 0.769, 0.022),
    ("bottleneck", 100): (0.625, 0.369, 0.014, 0.022, 0.746, 0.007),
    ("factor_vae", 10): (0.862, 0.706, 0.144, 0.221, 0.781, 0.068),
    ("factor_vae", 30): (0.878, 0.849, 0.190, 0.328, 0.796, 0.068),
    ("factor_vae", 100): (0.862, 0.792, 0.312, 0.461, 0.820, 0.062),
    ("beta_tcvae", 1): (0.851, 0.685, 0.072, 0.127, 0.790, 0.052),
    ("beta_tcvae", 4): (0.875, 0.830, 0.226, 0.347, 0.805, 0.064),
    ("beta_tcvae", 10): (0.879, 0.808, 0.287, 0.447, 0.818, 0.067),
    ("dip_vae_1", 1): (0.846, 0.645, 0.094, 0.127, 0.779, 0.053),
    ("dip_vae_1", 5): (0.804, 0.574, 0.040, 0.077, 0.783, 0.025),
    ("dip_vae_1", 50): (0.783, 0.599, 0.034, 0.077, 0.778, 0.016),
    ("dip_vae_2", 1): (0.720, 0.479, 0.015, 0.083, 0.782, 0.004),
    ("dip_vae_2", 5): (0.793, 0.644, 0.049, 0.108, 0.798, 0.016),
    ("dip_vae_2", 50): (0.869, 0.544, 0.087, 0.177, 0.809, 0.058),
    ("beta_annealed", 5): (0.846, 0.809, 0.073, 0.180, 0.815, 0.038),
    ("beta_annealed", 25): (0.739, 0.599, 0.111, 0.233, 0.790, 0.034),
    ("beta_annealed", 50): (0.902, 0.805, 0.289, 0.397, 0.832, 0.076),
}

_READING_NOTE = (
    "Ours: mean ± standard deviation over seeds; the paper's number in brackets (it states no "
    "number of seeds). Higher is better. The reference Modularity counts a dead latent's "
    "noise as modular; the column for live latents leaves it out."
)


def report_table2(place: Workspace, runs: Sequence[Run]) -> str:
    """Write ``table2.csv``, and return the section of the report."""
    scores = {run: read_scores(place, run) for run in runs}
    _write(place, "table2.csv", scores)
    return (
        f"## Table 2: disentanglement\n\n{_READING_NOTE}\n\n"
        + _table(scores)
        + "\n"
        + _differences(place, runs)
    )


def report_grids(place: Workspace, runs: Sequence[Run]) -> str:
    """Write ``grids.csv``, and return the section on the grids of Table 2's other objectives."""
    scores = {run: read_scores(place, run) for run in runs}
    _write(place, "grids.csv", scores)
    return f"## Table 2: the grids of the other objectives\n\n{_READING_NOTE}\n\n{_table(scores)}"


def _write(place: Workspace, name: str, scores: Mapping[Run, Mapping[str, Any]]) -> None:
    write_csv(
        place.folder / name,
        [
            {"objective": run.kind, "hyperparameter": run.value, "gamma": run.gamma}
            | {"seed": run.seed}
            | {key: score["metrics"][key] for key in METRICS}
            | {key: score["metrics"][key] for key in ("modularity_live", "live_latents")}
            | {key: score[key] for key in ("rate", "distortion", "elbo")}
            | {"is_collapsed": int(is_collapsed(score["rate"]))}
            for run, score in scores.items()
        ],
    )


def _table(results: Mapping[Run, Mapping[str, Any]]) -> str:
    """Format a row for each objective and hyperparameter that was run, over its seeds."""
    rows: list[list[str]] = []
    for family in FAMILIES:
        for value in family.values:
            chosen = [run for run in results if _matches(run, family.kind, value)]
            scores = [results[run]["metrics"] for run in chosen]
            if not scores:
                continue
            failed = [str(run.seed) for run in chosen if is_collapsed(results[run]["rate"])]
            cells = [
                f"{_mean_and_spread([one[key] for one in scores])} ({printed:.3f})"
                for key, printed in zip(METRICS, PAPER[family.kind, value], strict=True)
            ]
            live = _mean_and_spread([one["modularity_live"] for one in scores])
            latents = np.mean([one["live_latents"] for one in scores])
            name = f"{family.label} {family.symbol} = {value:g}"
            collapsed = ", ".join(failed) or "none"
            rows.append([name, str(len(scores)), collapsed, *cells, live, f"{latents:.1f}"])
    header = [
        "",
        "seeds",
        "collapsed",
        *METRICS.values(),
        "Modularity, live latents",
        "live latents",
    ]
    return markdown_table(header, rows)


def _differences(place: Workspace, runs: Sequence[Run]) -> str:
    """Compare the annealed objective with the other two, metric by metric, in pairs."""
    annealed = "beta_annealed"
    scores = {
        kind: {
            run.seed: read_scores(place, run) for run in runs if run.kind == kind and run.is_main
        }
        for kind in MAIN_KINDS
    }
    rows = []
    for other in MAIN_KINDS:
        seeds = sorted(set(scores[annealed]) & set(scores[other]))
        if other == annealed:
            continue
        sound = [
            seed
            for seed in seeds
            if not any(is_collapsed(scores[kind][seed]["rate"]) for kind in (annealed, other))
        ]
        for paired, name in ((seeds, ""), (sound, ", without collapsed runs")):
            if not paired or (name and sound == seeds):
                continue
            cells = [
                paired_bootstrap(
                    [scores[annealed][seed]["metrics"][key] for seed in paired],
                    [scores[other][seed]["metrics"][key] for seed in paired],
                ).signed(3)
                for key in METRICS
            ]
            rows.append(
                [f"β-Annealed minus {FAMILY_OF[other].label}{name}", str(len(paired)), *cells]
            )
    if not rows:
        return ""
    return "Paired by seed, mean difference and 95 % bootstrap interval:\n\n" + markdown_table(
        ["", "pairs", *METRICS.values()], rows
    )


def _matches(run: Run, kind: str, value: float) -> bool:
    return run.kind == kind and run.value == value and run.gamma is None


def _mean_and_spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
