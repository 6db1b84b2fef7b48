"""Commands for training, part of ``glitch-discovery``.

Each imports its dependencies when it runs, so that ``glitch-discovery --help`` does not wait for
torch.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glitch.errors import GlitchError

if TYPE_CHECKING:
    from rich.console import Console

    from glitch.model import ViewsModel
    from training.data.config import DataConfig
    from training.data.datasets import RealGlitches
    from training.data.pack import Pack
    from training.evaluation.examination import JudgedModel

app = typer.Typer(
    help="Train, evaluate and export models.", no_args_is_help=True, rich_markup_mode=None
)

# Arguments: amount done, total (None if not known), current activity.
Progressed = Callable[[int, int | None, str], None]

RunFolder = Annotated[Path, typer.Argument(help="Folder of a training run.")]
Device = Annotated[
    str, typer.Option(help="Device to train on, as torch names it: cpu, cuda, cuda:1.")
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of writing without a file name


@cache
def _console() -> Console:
    """Return the console for progress on standard error, so that tables can be redirected."""
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _user_errors() -> Iterator[None]:
    """Print errors that a user can act on as a sentence without traceback, and exit with code 1."""
    try:
        yield
    except (GlitchError, OSError) as error:
        sentence = str(error)
        if isinstance(error, OSError) and error.errno in _FULL:
            sentence = f"There is no space left ({error.strerror}): free some where this command "
            sentence += "writes, and start it again."
        elif isinstance(error, OSError):
            if error.filename is None:
                raise
            sentence = (
                f"{error.filename} cannot be used ({error.strerror}): give another path, or make "
                "sure that this one can be read and written."
            )
        _console().print(f"error: {sentence}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


@contextmanager
def _progress(what: str) -> Iterator[Progressed]:
    """Show a progress bar, with the estimated time left once the total is known."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_console()) as bar:
        task = bar.add_task(what, total=None, note="")

        def show(done: int, in_all: int | None, note: str) -> None:
            bar.update(task, completed=done, total=in_all, note=note)

        yield show


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file, for example from training/configs.")],
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME if not given.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Train, or continue a run that was stopped or killed."""
    from training.core.devices import device_named
    from training.core.distributed import is_first, process_group
    from training.core.interrupts import interruptible
    from training.core.logs import tensorboard_log
    from training.data.split import load_data
    from training.views.config import load_config
    from training.views.train import train as run_training

    with _user_errors(), interruptible(), process_group():
        place, settings = device_named(device), load_config(config)
        destination = folder or Path("runs") / settings.name
        with _progress("Reading pictures") as show:
            data = load_data(settings.data, on_progress=lambda done, total: show(done, total, ""))
        # Only the first of several processes reports.
        events = tensorboard_log(destination) if is_first() else nullcontext(lambda *_: None)
        with _progress("Training") as show, events as log:

            def report(step: int, metrics: dict[str, float]) -> None:
                log(step, metrics)
                note = f"rate {metrics['rate']:.1f}  distortion {metrics['distortion']:.0f}"
                if "validation.selection" in metrics:
                    _console().print(
                        f"step {step}: "
                        + "  ".join(
                            f"{name.removeprefix('validation.')} {value:.3f}"
                            for name, value in metrics.items()
                            if name.startswith("validation.") and ".kl." not in name
                        )
                    )
                show(step, settings.optimiser.steps, note)

            result = run_training(
                settings,
                destination,
                real_train=data.real_train,
                validation=data.validation,
                simulated=data.simulated,
                report=report,
                device=place,
            )
    state = "Done" if result.is_complete else "Stopped; the same command continues"
    _console().print(f"{state}: {destination} at step {result.step}, best {result.best:.3f}.")


@app.command()
def evaluate(
    run: RunFolder,
    output: Annotated[Path | None, typer.Option(help="Write the Markdown table here too.")] = None,
    n_seeds: Annotated[
        int, typer.Option(help="Number of split seeds of the cross-validated rows.")
    ] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for all measures, as data and as plots.")
    ] = None,
) -> None:
    """Evaluate a run or a checkpoint.

    Its best weights are compared with pixel PCA on real glitches.
    """
    from training.core.full_disk import full_disk_as_error
    from training.evaluation.examination import examine_into

    with _user_errors():
        judged, real, train_groups = _judged(run)
        table, _ = _examine(judged.model, real, train_groups, n_seeds)
        if out is not None:
            with full_disk_as_error(out):
                examine_into(judged, real, train_groups, out)
                (out / "probes.md").write_text(table, encoding="utf-8")
        sys.stdout.write(table)
        if output is not None:
            output.write_text(table, encoding="utf-8")


@app.command()
def rate_distortion(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="Folder for curve.csv and curve.png.")],
) -> None:
    """Plot the rate-distortion curve of runs."""
    from training.evaluation.examination import held_out_of_all, load_judged, rate_distortion_curve

    with _user_errors():
        judged = [load_judged(folder) for folder in runs]
        glitches = _read_glitches(judged[0].config.data)
        points = rate_distortion_curve(judged, held_out_of_all(judged, glitches), out)
    for point in points:
        _console().print(
            f"{point.objective} {point.weight} {point.value:g}, seed {point.seed}: "
            f"rate {point.rate:.1f}, distortion {point.distortion:.1f}"
        )
    _console().print(f"Wrote {out}.")


@app.command()
def export(
    run: RunFolder,
    destination: Annotated[Path, typer.Argument(help="Folder of the checkpoint to write.")],
    name: Annotated[str | None, typer.Option(help="Its name; by default the folder's.")] = None,
    n_seeds: Annotated[int, typer.Option(help="Number of split seeds of its evaluation.")] = 3,
) -> None:
    """Write a run's best weights as a checkpoint.

    They are evaluated first.
    """
    from training.data.split import load_data
    from training.evaluation.examination import load_judged
    from training.views.export import export_run

    with _user_errors():
        judged = load_judged(run)
        glitches = _read_glitches(judged.config.data)
        data = load_data(judged.config.data, glitches=glitches)
        train_groups = frozenset(data.real_train.groups if data.real_train else ())
        _, metrics = _examine(judged.model, glitches.pack, train_groups, n_seeds)
        manifest = export_run(
            run, destination, name=name or destination.name, data=data, metrics=metrics
        )
    _console().print(f"Wrote {destination} ({manifest.weights_sha256[:12]}).")


@app.command()
def simulate_pack(
    destination: Annotated[Path, typer.Argument(help="Folder of the pack to write.")],
    per_class: Annotated[int, typer.Option(help="Number of glitches of each class.")] = 125,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate labelled glitches for training.

    Each is simulated in two noise realisations. The same command continues a stopped simulation.
    """
    from training.data.simulated import simulate_pack as simulate

    with _user_errors(), _progress("Simulating") as show:
        simulate(
            destination, per_class, seed, on_progress=lambda done, total: show(done, total, "")
        )


