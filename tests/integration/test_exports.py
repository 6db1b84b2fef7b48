"""Exports written in parts: complete and in order, kept for a time and then removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import h5py
import numpy as np
import pytest
from cluster_helpers import store_cluster, store_run
from gwpy.table import EventTable
from hypothesis import given
from hypothesis import strategies as st
from lifecycle_helpers import do_job, fill
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from store_helpers import person

from app.core.access import Role
from app.core.errors import ConflictError, NotFoundError, PermissionDeniedError
from app.glitches.exports import job as export_job
from app.glitches.exports import service as export_service
from app.glitches.exports.service import (
    clean_up_exports,
    export_file,
    export_rows,
    filters_as_json,
    filters_from_json,
    folder_of,
    format_named,
    refuse_large,
    start_export,
)
from app.glitches.records import GlitchFilters
from app.glitches.tables import Embedding
from app.jobs.leases import JobCancelledError
from app.jobs.service import cancel_job
from app.jobs.tables import Job
from app.models.records import CheckpointRecord
from glitch.tables.exports.formats import FORMATS, csv_lines

ANN = person(Role.SUBMITTER, "Ann")
BASE = "https://glitches.example.org"
SETTINGS = SimpleNamespace(keep_exports_hours=72.0, base_url=BASE)
EVERYTHING = GlitchFilters()
KEEP = timedelta(hours=72)
READERS: dict[str, Callable[[Path], Any]] = {
    "csv": lambda path: EventTable.read(path, format="ascii.csv"),
    "hdf5": lambda path: EventTable.read(path, format="hdf5", path="triggers"),
    "ligolw": lambda path: EventTable.read(path, format="ligolw", tablename="sngl_burst"),
}


def exported(
    session: Session, folder: Path, format_name: str, filters: GlitchFilters = EVERYTHING
) -> tuple[Path, UUID]:
    job = start_export(session, filters, format_name, principal=ANN)
    result = do_job(session, job.id, folder, settings=SETTINGS)
    assert result["href"] == f"/exports/{job.id}"
    path = folder_of(folder, job.id) / f"glitches.{format_named(format_name).suffix}"
    assert result["bytes"] == path.stat().st_size
    assert [one.name for one in path.parent.iterdir()] == [path.name]  # no partial file is left
    return path, job.id


@pytest.fixture
def catalogue(
    session: Session,
    checkpoint: CheckpointRecord,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> list[UUID]:
    """Twenty-three glitches, which exports write in parts of five rows."""
    monkeypatch.setattr(export_job, "PART_ROWS", 5)
    return [
        *fill(session, rng, 20, (1.0, 0.0, 0.0, 0.0), "Blip", channel='A:"B",<C>&\\', q=5.5),
        *fill(session, rng, 3, (1.0, 0.0, 0.0, 0.0), ifo="L1", gps_time=None, snr=None),
    ]


@pytest.mark.parametrize("format_name", FORMATS)
def test_parts_make_one_table_that_gwpy_reads(
    session: Session, catalogue: list[UUID], tmp_path: Path, format_name: str
) -> None:
    path, job_id = exported(session, tmp_path, format_name)
    table = READERS[format_name](path)
    id_column = "param_one_name" if format_name == "ligolw" else "gravityspy_id"
    assert [str(one) for one in table[id_column]] == [str(one) for one in catalogue]
    assert str(table["channel"][0]) == 'A:"B",<C>&\\'
    assert [int(one) for one in table["peak_time"][:2]] == [1126259462, 1126263062]
    label = table["param_two_name" if format_name == "ligolw" else "ml_label"]
    assert str(label[19]) == "Blip"
    assert float(table["snr"][3]) == 10.0
    assert not np.isfinite(float(np.ma.filled(table["snr"][22], np.nan)))
    if format_name != "ligolw":
        pages = [str(one) for one in table["page"]]
        assert pages == [f"{BASE}/ui/glitches/{one}" for one in catalogue]
    if format_name == "hdf5":
        with h5py.File(path) as file:
            latents = file["latents"][:]
        means = {row.glitch_id: row.mean for row in session.scalars(select(Embedding))}
        np.testing.assert_allclose(latents, [means[one] for one in catalogue], rtol=1e-6)
    session.execute(update(Job).where(Job.id == job_id).values(finished_at=Job.created_at))
    found, file_format, _ = export_file(session, job_id, tmp_path, KEEP)
    assert (found, file_format.name) == (path, format_name)


def test_the_csv_of_a_job_is_the_csv_that_streams(
    session: Session, catalogue: list[UUID], tmp_path: Path
) -> None:
    filters = GlitchFilters(labels=("Blip",), snr_min=5.0)
    path, _ = exported(session, tmp_path, "csv", filters)
    assert path.read_text() == "".join(csv_lines(export_rows(session, filters, base=BASE)))
    assert path.read_text().count("\n") == 21


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_export_without_glitches_is_an_empty_table(
    session: Session, checkpoint: CheckpointRecord, tmp_path: Path, format_name: str
) -> None:
    path, _ = exported(session, tmp_path, format_name)
    assert len(READERS[format_name](path)) == 0


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_table_of_a_cluster_says_how_far_to_trust_it(
    session: Session, catalogue: list[UUID], tmp_path: Path, format_name: str
) -> None:
    run = store_run(session)
    run.findings = [*run.findings, {"kind": "typical_labels", "sigmas": 2.5}]
    cluster = store_cluster(session, run, catalogue[18:])
    trust, doubt = cluster.trust, cluster.doubt
    assert str(trust).startswith("The time of 3 of 5 members is not known")
    assert str(doubt).startswith("The labels seem to be typical examples")
    path, _ = exported(session, tmp_path, format_name, GlitchFilters(cluster_id=cluster.id))
    table = READERS[format_name](path)
    assert len(table) == 5
    if format_name == "ligolw":
        sentence = (
            f"<Comment>cluster: {cluster.id}; cluster_fdr: 0.1; cluster_trust: {trust}; "
            f"cluster_doubt: {doubt}</Comment>"
        )
        assert sentence in path.read_text()
        everything, _ = exported(session, tmp_path, "ligolw")
        assert "<Comment>" not in everything.read_text()
        return
    assert {str(one) for one in table["cluster"]} == {str(cluster.id)}
    assert set(table["cluster_fdr"]) == {0.1}
    if format_name == "hdf5":  # whose rows are bounded when they are read back
        assert (table.meta["cluster_trust"], table.meta["cluster_doubt"]) == (trust, doubt)
    else:
        assert {str(one) for one in table["cluster_trust"]} == {trust}
        assert {str(one) for one in table["cluster_doubt"]} == {doubt}


def test_an_untested_cluster_has_no_false_discovery_rate(
    session: Session, catalogue: list[UUID]
) -> None:
    cluster = store_cluster(session, store_run(session), catalogue[:5])
    assert cluster.fdr == 0.1
    cluster.significance = None
    assert cluster.fdr is None


def test_a_finish_that_is_repeated_changes_nothing(
    session: Session, catalogue: list[UUID], tmp_path: Path
) -> None:
    path, job_id = exported(session, tmp_path, "ligolw")
    before = path.read_bytes()
    job = export_service.get_job(session, job_id)
    work: Any = SimpleNamespace(
        session=session, job=job, data_dir=tmp_path, settings=SETTINGS, heartbeat=lambda: None
    )
    assert export_job.ExportHandler().finish(work)["bytes"] == len(before)
    assert path.read_bytes() == before


def test_a_direct_export_of_too_many_rows_is_refused(
    session: Session, catalogue: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_service, "DIRECT_ROWS", 22)
    with pytest.raises(ConflictError, match="POST /exports"):
        refuse_large(session, GlitchFilters(), FORMATS["hdf5"])
    refuse_large(session, GlitchFilters(ifos=("H1",)), FORMATS["hdf5"])


def test_files_are_kept_for_a_time_and_removed_then(
    session: Session, catalogue: list[UUID], tmp_path: Path
) -> None:
    with pytest.raises(PermissionDeniedError):
        start_export(session, GlitchFilters(), "csv", principal=person(Role.READER))
    job = start_export(session, GlitchFilters(), "csv", principal=ANN)
    with pytest.raises(ConflictError, match="is queued: 0 of 0 rows"):
        export_file(session, job.id, tmp_path, KEEP)
    path, job_id = exported(session, tmp_path, "csv")
    assert job_id == job.id
    foreign = tmp_path / "exports" / str(uuid4())
    foreign.mkdir()
    about = update(Job).where(Job.id == job_id)
    session.execute(about.values(finished_at=Job.created_at - timedelta(hours=71)))
    assert clean_up_exports(session, tmp_path, KEEP) == 1
    assert not foreign.exists()
    assert path.parent.exists()
    session.execute(about.values(finished_at=Job.created_at - timedelta(hours=73)))
    with pytest.raises(NotFoundError, match="kept for 72 hours"):
        export_file(session, job_id, tmp_path, KEEP)
    exported(session, tmp_path, "hdf5")
    assert not path.parent.exists()  # the next export removed it
    cancelled = start_export(session, GlitchFilters(ifos=("L1",)), "csv", principal=ANN)
    cancel_job(session, cancelled.id, ANN)
    with pytest.raises(NotFoundError, match="cancelled"):
        export_file(session, cancelled.id, tmp_path, KEEP)


def test_a_cancelled_export_stops_within_a_part(
    session: Session, catalogue: list[UUID], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_job, "FETCHED", 2)
    beats = iter(range(9))

    def heartbeat() -> None:
        if next(beats) == 8:
            raise JobCancelledError

    job = start_export(session, GlitchFilters(), "csv", principal=ANN)
    with pytest.raises(JobCancelledError):
        do_job(session, job.id, tmp_path, settings=SETTINGS, heartbeat=heartbeat)
    assert not list(tmp_path.rglob("*.tmp"))


numbers = st.none() | st.floats(0, 1e4)


@given(
    st.builds(
        GlitchFilters,
        ifos=st.lists(st.sampled_from(["H1", "L1"]), max_size=2).map(tuple),
        gps_start=st.none() | st.decimals(0, 2_000_000_000, places=9),
        snr_min=numbers,
        labels=st.lists(st.sampled_from(["Blip", "Tomte"]), max_size=2).map(tuple),
        with_subclasses=st.booleans(),
        cluster_id=st.none() | st.uuids(),
        is_labelled=st.none() | st.booleans(),
        is_judged=st.none() | st.booleans(),
        p_value_max=numbers,
        simulated_classes=st.lists(st.sampled_from(["Blip", "Tomte"]), max_size=2).map(tuple),
        simulated_probability_min=numbers,
    )
)
def test_filters_survive_the_job_table(filters: GlitchFilters) -> None:
    assert filters_from_json(filters_as_json(filters)) == filters
    assert all(not isinstance(one, Decimal) for one in filters_as_json(filters).values())
