"""The catalogue's filters in the address of a page: parsing, errors, writing."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.datastructures import QueryParams

from app.frame.display import (
    CARD_WINDOW_S,
    NOVEL_P_VALUE,
    NOVELTY_TEXTS,
    ORIGIN_TEXTS,
    UNUSUAL_P_VALUE,
)
from app.frame.form_values import TimeRange, no_such_filter, parse_time_range
from app.glitches.records import GlitchFilters
from app.server.form_fields import parameters_of, takes_any
from glitch.detectors import DETECTORS
from glitch.views import VIEW_DURATIONS_S

MAX_CHARACTERS = 100
UNLABELLED = "-"  # no class can have this name: names start with a letter or a digit

_TEXT_FIELDS = (
    *("label", "start", "end", "snr_min", "snr_max"),
    *("frequency_min", "frequency_max", "confidence_min", "origin", "novelty", "batch", "run"),
    *("flag", "not_flag", "window", "view", "sort", "after"),
)
_NAMES = {*_TEXT_FIELDS, "ifo", "column", "done", "event"}  # the last two describe the last action
_PHRASES = {  # texts of the filters for the page title
    **{"run": "{}", "start": "from {}", "end": "to {}"},
    **{"snr_min": "SNR ≥ {}", "snr_max": "SNR ≤ {}"},
    **{"frequency_min": "≥ {} Hz", "frequency_max": "≤ {} Hz", "confidence_min": "confidence ≥ {}"},
    **{"origin": "{}", "novelty": "{}", "flag": "{}", "not_flag": "not {}", "batch": "one batch"},
}
_LOOKS = {"window", "view", "sort", "after"}  # parameters of display, which do not select glitches


@dataclass(frozen=True)
class CatalogueQuery:
    """The parsed address of a catalogue page."""

    values: Mapping[str, str]  # single-valued parameters as typed, without empty ones
    ifos: tuple[str, ...]
    columns: tuple[str, ...]  # of the table; empty: the default ones
    filters: GlitchFilters
    window_s: float
    errors: tuple[str, ...]  # sentences about values that cannot be used

    @property
    def typed(self) -> Mapping[str, str]:
        """Every filter field by name, so that the user can correct a refused value in place."""
        return {**dict.fromkeys(_TEXT_FIELDS, ""), **self.values}

    @property
    def kept(self) -> list[tuple[str, str]]:
        """The parameters of the address other than filters, for example the order."""
        return [pair for pair in self.pairs() if pair[0] in {"column", "view", "sort"}]

    @property
    def cursor(self) -> str | None:
        """Cursor of the page; None for the first page."""
        return self.values.get("after")

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter is set."""
        return bool(self.ifos or set(self.values) - _LOOKS)

    @property
    def title(self) -> str:
        """The selection in a few words, for the title of the page."""
        label = self.values.get("label")
        parts = [] if label is None else ["unlabelled" if label == UNLABELLED else label]
        parts += self.ifos
        texts = {**ORIGIN_TEXTS, **NOVELTY_TEXTS}
        pairs = [(how, self.values[name]) for name, how in _PHRASES.items() if name in self.values]
        parts += [how.format(texts.get(value, value)) for how, value in pairs]
        return "Catalogue" if self.errors or not parts else ", ".join(parts)

    @property
    def is_table(self) -> bool:
        """Whether a table is requested instead of cards."""
        return self.values.get("view") == "table"

    @property
    def sort(self) -> tuple[str, bool] | None:
        """Column of the order, and whether it is descending; None for the order of storing."""
        by = self.values.get("sort", "")
        return (by.removeprefix("-"), by.startswith("-")) if by else None

    def pairs(self, **changes: str | None) -> list[tuple[str, str]]:
        """The parameters with ``changes`` applied; None removes one."""
        values = {**self.values, **changes}
        pairs = [("ifo", ifo) for ifo in self.ifos]
        pairs += [("column", name) for name in self.columns]
        return pairs + [(name, value) for name, value in values.items() if value]

    def href(self, **changes: str | None) -> str:
        """Address of this selection with ``changes`` applied; None removes a parameter."""
        pairs = self.pairs(**changes)
        return f"/ui/glitches?{urlencode(pairs)}" if pairs else "/ui/glitches"


