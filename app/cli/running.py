"""Commands that start, load, upgrade, back up and restore the service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.options import ServiceUrl, open_store, set_environment, store_session

if TYPE_CHECKING:
    from app.launch.backup import Manifest

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: glitch-discovery up --port 8001 --data-dir /var/lib/glitches")
def up(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. Default: GLITCH_HOST, else 127.0.0.1.")
    ] = None,
    stop_with_parent: Annotated[
        bool, typer.Option(hidden=True, help="Stop when the parent process is gone.")
    ] = False,
) -> None:
    """Start the service; Ctrl-C stops it."""
    set_environment(GLITCH_HOST=host)
    from app.launch.settings import read_settings
    from app.launch.up import up as run

    run(read_settings(), is_stopped_with_parent=stop_with_parent)


@app.command()
def publish(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with model.safetensors and manifest.json. Default: the shipped one."
        ),
    ] = None,
    *,
    activate: Annotated[
        bool | None, typer.Option(help="Embed with it from now on. Default: yes for a FOLDER.")
    ] = None,
) -> None:
    """Publish a checkpoint to the service."""
    with store_session() as session:
        from app.launch.data_directory import prepare_data_directory
        from app.launch.publish import publish_folder, publish_shipped
        from app.launch.settings import read_settings
        from app.models.reembed import switch_checkpoint
        from glitch.checkpoint import shipped_checkpoint

        data_directory = prepare_data_directory(read_settings().data_dir)
        if folder is None and activate is None:
            record = publish_shipped(session, data_directory)
        else:
            record = publish_folder(
                session, folder or shipped_checkpoint(), data_directory, activate=False
            )
        job = None
        if activate or (activate is None and folder is not None):
            record, job = switch_checkpoint(session, record.id, "publish")
    state = "active" if record.is_active else "published, not active"
    if job is not None:
        state = f"the catalogue is embedded with it, then it becomes active: jobs show {job.id}"
    typer.echo(f"checkpoint {record.name} ({record.digest[:12]}): {state}")


@app.command()
def migrate() -> None:
    """Upgrade the tables of the database to this version."""
    with open_store() as database:
        from app.launch.database import upgrade_schema

        upgrade_schema(database.url)
        typer.echo("The database is up to date.")


@app.command()
def demo(
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove it, with its clusters and labels.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Show the progress until it is filled.")] = True,
    url: ServiceUrl = None,
) -> None:
    """Load or remove the demonstration."""
    from app.client.remote import load, remove_all

    raise typer.Exit(remove_all(url) if remove else load(url, is_followed=follow))


@app.command()
def worker(
    *,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when no job is waiting, for batch systems.")
    ] = False,
    idle_s: Annotated[
        float, typer.Option(min=0, help="Seconds without a job after which --until-idle ends.")
    ] = 60.0,
) -> None:
    """Run a worker. `up` starts one; on other machines set DATABASE_URL and REDIS_URL."""
    from app.launch.worker_process import run

    raise typer.Exit(run("worker", idle_s if until_idle else None))


@app.command()
def scheduler() -> None:
    """Run the scheduler of jobs. `up` starts it; one is enough."""
    from app.launch.worker_process import run

    raise typer.Exit(run("scheduler"))


@app.command()
def backup(
    dest: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.")],
) -> None:
    """Back up database and files into a folder.

    The service may be running.
    """
    from app.launch.backup import take_backup
    from app.launch.settings import read_settings

    typer.echo(f"{_words(take_backup(read_settings(), dest))}: {dest}")


@app.command()
def restore(src: Annotated[Path, typer.Argument(help="A folder that `backup` made.")]) -> None:
    """Restore a backup.

    The data directory and the database must be empty.
    """
    from app.launch.backup import restore_backup
    from app.launch.settings import read_settings

    manifest = restore_backup(read_settings(), src)
    typer.echo(
        f"{_words(manifest)}: restored and counted. Start the service: it then migrates the tables "
        "to this version and makes a new admin token."
    )


def _words(manifest: Manifest) -> str:
    glitches = manifest.counts.get("glitch", 0)
    size = manifest.n_bytes / 1e6
    return f"{glitches:,} glitches, {len(manifest.files) - 1} files, {size:,.1f} MB"
