"""Gravity Spy's published classifications, made into views from open strain.

The CSVs of Zenodo record 5649212 have a row for each glitch, without a picture. The strain around
each GPS time is read from a folder of files (any format that the service reads), or else downloaded
from GWOSC through gwpy and stored in that folder, so that a second read needs no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np

from glitch.errors import FormatError, GlitchError, StrainError
from glitch.strain import (
    Strain,
    StrainSpan,
    is_strain_file,
    read_strain,
    strain_span,
    views_from_strain,
)
from glitch.tables import is_text_table, read_text_table
from glitch.tables.columns import plain_name
from glitch.tables.reading import text_columns
from glitch.views import Preprocessing
from training.data.datasets.collected import Collector, RealGlitches
from training.data.pack import PackError

WHERE = (
    "download one of the CSVs of Zenodo record 5649212 (https://zenodo.org/records/5649212), "
    "for example H1_O3a.csv"
)
# Column names of the published releases, the newest first.
COLUMNS = {"event_time": ("event_time", "GPStime"), "ifo": ("ifo",), "label": ("label", "ml_label")}
SEGMENT_S = 64  # Gravity Spy analyses 64 s around the GPS time

# Returns strain of a detector between two whole GPS seconds: samples and their rate.
Fetch = Callable[[str, int, int], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class Row:
    """One glitch of the CSV."""

    gps_time: Decimal
    ifo: str
    label: str
    gravityspy_id: str


def read_trigger_rows(
    path: Path,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    strain_folder: Path | None = None,
    fetch: Fetch | None = None,
) -> RealGlitches:
    """Read the views of every row whose strain is available and can be whitened faithfully.

    Rows too near a gap or an edge are left out, with the reason.

    Args:
        path: the CSV.
        preprocessing: recipe of the views.
        on_progress: called with the number of rows done and the total.
        strain_folder: existing strain files; downloaded strain is stored here too.
        fetch: downloads strain that is not in the folder; by default GWOSC's open data through
            gwpy.

    Raises:
        PackError: if the CSV is missing or malformed, or strain is neither in the folder nor can be
            downloaded.
    """
    recipe = preprocessing or Preprocessing()
    found_rows = read_rows(path)
    rows = found_rows.rows
    folder = strain_folder or path.parent / "strain"
    cache = StrainCache(folder, fetch or fetch_open_strain)
    collector = Collector()
    collector.left_out += found_rows.left_out
    for done, row in enumerate(rows, start=1):
        try:
            strain = cache.strain_around(row)
            result = views_from_strain([strain], [row.gps_time], recipe)[0]
        except StrainError as error:
            collector.left_out.append(f"{row.gravityspy_id}: {error}")
        else:
            collector.add(result.views, row.label, row.gravityspy_id)
        on_progress(done, len(rows))
    return collector.collected(path)


@dataclass(frozen=True)
class Rows:
    """The rows of a CSV that can be used for training, and the reasons for the others."""

    rows: list[Row]
    left_out: list[str]


def read_rows(path: Path) -> Rows:
    """Read the rows of a classification CSV; those without a label are left out.

    Raises:
        PackError: if it is missing, lacks a column, or a row is cut short or has no GPS time.
    """
    if not path.exists():
        raise PackError(f"There is no file {path}: {WHERE}, or correct data.real_images.")
    try:
        if not is_text_table(path):
            raise PackError(f"{path} is not a CSV of classifications: {WHERE}.")
        _check_columns(path, text_columns(path))
        table = list(read_text_table(path, path.name))
    except FormatError as error:
        raise PackError(f"{path}: {error}") from None
    rows: list[Row] = []
    left_out: list[str] = []
    for entry in table:
        facts = entry.facts
        if facts is None:
            raise PackError(f"{path}, line {entry.number}: {entry.reason}")
        if facts.gps_time is None or facts.ifo is None:
            missing = "GPS time in seconds" if facts.gps_time is None else "detector"
            raise PackError(f"{path}, line {entry.number}: the row has no {missing}.")
        name = facts.gravityspy_id or f"{facts.ifo} {facts.gps_time}"
        if facts.label is None:
            left_out.append(f"{name}: line {entry.number} has no label.")
        else:
            rows.append(Row(Decimal(facts.gps_time), facts.ifo, facts.label, name))
    if not rows:
        raise PackError(f"{path} has no row with a label.")
    return Rows(rows, left_out)


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    plain = {plain_name(name) for name in columns}
    missing = [
        " or ".join(names)
        for names in COLUMNS.values()
        if not plain & {plain_name(name) for name in names}
    ]
    if missing:
        raise PackError(f"{path} lacks the columns {', '.join(missing)}: {WHERE}.")


class StrainCache:
    """Strain files of one folder, found by detector and GPS time; new ones are added."""

    def __init__(self, folder: Path, fetch: Fetch) -> None:
        self._folder, self._fetch = folder, fetch
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        self._spans = [
            (span.ifo, span.gps_start, span.gps_end, file)
            for file in files
            if (span := _span(file)) is not None
        ]

    def strain_around(self, row: Row) -> Strain:
        """Read strain around the row's GPS time, from the folder if it has any.

        Raises:
            PackError: if the folder has none and it cannot be downloaded.
            StrainError: if the file ends too near to the GPS time.
        """
        margin = Decimal(SEGMENT_S // 2)
        holding = [span for span in self._spans if span[0] == row.ifo]
        # The file that extends furthest on both sides of the GPS time.
        reach = {span[3]: min(row.gps_time - span[1], span[2] - row.gps_time) for span in holding}
        best = max(reach, key=lambda file: reach[file], default=None)
        if best is None or reach[best] <= 0:
            start = int(row.gps_time - margin)
            best = self._store(row, start, start + SEGMENT_S)
        return read_strain(best, file_name=best.name, gps_time=row.gps_time, ifo=row.ifo)

    def _store(self, row: Row, start: int, end: int) -> Path:
        try:
            values, rate = self._fetch(row.ifo, start, end)
        except GlitchError:
            raise
        except Exception as error:
            raise PackError(
                f"The open strain of {row.ifo} from GPS {start} to {end} could not be fetched from "
                f"gwosc.org ({error}): connect to the network, or put a strain file that covers it "
                f"into {self._folder} (data.strain_folder)."
            ) from error
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{row.ifo[0]}-{row.ifo}_GWOSC-{start}-{end - start}.hdf5"
        partial = path.with_suffix(".partial")
        with h5py.File(partial, "w") as file:  # GWOSC's layout
            dataset = file.create_dataset("strain/Strain", data=values)
            dataset.attrs["Xstart"], dataset.attrs["Xspacing"] = start, 1 / rate
            file["meta/GPSstart"], file["meta/Detector"] = start, row.ifo
        partial.replace(path)
        self._spans.append((row.ifo, Decimal(start), Decimal(end), path))
        return path


def _span(file: Path) -> StrainSpan | None:
    """Return the time span of a file; None if it is not strain, or has no start time."""
    try:
        if not file.is_file() or not is_strain_file(file, file.name):
            return None
        return strain_span(file, file_name=file.name)
    except GlitchError:
        return None


def fetch_open_strain(ifo: str, start: int, end: int) -> tuple[np.ndarray, float]:
    """Download GWOSC's open strain through gwpy, at 16 kHz where that is published."""
    from gwpy.timeseries import TimeSeries

    series = TimeSeries.fetch_open_data(ifo, start, end, sample_rate=16384, cache=False)
    return np.asarray(series.value, dtype=np.float64), float(series.sample_rate.value)
