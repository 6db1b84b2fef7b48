"""Guided training: calibrated variances, exact resumption, and messages for unsuitable packs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glitch.simulate import UNNAMED
from glitch.views import Preprocessing
from training.core.config import ConfigError
from training.core.loop import METRICS_FILE, Report, Result, TrainingError
from training.core.one_at_a_time import FolderInUseError
from training.data import simulated as simulating
from training.data.pack import PARAMETERS, Pack, PackError, read_pack
from training.views.augmented import scattering_features, trunk_features
from training.views.config import config_from_mapping
from training.views.export import load_run
from training.views.guided_config import GuidedConfig
from training.views.guided_task import GuidedTask
from training.views.train import train

TINY = {
    "name": "tiny",
    "architecture": {
        "front_end": "wavelet_scattering",
        "n_frequency": 32,
        "n_time": 32,
        "scales": 2,
        "directions": 2,
        "axes": 8,
        "hidden": 32,
        "dropout": 0.0,
        "latent": 4,
        "painter_centres": 8,
        "painter_axes": 4,
    },
    "objective": {"kind": "beta_annealed", "parameters": {"beta_start": 2, "annealing_steps": 10}},
    "optimiser": {"steps": 12, "batch_size": 32, "warmup_steps": 0, "gradient_clip": 1e6},
    "guidance": {"classes": 10.0, "parameters": 1.0},
    "looks": {"real_looks": 2, "shift_pixels": 1},
    "data": {"simulated": "somewhere", "real_share": 0.5},
    "log": {"log_every": 1, "evaluate_every": 12, "save_every": 6},
}


def pack(n: int, labels: tuple[str, ...], seed: int, *, is_simulated: bool) -> Pack:
    """Bumps at a height in frequency that depends on their label."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:32, :32]
    grey = np.zeros((2, n, 4, 32, 32))
    names = tuple(labels[index % len(labels)] for index in range(n))
    for index, name in enumerate(names):
        centre = 6 + 18 * labels.index(name) / max(len(labels) - 1, 1) + rng.normal()
        away = ((row - centre) / 3) ** 2 + ((column - 16) / rng.uniform(1, 5)) ** 2
        grey[:, index] = np.exp(-away / 2) + 0.1 * rng.random((2, 4, 32, 32))
    values = np.round(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    return Pack(
        values[0],
        np.ones((n, 4, 32), dtype=np.bool_),
        names,
        tuple(f"g{index}" for index in range(n)),
        values[1] if is_simulated else None,
        rng.random((n, len(PARAMETERS)), dtype=np.float32) if is_simulated else None,
    )


REAL = pack(24, ("a", "b", "c"), 0, is_simulated=False)
HELD_OUT = pack(12, ("a", "b", "c"), 1, is_simulated=False)
SIMULATED = pack(40, ("a", "b", "c", UNNAMED), 2, is_simulated=True)


def config(**changes: object) -> GuidedConfig:
    made = config_from_mapping({**TINY, **changes})
    assert isinstance(made, GuidedConfig)
    return made


WITH_TRUNK = {
    "architecture": {**TINY["architecture"], "trunk": 4},
    "guidance": {**TINY["guidance"], "trunk_steps": 30, "trunk_real_steps": 8},
}


def run(
    folder: Path,
    settings: GuidedConfig,
    simulated: Pack = SIMULATED,
    report: Report = lambda _step, _metrics: None,
) -> Result:
    packs = {"real_train": REAL, "validation": HELD_OUT, "simulated": simulated}
    return train(settings, folder, **packs, report=report)


def one_window(whole: Pack) -> Pack:
    """Return the same glitches with only their first view."""
    observed = whole.observed.copy()
    observed[:, 1:] = False
    return replace(whole, observed=observed)


def test_the_variance_is_that_of_the_residuals_after_training(tmp_path: Path) -> None:
    """The variance of the feature likelihood is the mean square over fresh batches, within 5 %."""
    optimiser = {**TINY["optimiser"], "steps": 200, "learning_rate": 0.003}
    settings = config(optimiser=optimiser, log={"evaluate_every": 200, "save_every": 200})
    packs = [one_window(one) for one in (REAL, HELD_OUT, SIMULATED)]
    train(settings, tmp_path, real_train=packs[0], validation=packs[1], simulated=packs[2])
    _, model, _ = load_run(tmp_path)
    task = GuidedTask(settings, *packs, folder=tmp_path)
    task.model.load_state_dict(model.state_dict())
    kept = task.model.axis_log_variance.clone()
    assert kept[0] < -0.5  # the model explains part of it
    chi_squares = []
    for step in range(1000, 1040):
        task.model.axis_log_variance.copy_(kept)
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            outcome = task.outcome(step, generator, is_half_precision=False)
        # this batch has moved the variance by a twentieth of the way
        nats = 2 * outcome.distortion.mean() / (settings.architecture.axes + 1)
        chi_squares.append(float(nats - task.model.axis_log_variance[0] - np.log(2 * np.pi)))
    assert np.mean(chi_squares) == pytest.approx(1, abs=0.05)


def test_the_painter_beats_the_mean_picture_on_held_out_glitches(tmp_path: Path) -> None:
    optimiser = {**TINY["optimiser"], "steps": 100, "learning_rate": 0.003}
    run(tmp_path, config(optimiser=optimiser, log={"evaluate_every": 100}))
    _, model, _ = load_run(tmp_path)
    pixels, rows = model.prepare(*HELD_OUT.tensors(np.arange(len(HELD_OUT))))
    with torch.no_grad():
        painted = model.decode(model.encode(pixels, rows).mean, rows.any(dim=2))
    left = (pixels - painted).square().sum() / (pixels - pixels.mean(dim=0)).square().sum()
    assert left < 0.5
    # The variances are those of glitches that were not used in the fit.
    chi_square = float(model.likelihood.reduced_chi_square(pixels, painted, rows).mean())
    assert chi_square == pytest.approx(1, abs=0.5)


def test_the_trunk_learns_the_simulated_classes_and_then_stays(tmp_path: Path) -> None:
    settings = config(**WITH_TRUNK)
    task = GuidedTask(settings, REAL, HELD_OUT, SIMULATED, folder=tmp_path)
    task.start()
    model = task.model
    assert model.trunk is not None
    seen = trunk_features(model, {"real": REAL, "simulated": SIMULATED}, settings.looks, 0)
    labels = np.asarray(SIMULATED.labels)
    named = labels != UNNAMED
    known, query = (seen["simulated"][named, noise, 0].astype(float) for noise in (0, 1))
    centres = {name: known[labels[named] == name].mean(axis=0) for name in "abc"}
    nearest = np.asarray(list(centres))[
        [np.argmin([np.square(one - centre).sum() for centre in centres.values()]) for one in query]
    ]
    assert (nearest == labels[named]).mean() > 0.9
    # mean 0 and deviation 1 over simulated glitches, within the sampling error
    assert np.abs(seen["simulated"][named].mean(axis=(0, 1, 2))).max() < 0.5
    outcome = task.outcome(0, torch.Generator(), is_half_precision=False)
    assert outcome.guidance is not None
    (outcome.distortion.mean() + outcome.guidance).backward()
    assert model.posterior.weight.grad is not None
    assert all(weight.grad is None for weight in model.trunk.parameters())
    assert not model.trunk.training  # so no dropout


@pytest.mark.parametrize("changes", [{}, WITH_TRUNK])
def test_a_killed_run_continues_with_the_losses_it_would_have_had(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, config(**changes))

    def killed(step: int, _metrics: dict[str, float]) -> None:
        if step == 8:
            raise SystemExit

    with pytest.raises(SystemExit):
        run(parts, config(**changes), report=killed)
    run(parts, config(**changes))
    losses, again = (
        [json.loads(line)["loss"] for line in (folder / METRICS_FILE).read_text().splitlines()]
        for folder in (whole, parts)
    )
    assert len(losses) == 12
    assert losses == again


def test_a_run_can_be_loaded_with_its_heads(tmp_path: Path) -> None:
    run(tmp_path, config())
    settings, model, step = load_run(tmp_path)
    assert settings == config()
    assert model.architecture.classes == ("a", "b", "c")  # type: ignore[attr-defined]
    assert model.architecture.parameters == PARAMETERS  # type: ignore[attr-defined]
    assert step == 12


def test_a_hidden_class_is_met_neither_real_nor_simulated(tmp_path: Path) -> None:
    task = GuidedTask(config(hidden_class="b"), REAL, HELD_OUT, SIMULATED, folder=tmp_path)
    assert task.model.architecture.classes == ("a", "c")
    assert all("b" not in one.labels for one in task.packs.values())


def test_shared_looks_teach_what_own_ones_would(tmp_path: Path) -> None:
    task = GuidedTask(config(), REAL, HELD_OUT, SIMULATED, folder=tmp_path)
    seen = scattering_features(task.model, task.packs, config().looks, config().seed)
    run(tmp_path / "own", config())
    packs = {"real_train": REAL, "validation": HELD_OUT, "simulated": SIMULATED}
    train(config(), tmp_path / "shared", **packs, seen=seen)
    own, shared = (load_run(tmp_path / name)[1].state_dict() for name in ("own", "shared"))
    assert all(torch.equal(own[name], shared[name]) for name in own)
    without = GuidedTask(config(hidden_class="b"), **packs, folder=tmp_path, seen=seen)
    without.start()
    assert (
        without.outcome(0, torch.Generator(), is_half_precision=False).distortion.isfinite().all()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": None}, "no parameters.*simulate-pack"),
        ({"twins": None}, "no twins.*simulate-pack"),
        ({"labels": ("a",) * 40}, f"no {UNNAMED} shapes.*simulate-pack"),
    ],
)
def test_a_pack_without_what_guides_is_a_sentence(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(PackError, match=message):
        run(tmp_path, config(), replace(SIMULATED, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance": {"classes": -1.0}}, "guidance.classes"),
        ({"guidance": {"unnamed_share": 1.0}}, "guidance.unnamed_share"),
        ({"looks": {"real_looks": 0}}, "looks.real_looks"),
        ({"data": {"simulated": None}}, "guidance needs data.simulated"),
        ({"data": {"more_simulated": ["b"]}}, "give the first pack there"),
        ({"guidance": {"trunk_steps": 0}}, "guidance.trunk_steps"),
        ({"guidance": {"trunk_real_steps": -1}}, "guidance.trunk_real_steps"),
        (
            {"architecture": WITH_TRUNK["architecture"], "guidance": {"classes": 0.0}, "data": {}},
            "architecture.trunk learns from data.simulated",
        ),
        ({"variance": {}}, "variance is unknown"),
        ({"architecture": {"front_end": "curvelets"}}, "front end 'curvelets' is unknown"),
        ({"architecture": {"front_end": "wavelet_scattering", "classes": ["a"]}}, "leave them out"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.views.train.n_processes", lambda: 2)
    with pytest.raises(TrainingError, match="one process"):
        run(tmp_path, config())


def test_a_killed_simulation_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulating, "round_labels", lambda: ["Blip", UNNAMED])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    simulating.simulate_pack(whole, 10, seed=3)

    def stop(done: int, _total: int) -> None:
        with pytest.raises(FolderInUseError):  # two runs would overwrite each other's glitches
            simulating.simulate_pack(parts, 10, seed=3)
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulating.simulate_pack(parts, 10, seed=3, on_progress=stop)
    with pytest.raises(PackError, match="not contain a finished pack"):
        read_pack(parts, Preprocessing())
    with pytest.raises(PackError, match="unfinished pack with other settings"):
        simulating.simulate_pack(parts, 10, seed=4)
    simulating.simulate_pack(parts, 10, seed=3)
    one, other = (read_pack(folder, Preprocessing()) for folder in (whole, parts))
    assert one.labels == ("Blip", UNNAMED) * 10
    for name in ("values", "twins", "parameters", "observed"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert not np.array_equal(np.asarray(one.values), np.asarray(one.twins))
    with pytest.raises(PackError, match="at least one"):
        simulating.simulate_pack(tmp_path / "none", 0, seed=3)
