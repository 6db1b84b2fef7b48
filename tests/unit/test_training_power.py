"""The number of paired runs that a difference needs: against tables, simulation and real runs."""

from pathlib import Path

import numpy as np
import pytest

from glitch.errors import GlitchError
from training.evaluation.measures.power import pairs_needed, power_of, power_of_pairs
from training.reproduction.table1.power import describe_power


@pytest.mark.parametrize(("effect", "n_pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_pairs_needed_are_those_of_the_usual_tables(effect: float, n_pairs: int) -> None:
    # G*Power: two-sided paired t-test, alpha 0.05, power 0.8; small, medium and large effects.
    assert pairs_needed(effect) == n_pairs


def test_power_is_how_often_the_test_calls_a_difference() -> None:
    rng = np.random.default_rng(0)
    gaps = rng.normal(0.9, 1.0, size=(20_000, 5))
    t = gaps.mean(axis=1) / gaps.std(axis=1, ddof=1) * np.sqrt(5)
    assert power_of(5, 0.9) == pytest.approx((np.abs(t) > 2.7764).mean(), abs=0.01)


def test_the_spread_of_few_pairs_is_itself_uncertain() -> None:
    found = power_of_pairs([80.0, 82.0, 79.0, 85.0, 78.0], [79.0, 84.0, 75.0, 84.0, 80.0], 1.6)
    gaps = [1, -2, 4, 1, -2]
    assert found.mean == pytest.approx(np.mean(gaps))
    assert found.spread == pytest.approx(np.std(gaps, ddof=1))
    assert found.n_needed_low < found.n_needed < found.n_needed_high
    assert power_of(found.n_needed, 1.6 / found.spread) >= 0.8
    assert power_of(found.n_needed - 1, 1.6 / found.spread) < 0.8


@pytest.mark.parametrize(
    ("first", "second", "difference", "sentence"),
    [
        ([1.0], [2.0], 1, "at least two pairs"),
        ([1.0, 2.0], [1.0], 1, "at least two pairs"),
        ([1.0, 2.0], [0.0, 1.0], 1, "differ by the same amount"),
        ([1.0, 2.0], [0.0, 3.0], 0, "must be positive"),
    ],
)
def test_a_power_calculation_without_information_is_refused(
    first: list[float], second: list[float], difference: float, sentence: str
) -> None:
    with pytest.raises(GlitchError, match=sentence):
        power_of_pairs(first, second, difference)


HEAD = "contender,seed,sample,classes,accuracy,rate,active_units\n"


def table(path: Path) -> Path:
    lines = [
        f"{name},{seed},all views,22 classes,{accuracy},{rate},{units}"
        for name, seed, accuracy, rate, units in [
            ("a", 0, 0.80, 8, 30), ("a", 1, 0.79, 8, 30), ("a", 2, 0.84, 8, 30),
            ("b", 0, 0.78, 9, 30), ("b", 1, 0.80, 9, 30), ("b", 2, 0.40, 0.0003, 0),
        ]
    ]  # fmt: skip
    lines += ["a,0,any lone view,22 classes,0.1,8,30"]  # not part of the paper's table
    path.write_text(HEAD + "\n".join(lines) + "\n")
    return path


def test_a_table_is_described_with_and_without_its_collapsed_run(tmp_path: Path) -> None:
    text = describe_power(table(tmp_path / "rows.csv"), "a", "b", 1.6)
    assert "all pairs: a 81.0 %, b 66.0 %; 3 pairs differ by +15.0 points" in text
    assert "without collapsed runs: a 79.5 %, b 79.0 %; 2 pairs differ by +0.5 points" in text


def test_files_that_are_not_the_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GlitchError, match="There is no file"):
        describe_power(tmp_path / "none.csv", "a", "b", 1.6)
    with pytest.raises(GlitchError, match=r"no contender .c.: choose from a, b"):
        describe_power(table(tmp_path / "rows.csv"), "a", "c", 1.6)
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(GlitchError, match=r"is not the rows\.csv"):
        describe_power(tmp_path / "other.csv", "a", "b", 1.6)
