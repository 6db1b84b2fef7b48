"""The training loop: one pure step, repeated, logged, saved, and resumable after a kill."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import yaml

from glitch.errors import GlitchError
from glitch.model import ViewsVAE, sample_posterior
from training.anchor import fit_anchor
from training.config import TrainingConfig, config_to_mapping
from training.evaluation import evaluate_model
from training.objectives import Objective, Outcome
from training.pack import Pack
from training.sampling import Batch, BatchSource
from training.schedules import learning_rate_factor
from training.state import STATE_FILE, load_state, save_state

CONFIG_FILE, METRICS_FILE, BEST_FILE = "config.yaml", "metrics.jsonl", "best.safetensors"

Report = Callable[[int, dict[str, float]], None]


class TrainingError(GlitchError):
    """A run cannot start, or went numerically wrong."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    step: int
    is_complete: bool
    best: float  # selection score of ``best.safetensors``; minus infinity if never evaluated


def compute_outcome(
    model: ViewsVAE, batch: Batch, generator: torch.Generator, *, is_half_precision: bool
) -> Outcome:
    """Encodes what is shown, draws, decodes what is owed."""
    pixels, rows = model.prepare(batch.values, batch.observed)
    seen_rows, owed_rows = rows & batch.shown[..., None], rows & batch.owed[..., None]
    with torch.autocast("cpu", torch.bfloat16, enabled=is_half_precision):
        posterior = model.encode(pixels * batch.shown[..., None, None], seen_rows)
        draw = sample_posterior(posterior, generator)
        prediction = model.decode(draw, batch.owed)
    distortion = model.likelihood.distortion(pixels, prediction.float(), owed_rows)
    return Outcome(distortion * batch.owed_weight, posterior, draw)


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    real_train: Pack | None,
    validation: Pack | None,
    simulated: Pack | None,
    report: Report = lambda _step, _metrics: None,
) -> Result:
    """Trains, or continues the run that ``folder`` holds, to ``config.optimiser.steps``.

    Ctrl-C (or SIGTERM) finishes the step under way, saves, and returns; a killed run continues
    from its last save with exactly the losses that it would have had.

    Args:
        config: the run. Continuing with another configuration is refused.
        folder: where state, metrics (JSON lines) and the best weights are kept.
        real_train: real glitches to learn from; also the probes' labelled reference.
        validation: held-out real glitches that choose the best weights.
        simulated: simulated glitches to learn from.
        report: called after each logged step with its metrics.

    Raises:
        TrainingError: if the folder holds another run, or a loss or gradient is not finite.
    """
    claim_folder(config, folder)
    torch.manual_seed(config.seed)  # the weights' first values are drawn from the global stream
    model = ViewsVAE(config.architecture)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(model.parameters(), lr=config.optimiser.learning_rate)
    source = BatchSource(
        real_train,
        simulated,
        real_share=config.data.real_share,
        batch_size=config.optimiser.batch_size,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    state_path = folder / STATE_FILE
    step, best = 0, -math.inf
    if state_path.exists():
        step, best = load_state(state_path, model, optimiser)
        _forget_after(folder / METRICS_FILE, step)
    elif config.initialise_from is not None:
        load_state(Path(config.initialise_from) / STATE_FILE, model, None)
    elif config.data.anchor_glitches:
        fit_anchor(model, source.packs, config.data.anchor_glitches, config.seed)
    objective, clock = config.objective.build(), time.perf_counter()
    with (
        _stop_requests() as is_stopped,
        (folder / METRICS_FILE).open("a", encoding="utf-8") as log,
    ):
        while step < config.optimiser.steps and not is_stopped():
            metrics = optimise(
                model, optimiser, objective, source.batch(step), config=config, step=step
            )
            step += 1
            is_last = step == config.optimiser.steps
            is_logged = is_last or step % config.log.log_every == 0
            is_evaluated = validation is not None and (
                is_last or step % config.log.evaluate_every == 0
            )
            if is_evaluated and validation is not None and real_train is not None:
                found = evaluate_model(model, real_train, validation)
                metrics |= {f"validation.{name}": value for name, value in found.items()}
                if found.get("selection", -math.inf) > best:
                    best = found["selection"]
                    save_state(folder / BEST_FILE, model, optimiser, step, best)
            if is_logged or is_evaluated:
                metrics["seconds"] = time.perf_counter() - clock
                log.write(json.dumps({"step": step, **metrics}) + "\n")
                log.flush()
                report(step, metrics)
            if is_last or step % config.log.save_every == 0:
                save_state(state_path, model, optimiser, step, best)
        save_state(state_path, model, optimiser, step, best)
    return Result(step, step >= config.optimiser.steps, best)


def optimise(
    model: ViewsVAE,
    optimiser: torch.optim.Optimizer,
    objective: Objective,
    batch: Batch,
    *,
    config: TrainingConfig,
    step: int,
) -> dict[str, float]:
    """One update. Its draw depends on (seed, step) alone.

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
    outcome = compute_outcome(model, batch, generator, is_half_precision=settings.is_half_precision)
    loss = objective.loss(outcome, step)
    if not math.isfinite(loss.item()):
        raise TrainingError(
            f"The loss is {loss.item()} at step {step}: lower optimiser.learning_rate, "
            "or check the data of that batch; the last saved state is intact."
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip).item()
    if not math.isfinite(norm):
        raise TrainingError(
            f"The gradient is not finite at step {step}: lower optimiser.learning_rate; "
            "the last saved state is intact."
        )
    optimiser.step()
    return {
        "loss": loss.item(),
        "rate": outcome.rate.mean().item(),
        "distortion": outcome.distortion.mean().item(),
        "gradient_norm": norm,
        "learning_rate": settings.learning_rate * factor,
        **objective.weights(step),
    }


def claim_folder(config: TrainingConfig, folder: Path) -> None:
    """Makes ``folder`` this run's, or checks that it already is.

    Raises:
        TrainingError: if it holds a run of another configuration.
    """
    wanted = config_to_mapping(config)
    path = folder / CONFIG_FILE
    if path.exists():
        if yaml.safe_load(path.read_text(encoding="utf-8")) != wanted:
            raise TrainingError(
                f"{folder} holds a run of another configuration: "
                "continue that one with its own file, or choose another folder."
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")


def _forget_after(path: Path, step: int) -> None:
    """Drops logged steps later than the saved one: they are about to be done again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept: list[str] = []
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            break  # the kill came in the middle of this line
        if entry["step"] <= step:
            kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a flag; a second one interrupts at once."""
    received: list[int] = []
    previous: dict[int, signal._HANDLER] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, note)
    except ValueError:
        previous.clear()  # not the main thread: signals are not ours to take
    try:
        yield lambda: bool(received)
    finally:
        restore()
