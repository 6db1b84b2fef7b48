"""The training loop: one pure step, repeated, logged, saved, and resumable after a kill.

There is one loop. Whatever is trained is a :class:`Task`.
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
    """A run cannot start, or went numerically wrong."""


class Task(Protocol):
    """What the loop trains: a model, and what that model makes of the batch of a step.

    Both the views of glitches and single pictures (dSprites) are tasks; everything else about
    training is the loop's. A task is a pure function of its data, its seed and the step, so that
    nothing but weights and moments need be saved to resume exactly.
    """

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def n_latent(self) -> int:
        """Latent dimensions."""

    def start(self) -> None:
        """Prepares the weights of a new run; not called when a run continues."""

    def outcome(self, step: int, generator: torch.Generator, *, is_half_precision: bool) -> Outcome:
        """The batch of that step, encoded, drawn from (with ``generator``) and decoded."""

    def details(self, outcome: Outcome) -> dict[str, float]:
        """Figures of the batch that are logged beside loss, rate and distortion."""

    def evaluate(self) -> dict[str, float]:
        """Figures on held-out data, with ``selection`` (higher is better) where there is one.

        Empty where nothing is held out.
        """


class RunSettings(Protocol):
    """The part of a configuration that the loop reads. It must be a dataclass, to be saved."""

    @property
    def seed(self) -> int:
        """Of the weights, the batches and the draws."""

    @property
    def objective(self) -> ObjectiveConfig:
        """What is minimised."""

    @property
    def optimiser(self) -> OptimiserConfig:
        """How."""

    @property
    def log(self) -> LogConfig:
        """How often the run looks at itself and saves itself."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

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
    """Trains, or continues the run that ``folder`` holds, to ``config.optimiser.steps``.

    Ctrl-C (or SIGTERM) finishes the step under way, saves, and returns; a killed run continues
    from its last save with exactly the losses that it would have had.

    Args:
        config: the run. Continuing with another configuration is refused.
        build: makes the task; the weights' first values come from the seed.
        folder: where state, metrics (JSON lines) and the best weights are kept.
        report: called after each logged step with its metrics.
        device: where batches are learnt from. Held-out data are judged on the host.

    Raises:
        TrainingError: if the folder holds another run, or a loss or gradient is not finite.
        FolderInUseError: if another process trains in the folder.
        FullDiskError: if there is no room left for the log.
        CheckpointError: if there is none for the state, or the state cannot be read.
    """
    with ExitStack() as held:
        if is_first():
            held.enter_context(full_disk_as_error(folder))
            held.enter_context(one_at_a_time(folder))
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
    torch.manual_seed(config.seed)  # the weights' first values are drawn from the global stream
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
            found: dict[str, float] = {}
            if is_evaluated:
                with on_host(model):
                    found = task.evaluate()
                metrics |= {f"validation.{name}": value for name, value in found.items()}
            if found.get("selection", -math.inf) > best:
                best = found["selection"]
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
    """One update of the model, and one of the objective's discriminator where it has one.

    The draw depends on (seed, step) alone. The metrics are those of the batch before the update;
    none are worked out, which takes time, unless ``is_reported``.

    Raises:
        TrainingError: if the loss or the gradient is not finite; the weights are then untouched.
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
    """A FactorVAE's discriminator; its first weights come from the seed alone."""
    if not isinstance(objective, FactorVAE):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Discriminator(task.n_latent).to(device)


def claim_folder(config: RunSettings, folder: Path) -> None:
    """Makes ``folder`` this run's, or checks that it already is.

    Raises:
        TrainingError: if it holds a run of another configuration; the message names the keys.
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
    """The configuration that a run was started with; keys that are younger have their defaults.

    Raises:
        ConfigError: if the file is damaged, or of a later version that knows more keys.
    """
    return build_from_mapping(kind, read_yaml(path))


def logged_entries(path: Path) -> list[dict[str, float]]:
    """What a run logged, up to a line that a kill or a damaged disk left without sense."""
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
    """Drops logged steps later than the saved one: they are about to be done again."""
    kept = [entry for entry in logged_entries(path) if entry["step"] <= step]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in kept), encoding="utf-8")
