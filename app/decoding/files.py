"""Functions with which services let a child process read an untrusted file.

Frame files (GWF) are decoded by a separate process that ``glitch.strain.formats.gwf`` starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict, Unpack

from app.decoding.operations import ARRAY, STRAIN
from app.decoding.pool import error_of, shared_pool
from glitch.errors import GlitchError
from glitch.files.compressed import content_head, format_of
from glitch.files.confinement import Limits
from glitch.strain.formats.text import is_numeric_text
from glitch.strain.joining import StrainFile, join_pieces, read_piece
from glitch.strain.reading import StrainSpan, read_strain, strain_span
from glitch.strain.series import Strain
from glitch.strain.source import Request
from glitch.tables import refuse_unread
from glitch.tables.hdf5 import TriggerTable
from glitch.tables.root import MAGIC
from glitch.tables.segments import Segments, is_text_of_segments
from glitch.views import Preprocessing, Views

_MIB = 1 << 20
_HDF5_LIMITS = Limits(cpu_s=1.5, wall_s=8, memory_bytes=512 * _MIB)
_NUMPY_LIMITS = Limits(cpu_s=3, wall_s=12, memory_bytes=512 * _MIB)
_ROOT_LIMITS = Limits(cpu_s=20, wall_s=60, memory_bytes=1024 * _MIB)  # uproot loads in 1 s
_TEXT_LIMITS = Limits(cpu_s=30, wall_s=60, memory_bytes=1536 * _MIB)
_NUMPY = (b"\x93NUMPY", b"PK\x03\x04")
_GZIP = b"\x1f\x8b"


class StatedSpan(TypedDict, total=False):
    """Given properties of a strain file; see ``glitch.strain.strain_span``."""

    sample_rate_hz: float | None
    channel: str | None
    ifo: str | None


class StatedStrain(StatedSpan, total=False):
    """Given properties of a strain file and the wanted time; see ``glitch.strain.read_strain``."""

    gps_time: Decimal | None
    preferred_channel: str | None


@dataclass(frozen=True, eq=False)
class ReadUpload:
    """An uploaded file that is not an image: its kind, and its content if requested."""

    kind: str | None  # ARRAY, STRAIN, or None if it is neither
    views: Views | None = None
    strain: Strain | None = None
    reason: str = ""  # if neither: why it is not strain


def read_upload(
    file: Path,
    name: str,
    recipe: Preprocessing,
    *,
    is_array_wanted: bool,
    is_strain_wanted: bool,
    **stated: Unpack[StatedStrain],
) -> ReadUpload:
    """Determine whether a file is strain or an array of views, and read it if requested.

    Raises:
        GlitchError: as ``glitch.strain.read_strain`` and ``glitch.images.read_views``.
        BusyError: if too many files wait.
    """
    if _is_frame(file):
        if not is_strain_wanted:
            return ReadUpload(STRAIN)
        with shared_pool().turn():
            return ReadUpload(STRAIN, strain=read_strain(file, file_name=name, **stated))
    content = _perform(
        "upload",
        file,
        name,
        recipe=asdict(recipe),
        is_array_wanted=is_array_wanted,
        is_strain_wanted=is_strain_wanted,
        strain=stated,
    )
    kind = content.pop("kind")
    if kind is None or not content:
        return ReadUpload(kind, **content)
    if kind == ARRAY:
        return ReadUpload(kind, views=_views(content, recipe))
    return ReadUpload(kind, strain=Strain(**content))


@dataclass(frozen=True)
class FileKinds:
    """The kinds of input that a file in a batch could be."""

    is_npz_stack: bool = False
    is_stack: bool = False
    holds_triggers: bool = False
    holds_views: bool = False
    is_strain: bool = False


def kinds_of(file: Path, name: str) -> FileKinds:
    """Kinds of input that a file could be, by its content; a damaged file may be none.

    Raises:
        FormatError: if its format is known but not supported.
    """
    if not is_text_of_segments(file):  # segments may be JSON
        refuse_unread(file, name)
    if _is_frame(file):
        return FileKinds(is_strain=True)
    try:
        return FileKinds(**_perform("kinds", file, name, limits=_HDF5_LIMITS))
    except GlitchError:
        return FileKinds(is_strain=True)  # so that reading it reports the error


def span_of(file: Path, name: str, **stated: Unpack[StatedSpan]) -> StrainSpan | None:
    """Time span of a strain file; see ``glitch.strain.strain_span``."""
    if _is_frame(file):
        with shared_pool().turn():
            return strain_span(file, file_name=name, **stated)
    span = _perform("span", file, name, strain=stated)
    return None if span is None else StrainSpan(**span)


def read_joined(files: Sequence[StrainFile], **stated: Unpack[StatedStrain]) -> Strain:
    """Read the strain around a time from adjacent files: ``glitch.strain.read_joined_strain``."""
    if len(files) > 1:
        gps_time = stated.get("gps_time") or Decimal(0)
        return join_pieces([(file, piece_of(file, **stated)) for file in files], gps_time)
    [only] = files
    if _is_frame(only.path):
        with shared_pool().turn():
            return read_strain(only.path, file_name=only.name, **stated)
    return Strain(**_perform("strain", only.path, only.name, strain=stated))


def piece_of(file: StrainFile, **stated: Unpack[StatedStrain]) -> Strain | None:
    """Read a file's part of the 64 s around a time; see ``glitch.strain.joining.read_piece``."""
    if _is_frame(file.path):
        with shared_pool().turn():
            return read_piece(file.path, Request(file.name, **stated))
    piece = _perform("piece", file.path, file.name, strain=stated)
    return None if piece is None else Strain(**piece)


