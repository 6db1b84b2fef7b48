"""The training loop: a pure step, repeated, logged, saved, and resumable after a kill.

There is one loop for all models. What it trains is a :class:`Task`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
import yaml
from torch import nn

from glitch.errors import GlitchError
from training.core.adam import Adam
from training.core.config import (
    LogConfig,
    ObjectiveConfig,
    OptimiserConfig,
    build_from_mapping,
    config_to_mapping,
    differing_keys,
    read_yaml,
)
from training.core.devices import CPU, on_host
from training.core.distributed import any_process, is_first, wait_for_all
from training.core.full_disk import full_disk_as_error
from training.core.interrupts import stop_requests
from training.core.objectives import Discriminator, FactorVAE, Objective, Outcome
from training.core.one_at_a_time import one_at_a_time
from training.core.schedules import learning_rate_factor
from training.core.state import STATE_FILE, load_state, save_state

CONFIG_FILE, METRICS_FILE, BEST_FILE = "config.yaml", "metrics.jsonl", "best.safetensors"

Report = Callable[[int, dict[str, float]], None]


class TrainingError(GlitchError):
    """A run cannot start, or diverged."""


class Task(Protocol):
    """A model to train and its batches.

    Views of glitches and single pictures (dSprites) are tasks; the loop does everything else. A
    task is a pure function of its data, its seed and the step, so only weights and optimiser
    moments need to be saved to resume exactly.
    """

    @property
    def model(self) -> nn.Module:
        """The model to train."""

    @property
    def n_latent(self) -> int:
        """Number of latent dimensions."""

    def start(self) -> None:
        """Prepare the weights of a new run; not called when a run continues."""

    def outcome(self, step: int, generator: torch.Generator, *, is_half_precision: bool) -> Outcome:
        """Encode the batch of a step, sample (with ``generator``) and decode."""

    def details(self, outcome: Outcome) -> dict[str, float]:
        """Return metrics of the batch that are logged in addition to loss, rate and distortion."""

    def evaluate(self) -> dict[str, float]:
        """Return metrics on held-out data, including ``selection`` (higher is better) if there is
        one.

        Empty if nothing is held out.
        """


class RunSettings(Protocol):
    """The part of a configuration that the loop reads. It must be a dataclass, to be saved."""

    @property
    def seed(self) -> int:
        """Seed of the weights, the batches and the samples."""

    @property
    def objective(self) -> ObjectiveConfig:
        """The objective to minimise."""

    @property
    def optimiser(self) -> OptimiserConfig:
        """Settings of the optimiser."""

    @property
    def log(self) -> LogConfig:
        """How often the run logs, evaluates and saves."""


@dataclass(frozen=True)
class Result:
    """The end of a run."""

    step: int
    is_complete: bool
    best: float  # selection score of ``best.safetensors``; minus infinity if never evaluated


def run_task(
    config: RunSettings,
    build: Callable[[], Task],
    folder: Path,
    *,
    report: Report = lambda _step, _metrics: None,
    device: torch.device = CPU,
) -> Result:
    """Train, or continue the run in ``folder``, to ``config.optimiser.steps``.

    Ctrl-C (or SIGTERM) finishes the current step, saves, and returns. A killed run continues from
    its last save with exactly the same losses.

    Args:
        config: of the run. A run cannot be continued with another configuration.
        build: makes the task; the initial weights come from the seed.
        folder: stores state, metrics (JSON lines) and the best weights.
        report: called after each logged step with its metrics.
        device: trains here. Held-out data are evaluated on the CPU.

    Raises:
        TrainingError: if the folder holds another run, or a loss or gradient is not finite.
        FolderInUseError: if another process trains in the folder.
        FullDiskError: if there is no space left for the log.
        CheckpointError: if there is no space left for the state, or it cannot be read.
    """
    with ExitStack() as stack:
        if is_first():
            stack.enter_context(full_disk_as_error(folder))
            stack.enter_context(one_at_a_time(folder))
            claim_folder(config, folder)
        wait_for_all()
        return _run(config, build, folder, report, device)


def _run(
    config: RunSettings,
    build: Callable[[], Task],
    folder: Path,
    report: Report,
    device: torch.device,
) -> Result:
    torch.manual_seed(config.seed)  # initial weights are drawn from torch's global generator
    task = build()
    model = task.model
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    state_path = folder / STATE_FILE
    if not state_path.exists():
        task.start()
    model.to(device)
    # Fused: one pass over each weight and its moments instead of a dozen.
    optimiser = Adam(model.parameters(), lr=config.optimiser.learning_rate, fused=True)
    objective, clock = config.objective.build(), time.perf_counter()
    discriminator = _discriminator_for(objective, task, config.seed, device)
    step, best = 0, -math.inf
    if state_path.exists():
        step, best = load_state(state_path, model, optimiser, discriminator)
        if is_first():
            _forget_after(folder / METRICS_FILE, step)
    wait_for_all()
    with (
        full_disk_as_error(folder),
        stop_requests() as is_stopped,
        (folder / METRICS_FILE).open("a", encoding="utf-8") as log,
    ):
        while step < config.optimiser.steps and not any_process(is_stopped()):
            is_last = step + 1 == config.optimiser.steps
            is_evaluated = is_last or (step + 1) % config.log.evaluate_every == 0
            is_logged = is_evaluated or (step + 1) % config.log.log_every == 0
            metrics = optimise(
                task,
                optimiser,
                objective,
                config=config,
                step=step,
                discriminator=discriminator,
                is_reported=is_logged,
            )
            step += 1
            if not is_first():
                continue
            scores: dict[str, float] = {}
            if is_evaluated:
                with on_host(model):
                    scores = task.evaluate()
                metrics |= {f"validation.{name}": value for name, value in scores.items()}
            if scores.get("selection", -math.inf) > best:
                best = scores["selection"]
                save_state(folder / BEST_FILE, model, optimiser, step, best, discriminator)
            if is_logged:
                metrics["seconds"] = time.perf_counter() - clock
                log.write(json.dumps({"step": step, **metrics}) + "\n")
                log.flush()
                report(step, metrics)
            if is_last or step % config.log.save_every == 0:
                save_state(state_path, model, optimiser, step, best, discriminator)
        if is_first():
            save_state(state_path, model, optimiser, step, best, discriminator)
    wait_for_all()
    return Result(step, step >= config.optimiser.steps, best)


def optimise(
    task: Task,
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    *,
    config: RunSettings,
    step: int,
    discriminator: Discriminator | None = None,
    is_reported: bool = True,
) -> dict[str, float]:
    """Update the model once, and the objective's discriminator if it has one.

    Random numbers depend only on (seed, step). The metrics are those of the batch before the
    update; they take time, so they are only computed if ``is_reported``.

    Raises:
        TrainingError: if the loss or the gradient is not finite; the weights are then unchanged.
    """
    settings = config.optimiser
    factor = learning_rate_factor(
        step,
        warmup_steps=settings.warmup_steps,
        steps=settings.steps,
        final_factor=settings.final_factor,
    )
    for group in optimiser.param_groups:
        group["lr"] = settings.learning_rate * factor
    # Seeds of neighbouring steps must not overlap between runs of neighbouring seeds.
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    outcome = task.outcome(step, generator, is_half_precision=settings.is_half_precision)
    if discriminator is not None:
        outcome = replace(outcome, total_correlation=discriminator.log_ratio(outcome.draw).mean())
    loss = objective.loss(outcome, step)
    if outcome.guidance is not None:
        loss = loss + outcome.guidance
    if not math.isfinite(loss.item()):
        raise TrainingError(
            f"The loss is {loss.item()} at step {step}: lower optimiser.learning_rate, "
            "or check the data of that batch; the last saved state is intact."
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(task.model.parameters(), settings.gradient_clip).item()
    if not math.isfinite(norm):
        raise TrainingError(
            f"The gradient is not finite at step {step}: lower optimiser.learning_rate; "
            "the last saved state is intact."
        )
    optimiser.step()
    discriminator_loss = (
        None if discriminator is None else discriminator.learn(outcome.draw.detach(), generator)
    )
    if not is_reported:
        return {}
    metrics = {
        "loss": loss.item(),
        "rate": outcome.rate.mean().item(),
        "distortion": outcome.distortion.mean().item(),
        "gradient_norm": norm,
        "learning_rate": settings.learning_rate * factor,
        **objective.weights(step),
        **task.details(outcome),
    }
    if discriminator_loss is not None:
        metrics["discriminator_loss"] = discriminator_loss
    return metrics


def _discriminator_for(
    objective: Objective, task: Task, seed: int, device: torch.device
) -> Discriminator | None:
    """Build a FactorVAE's discriminator; its initial weights depend only on the seed."""
    if not isinstance(objective, FactorVAE):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(task.n_latent).to(device)


