"""The trainer's commands, declared here again because importing them means importing torch.

A test holds the two declarations together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)

Device = Annotated[
    str, typer.Option(help="Where batches are learnt from, as torch names it: cpu, cuda, cuda:1.")
]


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file, for example of training/configs.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the run is kept; runs/NAME if not given.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Train, or continue a run that was stopped or killed."""
    from training import cli

    cli.train(config, folder, device)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    output: Annotated[Path | None, typer.Option(help="Write the Markdown table here too.")] = None,
    n_seeds: Annotated[int, typer.Option(help="Split seeds of the cross-validated rows.")] = 3,
    out: Annotated[
        Path | None, typer.Option(help="Folder for every measure, as data and as plots.")
    ] = None,
) -> None:
    """Judge a run's best weights, or a checkpoint, on real glitches, beside pixel PCA."""
    from training import cli

    cli.evaluate(run, output, n_seeds, out)


@app.command()
def rate_distortion(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[Path, typer.Option(help="Folder for curve.csv and curve.png.")],
) -> None:
    """Draw runs on one rate-distortion plane: what each spends on a glitch, and what is lost."""
    from training import cli

    cli.rate_distortion(runs, out)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    destination: Annotated[Path, typer.Argument(help="Folder of the checkpoint to write.")],
    name: Annotated[str | None, typer.Option(help="Its name; the folder's if not given.")] = None,
    n_seeds: Annotated[int, typer.Option(help="Split seeds of its evaluation.")] = 3,
) -> None:
    """Evaluate a run's best weights and write them as a checkpoint that serves."""
    from training import cli

    cli.export(run, destination, name, n_seeds)


@app.command()
def simulate_pack(
    destination: Annotated[Path, typer.Argument(help="Folder of the pack to write.")],
    per_class: Annotated[int, typer.Option(help="Glitches of each simulated class.")] = 125,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate labelled glitches, each in two noises, for training; a stopped one is continued."""
    from training import cli

    cli.simulate_pack(destination, per_class, seed)


@app.command()
def reproduce(  # noqa: PLR0917 - a command's options
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="table1, likelihoods, table2, fig1, fig2, fig3, fig4, lemma or all of the paper.",
        ),
    ],
    tier: Annotated[str, typer.Option(help="smoke, reduced or paper.")] = "reduced",
    folder: Annotated[
        Path | None, typer.Option(help="Of results; runs/reproduction-TIER if not given.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Trainings side by side.")] = 1,
    dsprites: Annotated[
        Path | None, typer.Option(help="The public npz. Default: our re-rendering.")
    ] = None,
    chairs: Annotated[
        Path | None,
        typer.Option(help="Folder of 3D Chairs pictures. Default: simulated glitches."),
    ] = None,
    real_images: Annotated[
        Path, typer.Option(help="Folder of real glitch pictures, for table1.")
    ] = Path("../shared/data/gravityspy_images"),
    steps: Annotated[
        int | None,
        typer.Option(help="Of each training, if not the tier's; schedules in proportion."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="How many of every run, if not the tier's.")
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing; report what is finished.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Reproduce the paper's tables, figures and lemma; the same command continues a stopped one."""
    from training import cli

    cli.reproduce(
        targets,
        tier,
        folder,
        jobs,
        dsprites,
        chairs,
        real_images,
        steps,
        seeds,
        report_only,
        device,
    )


@app.command()
def table1_power(
    rows: Annotated[Path, typer.Argument(help="rows.csv of a Table 1.")],
    first: Annotated[str, typer.Option(help="Contender.")] = "beta-Annealed",
    second: Annotated[str, typer.Option(help="Contender to compare with.")] = "Bottleneck",
    points: Annotated[float, typer.Option(help="Difference to be seen; the paper's.")] = 1.6,
) -> None:
    """Say how many paired runs would show a difference of accuracy in Table 1."""
    from training import cli

    cli.table1_power(rows, first, second, points)
