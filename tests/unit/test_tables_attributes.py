"""What the attributes of an HDF5 file say about its table of triggers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from app.batches.table_files import read_table

ROWS = np.array([(1262304016.25, 9.0), (1262304020.5, 10.0)], [("time", "f8"), ("snr", "f8")])
CHANNEL = "L1:GDS-CALIB_STRAIN"


@pytest.mark.parametrize("on", ["/", "/omicron", "/omicron/triggers"])
@pytest.mark.parametrize(
    ("attributes", "channel"),
    [
        ({"channel": CHANNEL}, CHANNEL),
        ({"channel_name": np.bytes_(CHANNEL)}, CHANNEL),
        ({"ifo": "l1"}, None),
        ({"detector": "LLO"}, None),
        ({"channel": "GDS-CALIB_STRAIN", "instrument": "L1"}, "GDS-CALIB_STRAIN"),
    ],
)
def test_attributes_tell_channel_and_detector(
    tmp_path: Path, on: str, attributes: dict[str, str], channel: str | None
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["omicron/triggers"] = ROWS
        file[on].attrs.update(attributes)
    facts = [row.facts for row in read_table(path, "H1_a.h5")]
    assert [(one.ifo, one.channel, one.snr) for one in facts if one] == [
        ("L1", channel, 9.0),
        ("L1", channel, 10.0),
    ]
