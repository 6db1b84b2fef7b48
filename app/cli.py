"""The console command `glitch-discovery`.

Each command imports what it needs when it runs: torch and gwpy take seconds, `--help` must not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.launch.database import Database
    from app.services.records import CheckpointRecord

app = typer.Typer(
    name="glitch-discovery",
    help="Finds new classes of gravitational-wave detector glitches.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
tokens = typer.Typer(help="Bearer tokens of the service.", no_args_is_help=True)
app.add_typer(tokens, name="token")
jobs = typer.Typer(help="Background work of a running service.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")


JobId = Annotated[UUID, typer.Argument(metavar="ID", help="As `jobs list` shows it.")]
ServiceUrl = Annotated[
    str | None,
    typer.Option("--url", envvar="GLITCH_URL", help="The service. Default: the one of `up`."),
]


@app.command()
def up(
    *,
    stop_with_parent: Annotated[
        bool, typer.Option(hidden=True, help="Stop when the parent process is gone.")
    ] = False,
) -> None:
    """Start everything in the foreground; Ctrl-C stops it.

    GLITCH_DATA_DIR, GLITCH_HOST, GLITCH_PORT and DATABASE_URL steer it.
    """
    with _told():
        from app.launch.settings import read_settings
        from app.launch.up import up as run

        run(read_settings(), is_stopped_with_parent=stop_with_parent)


@app.command()
def embed(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="A strain file, or up to four spectrograms of one glitch.",
        ),
    ],
    *,
    gps_time: Annotated[str | None, typer.Option(help="GPS time of the glitch, s.")] = None,
    ifo: Annotated[str | None, typer.Option(help="Detector, such as H1.")] = None,
    channel: Annotated[str | None, typer.Option(help="Channel within the strain file.")] = None,
    sample_rate_hz: Annotated[
        float | None, typer.Option(help="Where the strain file does not state it.")
    ] = None,
    view_duration_s: Annotated[
        list[float] | None,
        typer.Option(help="Window length of each spectrogram, where its name does not state it."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="The class that you know it to be.")] = None,
    neighbours: Annotated[int, typer.Option(help="How many, 0 to 200.")] = 10,
    store: Annotated[bool, typer.Option(help="Keep it in the catalogue.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
    url: Annotated[
        str | None,
        typer.Option(envvar="GLITCH_URL", help="The service. Default: the one of `up`."),
    ] = None,
) -> None:
    """Ask a running service for a glitch's latent vector, novelty and neighbours.

    The token comes from GLITCH_TOKEN, else from the data directory.
    """
    with _told():
        from app.client.remote import Upload, ask_to_embed, print_answer

        fields = {
            "gps_time": gps_time,
            "ifo": ifo,
            "channel": channel,
            "sample_rate_hz": sample_rate_hz,
            "view_duration_s": view_duration_s,
            "label": label,
            "neighbours": neighbours,
            "store": store,
        }
        answer = ask_to_embed(Upload(files, fields), url=url)
        print_answer(answer, as_json=as_json)


@app.command()
def ingest(
    path: Annotated[
        Path,
        typer.Argument(help="A tar or zip, an HDF5 or npz of views, or a table of triggers."),
    ],
    *,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV that tells of the pictures: path, label, ...")
    ] = None,
    merge_window_s: Annotated[
        float | None, typer.Option(help="Triggers no further apart are one glitch. Default: 0.1.")
    ] = None,
    ifo: Annotated[str | None, typer.Option(help="Detector of what names none.")] = None,
    channel: Annotated[str | None, typer.Option(help="Channel of the strain files.")] = None,
    sample_rate_hz: Annotated[
        float | None, typer.Option(help="Of strain files that do not state it.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="upload, simulated, gravityspy or omicron.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Stay with a bar until it is done.")] = True,
    url: ServiceUrl = None,
) -> None:
    """Send many glitches to a running service, and watch them being stored."""
    with _told():
        from app.client.batches import ingest as send
        from app.client.jobs import show

        fields = {
            "merge_window_s": merge_window_s,
            "ifo": ifo,
            "channel": channel,
            "sample_rate_hz": sample_rate_hz,
            "origin": origin,
        }
        job_id = send(path, manifest, fields, url=url)
        raise typer.Exit(show(url, job_id, is_followed=follow))


@app.command()
def publish(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Holds model.safetensors and manifest.json. Default: the shipped one."),
    ] = None,
    *,
    activate: Annotated[
        bool | None,
        typer.Option(help="Embed with it from now on. Default: yes for a FOLDER."),
    ] = None,
) -> None:
    """Make a checkpoint known to the service, without a restart."""
    with _told(), _database() as database:
        from app.launch.data_directory import prepare_data_directory
        from app.launch.publish import publish_folder, publish_shipped
        from app.launch.settings import read_settings
        from glitch.checkpoint import shipped_checkpoint

        data_directory = prepare_data_directory(read_settings().data_dir)
        with database.transaction() as session:
            if folder is None and activate is None:
                record = publish_shipped(session, data_directory)
            else:
                record = publish_folder(
                    session, folder or shipped_checkpoint(), data_directory, activate=False
                )
            job = None
            if activate is not None or folder is not None:
                record, job = _switch(session, record, is_wanted=activate is not False)
        state = "active" if record.is_active else "published, not active"
        if job is not None:
            state = f"the catalogue is embedded with it, then it serves: jobs show {job}"
        typer.echo(f"checkpoint {record.name} ({record.digest[:12]}): {state}")


@app.command()
def migrate() -> None:
    """Bring the database's tables to this version."""
    with _told(), _database() as database:
        from app.launch.database import upgrade_schema

        upgrade_schema(database.url)
        typer.echo("The database is up to date.")