@dataclass(frozen=True)
class Stack:
    """A file with the views of many glitches; see ``glitch.images.stacks``."""

    file: Path
    name: str
    count: int
    columns: tuple[str, ...]

    def cells(self, column: str, indices: Sequence[int]) -> list[Any]:
        """Values of one column for some glitches."""
        values: list[Any] = _perform(
            "stack_cells", self.file, self.name, column=column, indices=list(indices)
        )
        return values

    def glitches(
        self, indices: Sequence[int], columns: Sequence[str], recipe: Preprocessing
    ) -> list[tuple[dict[str, Any], Views] | GlitchError]:
        """Values and views of some glitches; for a damaged glitch, its error."""
        results = _perform(
            "stack_glitches",
            self.file,
            self.name,
            indices=list(indices),
            columns=list(columns),
            recipe=asdict(recipe),
        )
        return [
            error_of(one) if "error" in one else (one.pop("cells"), _views(one, recipe))
            for one in results
        ]


def open_stack_file(file: Path, name: str) -> Stack:
    """Read the number of glitches and the columns of a file with many glitches' views.

    Raises:
        FormatError: if it is not such a file, or is damaged.
    """
    structure = _perform("stack", file, name)
    return Stack(file, name, structure["count"], tuple(structure["columns"]))


@dataclass(frozen=True)
class TriggerFile:
    """Triggers in an HDF5 or ROOT file; see ``glitch.tables.hdf5`` and ``root``."""

    file: Path
    name: str
    table: TriggerTable

    def rows(self, start: int, count: int, columns: Sequence[str]) -> list[list[Any]]:
        """Values of some columns, one list per row."""
        values: list[list[Any]] = _perform(
            "trigger_rows", self.file, self.name, start=start, count=count, columns=list(columns)
        )
        return values


def open_triggers(file: Path, name: str) -> TriggerFile:
    """Read the structure of an HDF5 or ROOT file of triggers.

    Raises:
        FormatError: if it is damaged, or its triggers are not a table.
        TooLargeError: if its rows are longer than those of any trigger file.
    """
    structure = _perform("triggers", file, name)
    table = TriggerTable(**structure | {"columns": tuple(structure["columns"])})
    return TriggerFile(file, name, table)


def segments_in(file: Path, name: str) -> list[Segments]:
    """Data-quality flags of an HDF5 file; empty if it contains none.

    Raises:
        FormatError: if it is damaged.
        TooLargeError: if it contains too many segments.
    """
    flags = _perform("segments", file, name)
    for one in flags:
        one["active"] = tuple((start, end) for start, end in one["active"])
    return [Segments(**one) for one in flags]


def _perform(do: str, file: Path, name: str, *, limits: Limits | None = None, **args: Any) -> Any:
    return shared_pool().perform(do, file, args, limits or _limits(file), name)


def _limits(file: Path) -> Limits:
    with file.open("rb") as stream:
        head = stream.read(4096)
    if head.startswith(_NUMPY):
        return _NUMPY_LIMITS
    if head.startswith(_GZIP) or is_numeric_text(head):
        return _TEXT_LIMITS
    return _ROOT_LIMITS if head.startswith(MAGIC) else _HDF5_LIMITS


def _is_frame(file: Path) -> bool:
    return format_of(content_head(file)) == "gwf"


def _views(content: Mapping[str, Any], recipe: Preprocessing) -> Views:
    return Views(content["values"], content["observed"], recipe)