@app.command()
def reproduce(  # noqa: PLR0917 - a command's options
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="table1, likelihoods, table2, grids, fig1 to fig4, lemma, or all in the paper.",
        ),
    ],
    tier: Annotated[str, typer.Option(help="Size: smoke, reduced or paper.")] = "reduced",
    folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the results; runs/reproduction-TIER if not given."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Number of parallel training processes.")] = 1,
    dsprites: Annotated[
        Path | None, typer.Option(help="The public dSprites npz file. Default: our re-rendering.")
    ] = None,
    chairs: Annotated[
        Path | None, typer.Option(help="Folder of 3D Chairs pictures. Default: simulated glitches.")
    ] = None,
    real_images: Annotated[
        Path, typer.Option(help="Folder of real glitch pictures, for table1.")
    ] = Path("../shared/data/gravityspy_images"),
    steps: Annotated[
        int | None,
        typer.Option(help="Training steps of each run, if not the tier's; schedules scale along."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Number of seeds of every run, if not the tier's.")
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing; report the finished runs.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Reproduce the paper's tables, figures and lemma.

    The same command continues a stopped reproduction.
    """
    from training.core.budget import Budget
    from training.core.interrupts import interruptible
    from training.reproduction.command import Sources
    from training.reproduction.command import reproduce as run_reproduction

    destination = folder or Path("runs") / f"reproduction-{tier}"
    with _user_errors(), interruptible(), _progress("Reproducing") as show:
        report = run_reproduction(
            targets,
            tier,
            destination,
            jobs=jobs,
            sources=Sources(dsprites, chairs, real_images),
            budget=Budget(steps, seeds, device),
            is_report_only=report_only,
            progress=show,
        )
    if report is None:
        _console().print(f"Stopped; the same command continues {destination}.")
        raise typer.Exit(130)
    _console().print(f"Wrote {report}.")


@app.command()
def table1_power(
    rows: Annotated[Path, typer.Argument(help="rows.csv of a finished Table 1.")],
    first: Annotated[str, typer.Option(help="Contender.")] = "beta-Annealed",
    second: Annotated[str, typer.Option(help="Contender to compare with.")] = "Bottleneck",
    points: Annotated[
        float, typer.Option(help="Difference to detect; by default the paper's.")
    ] = 1.6,
) -> None:
    """Compute the number of runs needed for Table 1.

    How many paired runs are needed to detect a difference in accuracy.
    """
    from training.reproduction.table1.power import describe_power

    with _user_errors():
        text = describe_power(rows, first, second, points)
    sys.stdout.write(text)


def _judged(folder: Path) -> tuple[JudgedModel, Pack, frozenset[str]]:
    """Return a run or checkpoint, all glitches of its data set, and its training groups."""
    from training.data.split import split_glitches
    from training.evaluation.examination import load_judged

    judged = load_judged(folder)
    glitches = _read_glitches(judged.config.data)
    train_pack, _ = split_glitches(glitches, judged.config.data)
    return judged, glitches.pack, frozenset(train_pack.groups)


def _read_glitches(data: DataConfig) -> RealGlitches:
    from training.data.split import read_glitches

    with _progress("Reading pictures") as show:
        return read_glitches(data, on_progress=lambda done, total: show(done, total, ""))


def _examine(
    model: ViewsModel, real: Pack, train_groups: frozenset[str], n_seeds: int
) -> tuple[str, dict[str, object]]:
    """Evaluate a model, and return the results as a Markdown table and as plain JSON values."""
    from training.evaluation.report import as_markdown, examine

    rows, agreement = examine(model, real, train_groups, range(n_seeds))
    metrics: dict[str, object] = {
        "lone_view_agreement": agreement,
        # The whole table is long; these rows are used for comparisons.
        "probes": [asdict(row) for row in rows if row.sample in ("all views", "any lone view")],
    }
    json.dumps(metrics, allow_nan=False)  # raises here if a manifest could not store it
    return as_markdown(rows), metrics
