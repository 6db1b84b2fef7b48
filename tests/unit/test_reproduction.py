"""The plan, intervals, tables and figures of the reproduction, for results written by hand."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from glitch.errors import FormatError, GlitchError
from training.core.budget import Budget
from training.core.loop import METRICS_FILE
from training.core.objectives import OBJECTIVES
from training.core.one_at_a_time import FolderInUseError, one_at_a_time
from training.dsprites import PackedPictures, PictureArchitecture, PictureVAE
from training.reproduction.bootstrap import paired_bootstrap
from training.reproduction.command import Sources, reproduce
from training.reproduction.figure1 import report_figure1
from training.reproduction.figure2 import opening_steps, report_figure2
from training.reproduction.figures34 import report_figure4
from training.reproduction.plan import (
    FAMILIES,
    FAMILY_OF,
    MAIN_KINDS,
    Run,
    figure1_runs,
    grid_runs,
    main_runs,
    table2_runs,
)
from training.reproduction.runs import Workspace
from training.reproduction.scores import METRICS, SCORES_FILE, live_channels
from training.reproduction.table2 import PAPER, report_grids, report_table2
from training.reproduction.tiers import TIERS, tier_named, with_budget

PNG = b"\x89PNG"


def place_with(folder: Path, runs: list[Run], **of_kind: float) -> Workspace:
    """Write runs with only scores and logs; the distortion is that of the kind plus the seed."""
    place = Workspace(folder, TIERS["reduced"])
    for run in runs:
        path = place.run_folder(run)
        path.mkdir(parents=True)
        distortion = of_kind.get(run.kind, 50.0) + run.seed
        metrics = dict.fromkeys(METRICS, 0.5 + 0.1 * run.seed)
        scores: dict[str, Any] = {
            "step": 1,
            "rate": 8.0,
            "distortion": distortion,
            "elbo": -distortion - 8,
            "live_channels": [32, 3 + run.seed, 16],
            "metrics": metrics | {"modularity_live": 0.9, "live_latents": 4.0},
        }
        (path / SCORES_FILE).write_text(json.dumps(scores))
        lines = [
            {"step": step, "kl.0": float(step > 20), "kl.1": 0.01, "kl.2": 2.0 * (step > 40)}
            for step in range(10, 110, 10)
        ]
        (path / METRICS_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_plan_is_the_papers_grid() -> None:
    paper = TIERS["paper"]
    assert {(run.kind, run.value) for run in table2_runs(paper)} == set(PAPER)
    assert {family.kind for family in FAMILIES} == set(OBJECTIVES)
    assert (paper.annealing_steps, paper.steps, paper.side) == (100_000, 300_000, 64)
    assert len(table2_runs(paper)) == (21 + 1) * 5  # and the other gamma


@pytest.mark.parametrize("name", TIERS)
def test_every_tier_pairs_seeds_and_leaves_a_long_tail(name: str) -> None:
    tier = tier_named(name)
    assert tier.annealing_steps <= tier.steps / 3
    seeds = {kind: {run.seed for run in main_runs(tier) if run.kind == kind} for kind in MAIN_KINDS}
    assert len(set(map(frozenset, seeds.values()))) == 1
    assert main_runs(tier) == figure1_runs(tier)[: len(main_runs(tier))]  # the main runs come first
    assert len({run.name for run in table2_runs(tier)}) == len(table2_runs(tier))


@pytest.mark.parametrize("name", TIERS)
def test_the_grids_are_of_the_other_objectives_seed_by_seed(name: str) -> None:
    tier = tier_named(name)
    runs = grid_runs(tier)
    others = {cell for cell in PAPER if cell[0] not in MAIN_KINDS}
    assert len(others) == 12
    for seed in range(tier.main_seeds):  # the seeds of the main comparison
        part = runs[12 * seed : 12 * (seed + 1)]
        assert {(run.kind, run.value) for run in part} == others
        assert {run.seed for run in part} == {seed}
    assert len(runs) == 12 * tier.main_seeds


def test_trap_annealing_a_run_anneals_by_steps_over_its_tier() -> None:
    config = Run("beta_annealed", 50, 0).config(TIERS["paper"], "x")
    objective = config.objective.build()
    assert [objective.weights(step)["beta"] for step in (0, 100_000, 299_999)] == [50, 1, 1]
    capacity = Run("bottleneck", 25, 0).config(TIERS["paper"], "x").objective.build()
    assert capacity.weights(50_000)["capacity"] == 12.5
    assert capacity.gamma == 1000  # type: ignore[attr-defined]


def test_runs_of_one_seed_differ_in_their_objective_alone() -> None:
    one, other = (Run(kind, 4, 2).config(TIERS["reduced"], "x") for kind in MAIN_KINDS[:2])
    assert one.objective != other.objective
    assert replace(one, name="same", objective=other.objective) == replace(other, name="same")


def test_the_other_gamma_is_no_main_run_and_has_a_folder_of_its_own() -> None:
    run, main = Run("bottleneck", 25, 0, 1000), Run("bottleneck", 25, 0)
    assert (run.is_main, main.is_main) == (False, True)
    assert run.name != main.name
    assert run.config(TIERS["reduced"], "x").objective.parameters["gamma"] == 1000


def test_paired_bootstrap_by_hand() -> None:
    found = paired_bootstrap([1.0, 2.0], [0.0, 0.0])
    # Resamples of (1, 2) have the means 1, 1.5, 1.5, 2.
    assert (found.estimate, found.excludes_zero) == (1.5, True)
    assert (found.low, found.high) == (
        pytest.approx(np.quantile([1, 1.5, 1.5, 2], 0.025)),
        pytest.approx(np.quantile([1, 1.5, 1.5, 2], 0.975)),
    )
    assert found.signed(1) == "+1.5 [+1.0, +2.0]"
    assert not paired_bootstrap([1.0, -2.0, 1.5], [0.0, 0.0, 0.0]).excludes_zero


def test_paired_bootstrap_covers_the_mean_of_many_pairs() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(40):
        differences = rng.normal(0.3, 1, 30)
        found = paired_bootstrap(differences, np.zeros(30), n_resamples=500, seed=seed)
        hits += found.low < 0.3 < found.high
    assert 33 <= hits <= 40


@pytest.mark.parametrize("second", [[], [1.0, 2.0]])
def test_unpaired_values_are_refused(second: list[float]) -> None:
    with pytest.raises(GlitchError, match="same seeds"):
        paired_bootstrap([1.0] * (1 if second else 0), second)


def test_table_2_prints_ours_beside_the_papers(tmp_path: Path) -> None:
    runs = main_runs(TIERS["reduced"])
    text = report_table2(place_with(tmp_path, runs), runs)
    [row] = [line for line in text.splitlines() if "β-Annealed β₀ = 50" in line]
    assert "| 3 | none | 0.600 ± 0.100 (0.902) |" in row
    assert "| β-Annealed minus Bottleneck | 3 | +0.000 [+0.000, +0.000]" in text
    rows = read_rows(tmp_path / "table2.csv")
    assert len(rows) == 9
    assert rows[0]["mig"] == "0.5"


def test_the_grids_print_ours_beside_the_papers(tmp_path: Path) -> None:
    runs = grid_runs(TIERS["reduced"])
    text = report_grids(place_with(tmp_path, runs), runs)
    [row] = [line for line in text.splitlines() if "β-TCVAE β = 10" in line]
    assert "| 3 | none | 0.600 ± 0.100 (0.879) |" in row
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 2 + 12
    assert len(read_rows(tmp_path / "grids.csv")) == 36


def test_figure_1_gives_the_verdict_on_reconstruction(tmp_path: Path) -> None:
    runs = figure1_runs(TIERS["reduced"])
    place = place_with(tmp_path, runs, beta_annealed=40.0, bottleneck=45.0)
    text = report_figure1(place, runs)
    assert "β₀ = 50 minus Bottleneck C = 25 | 3 | -5.00 [-5.00, -5.00] | +5.00" in text
    assert (tmp_path / "fig1.png").read_bytes()[:4] == PNG
    assert len(read_rows(tmp_path / "fig1.csv")) == len(runs)
    assert "Collapsed" not in text
    assert (
        "| β-Annealed β₀ = 50 | 3 | none | 8.00 ± 0.00 | 41.00 ± 1.00 | -49.00 ± 1.00 | 32, 4, 16 |"
        in text
    )
    assert "β-Annealed β₀ = 50 minus Bottleneck C = 25 (γ = 1000) | 1 |" in text  # noqa: RUF001


def test_a_collapsed_run_is_marked_and_the_difference_given_without_it(tmp_path: Path) -> None:
    runs = main_runs(TIERS["reduced"])
    place = place_with(tmp_path, runs, beta_annealed=40.0, bottleneck=45.0)
    path = place.run_folder(Run("beta_annealed", 50, 2)) / SCORES_FILE
    scores = json.loads(path.read_text()) | {"rate": 0.001, "distortion": 142.0}
    path.write_text(json.dumps(scores))
    text = report_figure1(place, runs)
    assert "Collapsed: a rate under 0.1 nats" in text
    assert "| β-Annealed β₀ = 50 | 3 | 2 |" in text
    assert "minus Bottleneck C = 25 | 3 | +28.33 [-5.00, " in text
    assert "minus Bottleneck C = 25, without collapsed runs | 2 | -5.00 [-5.00, -5.00]" in text
    assert [row["is_collapsed"] for row in read_rows(tmp_path / "fig1.csv")].count("1") == 1
    table = report_table2(place, runs)
    assert "| β-Annealed β₀ = 50 | 3 | 2 |" in table
    assert "β-Annealed minus β-VAE, without collapsed runs | 2 |" in table


def test_figure_2_says_when_latents_open(tmp_path: Path) -> None:
    runs = [Run("beta_annealed", 50, 0), Run("bottleneck", 25, 0)]
    text = report_figure2(place_with(tmp_path, runs), runs)
    assert text.count("2 latents are in use at the end") == 2
    assert (tmp_path / "fig2.png").read_bytes()[:4] == PNG
    steps = np.arange(5)
    kl = np.array([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 0, 0, 0.0]]).T
    assert opening_steps(steps, kl) == [0, 2]


def test_live_channels_are_those_that_let_something_pass() -> None:
    torch.manual_seed(0)
    model = PictureVAE(PictureArchitecture(side=32))
    packed = np.random.default_rng(0).integers(256, size=(64, 128)).astype(np.uint8)
    pictures = PackedPictures(packed, 32, "noise")
    assert live_channels(model, pictures) == [32, 32, 32]
    with torch.no_grad():
        convolutions = [layer for layer in model.encoder if isinstance(layer, nn.Conv2d)]
        convolutions[1].weight[:29].fill_(0)
        convolutions[1].bias[:29].fill_(-1)
    assert live_channels(model, pictures)[:2] == [32, 3]


@pytest.mark.parametrize(
    ("targets", "tier", "jobs", "words"),
    [
        (["fig9"], "smoke", 1, "no target 'fig9'"),
        (["fig1"], "huge", 1, "no tier 'huge'"),
        (["fig1"], "smoke", 0, "jobs must be at least 1"),
    ],
)
def test_invalid_requests_to_reproduce_are_named(
    tmp_path: Path, targets: list[str], tier: str, jobs: int, words: str
) -> None:
    with pytest.raises(GlitchError, match=words):
        reproduce(targets, tier, tmp_path / "out", jobs=jobs)


def test_tiers_do_not_share_a_folder_and_an_absent_npz_is_reported(tmp_path: Path) -> None:
    absent = Sources(dsprites=tmp_path / "none.npz")
    with pytest.raises(FormatError, match="deepmind/dsprites-dataset"):
        reproduce(["fig2"], "smoke", tmp_path / "out", sources=absent)
    with pytest.raises(GlitchError, match="other settings"):
        reproduce(["fig2"], "reduced", tmp_path / "out", sources=absent)
    with pytest.raises(GlitchError, match="other settings"):
        reproduce(["fig2"], "smoke", tmp_path / "out")


def test_two_commands_never_fill_one_folder_but_one_may_report(tmp_path: Path) -> None:
    with one_at_a_time(tmp_path):
        with pytest.raises(FolderInUseError, match="Another command is using"):
            reproduce(["lemma"], "smoke", tmp_path)
        assert reproduce(["lemma"], "smoke", tmp_path, is_report_only=True)


def test_other_steps_keep_the_tail_and_have_a_folder_of_their_own(tmp_path: Path) -> None:
    tier = with_budget(TIERS["reduced"], Budget(steps=300, seeds=4))
    assert (tier.steps, tier.annealing_steps, tier.main_seeds, tier.other_seeds) == (300, 100, 4, 4)
    absent = Sources(dsprites=tmp_path / "none.npz")
    with pytest.raises(FormatError, match="deepmind"):
        reproduce(["fig2"], "smoke", tmp_path / "out", sources=absent, budget=Budget(steps=9))
    with pytest.raises(GlitchError, match=r"other settings .smoke, 9 steps, dSprites public"):
        reproduce(["fig2"], "smoke", tmp_path / "out", sources=absent)
    with pytest.raises(FormatError, match="deepmind"):  # more seeds only add runs
        reproduce(["fig2"], "smoke", tmp_path / "out", sources=absent, budget=Budget(9, 5))


def test_figure_4_is_drawn_of_any_folder_of_pictures(tmp_path: Path) -> None:
    chairs = tmp_path / "rendered_chairs"
    rng = np.random.default_rng(0)
    for chair in ("1028b32dc1873c2afe26a3ac360dbd4", "1031fc859dc3106641378c822953480"):
        renders = chairs / chair / "renders"
        renders.mkdir(parents=True)
        for view in range(3):
            pixels = rng.integers(256, size=(60, 60, 3)).astype(np.uint8)
            name = f"image_{view:03}_p020_t{11 * view:03}_r096.png"
            Image.fromarray(pixels).save(renders / name)
    (chairs / "all_chair_names.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    place = Workspace(tmp_path / "out", replace(TIERS["smoke"], steps=3))
    text = report_figure4(place, chairs)
    assert text is not None
    assert "6 pictures of `rendered_chairs`" in text
    assert (place.folder / "fig4.png").read_bytes()[:4] == PNG
    assert len(read_rows(place.folder / "fig4.csv")) == 10
    with pytest.raises(FormatError, match="no folder of pictures"):
        report_figure4(place, tmp_path / "none")


def test_a_report_of_what_is_finished_says_what_is_missing(tmp_path: Path) -> None:
    place = place_with(tmp_path, [Run("beta_vae", 4, 0)])
    sources = Sources(real_images=tmp_path / "none")
    report = reproduce(
        ["all", "likelihoods"], "reduced", place.folder, sources=sources, is_report_only=True
    )
    assert report is not None
    text = report.read_text()
    assert "dSprites (re-rendered), 32" in text
    # A report needs no pictures, so none are rendered or read.
    assert not (place.folder / "data").exists()
    assert "Not run yet: Bottleneck C = 100" in text
    assert "## Figure 2" not in text  # no run of it exists


def test_every_row_of_the_paper_has_six_numbers() -> None:
    assert {len(row) for row in PAPER.values()} == {len(METRICS)}
    assert PAPER["beta_annealed", FAMILY_OF["beta_annealed"].main][0] == 0.902
