"""Commands that contact a running service: embed, ingest, cluster, export."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.cli.options import EnergyMax, FrequencyRange, ServiceUrl, given

app = typer.Typer(rich_markup_mode=None)


@app.command(
    epilog="Example: glitch-discovery embed H-H1_LOSC_4_V2-1126259446-32.hdf5 "
    "--gps-time 1126259462.4"
)
def embed(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="A strain file, or up to four spectrograms of one glitch."
        ),
    ],
    *,
    gps_time: Annotated[
        str | None, typer.Option(help="GPS time of the glitch in s; required for strain.")
    ] = None,
    ifo: Annotated[str | None, typer.Option(help="Detector, such as H1.")] = None,
    channel: Annotated[str | None, typer.Option(help="Channel within the strain file.")] = None,
    sample_rate_hz: Annotated[
        float | None, typer.Option(help="Sample rate, if the strain file does not state it.")
    ] = None,
    view_duration_s: Annotated[
        list[float] | None,
        typer.Option(help="Window of each spectrogram in s, if its name does not state it."),
    ] = None,
    energy_max: EnergyMax = None,
    frequency_range: FrequencyRange = None,
    centre: Annotated[
        bool,
        typer.Option(help="Centre strain on its loudest moment within 0.25 s of the GPS time."),
    ] = True,
    label: Annotated[str | None, typer.Option(help="Its class, if you know it.")] = None,
    neighbours: Annotated[int, typer.Option(help="Number of neighbours, 0 to 10,000.")] = 10,
    store: Annotated[bool, typer.Option(help="Keep it in the catalogue.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the complete response as JSON.")
    ] = False,
    url: ServiceUrl = None,
) -> None:
    """Embed one glitch: its novelty and neighbours.

    The token comes from GLITCH_TOKEN, else from the data directory.
    """
    fields = given(locals(), "files", "as_json", "url")
    from app.client.remote import print_answer, service_at

    with service_at(url) as service:
        answer = service.send("/embed", [("file", path) for path in files], fields)
    print_answer(answer, as_json=as_json)


@app.command(epilog="Example: glitch-discovery ingest pictures/ --manifest pictures.csv")
def ingest(
    path: Annotated[
        Path,
        typer.Argument(help="A folder, tar or zip, an HDF5 or npz of views, or a trigger table."),
    ],
    *,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV that describes the pictures. Default: manifest.csv.")
    ] = None,
    merge_window_s: Annotated[
        float | None,
        typer.Option(help="Triggers within this many seconds are one glitch. Default: 0.1."),
    ] = None,
    ifo: Annotated[str | None, typer.Option(help="Detector of files that do not name it.")] = None,
    channel: Annotated[str | None, typer.Option(help="Channel of the strain files.")] = None,
    sample_rate_hz: Annotated[
        float | None, typer.Option(help="Sample rate of strain files that do not state it.")
    ] = None,
    energy_max: EnergyMax = None,
    frequency_range: FrequencyRange = None,
    origin: Annotated[
        str | None, typer.Option(help="upload, simulated, gravityspy or omicron.")
    ] = None,
    labels_from_folders: Annotated[
        bool,
        typer.Option("--labels-from-folders", help="Folders' names are labels: Blip/H1_….png."),
    ] = False,
    centre: Annotated[
        bool, typer.Option(help="Centre strain on the loudest moment within 0.25 s of a trigger.")
    ] = True,
    segments: Annotated[
        str | None,
        typer.Option(help="Triggers that data-quality flags exclude: filter (default) or mark."),
    ] = None,
    flags: Annotated[
        str | None,
        typer.Option(help="Flags of the segment database, such as H1:DMT-ANALYSIS_READY:1."),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Show the progress until it is done.")] = True,
    url: ServiceUrl = None,
) -> None:
    """Send a folder, archive or table of glitches."""
    fields = given(locals(), "path", "manifest", "follow", "url")
    from app.client.catalogue import ingest as send
    from app.client.remote import show

    job_id = send(path, manifest, fields, url=url)
    raise typer.Exit(show(url, job_id, is_followed=follow))


@app.command(epilog="Example: glitch-discovery cluster --ifo L1 --fdr 0.05")
def cluster(
    *,
    fdr: Annotated[
        float, typer.Option(help="False-discovery rate of the glitches flagged as novel.")
    ] = 0.1,
    min_cluster_size: Annotated[
        int, typer.Option(help="Smallest number of glitches in a cluster.")
    ] = 5,
    ifo: Annotated[str | None, typer.Option(help="Only this detector.")] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All glitches, labelled ones too.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated glitches instead of real ones.")
    ] = False,
    dormant_days: Annotated[
        int,
        typer.Option(help="Days with data without an occurrence after which a class is dormant."),
    ] = 60,
    url: ServiceUrl = None,
) -> None:
    """Cluster glitches that no known class explains."""
    options = given(locals(), "everything", "url")
    from app.client.catalogue import cluster as run

    options["scope"] = "everything" if everything else "novel"
    raise typer.Exit(run(url, options))


@app.command(
    epilog="Example: glitch-discovery export-catalogue whistles.h5 --ifo L1 --label Whistle "
    "--snr-min 20"
)
def export_catalogue(
    path: Annotated[Path, typer.Argument(help="The file to write: .csv, .h5 or .xml (LIGO_LW).")],
    *,
    format_name: Annotated[
        str | None,
        typer.Option("--format", help="csv, hdf5 or ligolw. Default: from the file name."),
    ] = None,
    ifo: Annotated[list[str] | None, typer.Option(help="Detector; may be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Class; may be repeated.")] = None,
    subclasses: Annotated[bool, typer.Option(help="Include sub-classes of these classes.")] = False,
    cluster: Annotated[UUID | None, typer.Option(help="Members of this cluster.")] = None,
    batch: Annotated[
        UUID | None, typer.Option(help="Glitches of this batch: the id of its job.")
    ] = None,
    gps_start: Annotated[str | None, typer.Option(help="Earliest GPS time, s.")] = None,
    gps_end: Annotated[str | None, typer.Option(help="Latest GPS time, s.")] = None,
    snr_min: Annotated[float | None, typer.Option(help="Lowest SNR.")] = None,
    p_value_max: Annotated[float | None, typer.Option(help="Highest novelty p-value.")] = None,
    url: ServiceUrl = None,
) -> None:
    """Export the catalogue to a file for gwpy."""
    filters = given(locals(), "path", "format_name", "url")
    from app.client.catalogue import export_catalogue as run
    from app.client.catalogue import format_of

    filters["format"] = format_of(path, format_name)
    raise typer.Exit(run(url, path, filters))
