"""`glitch-discovery backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.launch.backup.contents import Manifest

app = typer.Typer(rich_markup_mode=None)


@app.command()
def backup(
    dest: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
) -> None:
    """Write database and files into a folder, while the service runs or not."""
    from app.launch.backup.taking import take_backup
    from app.launch.settings import read_settings

    typer.echo(f"{_words(take_backup(read_settings(), dest))}: {dest}")


@app.command()
def restore(
    src: Annotated[Path, typer.Argument(help="A folder that `backup` made.")],
) -> None:
    """Bring a backup back into an empty data directory and database."""
    from app.launch.backup.restoring import restore_backup
    from app.launch.settings import read_settings

    manifest = restore_backup(read_settings(), src)
    typer.echo(
        f"{_words(manifest)}: restored and counted. Start the service: its tables are brought "
        "to this version then, and a new admin token is made."
    )


def _words(manifest: Manifest) -> str:
    glitches = manifest.counts.get("glitch", 0)
    size = manifest.n_bytes / 1e6
    return f"{glitches:,} glitches, {len(manifest.files) - 1} files, {size:,.1f} MB"
