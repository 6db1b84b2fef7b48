"""The whole examination on a small model: every figure has its data and its plot."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glitch.model import Architecture, ViewsVAE
from training.core.config import ConfigError
from training.data.pack import Pack
from training.evaluation.examination import (
    JudgedModel,
    examine_into,
    load_judged,
    rate_distortion_curve,
)
from training.evaluation.pictures_of_views import reconstruct
from training.views.config import TrainingConfig, config_from_mapping
from training.views.train import train

SIDE = 16


def pack(n: int = 60) -> Pack:
    """Three classes, bright at one of three heights; the third lacks its longest window."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 40, size=(n, 4, SIDE, SIDE)).astype(np.uint8)
    names = ("Blip", "Koi_Fish", "Whistle")
    labels = tuple(names[index % 3] for index in range(n))
    observed = np.ones((n, 4, SIDE), dtype=np.bool_)
    for index in range(n):
        row = 1 + 5 * (index % 3)
        values[index, :, row : row + 3, 5:11] = 250
        if index % 3 == 2:
            values[index, 3], observed[index, 3] = 0, False
    return Pack(values, observed, labels, tuple(f"g{index:02d}" for index in range(n)))


def settings(**changes: object) -> TrainingConfig:
    return config_from_mapping(
        {
            "name": "tiny",
            "architecture": {
                "n_frequency": SIDE,
                "n_time": SIDE,
                "channels": [8, 8],
                "painter_channels": [8, 8],
                "hidden": 16,
                "latent": 3,
                "independent_share": 1.0,
            },
            "data": {"anchor_glitches": 0},
            "objective": {"kind": "beta_vae", "parameters": {"beta": 1}},
            "optimiser": {"steps": 80, "batch_size": 16, "warmup_steps": 5, "learning_rate": 0.005},
            "log": {"log_every": 20, "evaluate_every": 40, "save_every": 80},
            **changes,
        }
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    real = pack()
    learnt, held_out = real.subset(range(0, 60, 2)), real.subset(range(1, 60, 2))
    train(settings(), folder, real_train=learnt, validation=held_out, simulated=None)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_figure_is_saved_as_data_and_as_a_plot(run: Path, tmp_path: Path) -> None:
    real = pack()
    known = frozenset(real.groups[::2])
    measures = examine_into(load_judged(run), real, known, tmp_path)
    assert json.loads((tmp_path / "measures.json").read_text()) == measures
    assert measures["n_held_out"] == 30
    assert measures["elbo"] == pytest.approx(-measures["rate"] - measures["distortion"])
    found = measures["sets"]["9 classes"]
    assert found["n_classes"] == 3
    assert found["retrieval"]["nearest_accuracy"] == 1.0  # the classes have different heights
    assert found["clustering"]["adjusted_rand_index"] > 0.5
    assert measures["novelty_mean_auroc"] > 0.7
    table = rows(tmp_path / "by_class.csv")
    assert {row["sample"] for row in table} == {
        "all views", "0.5 s alone", "1 s alone", "2 s alone", "4 s alone",
    }  # fmt: skip
    assert not any(row["label"] == "Whistle" for row in table if row["sample"] == "4 s alone")
    assert sum(float(row["rate"]) for row in rows(tmp_path / "latents.csv")) == pytest.approx(
        measures["rate"]
    )
    over_training = rows(tmp_path / "latents_over_training.csv")
    assert [row["step"] for row in over_training] == ["40", "80"]
    assert float(over_training[1]["kl_0"]) > 0
    for name in (
        "latents", "latents_over_training", "by_class", "novelty", "reconstructions",
        "traversals_0.5s", "traversals_4s",
    ):  # fmt: skip
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert len(picture.convert("L").resize((64, 64)).getcolors()) > 3  # not blank


def test_too_few_glitches_to_hide_a_class_leave_novelty_out(run: Path, tmp_path: Path) -> None:
    real = pack(18)  # six of each class
    measures = examine_into(load_judged(run), real, frozenset(real.groups[:9]), tmp_path)
    assert measures["novelty_mean_auroc"] is None
    assert list(measures["sets"]) == ["23 classes"]
    assert not (tmp_path / "novelty.csv").exists()
    assert (tmp_path / "by_class.csv").exists()


def test_runs_of_several_betas_make_a_curve(tmp_path: Path) -> None:
    real = pack()
    for beta in (1, 50):
        made = settings(
            objective={"kind": "beta_vae", "parameters": {"beta": beta}},
            data={"anchor_glitches": 60},  # without a linear part, both would collapse
            variance={"kind": "closed_form"},
        )
        train(made, tmp_path / str(beta), real_train=real, validation=None, simulated=None)
    runs = [load_judged(tmp_path / name) for name in ("50", "1")]
    points = rate_distortion_curve(runs, real, tmp_path / "out")
    assert [point.value for point in points] == [1, 50]
    assert points[0].rate > points[1].rate
    assert points[0].distortion < points[1].distortion
    assert len(rows(tmp_path / "out" / "curve.csv")) == 2
    assert (tmp_path / "out" / "curve.png").stat().st_size > 5_000


def test_reconstructions_show_one_glitch_of_each_class_in_a_window_it_has() -> None:
    torch.manual_seed(0)
    architecture = Architecture(
        n_frequency=SIDE, n_time=SIDE, channels=(4,), painter_channels=(4,), hidden=8, latent=2
    )
    real = pack(9)
    real.observed[2::3, :2] = False
    real.values[2::3, :2] = 0
    found = {one.label: one for one in reconstruct(ViewsVAE(architecture).eval(), real)}
    assert set(found) == {"Blip", "Koi_Fish", "Whistle"}
    assert found["Blip"].duration_s == 0.5
    assert found["Whistle"].duration_s == 2.0
    assert found["Blip"].seen.max() > 0.9


def test_a_folder_that_is_neither_run_nor_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither a training run"):
        load_judged(tmp_path)


def test_a_judged_run_knows_its_configuration(run: Path) -> None:
    judged = load_judged(run)
    assert isinstance(judged, JudgedModel)
    assert judged.config.objective.parameters == {"beta": 1}
    assert not judged.model.training
