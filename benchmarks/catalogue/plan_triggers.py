"""Time and memory to plan a batch from a table of a million triggers.

    python -m benchmarks.catalogue.plan_triggers [--rows 1000000]

Plans a batch as a worker does: rows are read, checked, sorted by detector and time in the database,
merged if close, matched with the strain of a folder, and split into chunks. No strain is
transformed: the files are empty. One row in a hundred is damaged, and one in fifty is outside the
strain.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from pathlib import Path

import psutil

from app.batches.options import BatchOptions, create_batch
from app.batches.storage import keep_upload
from app.core.access import Principal, Role
from app.core.database import uuid7
from app.core.embedded import EmbeddedServer, start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.core.settings import Settings
from app.jobs.service import get_job
from benchmarks.catalogue.neighbours_sql import server_cpu_s
from benchmarks.machine import heading
from worker.runner import JobRunner

START, STEP_S, FILE_S = 1_238_166_018, 5, 4096


def write_table(path: Path, rows: int) -> None:
    """Write rows in random order; every tenth is close to the one before."""
    rng = random.Random(1)  # noqa: S311  (no secret)
    places = list(range(rows))
    rng.shuffle(places)
    with path.open("w") as file:
        file.write("event_time,ifo,snr,peak_frequency,ml_label\n")
        for place in places:
            gps = f"{START + place // 2 * STEP_S + (0.04 if place % 10 == 0 else 2.5):.4f}"
            if place % 100 == 99:
                gps = "noon"
            elif place % 50 == 49:
                gps = f"{START - 100_000 - place}"
            ifo = ("H1", "L1")[place % 2]
            file.write(f"{gps},{ifo},{rng.uniform(7.5, 50):.2f},{rng.uniform(20, 900):.1f},Blip\n")


def write_strain(folder: Path, rows: int) -> None:
    """Write empty files whose names give their time span: planning reads nothing else."""
    folder.mkdir()
    for start in range(START, START + rows // 2 * STEP_S + FILE_S, FILE_S):
        for ifo in ("H1", "L1"):
            (folder / f"{ifo[0]}-{ifo}_TEST-{start}-{FILE_S}.hdf5").touch()


def plan(folder: Path, server: EmbeddedServer, rows: int) -> None:
    url = server.url()
    upgrade(url)
    engine = make_engine(url)
    sessions = make_session_factory(engine)
    write_table(folder / "triggers.csv", rows)
    write_strain(folder / "strain", rows)
    settings = Settings(data_dir=folder, database_url=url, strain_dir=folder / "strain")
    author = Principal(uuid7(), "benchmark", Role.SUBMITTER)
    with sessions.begin() as session, (folder / "triggers.csv").open("rb") as stream:
        digest = keep_upload(folder, stream)[0]
        job_id = create_batch(session, BatchOptions(digest, "triggers.csv"), author.name).id
    process = psutil.Process()
    runner = JobRunner(sessions, settings)
    memory, used = process.memory_info().rss, sum(process.cpu_times()[:2])
    of_server, started = server_cpu_s(server), time.monotonic()
    runner.work(job_id, slice_s=0)
    wall, cpu = time.monotonic() - started, sum(process.cpu_times()[:2]) - used
    in_sql = server_cpu_s(server) - of_server  # while its processes are running
    with sessions() as session:
        job = get_job(session, job_id)
    engine.dispose()
    size = (folder / "triggers.csv").stat().st_size / 1e6
    print(f"table     {rows:,} rows, {size:.0f} MB; planned: {job.total:,} items, {job.state}")
    print(f"wall      {wall:.1f} s ({rows / wall:,.0f} rows a second)")
    print(f"processor {cpu:.1f} s in the worker, {in_sql:.1f} s in SQL")
    grown = (process.memory_info().rss - memory) / 1e6
    print(f"memory    grown by {grown:.0f} MB to {process.memory_info().rss / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    chosen = parser.parse_args()
    print(heading())
    folder = Path(tempfile.mkdtemp(prefix="plan-triggers-"))
    server = start_embedded(folder / "database")
    try:
        plan(folder, server, chosen.rows)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
