"""The catalogue as a table: its columns, and the cells of a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from app.frame.contexts import Card, Choice
from app.frame.words import ORIGIN_TEXTS, card, frequency, seconds, snr
from app.glitches.pages.contexts import CatalogueTable, TableColumn, TableRow
from app.glitches.pages.query import CatalogueQuery
from app.glitches.records import GlitchRecord
from glitch.novelty import Judgement
from glitch.observing_runs import observing_run


@dataclass(frozen=True)
class _Column:
    title: str
    text: Callable[[GlitchRecord], str | None]  # None: not known
    sort: str | None = None
    is_number: bool = False


def _run(glitch: GlitchRecord) -> str | None:
    return observing_run(None if glitch.gps_time is None else float(glitch.gps_time))


# Detector, time, class and novelty are drawn as on cards.
_COLUMNS: Mapping[str, _Column] = {
    "class": _Column("Class", lambda glitch: glitch.label or "Unlabelled", "class"),
    "detector": _Column("Detector", lambda glitch: glitch.ifo, "detector"),
    "time": _Column("Time", lambda glitch: str(glitch.gps_time), "time"),
    "run": _Column("Run", _run),
    "snr": _Column("SNR", lambda glitch: snr(glitch.snr), "snr", is_number=True),
    "frequency": _Column(
        "Peak frequency", lambda glitch: frequency(glitch.peak_frequency), "frequency", True
    ),
    "duration": _Column("Duration", lambda glitch: seconds(glitch.duration), "duration", True),
    "bandwidth": _Column("Bandwidth", lambda glitch: frequency(glitch.bandwidth), None, True),
    "q": _Column("Q", lambda glitch: None if glitch.q is None else f"{glitch.q:.3g}", None, True),
    "confidence": _Column(
        "Label's confidence",
        lambda glitch: None if glitch.ml_confidence is None else f"{glitch.ml_confidence:.3g}",
        None,
        True,
    ),
    "novelty": _Column("Novelty", lambda _: None, "novelty"),
    "channel": _Column("Channel", lambda glitch: glitch.channel),
    "origin": _Column("Origin", lambda glitch: ORIGIN_TEXTS[glitch.origin]),
    "id": _Column("Id", lambda glitch: glitch.public_id),
}
SHOWN_AT_FIRST = ("class", "detector", "time", "snr", "frequency", "novelty", "origin")


def catalogue_table(
    query: CatalogueQuery,
    glitches: tuple[GlitchRecord, ...],
    judgements: Mapping[UUID, Judgement],
) -> CatalogueTable:
    """The page as a table, with the columns and the order that the address asks for."""
    shown = tuple(name for name in _COLUMNS if name in (query.columns or SHOWN_AT_FIRST))
    by, is_falling = query.sort or ("", False)

    def cells(glitch: GlitchRecord) -> tuple[tuple[str, str | None], ...]:
        return tuple((name, _COLUMNS[name].text(glitch)) for name in shown)

    def shared(glitch: GlitchRecord) -> Card:
        return card(glitch, judgement=judgements.get(glitch.id))

    return CatalogueTable(
        columns=tuple(
            TableColumn(
                title=_COLUMNS[name].title,
                is_number=_COLUMNS[name].is_number,
                href=_sorted_href(query, _COLUMNS[name].sort),
                order=None
                if not by or by != _COLUMNS[name].sort
                else "descending"
                if is_falling
                else "ascending",
            )
            for name in shown
        ),
        choices=tuple(Choice(name, one.title, name in shown) for name, one in _COLUMNS.items()),
        rows=tuple(TableRow(str(one.id), shared(one), cells(one)) for one in glitches),
    )


def _sorted_href(query: CatalogueQuery, by: str | None) -> str | None:
    """First the largest, on a second press the smallest, on a third the order of storing."""
    if by is None:
        return None
    now = query.values.get("sort")
    wanted = {f"-{by}": by, by: None}.get(now or "", f"-{by}")
    return query.href(sort=wanted, after=None)