@app.command()
def demo() -> None:
    """Load the catalogue of simulated glitches, or what is missing of it."""
    with _told(), _database() as database:
        from rich.console import Console

        from app.launch.demo_progress import load_demo
        from app.launch.settings import read_settings
        from app.services.checkpoints import active_checkpoint
        from app.services.demo import count_missing

        settings = read_settings()
        with database.transaction() as session:
            checkpoint = active_checkpoint(session)
            missing = count_missing(session, settings.demo_per_class, checkpoint)
        if missing:
            environment = {
                "DATABASE_URL": database.url,
                "GLITCH_DATA_DIR": str(settings.data_dir.absolute()),
            }
            console = Console(stderr=True, highlight=False)
            load_demo(missing, settings.demo_processes, environment, console=console)
        typer.echo(f"{missing} simulated glitches loaded." if missing else "Nothing was missing.")


@tokens.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what it is for.")],
    role: Annotated[str, typer.Option(help="reader, submitter, reviewer or admin.")] = "submitter",
) -> None:
    """Make a token and print it: it is shown this once."""
    with _told(), _database() as database:
        from app.services.tokens import create_token, parse_role

        with database.transaction() as session:
            made = create_token(session, name, parse_role(role))
        typer.echo(made.secret)


@tokens.command("list")
def list_all() -> None:
    """List the tokens, never their secrets."""
    with _told(), _database() as database:
        from rich.table import Table

        from app.client.remote import plain_console
        from app.services.tokens import list_tokens

        with database.transaction() as session:
            records = list_tokens(session)
        table = Table("id", "name", "role", "created", "last used", "revoked", box=None)
        for record in records:
            times = (record.created_at, record.last_used_at, record.revoked_at)
            shown = [f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times]
            table.add_row(str(record.id), record.name, record.role.label, *shown)
        plain_console().print(table)


@tokens.command("revoke")
def revoke(
    token_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `token list` shows it.")],
) -> None:
    """Make a token useless from now on."""
    with _told(), _database() as database:
        from app.services.tokens import revoke_token

        with database.transaction() as session:
            record = revoke_token(session, token_id)
        typer.echo(f"Revoked the token {record.name!r}.")


@jobs.command("list")
def list_jobs(
    *,
    state: Annotated[
        str | None, typer.Option(help="queued, running, succeeded, failed or cancelled.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Such as ingest.")] = None,
    limit: Annotated[int, typer.Option(help="How many, latest first.")] = 20,
    url: ServiceUrl = None,
) -> None:
    """List jobs, latest first."""
    with _told():
        from app.client.jobs import print_jobs

        print_jobs(url, state=state, kind=kind, limit=limit)


@jobs.command("show")
def show_job(
    job_id: JobId,
    *,
    follow: Annotated[bool, typer.Option(help="Stay with a bar until the job has ended.")] = True,
    url: ServiceUrl = None,
) -> None:
    """Show a job's progress until it ends, then what failed. Exit code 1 if the job failed."""
    with _told():
        from app.client.jobs import show

        raise typer.Exit(show(url, job_id, is_followed=follow))


@jobs.command("cancel")
def cancel_job(job_id: JobId, *, url: ServiceUrl = None) -> None:
    """Stop a job; what it has stored stays."""
    with _told():
        from app.client.jobs import act

        act(url, job_id, "cancel")


@jobs.command("retry")
def retry_job(job_id: JobId, *, url: ServiceUrl = None) -> None:
    """Do again what failed of a job, or what a cancelled one left undone."""
    with _told():
        from app.client.jobs import act

        act(url, job_id, "retry")


