"""The paper's Table 1 on real glitches: a linear classifier on the posterior mean.

For each seed the objectives have the same encoder and decoder, budget, batches and initial weights;
there is no linear part (``anchor_glitches`` 0), because it is fitted independently of the
objective. The pixel variance is always at its optimum, so that beta = 1 is the evidence bound. A
Bottleneck of C = 25 has a different rate from annealing, so there is one more whose C is the final
rate of beta-Annealed with the same seed. Each seed has its own split of the groups: encoder and
classifier are trained on the same two thirds, and the classifier is tested on the last third, which
neither was trained on. The weights after the last step are evaluated; nothing is selected by
held-out labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from glitch.errors import GlitchError
from glitch.model import Architecture
from glitch.simulate import simulate_views
from training.core.budget import Budget
from training.core.config import LogConfig, ObjectiveConfig, OptimiserConfig
from training.core.devices import device_named
from training.core.loop import METRICS_FILE
from training.core.parallel import OnStep, Progress, Work, run_all
from training.core.state import STATE_FILE, saved_step
from training.data.config import DataConfig
from training.data.pack import Pack, pack_views
from training.data.real_images import read_real_images
from training.data.split import split_real
from training.reproduction.table1.judging import PIXELS, judge_pixels, judge_run
from training.reproduction.table1.results import JudgedRun, write_results
from training.views.config import TrainingConfig, VarianceConfig
from training.views.train import train


@dataclass(frozen=True)
class TableTier:
    """The size of one tier."""

    steps: int
    batch_size: int
    learning_rate: float
    seeds: tuple[int, ...]
    architecture: Architecture = field(default_factory=Architecture)
    n_simulated: int = 0  # of each class, instead of real pictures; 0: real pictures
    device: str = "cpu"  # of all its runs


# Small pictures and few channels, so that twenty runs take an hour of one processor core.
SMALL = Architecture(
    pooling=4,
    channels=(16, 32, 64),
    painter_channels=(16, 32, 64),
    hidden=128,
    independent_share=1.0,
)
TIERS = {
    "smoke": TableTier(12, 8, 3e-3, (0, 1), replace(SMALL, channels=(8, 8, 8), hidden=16), 6),
    "reduced": TableTier(2_000, 32, 1e-3, (0, 1, 2, 3, 4), SMALL),
    # The paper's number of steps; the shipped architecture, with all pixels independent.
    "paper": TableTier(200_000, 64, 1e-3, (0, 1, 2, 3, 4), Architecture(independent_share=1.0)),
}
SMOKE_CLASSES = ("Blip", "Scattered_Light", "Whistle")

CLOSED_FORM = VarianceConfig("closed_form")

# The three rows of the paper's table, in its order, and the standard VAE that annealing ends as: it
# is needed to see the effect of annealing itself.
PLAIN = "VAE (beta = 1)"
OBJECTIVES = ("beta-VAE", "Bottleneck", "beta-Annealed")
CAPACITY = 25.0  # nats, the paper's main value on dSprites; it gives none for glitches
MATCHED = "Bottleneck, annealed's rate"
CONTENDERS = (*OBJECTIVES, MATCHED, PLAIN, PIXELS)
PAIRS = (
    ("beta-Annealed", "beta-VAE"),
    ("beta-Annealed", "Bottleneck"),
    ("beta-Annealed", MATCHED),
    ("beta-Annealed", PLAIN),
    ("beta-Annealed", PIXELS),
    ("Bottleneck", "beta-VAE"),
)


def objective(name: str, steps: int, capacity: float = CAPACITY) -> ObjectiveConfig:
    """Build an objective by name; schedules end after a quarter of the steps."""
    quarter = max(1, steps // 4)
    return {
        PLAIN: ObjectiveConfig("beta_vae", {"beta": 1.0}),
        "beta-VAE": ObjectiveConfig("beta_vae", {"beta": 16.0}),
        **dict.fromkeys(
            ("Bottleneck", MATCHED),
            ObjectiveConfig(
                "bottleneck", {"capacity": capacity, "gamma": 1.0, "growth_steps": quarter}
            ),
        ),
        "beta-Annealed": ObjectiveConfig(
            "beta_annealed", {"beta_start": 16.0, "annealing_steps": quarter}
        ),
    }[name]


def configuration(
    tier: TableTier,
    name: str,
    seed: int,
    capacity: float = CAPACITY,
    variance: VarianceConfig = CLOSED_FORM,
) -> TrainingConfig:
    """Build a run. The seed fixes initial weights, batches, samples and split of all objectives."""
    slug = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-").lower()
    if variance.kind != CLOSED_FORM.kind:
        scale = f"-{variance.fixed:g}".replace(".", "_") if variance.kind == "fixed" else ""
        slug += f"-{variance.kind}{scale}"
    return TrainingConfig(
        f"table1-{slug}-{seed}",
        seed=seed,
        architecture=tier.architecture,
        objective=objective(name, tier.steps, capacity),
        variance=variance,
        optimiser=OptimiserConfig(
            steps=tier.steps,
            batch_size=tier.batch_size,
            learning_rate=tier.learning_rate,
            warmup_steps=min(200, tier.steps),
            final_factor=0.25,  # the representation improves most in the tail at beta = 1
            is_half_precision=False,
        ),
        data=DataConfig(anchor_glitches=0, split_seed=seed),
        log=LogConfig(log_every=50, evaluate_every=tier.steps, save_every=500),
    )


def read_glitches(tier: TableTier, real_images: Path) -> Pack:
    """Read the glitches of a tier: real pictures, or a few simulated ones for the smoke tier."""
    if not tier.n_simulated:
        return read_real_images(real_images)
    labels = [label for _ in range(tier.n_simulated) for label in SMOKE_CLASSES]
    views = [found.views for _, found in simulate_views(labels, 0)]
    return pack_views(views, labels, [f"simulated-{index}" for index in range(len(views))])


def read_splits(tier: TableTier, real_images: Path) -> dict[int, tuple[Pack, Pack]]:
    """Read (training, held-out) glitches for each seed."""
    glitches = read_glitches(tier, real_images)
    return {
        seed: split_real(glitches, configuration(tier, PLAIN, seed).data) for seed in tier.seeds
    }


def run_table1(
    tier: str,
    folder: Path,
    on_progress: Progress = lambda _done, _total, _note: None,
    *,
    jobs: int = 1,
    real_images: Path = Path("../shared/data/gravityspy_images"),
    budget: Budget | None = None,
    is_report_only: bool = False,
) -> Path | None:
    """Train every objective with every seed, evaluate all, and write the report.

    Complete runs are not trained again, so a stopped or killed call continues.

    Args:
        tier: key of ``TIERS``.
        folder: results: ``runs/``, ``rows.csv``, ``answers.csv``, ``intervals.csv``, ``table1.png``
            and ``report.md``.
        on_progress: called with steps done, total steps, and the current activity.
        jobs: number of parallel training processes.
        real_images: folder of pictures with its manifest; not needed for the smoke tier.
        budget: steps or seeds that differ from the tier's; schedules end after a quarter of the
            steps.
        is_report_only: train nothing; make the table of seeds with only complete runs.

    Returns:
        The report's path, or None if the work was stopped (the same call continues it) or there is
        no complete seed.

    Raises:
        GlitchError: if the tier is unknown, the pictures are missing, or a run fails.
    """
    settings = with_budget(tier_named(tier), budget or Budget())

    def whole() -> list[int]:
        return [seed for seed in settings.seeds if _is_complete(settings, seed, folder)]

    if is_report_only and not whole():
        return None
    splits = read_splits(settings, real_images)
    # Seed by seed, so that an unfinished table has complete pairs.
    works = [
        Work(f"{names[0]}, seed {seed}", len(names) * settings.steps, do)
        for seed in settings.seeds
        for names in CHAINS
        for do in [partial(_train_chain, settings, names, seed, folder, splits[seed][0])]
    ]
    if not is_report_only and not run_all(works, jobs=jobs, progress=on_progress):
        return None
    judged: list[JudgedRun] = []
    for seed in whole():
        for name in (*OBJECTIVES, MATCHED, PLAIN):
            config = configuration(settings, name, seed, _capacity(settings, name, seed, folder))
            judged += judge_run(config, run_folder(folder, config), name, splits[seed])
        judged += judge_pixels(settings.architecture, splits[seed], seed)
    done = replace(settings, seeds=tuple(whole()))
    return write_results(folder, judged, CONTENDERS, PAIRS, describe(tier, done))


# Runs trained in sequence, because the second needs the rate of the first.
CHAINS = (("beta-VAE",), ("Bottleneck",), ("beta-Annealed", MATCHED), (PLAIN,))
RATE_SHARE = 0.1  # fraction of the steps, at the end, over which a run's rate is averaged


def _capacity(tier: TableTier, name: str, seed: int, folder: Path) -> float:
    """Return C of a Bottleneck: the paper's, or the final rate of the annealed run of that seed."""
    if name != MATCHED:
        return CAPACITY
    annealed = run_folder(folder, configuration(tier, "beta-Annealed", seed))
    lines = (annealed / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    late = [one["rate"] for one in entries if one["step"] > (1 - RATE_SHARE) * tier.steps]
    return round(float(np.mean(late)), 3)


def _is_complete(tier: TableTier, seed: int, folder: Path) -> bool:
    names = (*OBJECTIVES, MATCHED, PLAIN)
    return all(
        saved_step(run_folder(folder, configuration(tier, name, seed)) / STATE_FILE) >= tier.steps
        for name in names
    )


def run_folder(folder: Path, config: TrainingConfig) -> Path:
    """Return the folder of a run."""
    return folder / "runs" / config.name


def _train_chain(  # noqa: PLR0917 - arguments of a work, in their order
    tier: TableTier, names: Sequence[str], seed: int, folder: Path, learnt: Pack, on_step: OnStep
) -> bool:
    """Train runs in sequence to their ends if possible, and return whether all are complete."""
    for index, name in enumerate(names):
        config = configuration(tier, name, seed, _capacity(tier, name, seed, folder))

        def after(step: int, before: int = index * tier.steps) -> None:
            on_step(before + step)

        if not train_run(config, folder, learnt, tier.device, after):
            return False
    return True


def train_run(
    config: TrainingConfig, folder: Path, learnt: Pack, device: str, on_step: OnStep
) -> bool:
    """Train one run to its end if possible, and return whether it is complete."""

    def report(step: int, _metrics: dict[str, float]) -> None:
        on_step(step)

    result = train(
        config,
        run_folder(folder, config),
        real_train=learnt,
        validation=None,
        simulated=None,
        report=report,
        device=device_named(device),
    )
    return result.is_complete


def tier_named(tier: str) -> TableTier:
    """Return the tier with this name.

    Raises:
        GlitchError: if there is none.
    """
    if tier not in TIERS:
        raise GlitchError(f"Table 1 has no tier {tier!r}: choose one of {', '.join(TIERS)}.")
    return TIERS[tier]


def with_budget(tier: TableTier, budget: Budget) -> TableTier:
    """Replace steps, seeds and device of a tier."""
    seeds = tier.seeds if budget.seeds is None else tuple(range(budget.seeds))
    steps = budget.steps or tier.steps
    return replace(tier, steps=steps, seeds=seeds, device=budget.device)


def describe(tier: str, settings: TableTier) -> list[str]:
    """Describe the settings for the head of the report."""
    data = (
        f"simulated glitches ({settings.n_simulated} of each of {', '.join(SMOKE_CLASSES)}): "
        "a test of the software, not a result"
        if settings.n_simulated
        else "the real Gravity Spy pictures, split by group"
    )
    parameters = {
        name: ", ".join(f"{key} {value:g}" for key, value in found.parameters.items())
        for name in (*OBJECTIVES, PLAIN)
        for found in [objective(name, settings.steps)]
    }
    parameters[MATCHED] = (
        "as Bottleneck, its capacity the rate of beta-Annealed with that seed, mean of the last "
        f"{RATE_SHARE:.0%} of steps"
    )
    return [
        f"Tier {tier}: {settings.steps} steps of batch {settings.batch_size}, seeds "
        f"{', '.join(str(seed) for seed in settings.seeds)}. Data: {data}.",
        "",
        *(f"- {name}: {values}" for name, values in parameters.items()),
        "",
        "Pixel variance: at its optimum, in closed form, by view and frequency row.",
        "",
        "Brackets: 95 % intervals by paired Bayesian bootstrap over seeds and groups. Rates and "
        "distortions are means over held-out glitches, decoded from the posterior mean.",
    ]
