"""The data-quality flags of one batch: what they exclude, and what was active when."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from app.batches.quality.database import SegmentDatabase
from app.decoding.files import segments_in
from glitch.tables.facts import MOST_FLAGS, flag_name
from glitch.tables.segments import Segments, is_text_of_segments, text_segments

FILTER, MARK = "filter", "mark"  # triggers that flags exclude are passed over, or kept


class Flags:
    """Flags of files, and of a segment database, which is asked once for what ``reach`` told.

    Those ``named`` come from the database; ``mode`` is ``FILTER`` or ``MARK``.
    """

    def __init__(
        self, mode: str, database: SegmentDatabase | None = None, named: Sequence[str] = ()
    ) -> None:
        self._mode = mode
        self._database = database
        self._named = list(named)
        self._flags: list[Segments] = []
        self._spans: dict[str, tuple[Decimal, Decimal]] = {}

    def add(self, path: Path, name: str, *, is_hdf5_table: bool) -> bool:
        """Take the flags of a file; False where it holds none.

        Raises:
            GlitchError: if it holds flags and cannot be read.
        """
        if is_hdf5_table:
            found = segments_in(path, name)
        else:
            found = text_segments(path, name) if is_text_of_segments(path) else []
        self._flags += found
        return bool(found)

    def reach(self, ifo: str | None, gps_time: str | None) -> None:
        """Note a time that will be asked about, before the first one is."""
        if self._named and ifo is not None and gps_time is not None:
            at = Decimal(gps_time)
            first, last = self._spans.get(ifo, (at, at))
            self._spans[ifo] = min(first, at), max(last, at)

    def why_not(self, ifo: str, gps_time: Decimal) -> str | None:
        """Why a trigger is passed over, by the flags of its detector; None if it is not.

        Raises:
            GlitchError: if the segment database does not know a flag.
            NotReadyError: if it does not answer.
        """
        if self._mode == MARK:
            return None
        return " ".join(filter(None, (one.why_not(gps_time) for one in self._of(ifo)))) or None

    def active(self, ifo: str | None, gps_time: str | None) -> str | None:
        """The names of the flags that were active then, with blanks between them; None if none.

        Raises:
            GlitchError: if the segment database does not know a flag.
            NotReadyError: if it does not answer.
        """
        if gps_time is None or ifo is None:
            return None
        at = Decimal(gps_time)
        names = {flag_name(one.name) for one in self._of(ifo) if one.is_active(at)}
        return " ".join(sorted(names)[:MOST_FLAGS]) or None

    def _of(self, ifo: str) -> list[Segments]:
        if self._database is not None and ifo in self._spans:
            for name in [one for one in self._named if one.startswith(f"{ifo}:")]:
                self._named.remove(name)
                self._flags.append(self._database.flag(name, *self._spans[ifo]))
        return [flag for flag in self._flags if flag.ifo in (None, ifo)]