def parse_catalogue_query(params: QueryParams, also: Collection[str] = ()) -> CatalogueQuery:
    """Parse the selection in an address; invalid values are reported in ``errors``.

    ``also`` are further parameters that the page accepts.
    """
    values = {name: params.get(name, "").strip() for name in _TEXT_FIELDS}
    values = {name: value for name, value in values.items() if value}
    ifos = tuple(dict.fromkeys(ifo.strip() for ifo in params.getlist("ifo") if ifo.strip()))
    columns = tuple(dict.fromkeys(name[:20] for name in params.getlist("column")[:20] if name))
    reader = _Reader(values)
    reader.errors.extend(no_such_filter(params, {*_NAMES, *also}))
    start, end = reader.stretch()
    novelty = reader.novelty()
    filters = GlitchFilters(
        ifos=reader.ifos(ifos),
        gps_start=start,
        gps_end=end,
        snr_min=reader.number("snr_min", "The lowest SNR"),
        snr_max=reader.number("snr_max", "The highest SNR"),
        peak_frequency_min=reader.number("frequency_min", "The lowest peak frequency"),
        peak_frequency_max=reader.number("frequency_max", "The highest peak frequency"),
        ml_confidence_min=reader.number("confidence_min", "The least confidence"),
        data_quality=reader.names("flag"),
        not_data_quality=reader.names("not_flag"),
        labels=reader.labels(),
        batch_id=reader.batch(),
        is_labelled=False if values.get("label") == UNLABELLED else None,
        origins=reader.origins(),
        p_value_max={"novel": NOVEL_P_VALUE, "unusual": UNUSUAL_P_VALUE}.get(novelty),
        is_judged=False if novelty == "unjudged" else None,
    )
    reader.compare(filters)
    return CatalogueQuery(values, ifos, columns, filters, reader.window(), tuple(reader.errors))


_Several = Annotated[list[str] | None, Query()]


@takes_any  # unknown parameters are reported beside the filters
async def _from_address(
    request: Request,
    ifo: _Several = None,  # noqa: ARG001 - declared for ``CheckQuery``: these two may be
    column: _Several = None,  # noqa: ARG001 - repeated in an address
) -> CatalogueQuery:
    return parse_catalogue_query(request.query_params, parameters_of(request.scope["route"]))


AddressedQuery = Annotated[CatalogueQuery, Depends(_from_address)]
"""The selection that the address of a request describes."""


class _Reader:
    """Reads single values and collects an error message for each invalid one."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.errors: list[str] = []
        for name, value in values.items():
            if len(value) > MAX_CHARACTERS and name != "after":
                self.errors.append(f"The filter {name} is longer than {MAX_CHARACTERS} characters.")

    def ifos(self, ifos: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [ifo for ifo in ifos if ifo not in DETECTORS]
        if unknown:
            self.errors.append(
                f"“{unknown[0][:20]}” is not a known detector: choose {', '.join(DETECTORS)}."
            )
        return tuple(ifo for ifo in ifos if ifo in DETECTORS)

    def labels(self) -> tuple[str, ...]:
        label = self.values.get("label")
        return () if not label or label == UNLABELLED else (label[:MAX_CHARACTERS],)

    def names(self, field: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.values.get(field, "")[:MAX_CHARACTERS].split()))

    def batch(self) -> UUID | None:
        text = self.values.get("batch")
        try:
            return UUID(text) if text else None
        except ValueError:
            self.errors.append("There is no such batch: see the list of jobs.")
            return None

    def origins(self) -> tuple[str, ...]:
        origin = self.values.get("origin")
        if origin and origin not in ORIGIN_TEXTS:
            self.errors.append(
                f"“{origin[:20]}” is not an origin: choose {', '.join(ORIGIN_TEXTS)}."
            )
            return ()
        return (origin,) if origin else ()

    def novelty(self) -> str:
        novelty = self.values.get("novelty", "")
        if novelty and novelty not in NOVELTY_TEXTS:
            choices = ", ".join(NOVELTY_TEXTS)
            self.errors.append(f"“{novelty[:20]}” is not a value of novelty: choose {choices}.")
        return novelty

    def stretch(self) -> TimeRange:
        start, end, run = (self.values.get(name, "") for name in ("start", "end", "run"))
        return parse_time_range(start, end, run, self.errors)

    def number(self, name: str, meaning: str) -> float | None:
        text = self.values.get(name)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < 0:
            self.errors.append(f"{meaning}, “{text[:20]}”, is not a number of 0 or more.")
            return None
        return number

    def window(self) -> float:
        text = self.values.get("window", "")
        lengths = {f"{length:g}": length for length in VIEW_DURATIONS_S}
        return lengths.get(text, CARD_WINDOW_S)

    def compare(self, filters: GlitchFilters) -> None:
        ranges = (
            ("SNR", filters.snr_min, filters.snr_max),
            ("peak frequency", filters.peak_frequency_min, filters.peak_frequency_max),
        )
        self.errors.extend(
            f"The range of the {name} ends before it begins: swap the two values."
            for name, low, high in ranges
            if low is not None and high is not None and low > high
        )
