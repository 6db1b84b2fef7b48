"""Index of strain files by detector and GPS time."""

import logging
import os
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import accumulate, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from app.decoding.files import span_of
from glitch.detectors import DETECTORS, detectors_of_file_name
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.frame_names import parse_frame_name
from glitch.strain import StrainSpan
from glitch.strain.series import LONGEST_SEGMENT_S, SHORTEST_SEGMENT_S

UPLOADED, KNOWN = "uploaded", "known"  # unpacked from the batch; in the server's strain folder
LISTED = "listed"  # anywhere: listed by a cache file there or by the frame server
_REACH_S = Decimal(LONGEST_SEGMENT_S) / 2  # strain needed on each side of a glitch
_MIN_DEPTH_S = Decimal(SHORTEST_SEGMENT_S) / 2  # least depth in the batch's strain to prefer it
_MAX_OTHERS = 4  # files of the same time compared with the strain that is read
_MAX_FILES = 1_000_000
_SUFFIXES = frozenset({"gwf", "h5", "hdf5", "hdf"})
_CACHE_FILE = re.compile(r".+\.(?:lcf|cache|ffl)", re.IGNORECASE)
_LONGEST_CACHE_LINE = 10_000
_IS_NO_UTF8 = re.compile("[\ud800-\udfff]")  # surrogates: Python's decoding of other bytes
_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A strain file: its root, its path below the root, and its original name."""

    root: str  # UPLOADED, KNOWN or LISTED
    path: str
    name: str


_Span = tuple[Decimal, Decimal, Place]  # start, end, file


def _order(span: _Span) -> tuple[Decimal, Decimal, str]:
    return span[0], span[1], span[2].path


def _is_own(span: _Span) -> bool:
    return span[2].root == UPLOADED


def _kind(span: _Span) -> str:
    """Part of the name that files of one series have in common."""
    frame = parse_frame_name(span[2].name)
    return "" if frame is None else f"{frame.site}-{frame.description}.{frame.suffix}"


@dataclass(frozen=True)
class StrainFiles:
    """The files with the available part of the 64 s around a time, ordered by time."""

    places: tuple[Place, ...]
    gap: str | None = None  # a sentence if the strain ends or begins within the 64 s
    others: tuple[Place, ...] = ()  # further files of the batch with strain of the same 64 s

    @property
    def is_whole(self) -> bool:
        """Whether they contain the full 64 s."""
        return self.gap is None


def frame_span(name: str) -> tuple[Decimal, Decimal] | None:
    """GPS start and end from a file name in the form of LIGO-T050017; None for other names."""
    parts = parse_frame_name(name)
    if (
        parts is None
        or parts.suffix.removesuffix(".gz") not in _SUFFIXES
        or "." in parts.start + parts.length
    ):
        return None
    start = Decimal(parts.start)
    return start, start + int(parts.length)


def listed_files(cache: Path) -> Iterator[Path]:
    """Files named by a cache file, relative to its folder.

    LAL's lines end in a URL; Virgo's (FFL) begin with a path.
    """
    with cache.open(encoding="utf-8", errors="replace") as lines:
        while line := lines.readline(_LONGEST_CACHE_LINE):
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            text = fields[4] if len(fields) == 5 and "/" not in fields[0] else fields[0]
            is_url = text.startswith("file:")
            if "://" in text and not is_url:  # on another machine
                continue
            path = unquote(urlsplit(text).path) if is_url else text
            yield cache.parent / path


def spans_of(
    path: Path, name: str, *, sample_rate_hz: float | None, channel: str | None
) -> list[StrainSpan | None]:
    """Time spans of a strain file: one, or one for each of several detectors in the file.

    Raises:
        GlitchError: if it cannot be read, or its channel is ambiguous.
    """
    try:
        return [span_of(path, name, sample_rate_hz=sample_rate_hz, channel=channel)]
    except FormatError as error:
        if error.field != "channel" or channel is not None:
            raise
        spans: list[StrainSpan | None] = []
        for ifo in DETECTORS:
            with suppress(GlitchError):
                span = span_of(path, name, sample_rate_hz=sample_rate_hz, ifo=ifo)
                if span is not None and span.ifo == ifo:
                    spans.append(span)
        if not spans:
            raise
        return spans


def is_readable(path: Path) -> bool:
    """Whether this is a readable regular file or a link to one; opening other kinds may block."""
    return path.is_file() and os.access(path, os.R_OK)


def _places(folder: Path) -> Iterator[Place]:
    """Every file under a folder, and the files that its cache files list."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            if not _CACHE_FILE.fullmatch(name):
                yield Place(KNOWN, str(path.relative_to(folder)), name)
            elif is_readable(path):
                yield from (Place(LISTED, str(one), one.name) for one in listed_files(path))
            else:
                _log.warning("a cache file of strain cannot be read", extra={"file": ascii(path)})


