"""The training loop on toy data: it learns, handles non-finite numbers, and locks its folder."""

import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from glitch.errors import CheckpointError
from glitch.model import ViewsVAE, sample_posterior, sum_residuals
from training.core.config import ConfigError
from training.core.loop import CONFIG_FILE, METRICS_FILE, TrainingError, logged_entries, optimise
from training.core.one_at_a_time import FolderInUseError
from training.core.state import STATE_FILE, load_state
from training.data.pack import Pack
from training.data.sampling import BatchSource
from training.evaluation.encoding import (
    encode_pack,
    evaluate_model,
    lone_view_agreement,
    single_views,
)
from training.views.anchor import fit_anchor
from training.views.config import TrainingConfig, config_from_mapping
from training.views.task import ViewsTask
from training.views.train import train


def toy_config(**changes: object) -> TrainingConfig:
    return config_from_mapping(
        {
            "name": "toy",
            "architecture": {
                "n_frequency": 16,
                "n_time": 16,
                "channels": [8, 8],
                "painter_channels": [8, 8],
                "hidden": 16,
                "latent": 3,
            },
            "data": {"anchor_glitches": 0},
            "objective": {"kind": "beta_annealed", "parameters": {"beta_start": 4}},
            "optimiser": {"steps": 6, "batch_size": 8, "warmup_steps": 1, "learning_rate": 0.003},
            "log": {"log_every": 1, "evaluate_every": 3, "save_every": 2},
            **changes,
        }
    )


