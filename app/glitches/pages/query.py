"""The catalogue's filters in the address of a page: parsing, errors, writing."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from fastapi.datastructures import QueryParams

from app.core.database import as_uuid
from app.frame.display import (
    CARD_WINDOW_S,
    NOVEL_P_VALUE,
    NOVELTY_TEXTS,
    ORIGIN_TEXTS,
    UNUSUAL_P_VALUE,
)
from app.frame.form_values import no_such_filter, parse_time_range
from app.glitches.records import GlitchFilters
from app.server.form_fields import parameters_of, takes_any
from glitch.detectors import DETECTORS
from glitch.taxonomy import SIMULATED
from glitch.views import VIEW_DURATIONS_S

MAX_CHARACTERS = 100
UNLABELLED = "-"  # no class can have this name: names start with a letter or a digit

_TEXT_FIELDS = (
    *("label", "start", "end", "snr_min", "snr_max"),
    *("frequency_min", "frequency_max", "confidence_min", "origin", "novelty", "batch", "run"),
    "simulated",
    *("flag", "not_flag", "window", "view", "sort", "after"),
)
_NAMES = {*_TEXT_FIELDS, "ifo", "column", "done", "event"}  # the last two describe the last action
_PHRASES = {  # texts of the filters for the page title
    **{"run": "{}", "start": "from {}", "end": "to {}"},
    **{"snr_min": "SNR ≥ {}", "snr_max": "SNR ≤ {}"},
    **{"frequency_min": "≥ {} Hz", "frequency_max": "≤ {} Hz", "confidence_min": "confidence ≥ {}"},
    "simulated": "like simulated {}",
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
    errors = [
        f"The filter {name} is longer than {MAX_CHARACTERS} characters."
        for name, value in values.items()
        if len(value) > MAX_CHARACTERS and name != "after"
    ]
    errors += no_such_filter(params, {*_NAMES, *also})
    first, last, run = (values.get(name, "") for name in ("start", "end", "run"))
    start, end = parse_time_range(first, last, run, errors)
    novelty = _known(values.get("novelty"), NOVELTY_TEXTS, "a value of novelty", errors)
    unknown = [ifo for ifo in ifos if ifo not in DETECTORS]
    _known(next(iter(unknown), None), DETECTORS, "a known detector", errors)
    origin = _known(values.get("origin"), ORIGIN_TEXTS, "an origin", errors)
    simulated = _known(values.get("simulated"), SIMULATED, "a simulated class", errors)
    label, batch = values.get("label"), values.get("batch")
    batch_id = as_uuid(batch) if batch else None
    if batch and batch_id is None:
        errors.append("There is no such batch: see the list of jobs.")

    def number(name: str, meaning: str) -> float | None:
        if (text := values.get(name)) is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return number
        errors.append(f"{meaning}, “{text[:20]}”, is not a number of 0 or more.")
        return None

    filters = GlitchFilters(
        ifos=tuple(ifo for ifo in ifos if ifo in DETECTORS),
        gps_start=start,
        gps_end=end,
        snr_min=number("snr_min", "The lowest SNR"),
        snr_max=number("snr_max", "The highest SNR"),
        peak_frequency_min=number("frequency_min", "The lowest peak frequency"),
        peak_frequency_max=number("frequency_max", "The highest peak frequency"),
        ml_confidence_min=number("confidence_min", "The least confidence"),
        data_quality=_names(values.get("flag", "")),
        not_data_quality=_names(values.get("not_flag", "")),
        labels=(label[:MAX_CHARACTERS],) if label and label != UNLABELLED else (),
        batch_id=batch_id,
        is_labelled=False if label == UNLABELLED else None,
        origins=(origin,) if origin else (),
        p_value_max={"novel": NOVEL_P_VALUE, "unusual": UNUSUAL_P_VALUE}.get(novelty or ""),
        is_judged=False if novelty == "unjudged" else None,
        simulated_classes=(simulated,) if simulated else (),
    )
    ranges = (
        ("SNR", filters.snr_min, filters.snr_max),
        ("peak frequency", filters.peak_frequency_min, filters.peak_frequency_max),
    )
    errors += [
        f"The range of the {name} ends before it begins: swap the two values."
        for name, low, high in ranges
        if low is not None and high is not None and low > high
    ]
    lengths = {f"{length:g}": length for length in VIEW_DURATIONS_S}
    window_s = lengths.get(values.get("window", ""), CARD_WINDOW_S)
    return CatalogueQuery(values, ifos, columns, filters, window_s, tuple(errors))


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


def _known(value: str | None, choices: Iterable[str], what: str, errors: list[str]) -> str | None:
    """Return the value if it is one of the choices; otherwise None, with an error unless empty."""
    if value is None or value in choices:
        return value
    errors.append(f"“{value[:20]}” is not {what}: choose {', '.join(choices)}.")
    return None


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text[:MAX_CHARACTERS].split()))
