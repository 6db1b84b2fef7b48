"""Table 1 from pictures to report, with few pictures and few steps."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from glitch.errors import GlitchError
from glitch.images import render_view
from glitch.model import ViewsVAE
from training.core.budget import Budget
from training.core.config import config_to_mapping
from training.data.pack import Pack
from training.evaluation.measures.bootstrap import Answers
from training.evaluation.measures.collapse import is_collapsed, live_feature_share
from training.reproduction.table1 import command as table1
from training.reproduction.table1 import likelihoods
from training.reproduction.table1.judging import CLASS_SETS, NINE_CLASSES, PAPER_CLASSES
from training.reproduction.table1.results import JudgedRun, Scored, write_results
from training.views.task import bernoulli_distortion

LABELS = ("Blip", "Koi_Fish", "Whistle")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = []
    for index in range(18):
        view = (0.1 * np.random.default_rng(index).random((128, 128))).astype(np.float32)
        row = 15 + 40 * (index % 3)
        view[row : row + 15, 50:78] = 0.9
        name = f"H1_glitch{index:04d}_spectrogram_1.0.png"
        (folder / name).write_bytes(render_view(view))
        rows.append((name, LABELS[index % 3], f"g{index}", "1.0", f"group{index}"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        names = ("path", "label", "gravityspy_id", "duration_s", "group")
        csv.writer(file).writerows([names, *rows])
    return folder


def read_rows(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_written_resumed_and_compares_pairs(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(table1.SMALL, channels=(4, 4, 4), painter_channels=(4, 4, 4), hidden=8)
    tier = table1.TableTier(3, 4, 3e-3, (0, 1), small)
    monkeypatch.setitem(table1.TIERS, "smoke", tier)
    steps: list[tuple[int, int, str]] = []
    out = tmp_path / "out"
    report = table1.run_table1("smoke", out, lambda *one: steps.append(one), real_images=pictures)
    assert steps[-1] == (30, 30, "")
    rows = read_rows(out)
    names = table1.CONTENDERS
    assert {(row["contender"], row["seed"]) for row in rows} == {
        (name, seed) for name in names for seed in "01"
    }
    pixels = [row for row in rows if row["contender"] == table1.PIXELS]
    assert np.mean([float(row["accuracy"]) for row in pixels]) > 0.4  # of three classes
    assert all(row["rate"] == "nan" for row in pixels)
    text = report.read_text()
    for figure in ("61.26", "80.01", "81.60", "beta-Annealed minus Bottleneck"):
        assert figure in text
    assert (out / "table1.png").stat().st_size > 5_000
    states = {path: path.stat().st_mtime_ns for path in out.rglob("metrics.jsonl")}
    sizes = {path: path.read_bytes() for path in states}
    table1.run_table1("smoke", out, real_images=pictures)
    assert {path: path.read_bytes() for path in states} == sizes  # nothing was trained again
    assert read_rows(out) == rows
    longer = tmp_path / "longer"
    budget = Budget(steps=5, seeds=1)
    text = table1.run_table1("smoke", longer, real_images=pictures, budget=budget).read_text()
    assert "5 steps of batch 4, seeds 0." in text
    assert {row["seed"] for row in read_rows(longer)} == {"0"}
    assert "growth_steps 1" in text


def test_objectives_share_all_but_the_objective_and_differ_by_seed() -> None:
    tier = table1.TIERS["reduced"]
    made = [config_to_mapping(table1.configuration(tier, name, 3)) for name in table1.OBJECTIVES]
    for config in made[1:]:
        assert {**config, "objective": None, "name": None} == {
            **made[0], "objective": None, "name": None,
        }  # fmt: skip
    assert made[0]["seed"] == made[0]["data"]["split_seed"] == 3
    # otherwise the linear part would decide the result
    assert made[0]["data"]["anchor_glitches"] == 0
    assert len(tier.seeds) >= 5


def test_the_sets_of_classes_are_the_papers_and_ours() -> None:
    assert len(PAPER_CLASSES) == len(set(PAPER_CLASSES)) == 22
    assert len(NINE_CLASSES) == 9
    assert set(NINE_CLASSES) - set(PAPER_CLASSES) == {"Fast_Scattering"}
    assert "Fast_Scattering" not in CLASS_SETS["22 classes"]


def test_an_unknown_tier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GlitchError, match="no tier 'huge'"):
        table1.run_table1("huge", tmp_path)


def scored(name: str, seed: int, rate: float, n_right: int) -> JudgedRun:
    row = Scored(
        name, seed, "all views", "22 classes", n_right / 8, n_right / 8, 8, 2,
        rate=rate, distortion=-5.0, active_units=0.0 if rate < 0.1 else 3.0,
        live_features=1.0,
    )  # fmt: skip
    truth = ["Blip", "Whistle"] * 4
    answers = Answers([f"g{index}" for index in range(8)], truth, np.arange(8) < n_right)
    return JudgedRun(row, answers)


def test_collapsed_runs_are_marked_and_the_figures_given_without_them(tmp_path: Path) -> None:
    judged = [scored("a", 0, 5.0, 8), scored("a", 1, 5.0, 6), scored("b", 0, 0.0003, 2)]
    judged += [scored("b", 1, 4.0, 6)]
    report = write_results(tmp_path, judged, ("a", "b"), [("a", "b")], ["What was run."])
    assert [row["is_collapsed"] for row in read_rows(tmp_path)] == ["0", "0", "1", "0"]
    text = report.read_text()
    assert "| b | 50.0 [" in text  # 2 and 6 of 8
    assert "| 0 |\n" in text  # the collapsed seed
    without = text.split("without collapsed runs")[1]
    assert "| b | 75.0 [" in without
    with (tmp_path / "intervals.csv").open(newline="") as file:
        found = {
            (row["runs"], row["figure"], row["of"]): float(row["estimate"])
            for row in csv.DictReader(file)
        }
    assert found["all", "accuracy_gain", "a - b"] == pytest.approx(0.375)
    assert found["not collapsed", "accuracy_gain", "a - b"] == pytest.approx(0.0)  # only seed 1
    assert found["not collapsed", "accuracy", "b"] == pytest.approx(0.75)
    assert ("not collapsed", "accuracy", "a") not in found  # no run was left out


def test_a_table_without_collapsed_runs_has_no_second_reading(tmp_path: Path) -> None:
    judged = [scored("a", 0, 5.0, 8), scored("b", 0, 4.0, 6)]
    report = write_results(tmp_path, judged, ("a", "b"), [("a", "b")], ["What was run."])
    assert "without collapsed" not in report.read_text()


def test_an_encoder_without_a_live_feature_has_collapsed_whatever_its_rate() -> None:
    model = ViewsVAE(replace(table1.SMALL, n_frequency=32, n_time=32, hidden=8))
    values = np.random.default_rng(0).integers(0, 255, (70, 4, 32, 32)).astype(np.uint8)
    names = tuple(str(index) for index in range(70))
    glitches = Pack(values, np.ones((70, 4, 32), dtype=np.bool_), names, names)
    assert live_feature_share(model, glitches) > 0.4
    with torch.no_grad():
        model.features.bias[2:] -= 1e4  # blocks every picture
    assert live_feature_share(model, glitches) <= 0.25
    with torch.no_grad():
        model.features.bias[:2] -= 1e4
    assert live_feature_share(model, glitches) == 0
    assert is_collapsed(5.0, 20, 0.0)
    assert not is_collapsed(5.0, 20, 0.01)


@pytest.mark.parametrize(
    ("rate", "active", "is_lost"),
    [
        (3e-4, 0, True),
        (8.0, 30, False),
        (0.5, 0, True),
        (0.09, 2, True),
        (0.11, 2, False),
        (np.nan, np.nan, False),
    ],
)
def test_a_run_with_an_uninformative_encoder_has_collapsed(
    rate: float, active: float, is_lost: bool
) -> None:
    assert is_collapsed(rate, active) is is_lost


def test_the_matched_bottleneck_has_the_rate_that_the_annealed_run_ended_at(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(table1.SMALL, channels=(4, 4, 4), painter_channels=(4, 4, 4), hidden=8)
    monkeypatch.setitem(table1.TIERS, "smoke", table1.TableTier(60, 4, 3e-3, (0,), small))
    table1.run_table1("smoke", tmp_path, real_images=pictures)
    logged = (tmp_path / "runs/table1-beta-annealed-0/metrics.jsonl").read_text().splitlines()
    late = [json.loads(line)["rate"] for line in logged if json.loads(line)["step"] > 54]
    matched = yaml.safe_load(
        (tmp_path / "runs/table1-bottleneck--annealed-s-rate-0/config.yaml").read_text()
    )
    assert matched["objective"]["kind"] == "bottleneck"
    assert matched["objective"]["parameters"]["capacity"] == pytest.approx(np.mean(late), abs=1e-3)


def test_a_report_of_an_unfinished_table_holds_the_seeds_that_are_whole(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(table1.SMALL, channels=(4, 4, 4), painter_channels=(4, 4, 4), hidden=8)
    monkeypatch.setitem(table1.TIERS, "smoke", table1.TableTier(3, 4, 3e-3, (0, 1), small))
    options = {"real_images": pictures, "is_report_only": True}
    assert table1.run_table1("smoke", tmp_path, **options) is None
    table1.run_table1("smoke", tmp_path, real_images=pictures, budget=Budget(seeds=1))
    report = table1.run_table1("smoke", tmp_path, **options)
    assert "seeds 0." in report.read_text()
    assert not (tmp_path / "runs/table1-beta-vae-1").exists()


def test_a_folder_of_an_older_table_is_refused_by_what_differs(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(table1.SMALL, channels=(4, 4, 4), painter_channels=(4, 4, 4), hidden=8)
    monkeypatch.setitem(table1.TIERS, "smoke", table1.TableTier(3, 4, 3e-3, (0,), small))
    table1.run_table1("smoke", tmp_path, real_images=pictures)
    path = tmp_path / "runs/table1-beta-vae-0/config.yaml"
    saved = yaml.safe_load(path.read_text())
    del saved["variance"]  # as before the closed-form pixel variance
    saved["optimiser"]["final_factor"] = 0.02
    path.write_text(yaml.safe_dump(saved))
    with pytest.raises(
        GlitchError, match=r"final_factor is 0.02 there and 0.25 here.*variance.kind is learnt"
    ):
        table1.run_table1("smoke", tmp_path, real_images=pictures)


def test_other_likelihoods_reuse_the_runs_of_the_table(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(table1.SMALL, channels=(4, 4, 4), painter_channels=(4, 4, 4), hidden=8)
    monkeypatch.setitem(table1.TIERS, "smoke", table1.TableTier(3, 4, 1e-3, (0, 1, 2), small))
    monkeypatch.setattr(
        likelihoods,
        "LIKELIHOODS",
        {
            name: variance
            for name, variance in likelihoods.LIKELIHOODS.items()
            if name != "variance .003"
        },
    )
    out = tmp_path / "out"
    table1.run_table1("smoke", out, real_images=pictures, budget=Budget(seeds=1))
    before = {path: path.read_bytes() for path in out.rglob("metrics.jsonl")}
    report = likelihoods.run_likelihoods("smoke", out, real_images=pictures, budget=Budget(seeds=1))
    assert all(path.read_bytes() == content for path, content in before.items())
    with (out / "likelihoods.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["likelihood"] for row in rows} == set(likelihoods.LIKELIHOODS)
    assert {row["contender"] for row in rows} == {*table1.OBJECTIVES, table1.PLAIN}
    # Decoded logits are not energies, so their squared residual has no meaning.
    assert {row["distortion"] == "nan" for row in rows if row["likelihood"] == "Bernoulli"} == {
        True
    }
    fixed = yaml.safe_load((out / "runs/table1-bottleneck-fixed-0_001-0/config.yaml").read_text())
    assert fixed["variance"] == {"kind": "fixed", "fixed": 0.001, "memory": 0.99}
    text = report.read_text()
    assert "| variance .001 |" in text
    assert "not run" not in text


def test_the_bernoulli_distortion_is_that_of_its_definition_and_counts_observed_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 1, 3, 4, generator=generator)
    logits = torch.randn(2, 1, 3, 4, generator=generator)
    observed = torch.tensor([[[True, True, True]], [[True, False, True]]])
    chance = torch.sigmoid(logits)
    nats = -(target * chance.log() + (1 - target) * (1 - chance).log())
    expected = torch.stack([nats[0].sum(), nats[1, 0, [0, 2]].sum()])
    torch.testing.assert_close(bernoulli_distortion(target, logits, observed), expected)