def toy_pack(n: int = 24, seed: int = 0) -> Pack:
    """Two classes: a bright band low or high in frequency, in every view."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 40, size=(n, 4, 16, 16)).astype(np.uint8)
    labels = tuple("high" if index % 2 else "low" for index in range(n))
    for index, label in enumerate(labels):
        row = 11 if label == "high" else 2
        values[index, :, row : row + 3, 5:11] = 250
    observed = np.ones((n, 4, 16), dtype=np.bool_)
    observed[::5, 3] = False
    values[::5, 3] = 0
    return Pack(values, observed, labels, tuple(f"g{seed}-{index}" for index in range(n)))


def run(folder: Path, config: TrainingConfig, **changes: object):
    arguments = {"real_train": toy_pack(), "validation": toy_pack(12, 1), "simulated": None}
    return train(config, folder, **{**arguments, **changes})


def logged(folder: Path) -> list[dict[str, float]]:
    lines = (folder / METRICS_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_learns_and_leaves_everything_behind(tmp_path: Path) -> None:
    config = toy_config(
        optimiser={"steps": 60, "batch_size": 16, "warmup_steps": 5, "learning_rate": 0.003},
        log={"log_every": 1, "evaluate_every": 30, "save_every": 30},
    )
    result = run(tmp_path, config)
    entries = logged(tmp_path)
    assert [entry["step"] for entry in entries] == list(range(1, 61))
    assert entries[-1]["distortion"] < entries[0]["distortion"] - 10
    assert entries[-1]["validation.linear.accuracy"] == 1.0
    assert result.is_complete
    assert result.best == max(e["validation.selection"] for e in entries if "validation.rate" in e)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.yaml",
        "metrics.jsonl",
        "state.safetensors",
        "best.safetensors",
    }


def test_a_run_starts_from_its_linear_part_and_keeps_it(tmp_path: Path) -> None:
    config = toy_config(data={"anchor_glitches": 24})
    run(tmp_path, config)
    model = ViewsVAE(config.architecture)
    load_state(tmp_path / STATE_FILE, model, None)
    assert model.anchor.loadings.abs().max() > 0.05
    assert logged(tmp_path)[0]["rate"] > 1  # 0 if only the prior were used


def test_two_trainings_never_write_one_folder(tmp_path: Path) -> None:
    config = toy_config()

    def start_another(step: int, _metrics: dict[str, float]) -> None:
        if step == 2:
            with pytest.raises(FolderInUseError, match="Another command is using"):
                run(tmp_path, config)

    assert run(tmp_path, config, report=start_another).is_complete
    assert [entry["step"] for entry in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert run(tmp_path, config).is_complete  # the folder is free again


def test_another_configuration_may_not_take_the_folder(tmp_path: Path) -> None:
    run(tmp_path, toy_config())
    with pytest.raises(TrainingError, match="another configuration"):
        run(tmp_path, toy_config(seed=1))


def test_a_run_that_is_complete_does_nothing_more(tmp_path: Path) -> None:
    run(tmp_path, toy_config())
    before = (tmp_path / STATE_FILE).read_bytes()
    entries = logged(tmp_path)
    assert run(tmp_path, toy_config()).step == 6
    assert (tmp_path / STATE_FILE).read_bytes() == before
    assert logged(tmp_path) == entries


@pytest.mark.parametrize(
    "damage", [b'{"step": 4, "lo', b'{"step": \xc6}\n{"step": 5}\n', bytes(64), b"7\n"]
)
def test_a_log_is_read_up_to_its_damage(tmp_path: Path, damage: bytes) -> None:
    run(tmp_path, toy_config())
    path = tmp_path / METRICS_FILE
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:3]) + damage)
    assert [entry["step"] for entry in logged_entries(path)] == [1, 2, 3]
    assert run(tmp_path, toy_config()).is_complete
    assert path.read_bytes() == b"".join(whole[:3])


def test_weights_of_another_run_can_be_the_start(tmp_path: Path) -> None:
    run(tmp_path / "first", toy_config())
    config = toy_config(
        name="second",
        initialise_from=str(tmp_path / "first"),
        optimiser={"steps": 1, "batch_size": 8, "warmup_steps": 1, "learning_rate": 1e-9},
    )
    run(tmp_path / "second", config)
    models = [ViewsVAE(config.architecture) for _ in range(2)]
    for model, name in zip(models, ("first", "second"), strict=True):
        load_state(tmp_path / name / STATE_FILE, model, None)
    for name, value in models[0].state_dict().items():
        torch.testing.assert_close(models[1].state_dict()[name], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_a_number_that_is_not_finite_stops_the_run_and_names_the_step(part: str) -> None:
    config = toy_config()
    model = ViewsVAE(config.architecture)
    optimiser = torch.optim.Adam(model.parameters())
    source = BatchSource(
        toy_pack(), None, real_share=1, batch_size=8, augmentation=config.augmentation, seed=0
    )
    if part == "loss":
        with torch.no_grad():
            model.join.bias[0] = math.nan
    else:
        model.join.weight.register_hook(lambda gradient: gradient * math.inf)
    task = ViewsTask(config, model, source)
    before = model.trunk[0].weight.detach().clone()
    with pytest.raises(TrainingError, match=f"{part} is .*at step 41"):
        optimise(task, optimiser, config.objective.build(), config=config, step=41)
    assert torch.equal(model.trunk[0].weight, before)


def test_ctrl_c_saves_and_the_same_call_finishes(tmp_path: Path) -> None:
    def interrupt(step: int, _metrics: dict[str, float]) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    stopped = run(tmp_path, toy_config(), report=interrupt)
    assert (stopped.step, stopped.is_complete) == (3, False)
    assert signal.getsignal(signal.SIGINT) is handler
    assert run(tmp_path, toy_config()).is_complete
    assert [entry["step"] for entry in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("damage", ["cut", "architecture", "missing"])
def test_a_state_that_cannot_be_continued_is_refused(tmp_path: Path, damage: str) -> None:
    run(tmp_path, toy_config())
    path = tmp_path / STATE_FILE
    model = ViewsVAE(toy_config().architecture)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "missing":
        path.unlink()
    else:
        model = ViewsVAE(config_from_mapping({"name": "a"}).architecture)
    words = {"cut": "damaged", "architecture": "another architecture", "missing": "no training"}
    with pytest.raises(CheckpointError, match=words[damage]):
        load_state(path, model, None)


def test_lone_views_are_one_entry_for_each_view_present() -> None:
    pack = toy_pack(6)
    singles, input_views, origin = single_views(pack)
    assert len(singles) == 4 * 6 - 2
    assert (input_views.sum(axis=1) == 1).all()
    assert origin.tolist() == sorted(origin.tolist())
    assert not input_views[(origin == 0) | (origin == 5), 3].any()


def test_evaluation_sees_what_it_says(tmp_path: Path) -> None:
    model = ViewsVAE(toy_config().architecture)
    pack = toy_pack()
    fit_anchor(model, [pack], len(pack), seed=0)
    model.train()
    metrics = evaluate_model(model, pack, toy_pack(12, 1))
    assert model.training
    assert metrics["elbo"] == pytest.approx(-(metrics["rate"] + metrics["distortion"]), rel=1e-6)
    assert 0 <= metrics["active_units"] <= 3
    model.eval()
    full = encode_pack(model, pack)
    everything = np.asarray(pack.observed).any(axis=2)
    np.testing.assert_array_equal(encode_pack(model, pack, everything).mean, full.mean)
    lone = everything & (np.arange(4) == 0)
    assert np.abs(encode_pack(model, pack, lone).mean - full.mean).max() > 1e-4
    assert lone_view_agreement(model, pack.subset([0])) == {}


def test_a_run_from_before_a_key_was_there_is_continued_exactly(tmp_path: Path) -> None:
    def stop(step: int, _metrics: dict[str, float]) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    run(tmp_path / "whole", toy_config())
    run(tmp_path / "old", toy_config(), report=stop)
    path = tmp_path / "old" / CONFIG_FILE
    saved = yaml.safe_load(path.read_text())
    for key in ("real_layout", "split", "strain_folder"):  # added in later versions
        del saved["data"][key]
    del saved["initialise_from"], saved["variance"]
    path.write_text(yaml.safe_dump(saved))
    assert run(tmp_path / "old", toy_config()).is_complete
    whole, old = (
        [{**entry, "seconds": 0} for entry in logged(tmp_path / name)] for name in ("whole", "old")
    )
    assert old == whole


def test_differences_from_the_run_in_the_folder_are_named(tmp_path: Path) -> None:
    run(tmp_path, toy_config())
    # A parameter written explicitly differs from the default only by its value.
    spelt = {"kind": "beta_annealed", "parameters": {"beta_start": 4, "annealing_steps": 100_000}}
    assert run(tmp_path, toy_config(objective=spelt)).is_complete
    spelt["parameters"] = {"beta_start": 4.5}
    with pytest.raises(
        TrainingError,
        match=r"\(seed is 0 there and 1 here; objective.beta_start is 4.0 there and 4.5 here\)",
    ):
        run(tmp_path, toy_config(seed=1, objective=spelt))


def test_a_run_of_a_later_version_is_refused_by_its_key(tmp_path: Path) -> None:
    run(tmp_path, toy_config())
    path = tmp_path / CONFIG_FILE
    path.write_text(path.read_text() + "colour: blue\n")
    with pytest.raises(ConfigError, match="colour is unknown"):
        run(tmp_path, toy_config())


def test_a_run_whose_variance_was_learnt_is_not_continued_in_closed_form(tmp_path: Path) -> None:
    run(tmp_path, toy_config())
    path = tmp_path / CONFIG_FILE
    saved = yaml.safe_load(path.read_text())
    del saved["variance"]  # as in versions that always learnt it
    path.write_text(yaml.safe_dump(saved))
    with pytest.raises(
        TrainingError, match=r"variance.kind is learnt there and closed_form here.*another folder"
    ):
        run(tmp_path, toy_config(variance={"kind": "closed_form"}))


def test_the_closed_form_variance_is_the_mean_square_residual_after_training(
    tmp_path: Path,
) -> None:
    config = toy_config(
        optimiser={"steps": 300, "batch_size": 32, "warmup_steps": 5, "learning_rate": 0.003},
        variance={"kind": "closed_form"},
        log={"log_every": 50, "evaluate_every": 300, "save_every": 300},
    )
    run(tmp_path, config)
    model = ViewsVAE(config.architecture)
    load_state(tmp_path / STATE_FILE, model, None)
    source = BatchSource(
        toy_pack(),
        None,
        real_share=1.0,
        batch_size=32,
        augmentation=config.augmentation,
        seed=5,  # batches that were not used in the run
    )
    squares = pixels = torch.zeros(1)
    with torch.no_grad():
        for step in range(200):
            batch = source.batch(step)
            target, rows = model.prepare(batch.values, batch.observed)
            target_views = rows & batch.target_views[..., None]
            input_views = rows & batch.input_views[..., None]
            posterior = model.encode(target * batch.input_views[..., None, None], input_views)
            draw = sample_posterior(posterior, torch.Generator().manual_seed(step))
            found = sum_residuals(
                target, model.decode(draw, batch.target_views), target_views, batch.target_weight
            )
            squares, pixels = squares + found.squares, pixels + found.pixels
    ratio = model.likelihood.log_variance().exp() / (squares / pixels)
    assert abs(ratio.log().mean().item()) < 0.05  # within 5 % of the optimum
    assert ratio.log().abs().median().item() < 0.1  # for each row, a mean over few steps


def test_a_fixed_variance_stays_and_a_learnt_one_moves(tmp_path: Path) -> None:
    found = {}
    for kind in ("fixed", "learnt"):
        config = toy_config(variance={"kind": kind, "fixed": 0.003})
        run(tmp_path / kind, config)
        model = ViewsVAE(config.architecture)
        load_state(tmp_path / kind / STATE_FILE, model, None)
        found[kind] = model.likelihood.log_variance().exp().detach()
    torch.testing.assert_close(found["fixed"], torch.full_like(found["fixed"], 0.003))
    assert found["learnt"].std() > 0


def test_a_run_in_closed_form_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    changes = {"variance": {"kind": "closed_form"}}
    run(tmp_path / "whole", toy_config(**changes))
    half = {"steps": 6, "batch_size": 8, "warmup_steps": 1, "learning_rate": 0.003}

    def stop(step: int, _metrics: dict[str, float]) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    assert not run(tmp_path / "cut", toy_config(optimiser=half, **changes), report=stop).is_complete
    assert run(tmp_path / "cut", toy_config(optimiser=half, **changes)).is_complete
    losses = [[entry["loss"] for entry in logged(tmp_path / name)] for name in ("whole", "cut")]
    assert losses[0] == losses[1]
