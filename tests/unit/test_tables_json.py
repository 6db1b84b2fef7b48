"""Events and triggers in JSON, as services and libraries write them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from app.batches.table_files import is_table, read_table
from app.decoding.files import kinds_of
from glitch.errors import FormatError
from glitch.tables import Facts

TIME = 1240215503.011549

# As `gracedb superevent S190425z` and `gracedb event G330564` print them, shortened.
EVENT: dict[str, Any] = {
    "submitter": "gstlalcbc",
    "created": "2019-04-25 08:18:26 UTC",
    "group": "CBC",
    "graceid": "G330564",
    "pipeline": "gstlal",
    "gpstime": TIME,
    "reporting_latency": 3.98,
    "instruments": "L1,V1",
    "nevents": 2,
    "far": 4.5e-13,
    "labels": ["EM_READY"],
    "links": {
        "self": "https://x/api/events/G330564",
        "files": "https://x/api/events/G330564/files/",
    },
}
SUPEREVENT = {
    "superevent_id": "S190425z",
    "category": "Production",
    "created": "2019-04-25 08:18:26 UTC",
    "preferred_event": "G330564",
    "t_start": TIME - 1,
    "t_0": TIME,
    "t_end": TIME + 1,
    "gw_events": ["G330564"],
    "far": 4.5e-13,
    "preferred_event_data": EVENT,
    "links": {"events": "https://x/api/superevents/S190425z/events/"},
}
INSPIRAL = EVENT | {
    "extra_attributes": {
        "CoincInspiral": {
            "ifos": "L1,V1",
            "end_time": 1240215503,
            "end_time_ns": 11549000,
            "snr": 13,
        },
        "SingleInspiral": [
            {"ifo": "L1", "end_time": 1240215503, "end_time_ns": 11549000, "snr": 12.9},
            {"ifo": "V1", "end_time": 1240215503, "end_time_ns": 8057000, "snr": 2.5},
        ],
    }
}
BURST = EVENT | {
    "instruments": "",
    "extra_attributes": {"MultiBurst": {"ifos": "H1", "central_freq": 131.5, "snr": 9.5}},
}
# As gwosc.org/eventapi/jsonfull and /api/v2/event-versions respond.
GWOSC = {
    "events": {
        "GW150914-v3": {
            "commonName": "GW150914",
            "version": 3,
            "GPS": 1126259462.4,
            "far": 1e-07,
            "network_matched_filter_snr": 24.4,
            "parameters": {"gwtc1_pe": {"pipeline_type": "pe", "snr": None}},
            "strain": [
                {"GPSstart": 1126257415, "duration": 4096, "detector": "H1", "url": "https://x"},
                {"GPSstart": 1126257415, "duration": 32, "detector": "H1", "url": "https://x"},
                {"GPSstart": 1126257415, "duration": 4096, "detector": "L1", "url": "https://x"},
            ],
        }
    }
}
GWOSC_2 = {
    "next": None,
    "results_count": 1,
    "results": [
        {"name": "GW150914", "gps": 1126259462.4, "detectors": ["H1", "L1"], "aliases": []}
    ],
}
ROWS = [
    {"gps_time": 1262304016.25, "ifo": "H1", "snr": 9.5},
    {"gps_time": 1262304020.5, "ifo": "H1", "snr": 8.0},
]
OF_ROWS = [("1262304016.25", "H1", 9.5), ("1262304020.5", "H1", 8.0)]
TIMES = [row["gps_time"] for row in ROWS]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
DOCUMENTS: dict[str, tuple[Any, list[tuple[str, str, float | None]]]] = {
    "event": (EVENT, [("1240215503.011549", "L1", None), ("1240215503.011549", "V1", None)]),
    "superevent": (SUPEREVENT, [(str(TIME), "L1", None), (str(TIME), "V1", None)]),
    "superevents": (
        {"superevents": [SUPEREVENT] * 2, "links": {"self": "x"}},
        [(str(TIME), "L1", None), (str(TIME), "V1", None)] * 2,
    ),
    "inspiral": (INSPIRAL, [(str(TIME), "L1", 12.9), ("1240215503.008057", "V1", 2.5)]),
    "burst": (BURST, [(str(TIME), "H1", 9.5)]),
    "gwosc": (GWOSC, [("1126259462.4", "H1", None), ("1126259462.4", "L1", None)]),
    "gwosc 2": (GWOSC_2, [("1126259462.4", "H1", None), ("1126259462.4", "L1", None)]),
    "records": (ROWS, OF_ROWS),
    "one": (ROWS[0], OF_ROWS[:1]),
    "columns": (COLUMNS, OF_ROWS),
    "pandas": (
        {name: {str(at): one for at, one in enumerate(column)} for name, column in COLUMNS.items()},
        OF_ROWS,
    ),
    "split": (
        {"columns": list(COLUMNS), "index": [0, 1], "data": [list(row.values()) for row in ROWS]},
        OF_ROWS,
    ),
    "table": ({"schema": {"fields": [{"name": "gps_time"}]}, "data": ROWS}, OF_ROWS),
    "ours": ({"items": [row | {"links": {"self": "/x"}} for row in ROWS], "next": None}, OF_ROWS),
    "of objects": ({"first": ROWS[0], "second": ROWS[1]}, OF_ROWS),
}


def _facts(path: Path) -> list[Facts]:
    assert is_table(path)
    assert not kinds_of(path, path.name).is_strain
    rows = list(read_table(path, path.name))
    assert all(row.facts is not None for row in rows), rows
    return [row.facts for row in rows if row.facts is not None]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents(tmp_path: Path, kind: str, packed: bool) -> None:
    document, expected = DOCUMENTS[kind]
    path = tmp_path / "events.json"
    data = json.dumps(document, indent=None if packed else 2).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    assert [(one.gps_time, one.ifo, one.snr) for one in _facts(path)] == expected


def test_an_object_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    assert [(one.gps_time, one.ifo, one.snr) for one in _facts(path)] == OF_ROWS


def test_digits_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text('[{"gps": 1262304016.123456789, "detector": "h1", "class": "Blip"}]')
    [facts] = _facts(path)
    assert (facts.gps_time, facts.ifo, facts.label) == ("1262304016.123456789", "H1", "Blip")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "[[[[[[[[",
        "[" * 100_000,
        '{"a":' * 2_000 + "1" + "}" * 2_000,
        '{"gps_time": []}',
        '{"gps_time": {}, "snr": {}}',
        '{"columns": ["gps_time"], "data": [1, {}, null]}',
        '[{}, 1, null, [], {"x": [[]]}]',
    ],
)
def test_documents_without_rows_are_not_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "events.json"
    path.write_text(text)
    assert not is_table(path)


def test_lines_of_json_that_are_cut_or_damaged_are_named_and_the_others_read(
    tmp_path: Path,
) -> None:
    """One bad line must not make the whole file be refused."""
    path = tmp_path / "triggers.jsonl"
    whole = [json.dumps({"gps_time": TIME + at, "ifo": "H1"}) for at in range(3)]
    path.write_text("\n".join([whole[0], "{bad", whole[1], "", whole[2][:20]]))
    rows = list(read_table(path, path.name))
    assert [row.facts.gps_time for row in rows if row.facts] == [str(TIME), "1240215504.011549"]
    reasons = [row.reason for row in rows if row.facts is None]
    assert [reason.partition(" is truncated")[0] for reason in reasons] == ["Line 2", "Line 5"]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_duplicate_key_of_an_object_is_refused(tmp_path: Path, indent: int | None) -> None:
    """Python would keep the last value, without a word."""
    path = tmp_path / "triggers.json"
    text = json.dumps([{"gps_time": TIME, "snr": 8, "SNR": 8}], indent=indent)
    path.write_text(text.replace("SNR", "snr"))
    assert [facts.snr for facts in _facts(path)] == [8]
    path.write_text(text.replace("SNR", "gps_time"))
    why = "has the key 'gps_time' twice, with different values"
    if indent:
        with pytest.raises(FormatError, match=why):
            list(read_table(path, path.name))
    else:
        [row] = read_table(path, path.name)
        assert why in row.reason


def test_an_unknown_number_is_no_contradiction(tmp_path: Path) -> None:
    """Python and gwpy write NaN, which differs from itself, into JSON."""
    events = [{"gps": TIME, "ifo": "H1", "snr": snr} for snr in (float("nan"), float("inf"), 9.5)]
    path = tmp_path / "events.json"
    path.write_text(json.dumps(events))
    assert [row.facts for row in read_table(path, path.name)] == [
        Facts(gps_time=str(TIME), ifo="H1", snr=snr) for snr in (None, None, 9.5)
    ]