@app.command()
def cluster(
    *,
    fdr: Annotated[
        float, typer.Option(help="False-discovery rate of what is flagged as novel.")
    ] = 0.1,
    min_cluster_size: Annotated[int, typer.Option(help="Fewer glitches are no cluster.")] = 5,
    ifo: Annotated[str | None, typer.Option(help="Only this detector.")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Not only what is novel; for the label audit.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The simulated glitches, not the real ones.")
    ] = False,
    url: ServiceUrl = None,
) -> None:
    """Cluster what the known classes do not explain, and show the clusters."""
    with _told():
        from app.client.clusters import cluster as run

        wanted = {
            "fdr": fdr,
            "min_cluster_size": min_cluster_size,
            "ifo": ifo,
            "scope": "everything" if everything else "novel",
            "simulated": simulated,
        }
        raise typer.Exit(run(url, wanted))


@app.command()
def export_catalogue(
    path: Annotated[Path, typer.Argument(help="The file to write: .csv, .h5 or .xml (LIGO_LW).")],
    *,
    format_name: Annotated[
        str | None, typer.Option("--format", help="csv, hdf5 or ligolw; else as the name ends.")
    ] = None,
    ifo: Annotated[list[str] | None, typer.Option(help="Detector; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Class; may be repeated.")] = None,
    subclasses: Annotated[bool, typer.Option(help="Those of the classes too.")] = False,
    cluster_id: Annotated[
        UUID | None, typer.Option("--cluster", help="Members of this cluster.")
    ] = None,
    gps_start: Annotated[str | None, typer.Option(help="Earliest GPS time, s.")] = None,
    gps_end: Annotated[str | None, typer.Option(help="Latest GPS time, s.")] = None,
    snr_min: Annotated[float | None, typer.Option(help="Least SNR.")] = None,
    p_value_max: Annotated[float | None, typer.Option(help="Largest novelty p-value.")] = None,
    url: ServiceUrl = None,
) -> None:
    """Write the catalogue, or a part of it, to a file that gwpy reads."""
    with _told():
        from app.client.exports import export_catalogue as run
        from app.client.exports import format_of

        wanted = {
            "format": format_of(path, format_name),
            "ifo": ifo,
            "label": label,
            "subclasses": subclasses,
            "cluster": None if cluster_id is None else str(cluster_id),
            "gps_start": gps_start,
            "gps_end": gps_end,
            "snr_min": snr_min,
            "p_value_max": p_value_max,
        }
        raise typer.Exit(run(url, path, wanted))


@app.command()
def worker() -> None:
    """Work on jobs until stopped. `up` runs one; elsewhere set DATABASE_URL and REDIS_URL."""
    from app.launch.worker_process import run

    raise typer.Exit(run("worker"))


@app.command()
def scheduler() -> None:
    """Have forgotten jobs looked for every few seconds. `up` runs it; one is enough."""
    from app.launch.worker_process import run

    raise typer.Exit(run("scheduler"))


# The trainer's commands, declared here again because importing them means importing torch; a test
# holds the two declarations together.


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="YAML file, for example of training/configs.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the run is kept; runs/NAME if not given.")
    ] = None,
) -> None:
    """Train, or continue a run that was stopped or killed."""
    from training import cli

    cli.train(config, folder)


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
    per_class: Annotated[int, typer.Option(help="Glitches of each simulated class.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate labelled glitches once and keep their views for training."""
    from training import cli

    cli.simulate_pack(destination, per_class, seed)


@app.command()
def reproduce(  # noqa: PLR0917 - a command's options
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...", help="table1, table2, fig1, fig2, fig3, fig4, lemma or all."
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
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Train nothing; report what is finished.")
    ] = False,
) -> None:
    """Reproduce the paper's tables, figures and lemma; the same command continues a stopped one."""
    from training import cli

    cli.reproduce(targets, tier, folder, jobs, dsprites, chairs, real_images, report_only)


def _switch(
    session: Session, record: CheckpointRecord, *, is_wanted: bool
) -> tuple[CheckpointRecord, UUID | None]:
    from app.services.reembed import switch_checkpoint

    if not is_wanted:
        return record, None
    now, job = switch_checkpoint(session, record.id, "publish")
    return now, None if job is None else job.id


@contextlib.contextmanager
def _told() -> Iterator[None]:
    from app.launch.sentences import told_as_sentences

    with told_as_sentences():
        yield


@contextlib.contextmanager
def _database() -> Iterator[Database]:
    from app.launch.database import open_database
    from app.launch.settings import read_settings

    with open_database(read_settings()) as database:
        yield database


def main() -> Any:
    """The entry point of the console script."""
    return app()