def claim_folder(config: RunSettings, folder: Path) -> None:
    """Write the run's configuration into ``folder``, or check that it is already there.

    Raises:
        TrainingError: if the folder has a run of another configuration; the message names the keys.
    """
    path = folder / CONFIG_FILE
    if path.exists():
        differences = differing_keys(_saved_config(path, type(config)), config)
        if differences:
            raise TrainingError(
                f"{folder} holds a run of another configuration ({'; '.join(differences)}): "
                "continue that one with its own file, or choose another folder."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config_to_mapping(config), sort_keys=False)
    path.write_text(text, encoding="utf-8")


def _saved_config(path: Path, kind: type[RunSettings]) -> RunSettings:
    """Read the configuration that a run was started with; newer keys get their defaults.

    Raises:
        ConfigError: if the file is damaged, or is of a later version with more keys.
    """
    return build_from_mapping(kind, read_yaml(path))


def logged_entries(path: Path) -> list[dict[str, float]]:
    """Read the log of a run, up to the first line that is damaged or incomplete."""
    entries: list[dict[str, float]] = []
    if not path.exists():
        return entries
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break
        if not (isinstance(entry, dict) and "step" in entry):
            break
        entries.append(entry)
    return entries


def _forget_after(path: Path, step: int) -> None:
    """Remove log entries after the saved step, because these steps are repeated."""
    earlier = [entry for entry in logged_entries(path) if entry["step"] <= step]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in earlier), encoding="utf-8")