class StrainIndex:
    """Strain files by detector and time."""

    def __init__(self) -> None:
        self._spans: dict[str, list[_Span]] = defaultdict(list)
        self._longest: dict[str, Decimal] = {}
        self._latest: dict[str, list[_Span]] = {}  # per file, the latest end so far
        self._is_sorted = True

    def add(self, ifo: str, start: Decimal, end: Decimal, place: Place) -> None:
        """Add a file."""
        self._spans[ifo].append((start, end, place))
        self._longest[ifo] = max(self._longest.get(ifo, Decimal(0)), end - start)
        self._is_sorted = False

    def add_folder(self, folder: Path) -> None:
        """Add the files under a folder whose names follow LIGO-T050017, without opening them.

        Files listed by cache files in the folder (LAL's ``.lcf``, Virgo's ``.ffl``) are added too.
        Unusable files are left out and logged; TooLargeError if there are too many files.
        """
        count = 0
        for place in _places(folder):
            span, ifos = frame_span(place.name), detectors_of_file_name(place.name)
            if span is None or not ifos:
                continue
            if _IS_NO_UTF8.search(place.path):  # PostgreSQL cannot store it
                _log.warning(
                    "the path of a strain file is not UTF-8", extra={"file": ascii(place.path)}
                )
                continue
            count += 1
            if count > _MAX_FILES:
                raise TooLargeError(
                    f"The server's strain folder has over {_MAX_FILES:,} files: point "
                    "GLITCH_STRAIN_DIR to a part of it."
                )
            for ifo in ifos:  # a frame named HL-… contains both detectors
                self.add(ifo, *span, place)

    def find(self, ifo: str, gps_time: Decimal) -> StrainFiles | None:
        """The file in which a time lies deepest, with adjacent files if it is too short.

        The batch's own files take precedence over those of the operator. None if no file contains
        the time.
        """
        self._sort()

        def rank(span: _Span) -> tuple[bool, Decimal, str]:
            depth = min(gps_time - span[0], span[1] - gps_time)
            return _is_own(span) and depth >= _MIN_DEPTH_S, depth, span[2].name

        candidates = (one for one in self._reaching(ifo, gps_time) if one[1] >= gps_time)
        best = max(candidates, key=rank, default=None)
        if best is None:
            return None

        def adjacent_to(edge: Decimal) -> Iterator[_Span]:
            return (one for one in self._reaching(ifo, edge) if _is_own(one) == _is_own(best))

        files = [best]
        while files[0][0] > gps_time - _REACH_S:
            edge = files[0][0]
            before = [span for span in adjacent_to(edge) if span[0] < edge <= span[1]]
            if not before:
                break
            files.insert(0, min(before, key=lambda one: (_kind(one) != _kind(best), _order(one))))
        while files[-1][1] < gps_time + _REACH_S:
            edge = files[-1][1]
            after = [span for span in adjacent_to(edge) if span[0] <= edge < span[1]]
            if not after:
                break
            files.append(max(after, key=lambda one: (_kind(one) == _kind(best), one[1])))
        start, end = files[0][0], files[-1][1]
        is_whole = start <= gps_time - _REACH_S and end >= gps_time + _REACH_S
        gap = None if is_whole else f"No other strain of {ifo} is adjacent to {start:f} to {end:f}."
        others = self._others(ifo, gps_time, files) if _is_own(best) else ()
        return StrainFiles(tuple(place for _, _, place in files), gap, others)

    def _others(self, ifo: str, gps_time: Decimal, files: list[_Span]) -> tuple[Place, ...]:
        """Files of the batch with strain of the 64 s around a time that are not read for it."""
        places = (
            one[2]
            for reached in (gps_time - _REACH_S, gps_time, gps_time + _REACH_S)
            for one in self._reaching(ifo, reached)
            if one[1] > gps_time - _REACH_S and _is_own(one) and one not in files
        )
        return tuple(islice(dict.fromkeys(places), _MAX_OTHERS))

    def _reaching(self, ifo: str, gps_time: Decimal) -> Iterator[_Span]:
        """The files that start at or before a time and may reach it, latest start first."""
        spans = self._spans.get(ifo, [])
        for at in range(bisect_right(spans, gps_time, key=lambda span: span[0]) - 1, -1, -1):
            if gps_time - spans[at][0] > self._longest[ifo]:
                return
            yield spans[at]

    def _sort(self) -> None:
        if not self._is_sorted:
            for ifo, spans in self._spans.items():
                spans.sort(key=_order)
                self._latest[ifo] = list(accumulate(spans, partial(max, key=itemgetter(1))))
            self._is_sorted = True

    def holds(self, ifo: str) -> bool:
        """Whether there is any strain of a detector."""
        return bool(self._spans.get(ifo))

    def why_not(self, ifo: str, gps_time: Decimal) -> str:
        """Sentence on why ``find`` returned None."""
        spans = self._spans.get(ifo, [])
        if not spans:
            ifos = ", ".join(sorted(self._spans)) or "none at all"
            return (
                f"There is no strain of {ifo} with this batch (strain of: {ifos}): pack strain "
                "files and table into one archive or folder, or ask the operator to name a "
                "folder of strain (GLITCH_STRAIN_DIR) or GWOSC (GLITCH_GWOSC_URL)."
            )
        self._sort()
        index = bisect_right(spans, gps_time, key=lambda span: span[0])
        candidates = [*self._latest[ifo][max(index - 1, 0) : index], *spans[index : index + 1]]
        nearest = min(candidates, key=lambda span: max(span[0] - gps_time, gps_time - span[1]))
        return (
            f"GPS time {gps_time} is outside the strain of {ifo}: the nearest stretch is "
            f"{nearest[0]:f} to {nearest[1]:f}. Add the file that contains it."
        )
