"""Ingest a batch of simulated glitches through the API's services and a worker, and time it.

    python benchmarks/ingest_rate.py --glitches 500 --kind strain

Starts an embedded PostgreSQL of its own with the shipped checkpoint, packs simulated glitches as
strain with a trigger table (or as pictures), and runs one worker over the job.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import platform
import tarfile
import tempfile
import time
from pathlib import Path

import h5py
import psutil

from app.services.batches.keeping import keep_upload
from app.services.batches.options import BatchOptions, submit_batch
from app.services.checkpoints import publish_checkpoint
from app.services.classes import seed_classes
from app.services.jobs.service import get_job
from app.services.records import Principal, Role
from app.settings import Settings
from app.store.embedded import start_embedded
from app.store.engine import make_engine, make_session_factory
from app.store.identifiers import uuid7
from app.store.migrate import upgrade
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.images import render_omega_scan
from glitch.simulate import SIMULATED_CLASSES, simulate_glitch
from glitch.strain import views_from_strain

GRAVITY_SPY = 613_786
DISTINCT = 60  # strain stretches that are really drawn; the rest repeat them at other times
SPACING_S = 100


def strain_batch(path: Path, glitches: int) -> None:
    """A tar of strain files of 32 s and one trigger table."""
    import numpy as np

    rng = np.random.default_rng(1)
    drawn = [
        simulate_glitch(
            SIMULATED_CLASSES[n % len(SIMULATED_CLASSES)],
            rng,
            sample_rate_hz=4096.0,
            duration_s=32.0,
        )
        for n in range(DISTINCT)
    ]
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["gps_time", "ifo", "label"])
    with tarfile.open(path, "w") as archive:
        for number in range(glitches):
            one = drawn[number % DISTINCT]
            start = 1_190_000_000 + SPACING_S * number
            offset = one.gps_time - one.strain.gps_start
            rows.writerow([start + offset, one.strain.ifo or "H1", one.label])
            buffer = io.BytesIO()
            with h5py.File(buffer, "w") as file:
                # at another time it is another glitch, so that each is stored
                data = file.create_dataset("strain/Strain", data=one.strain.values)
                data.attrs["Xstart"], data.attrs["Xspacing"] = start, 1 / 4096
                file["meta/GPSstart"] = start
                file["meta/Detector"] = one.strain.ifo or "H1"
            add(archive, f"H-H1_SIM-{start}-32.hdf5", buffer.getvalue())
        add(archive, "triggers.csv", table.getvalue().encode())


def picture_batch(path: Path, glitches: int) -> None:
    """A tar of four pictures a glitch in Gravity Spy's naming and size."""
    import numpy as np

    rng = np.random.default_rng(1)
    drawn = []
    for number in range(12):
        label = SIMULATED_CLASSES[number % len(SIMULATED_CLASSES)]
        one = simulate_glitch(label, rng, sample_rate_hz=4096.0, duration_s=32.0)
        views = views_from_strain([one.strain], [one.gps_time])[0].views
        drawn.append({d: render_omega_scan(views.view(d), d) for d in views.durations_s})
    with tarfile.open(path, "w") as archive:
        for number in range(glitches):
            for duration, data in drawn[number % len(drawn)].items():
                # another time makes it another glitch, whatever its picture
                start = f"{1190000000 + number}.0"
                add(archive, f"H1_{start}_spectrogram_{duration:.1f}.png", data)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glitches", type=int, default=500)
    parser.add_argument("--kind", choices=("strain", "pictures"), default="strain")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-rate-") as name:
        folder = Path(name)
        batch = folder / "batch.tar"
        make = strain_batch if chosen.kind == "strain" else picture_batch
        make(batch, chosen.glitches)
        server = start_embedded(folder)
        try:
            run(folder, batch, server.ensure_database("ingest"), chosen.kind)
        finally:
            server.stop()


def run(folder: Path, batch: Path, url: str, kind: str) -> None:
    from worker.runner import JobRunner

    upgrade(url)
    engine = make_engine(url)
    sessions = make_session_factory(engine)
    settings = Settings(data_dir=folder, database_url=url, torch_threads=1)
    checkpoint = load_checkpoint(shipped_checkpoint())
    author = Principal(uuid7(), "benchmark", Role.SUBMITTER)
    with sessions.begin() as session:
        seed_classes(session)
        publish_checkpoint(
            session,
            name=checkpoint.manifest.name,
            digest=checkpoint.digest,
            preprocessing_digest=checkpoint.manifest.preprocessing.digest(),
            latent_size=checkpoint.manifest.architecture.latent,
            manifest={},
        )
        with batch.open("rb") as stream:
            digest = keep_upload(folder, stream)[0]
        job = submit_batch(session, BatchOptions(digest, batch.name, origin="simulated"), author)
    runner = JobRunner(sessions, settings)
    process = psutil.Process()
    started, cpu = time.monotonic(), sum(process.cpu_times()[:2])
    sizes = []
    while runner.work(job.id, slice_s=0):
        sizes.append(process.memory_info().rss / 1e6)
    wall, cpu = time.monotonic() - started, sum(process.cpu_times()[:2]) - cpu
    with sessions() as session:
        ended = get_job(session, job.id)
    engine.dispose()
    rate = ended.done / wall
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}")
    print(f"{kind}: {ended.state}, {ended.result}, {batch.stat().st_size / 1e6:.0f} MB")
    print(f"one worker: {wall:.1f} s wall, {cpu:.1f} s processor, {rate:.1f} glitches/s")
    first, last = sizes[min(2, len(sizes) - 1)], sizes[-1]
    print(f"memory: {first:.0f} MB after the first chunk, {last:.0f} MB after the last")
    for workers in (1, 8, 32):
        hours = GRAVITY_SPY / rate / workers / 3600
        print(
            f"projected, {GRAVITY_SPY:,} glitches, {workers} workers on as many free cores: "
            f"{hours:.1f} h"
        )


if __name__ == "__main__":
    main()
