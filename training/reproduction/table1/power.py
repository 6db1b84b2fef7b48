"""The number of paired runs needed to detect a difference in Table 1, from a finished table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from glitch.errors import GlitchError
from training.evaluation.measures.collapse import is_collapsed
from training.evaluation.measures.power import LEVEL, POWER, Power, power_of_pairs

SAMPLE, CLASSES = "all views", "22 classes"  # as in the paper's table


def describe_power(rows: Path, first: str, second: str, points: float) -> str:
    """Describe how many paired runs would detect a difference of ``points`` in accuracy.

    Given for all pairs, and again without pairs in which a run has collapsed.

    Raises:
        GlitchError: if the file is missing or is not of a Table 1, a contender is not in it, or
            fewer than two pairs are left.
    """
    accuracy, collapsed = _read(rows)
    for name in (first, second):
        if name not in accuracy:
            known = ", ".join(accuracy)
            raise GlitchError(f"{rows} has no contender {name!r}: choose from {known}.")
    seeds = sorted(set(accuracy[first]) & set(accuracy[second]))
    sound = [seed for seed in seeds if not {(first, seed), (second, seed)} & collapsed]
    lines = [f"{first} minus {second}, accuracy, {CLASSES}, {SAMPLE}"]
    for paired, name in ((seeds, "all pairs"), (sound, "without collapsed runs")):
        if name != "all pairs" and sound == seeds:
            continue
        firsts, seconds = ([accuracy[side][seed] for seed in paired] for side in (first, second))
        power = power_of_pairs(firsts, seconds, points)
        means = f"{first} {np.mean(firsts):.1f} %, {second} {np.mean(seconds):.1f} %"
        lines += [f"{name}: {means}; {_sentence(power)}"]
    return "\n".join(lines) + "\n"


def _sentence(power: Power) -> str:
    return (
        f"{power.n_pairs} pairs differ by {power.mean:+.1f} points on average, with a standard "
        f"deviation of {power.spread:.1f}. With this number of pairs a difference of "
        f"{power.difference:g} points is detected with probability {power.power_now:.2f} (paired "
        f"t-test, {LEVEL:g} two-sided). A probability of {POWER:g} needs {power.n_needed} pairs, "
        f"or {power.n_needed_low} to {power.n_needed_high} given the uncertainty of the standard "
        "deviation (95 %)."
    )


def _read(rows: Path) -> tuple[dict[str, dict[int, float]], set[tuple[str, int]]]:
    """Read accuracy in points by contender and seed, and the collapsed runs."""
    accuracy: dict[str, dict[int, float]] = {}
    collapsed: set[tuple[str, int]] = set()
    try:
        with rows.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if (row["sample"], row["classes"]) != (SAMPLE, CLASSES):
                    continue
                name, seed = row["contender"], int(row["seed"])
                accuracy.setdefault(name, {})[seed] = 100 * float(row["accuracy"])
                live = float(row.get("live_features") or 1)  # older tables lack this column
                if is_collapsed(float(row["rate"]), float(row["active_units"]), live):
                    collapsed.add((name, seed))
    except FileNotFoundError:
        raise GlitchError(f"There is no file {rows}: give the rows.csv of a Table 1.") from None
    except (KeyError, ValueError, TypeError) as error:
        raise GlitchError(f"{rows} is not the rows.csv of a Table 1 ({error}).") from error
    if not accuracy:
        raise GlitchError(f"{rows} is not the rows.csv of a Table 1 (it is empty).")
    return accuracy, collapsed
