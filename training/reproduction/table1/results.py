"""Output of Table 1: rows and predictions as CSV, intervals, a picture, a report."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.core.plots import COLOURS, GREY, figure
from training.evaluation.measures.bootstrap import Answers, Comparison, compare
from training.evaluation.measures.collapse import is_collapsed
from training.evaluation.measures.interval import Interval

# Accuracy in per cent in the paper's Table 1, which gives neither spread nor budget.
PAPER_CLASSES_NAME = "22 classes"
PAPER = {"beta-VAE": 61.26, "Bottleneck": 80.01, "beta-Annealed": 81.60}


@dataclass(frozen=True)
class Scored:
    """One line of ``rows.csv``: one run, evaluated on one sample and one set of classes."""

    contender: str
    seed: int
    sample: str  # "all views" or "any lone view"
    classes: str
    accuracy: float
    balanced_accuracy: float
    n_glitches: int
    n_classes: int
    rate: float  # nats, mean over held-out glitches; NaN for PCA
    distortion: float
    active_units: float
    live_features: float  # fraction of the encoder's features active for any held-out glitch

    @property
    def is_collapsed(self) -> bool:
        """Whether the run's encoder carries no information."""
        return is_collapsed(self.rate, self.active_units, self.live_features)


@dataclass(frozen=True, eq=False)
class JudgedRun:
    """A row, and its single predictions."""

    row: Scored
    answers: Answers


