"""`glitch-discovery references`: published glitches as references for novelty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from app.cli.options import ServiceUrl, store_session
from app.core.wording import count

if TYPE_CHECKING:
    from app.references.archives import Archive, PublishedFile

app = typer.Typer(rich_markup_mode=None)
_ROWS_PER_CLASS = 100  # of a table, because each row needs four downloads


@app.command(
    epilog="Example: glitch-discovery references training-set --ifo L1 --run O2. Remove what it "
    "loaded with: glitch-discovery references training-set --remove"
)
def references(
    archive: Annotated[
        str, typer.Argument(metavar="ARCHIVE", help="training-set or classifications.")
    ] = "",
    *,
    show_list: Annotated[
        bool, typer.Option("--list", help="Show the archives: size, licence, files.")
    ] = False,
    ifo: Annotated[list[str] | None, typer.Option(help="Detector; may be repeated.")] = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Observing run such as O3a; may be repeated.")
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Largest number per class and detector, chosen at random. Default: all of the "
            f"training set, {_ROWS_PER_CLASS} of the classifications.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest confidence of a machine's label.")
    ] = 0.9,
    strain: Annotated[
        bool,
        typer.Option(
            "--strain",
            help="Take the views of a table's rows from strain at their times (GLITCH_STRAIN_DIR "
            "or GLITCH_GWOSC_URL), not from the pictures that it names.",
        ),
    ] = False,
    file: Annotated[
        Path | None, typer.Option(help="The archive's file, if already downloaded.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="The table of downloaded or mirrored pictures.")
    ] = None,
    from_url: Annotated[
        str | None,
        typer.Option(
            "--from", help="The address of the file, if not Zenodo's; readers see it on the job."
        ),
    ] = None,
    checksum: Annotated[
        str | None, typer.Option(help="Checksum of the file at --from: sha256:… or md5:… .")
    ] = None,
    zenodo: Annotated[str, typer.Option(hidden=True)] = "https://zenodo.org",
    picture_host: Annotated[
        str, typer.Option(help="The only host from which pictures of a table are fetched.")
    ] = "https://panoptes-uploads.zooniverse.org",
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what was loaded from the archive.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Show the progress until all is loaded.")] = True,
    url: ServiceUrl = None,
) -> None:
    """Load published, labelled glitches.

    The novelty of unlabelled glitches is judged by comparison with them.

    The workers of the service fetch and store them in the background, and resume interrupted
    transfers. Labels carry the archive's name and never replace a person's.
    """
    from app.batches.options import PICTURES, STRAIN, ArchiveSelection
    from app.core.errors import InvalidRequestError
    from app.core.settings import check_address
    from app.references.archives import archive_named

    for option, address in (("--from", from_url), ("--picture-host", picture_host)):
        if address is not None:
            try:
                check_address(address, option)
            except ValueError as error:
                raise InvalidRequestError(f"{error}.") from None
    if show_list or not archive:
        _list(zenodo)
        return
    chosen = archive_named(archive)
    if remove:
        _remove(chosen)
        return
    selection = ArchiveSelection(
        chosen.source,
        tuple(one.upper() for one in ifo or ()),
        tuple(run or ()),
        per_class or (None if chosen.has_pictures else _ROWS_PER_CLASS),
        confidence,
        STRAIN if strain else PICTURES,
        picture_host.rstrip("/"),
    )
    with store_session() as session:
        from app.references.service import start_references

        table = None if manifest is None else _keep(manifest)
        pictures = {} if file is None else {file.name: _keep(file)}
        job_id = start_references(
            session,
            chosen,
            selection,
            kept=pictures,
            url=from_url,
            checksum=checksum,
            manifest=table,
            zenodo=zenodo,
        )
    typer.echo(f"{chosen.title}: job {job_id}")
    raise typer.Exit(_follow(url, UUID(job_id)) if follow else 0)


def _follow(url: str | None, job_id: UUID) -> int:
    """Follow the job and the jobs that it starts, and return the exit code."""
    from app.client.remote import service_at, show

    code = show(url, job_id, is_followed=True)
    with service_at(url) as service:
        result = service.ask("GET", f"/jobs/{job_id}")["result"] or {}
    for started in result.get("started", []):
        code = max(code, show(url, UUID(started), is_followed=True))
    return code


def _list(zenodo: str) -> None:
    from app.core.errors import NotReadyError
    from app.references.archives import ARCHIVES, published_files

    for archive in ARCHIVES:
        typer.echo(f"{archive.name}: {archive.title}")
        typer.echo(f"  {archive.licence}; {archive.size}")
        try:
            for file in published_files(archive, zenodo).values():
                typer.echo(f"  {_line(archive, file)}")
        except NotReadyError as error:
            typer.echo(f"  {error}")


def _line(archive: Archive, file: PublishedFile) -> str:
    is_read = not archive.has_pictures or file.name in archive.selected_files((), ())
    note = "" if is_read else "  (not read here)"
    return f"{file.name}  {(file.size or 0) / 1e6:,.1f} MB  {file.checksum}{note}"


def _remove(archive: Archive) -> None:
    from app.references.service import remove_references

    with store_session() as session:
        glitches, labels = remove_references(session, archive)
    typer.echo(
        f"{count(glitches, 'glitch was', 'glitches were')} removed with {archive.title}, and its "
        f"labels from {count(labels, 'other', 'others')}."
        if glitches or labels
        else f"Nothing of {archive.title} is loaded."
    )


def _keep(path: Path) -> str:
    from app.batches.storage import keep_upload
    from app.core.errors import LaunchError
    from app.launch.data_directory import prepare_data_directory
    from app.launch.settings import read_settings

    try:
        with path.open("rb") as stream:
            return keep_upload(prepare_data_directory(read_settings().data_dir), stream)[0]
    except OSError as error:
        raise LaunchError(f"{path} cannot be read ({error.strerror}).") from error
