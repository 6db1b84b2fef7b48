"""Files with faults from public bug reports, through the live API and a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_fixtures import Service, running_service, tiny_data_folder
from sent_batches import ingest, tar
from sqlalchemy import text

from app.core.embedded import EmbeddedServer

pytestmark = pytest.mark.real_data

GW150914, LOUD = "1126259462.4", "1266281982.66"
LONG = "H-H1_GWOSC_O3b_4KHZ_R1-1266281937-128.gwf"
SHORT_GWF, SHORT = "H-H1_LOSC_4_V2-1126259446-32.gwf", "H-H1_LOSC_4_V2-1126259446-32.hdf5"


@pytest.fixture(scope="module")
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    with (
        tiny_data_folder() as folder,
        running_service(postgres_server, migrated_template, folder) as running,
    ):
        yield running


def _tar_of(*paths: Path) -> bytes:
    return tar({path.name: path.read_bytes() for path in paths})


EMBEDDED = [
    ("gwf_gap_no_interval", GW150914, {}, 13.0),
    ("gwf_invalid_flag_called_damaged", GW150914, {}, 13.0),
    ("gwf_short_gap_shifts_time", LOUD, {}, 261.0),
    ("gwosc_txt_gz", GW150914, {}, 13.0),
    ("h2_read_as_v1", GW150914, {"ifo": "H2"}, 13.0),
    ("hdf5_channel_catch22", GW150914, {"channel": "H1/1126259446"}, 13.0),
    ("nan_after_lock_loss", LOUD, {}, 261.0),
    ("zero_filled_gap_accepted", GW150914, {}, 13.0),
]


@pytest.fixture(autouse=True)
def no_glitches(service: Service) -> None:
    _delete(service)


def _delete(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("DELETE FROM glitch"))


@pytest.mark.parametrize("case", EMBEDDED, ids=lambda case: case[0])
def test_embed(service: Service, shared_data: Path, case: tuple[str, str, Any, float]) -> None:
    folder, gps_time, options, snr = case
    [path] = [one for one in (shared_data / "faults" / folder).iterdir() if one.name != "README"]
    with service.client() as client:
        files = {"file": (path.name, path.read_bytes())}
        answer = client.post("/embed", files=files, data={"gps_time": gps_time, **options})
    assert answer.status_code == 201, answer.text
    glitch = answer.json()["glitch"]
    assert glitch["snr"] == pytest.approx(snr, rel=0.05)
    assert glitch["ifo"] == options.get("ifo", "H1")


def test_batches(service: Service, shared_data: Path, tmp_path: Path) -> None:
    faults, strain = shared_data / "faults", shared_data / "strain"

    def sent(content: bytes, name: str = "batch.tar") -> list[tuple[str, str | None]]:
        return [(item.state, item.reason) for item in ingest(service, content, name)[1]]

    zen = (faults / "tar_table_first_read_as_csv" / "zen_first.tar").read_bytes()
    assert sent(zen) == [("done", None)]
    _delete(service)
    ids = faults / "integer_id_column"
    for name, file in (("ids1.csv", SHORT), ("ids2.csv", LONG)):
        done = sent(_tar_of(ids / name, strain / file))
        assert done == [("done", None)] * 3
    _delete(service)
    channels = faults / "wrong_channel_stored" / "chan.csv"
    assert sent(_tar_of(channels, strain / SHORT_GWF))[0][0] == "done"
    with service.client() as client:
        found = client.get(
            "/glitches", params={"gps_start": "1126259460.8", "gps_end": "1126259461.4"}
        )
        stored = {one["channel"] for one in found.json()["items"]}
    assert stored == {"H1:LOSC-STRAIN"}
    _delete(service)
    rows = (faults / "trigger_again_is_new_glitch" / "dA.csv").read_text().splitlines()[:13]
    for part, state in ((rows[1:], "done"), (rows[1::3], "skipped")):
        table = tmp_path / "triggers.csv"
        table.write_text("\n".join([rows[0], *part]))
        assert {one[0] for one in sent(_tar_of(table, strain / LONG))} == {state}
    _delete(service)
    stacks = faults / "integer_id_swallows_glitches"
    for name in ("stA.h5", "stB.h5"):
        assert sent((stacks / name).read_bytes(), name) == [("done", None)] * 4
