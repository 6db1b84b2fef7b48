"""Split table rows that describe one event in several detectors.

Coherent WaveBurst's EVENTS.txt and PyCBC's coincidences have a time and an SNR per detector;
GraceDB's tables have one time and detectors such as "H1,L1".
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

from glitch.detectors import parse_detector, parse_detectors
from glitch.tables.columns import SPELLINGS, TIME_IN_DETECTOR, TIMES, plain_name

_COMMON = {"central_frequency": "peak_frequency", "bandwidth": "bandwidth", "duration": "duration"}


def rows_by_detector(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the row of a table, or one row per detector for an event in several detectors.

    Args:
        values: values by the table's own column names. cWB's ``sSNR`` is the square of the SNR.
    """
    plain = {plain_name(name): value for name, value in values.items()}
    matches = [match for name in plain if (match := TIME_IN_DETECTOR.fullmatch(name))]
    is_of_one = parse_detector(str(plain.get("ifo"))) is not None and not plain.keys().isdisjoint(
        TIMES
    )
    if not matches or is_of_one:
        yield from _at_one_time(values)
        return
    # For a detector that did not see the event PyCBC writes -1, and others leave the time empty.
    for match in [one for one in matches if _is_there(plain[one[0]])] or matches:
        ifo = match[1] or match[2] or match[3]
        row = {field: plain[column] for column, field in _COMMON.items() if column in plain}
        row |= {"gps_time": plain[match[0]], "ifo": ifo}
        for name in {f"{ifo}_snr", f"snr_{ifo}"} & plain.keys():
            row["snr"] = plain[name]
        with contextlib.suppress(KeyError, ValueError):  # not stated
            row["snr"] = math.sqrt(float(plain[f"ssnr_for_{ifo}_detector"]))
        yield row


def _at_one_time(values: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the row, or one per detector if it names several; its SNR is that of all detectors."""
    named = [name for name in values if plain_name(name) in SPELLINGS["ifo"]]
    ifos = next((parsed for name in named if (parsed := parse_detectors(str(values[name])))), ())
    if len(ifos) < 2:
        yield values
        return
    shared = {
        name: value
        for name, value in values.items()
        if name not in named and plain_name(name) not in SPELLINGS["snr"]
    }
    plain = {plain_name(name): value for name, value in values.items()}
    for ifo in ifos:
        snrs = (plain.get(name) for name in (f"snr_{ifo.lower()}", f"{ifo.lower()}_snr"))
        snr = next((one for one in snrs if one is not None), None)
        yield {**shared, "ifo": ifo} if snr is None else {**shared, "ifo": ifo, "snr": snr}


def _is_there(time: Any) -> bool:
    try:
        return float(time) > 0
    except (TypeError, ValueError):
        return bool(str(time or "").strip())