def write_results(
    folder: Path,
    judged: Sequence[JudgedRun],
    contenders: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    description: Sequence[str],
) -> Path:
    """Write all files of a finished table.

    Args:
        folder: of the files; created if missing.
        judged: every run on every sample and set of classes.
        contenders: in the order of the report.
        pairs: contenders whose difference is reported, the first minus the second.
        description: lines of the report that describe the settings.

    Returns:
        The report's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "rows.csv", [_as_row(one.row) for one in judged])
    _write(folder / "answers.csv", list(_answers(judged)))
    compared = {
        (sample, classes): _compare(judged, contenders, pairs, sample=sample, classes=classes)
        for sample, classes in dict.fromkeys((one.row.sample, one.row.classes) for one in judged)
    }
    sound = {place: _compare_sound(judged, contenders, pairs, place) for place in compared}
    rows = _intervals(compared, "all") + _intervals(sound, "not collapsed")
    _write(folder / "intervals.csv", rows)
    draw_table1(folder / "table1.png", judged, compared, contenders)
    path = folder / "report.md"
    path.write_text(
        "\n".join(_report(judged, compared, sound, contenders, description)), encoding="utf-8"
    )
    return path


def _as_row(row: Scored) -> dict[str, object]:
    return asdict(row) | {"is_collapsed": int(row.is_collapsed)}


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _answers(judged: Sequence[JudgedRun]) -> list[dict[str, object]]:
    return [
        {
            "contender": one.row.contender,
            "seed": one.row.seed,
            "sample": one.row.sample,
            "classes": one.row.classes,
            "group": group,
            "label": label,
            "is_right": int(is_right),
        }
        for one in judged
        for group, label, is_right in zip(
            one.answers.groups, one.answers.truth, one.answers.is_right, strict=True
        )
    ]


def _compare(
    judged: Sequence[JudgedRun],
    contenders: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    sample: str,
    classes: str,
) -> Comparison:
    chosen = [one for one in judged if (one.row.sample, one.row.classes) == (sample, classes)]
    return compare(
        {name: [one.answers for one in chosen if one.row.contender == name] for name in contenders},
        pairs,
    )


def _compare_sound(
    judged: Sequence[JudgedRun],
    contenders: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    place: tuple[str, str],
) -> Comparison:
    """Compare without collapsed runs: a pair loses the seeds at which either collapsed.

    Only contenders and pairs that lose a run are included; for the others nothing changes.
    """
    chosen = [one for one in judged if (one.row.sample, one.row.classes) == place]
    collapsed = {name: _collapsed_seeds(chosen, name) for name in contenders}
    comparison = Comparison({}, {}, {}, {})

    def runs(name: str, without: set[int]) -> list[Answers]:
        return [
            one.answers
            for one in chosen
            if one.row.contender == name and one.row.seed not in without
        ]

    for name in contenders:
        sound = runs(name, collapsed[name])
        if collapsed[name] and sound:
            alone = compare({name: sound})
            comparison.accuracy.update(alone.accuracy)
            comparison.balanced_accuracy.update(alone.balanced_accuracy)
    for pair in pairs:
        without = collapsed[pair[0]] | collapsed[pair[1]]
        if without and runs(pair[0], without):
            both = compare({name: runs(name, without) for name in pair}, [pair])
            comparison.accuracy_gain.update(both.accuracy_gain)
            comparison.balanced_gain.update(both.balanced_gain)
    return comparison


def _collapsed_seeds(chosen: Sequence[JudgedRun], name: str) -> set[int]:
    return {one.row.seed for one in chosen if one.row.contender == name and one.row.is_collapsed}


Compared = Mapping[tuple[str, str], Comparison]


def _intervals(compared: Compared, runs: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for (sample, classes), comparison in compared.items():
        tables: list[tuple[str, str, Interval]] = []
        tables += [("accuracy", name, one) for name, one in comparison.accuracy.items()]
        tables += [
            ("balanced_accuracy", name, one) for name, one in comparison.balanced_accuracy.items()
        ]
        for kind, gains in (
            ("accuracy_gain", comparison.accuracy_gain),
            ("balanced_accuracy_gain", comparison.balanced_gain),
        ):
            tables += [
                (kind, f"{later} - {earlier}", one) for (later, earlier), one in gains.items()
            ]
        rows += [
            {
                "runs": runs,
                "sample": sample,
                "classes": classes,
                "figure": kind,
                "of": name,
                **asdict(one),
            }
            for kind, name, one in tables
        ]
    return rows


def _mean(judged: Sequence[JudgedRun], name: str, sample: str, classes: str, figure: str) -> float:
    chosen = [
        getattr(one.row, figure)
        for one in judged
        if (one.row.contender, one.row.sample, one.row.classes) == (name, sample, classes)
    ]
    return float(np.mean(chosen))


def _report(
    judged: Sequence[JudgedRun],
    compared: Compared,
    sound: Compared,
    contenders: Sequence[str],
    description: Sequence[str],
) -> list[str]:
    lines = ["# Table 1: a linear classifier on the posterior mean", "", *description, ""]
    for (sample, classes), result in compared.items():
        first = next(
            one.row for one in judged if (one.row.sample, one.row.classes) == (sample, classes)
        )
        lines += [
            f"## {sample[0].upper()}{sample[1:]}, {classes}",
            "",
            f"About {first.n_glitches} held-out glitches of {first.n_classes} classes a seed.",
            "",
            "| | accuracy, % | the paper, % | balanced, % | rate, nats | distortion, nats | "
            "active units | live features, % | collapsed seeds |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        chosen = [one for one in judged if (one.row.sample, one.row.classes) == (sample, classes)]
        is_papers = classes == PAPER_CLASSES_NAME
        for name in contenders:
            inside = [
                _mean(judged, name, sample, classes, figure)
                for figure in ("rate", "distortion", "active_units", "live_features")
            ]
            inside[-1] *= 100
            cells = ["-" if np.isnan(value) else f"{value:.1f}" for value in inside]
            failed = ", ".join(map(str, sorted(_collapsed_seeds(chosen, name)))) or "none"
            paper = f"{PAPER[name]:.2f}" if name in PAPER and is_papers else "-"
            lines.append(
                f"| {name} | {_percent(result.accuracy[name])} | {paper} "
                f"| {_percent(result.balanced_accuracy[name])} | {' | '.join(cells)} | {failed} |"
            )
        lines += _sound_rows(sound[sample, classes])
        lines += ["", "| difference | accuracy, points | balanced, points |", "| --- | --- | --- |"]
        lines += [
            f"| {later} minus {earlier} | {_percent(gain)} "
            f"| {_percent(result.balanced_gain[later, earlier])} |"
            for (later, earlier), gain in result.accuracy_gain.items()
        ]
        lines += [
            f"| {later} minus {earlier}, without collapsed runs | {_percent(gain)} "
            f"| {_percent(sound[sample, classes].balanced_gain[later, earlier])} |"
            for (later, earlier), gain in sound[sample, classes].accuracy_gain.items()
        ]
        lines.append("")
    return lines


def _sound_rows(sound: Comparison) -> list[str]:
    """Format the contenders without their collapsed runs; empty if no run has collapsed."""
    if not sound.accuracy:
        return []
    lines = ["", "| without collapsed runs | accuracy, % | balanced, % |", "| --- | --- | --- |"]
    return lines + [
        f"| {name} | {_percent(one)} | {_percent(sound.balanced_accuracy[name])} |"
        for name, one in sound.accuracy.items()
    ]


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.estimate:.1f} [{low:.1f}, {high:.1f}]"


def draw_table1(
    path: Path, judged: Sequence[JudgedRun], compared: Compared, contenders: Sequence[str]
) -> None:
    """Draw every seed as a dot, the mean with its interval, and the paper's value as a diamond."""
    with figure(path, 1, 2, width=7.6, height=2.0 + 0.28 * len(contenders)) as (drawn, axes):
        sample, classes = next(iter(compared))
        comparison = compared[sample, classes]
        for axis, key, intervals in (
            (axes[0, 0], "accuracy", comparison.accuracy),
            (axes[0, 1], "balanced_accuracy", comparison.balanced_accuracy),
        ):
            for place, name in enumerate(contenders):
                colour = COLOURS[place % len(COLOURS)]
                runs = [
                    one.row
                    for one in judged
                    if (one.row.contender, one.row.sample, one.row.classes)
                    == (name, sample, classes)
                ]
                for mark, is_lost in (("o", False), ("X", True)):
                    dots = [100 * getattr(row, key) for row in runs if row.is_collapsed is is_lost]
                    level = [place + 0.22] * len(dots)
                    axis.plot(dots, level, mark, color=colour, alpha=0.45, ms=4 + 3 * is_lost)
                one = intervals[name]
                axis.plot([100 * one.low, 100 * one.high], [place, place], color=colour, lw=2)
                axis.plot(100 * one.estimate, place, "|", color=colour, ms=13, mew=2.5)
                if key == "accuracy" and name in PAPER:
                    axis.plot(PAPER[name], place - 0.22, "D", color=GREY, ms=5, mfc="none")
            axis.set_ylim(len(contenders) - 0.5, -0.5)
            axis.set_yticks(range(len(contenders)), contenders if axis is axes[0, 0] else [])
            axis.grid(axis="x", color="#dddddd", lw=0.6)
            axis.set_axisbelow(True)
            axis.set_xlabel(("Accuracy" if key == "accuracy" else "Balanced accuracy") + " (%)")
        drawn.suptitle(
            f"Linear classifier on the posterior mean, {classes}, {sample}\n"
            "Dots: seeds; cross: a collapsed one; bar: mean, 95 % interval; diamond: the paper",
            fontsize=9,
            x=0.01,
            ha="left",
        )
