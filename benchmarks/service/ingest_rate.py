"""Time to ingest a batch of simulated glitches with the services and workers.

    python -m benchmarks.service.ingest_rate --glitches 2000 --workers 1 2 --peer 3

Starts an embedded PostgreSQL with the shipped checkpoint. The batch is a table of triggers whose
strain is in a folder of the server (``--kind strain``), or a tar of four pictures per glitch
(``--kind pictures``); triggers have labels, as in Gravity Spy's tables. One run for each number of
workers, each with an empty catalogue; a worker is one process with one thread. ``--peer`` measures
Gravity Spy's route on as many of the same glitches in the same run: four q_transform calls of gwpy,
a PNG of each, and reading them as the classifier's input.

A busy machine distorts wall times; the processor times of workers and PostgreSQL show the cores
needed. ``--frames FOLDER`` stores the strain for another run.
"""

from __future__ import annotations

import argparse
import io
import itertools
import multiprocessing
import os
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil

from app.batches.options import BatchOptions, create_batch
from app.batches.storage import keep_upload
from app.classes.naming import seed_classes
from app.core.access import Principal, Role
from app.core.database import uuid7
from app.core.embedded import EmbeddedServer, start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.core.settings import Settings
from app.jobs.service import get_job
from app.models.checkpoints import publish_checkpoint
from benchmarks.catalogue.neighbours_sql import server_cpu_s
from benchmarks.machine import heading
from benchmarks.strain.gravity_spy_route import time_gravity_spy_route
from benchmarks.strain.simulated_frames import STRAIN, TRIGGERS, make_frames
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.images import render_omega_scan
from glitch.simulate import SIMULATED_CLASSES, simulate_glitch
from glitch.strain import views_from_strain

GRAVITY_SPY = 613_786  # glitches from O1 to O3b in its catalogue
PICTURES_DISTINCT = 12


def picture_batch(path: Path, glitches: int) -> None:
    """Write a tar of four pictures per glitch with Gravity Spy's names and size."""
    rng = np.random.default_rng(1)
    drawn = []
    for number in range(PICTURES_DISTINCT):
        label = SIMULATED_CLASSES[number % len(SIMULATED_CLASSES)]
        one = simulate_glitch(label, rng, sample_rate_hz=4096.0, duration_s=32.0)
        views = views_from_strain([one.strain], [one.gps_time])[0].views
        drawn.append({d: render_omega_scan(views.view(d), d) for d in views.durations_s})
    with tarfile.open(path, "w") as archive:
        for number in range(glitches):
            for duration, data in drawn[number % len(drawn)].items():
                # a different time makes it a different glitch, even with the same picture
                name = f"H1_{1190000000 + number}.0_spectrogram_{duration:.1f}.png"
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))


@dataclass(frozen=True)
class Sample:
    """A worker's state after one of its chunks."""

    at_s: float  # since the work began
    cpu_s: float  # used since then
    rss_mb: float


@dataclass(frozen=True)
class Run:
    """Measurements of one batch."""

    workers: int
    planned_s: float
    wall_s: float
    server_cpu_s: float
    done: int
    job_outcome: str
    samples: list[list[Sample]]

    @property
    def rate(self) -> float:
        return self.done / self.wall_s

    @property
    def worker_cpu_s(self) -> float:
        return sum(one[-1].cpu_s for one in self.samples if one)


def run(
    folder: Path, server: EmbeddedServer, batch: Path, strain: Path | None, workers: int
) -> Run:
    """Ingest the batch into a new database with a number of processes."""
    name = f"ingest_{workers}"
    url = server.ensure_database(name)
    upgrade(url)
    engine = make_engine(url)
    sessions = make_session_factory(engine)
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
        job = create_batch(
            session, BatchOptions(digest, batch.name, origin="simulated"), author.name
        )
    server_before, started = server_cpu_s(server), time.monotonic()
    work(url, folder, strain, job.id, chunks=1)  # the plan
    planned = time.monotonic() - started
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        samples = pool.starmap(work, [(url, folder, strain, job.id)] * workers, chunksize=1)
    work(url, folder, strain, job.id)  # finish the job, if both workers stopped before
    wall = time.monotonic() - started
    with sessions() as session:
        ended = get_job(session, job.id)
    engine.dispose()
    outcome = f"{ended.state}, {ended.result}"
    server_cpu = server_cpu_s(server) - server_before
    return Run(workers, planned, wall, server_cpu, ended.done, outcome, samples)


def work(
    url: str, folder: Path, strain: Path | None, job_id: UUID, chunks: int | None = None
) -> list[Sample]:
    """Run one worker until the job has no more work."""
    from worker.runner import JobRunner

    settings = Settings(data_dir=folder, database_url=url, torch_threads=1, strain_dir=strain)
    engine = make_engine(url)
    runner = JobRunner(make_session_factory(engine), settings)
    process = psutil.Process()
    started, cpu = time.monotonic(), sum(process.cpu_times()[:2])
    samples = []
    for number in itertools.count(1):
        is_more = runner.work(job_id, slice_s=0)
        used = sum(process.cpu_times()[:2]) - cpu
        samples.append(Sample(time.monotonic() - started, used, process.memory_info().rss / 1e6))
        if not is_more or number == chunks:
            break
    engine.dispose()
    return samples


def report(one: Run) -> None:
    per_glitch = one.worker_cpu_s / one.done * 1e3
    sql = one.server_cpu_s / one.done * 1e3
    print(f"\n{one.workers} worker{'s' * (one.workers > 1)}: {one.job_outcome}")
    print(f"  wall        {one.wall_s:.1f} s, of which planning {one.planned_s:.1f} s")
    print(f"  rate        {one.rate:.1f} glitches/s")
    print(f"  processor   {per_glitch:.1f} ms a glitch in workers, {sql:.1f} ms in PostgreSQL")
    for number, samples in enumerate(one.samples):
        if len(samples) > 1:
            marks = [0, *(round(len(samples) * share) - 1 for share in (0.1, 0.25, 0.5, 0.75, 1.0))]
            sizes = ", ".join(f"{samples[max(mark, 0)].rss_mb:.0f}" for mark in marks)
            peak = max(sample.rss_mb for sample in samples)
            print(
                f"  memory      worker {number}: {sizes} MB after the first chunk and after 10, "
                f"25, 50, 75, 100 % of its {len(samples)}; at most {peak:.0f}"
            )
            halves = samples[len(samples) // 2], samples[-1]
            first = halves[0].cpu_s / (len(samples) // 2 + 1)
            second = (halves[1].cpu_s - halves[0].cpu_s) / max(
                len(samples) - len(samples) // 2 - 1, 1
            )
            print(
                f"  steadiness  {first:.2f} s processor a chunk in its first half, "
                f"{second:.2f} in its second"
            )
    cores = one.worker_cpu_s / one.done + one.server_cpu_s / one.done
    for workers in (1, 2, 8, 32):
        hours = GRAVITY_SPY * cores / workers / 3600
        print(
            f"  projection  {GRAVITY_SPY:,} glitches by processor time on {workers:2d} free cores "
            f"(workers and PostgreSQL together): {hours:.1f} h"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glitches", type=int, default=500)
    parser.add_argument("--kind", choices=("strain", "pictures"), default="strain")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--peer", type=int, default=0, help="glitches by Gravity Spy's route")
    parser.add_argument("--frames", type=Path, help="keep the strain here for other runs")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(heading())
    folder = Path(tempfile.mkdtemp(prefix="ingest-rate-"))
    frames = chosen.frames or folder / "frames"
    server = start_embedded(folder / "database")
    try:
        if chosen.kind == "strain":
            make_frames(frames, chosen.glitches)
            batch, strain = frames / TRIGGERS, frames / STRAIN
        else:
            batch, strain = folder / "batch.tar", None
            picture_batch(batch, chosen.glitches)
        print(f"batch     {chosen.glitches} glitches as {chosen.kind}")
        runs = []
        for workers in chosen.workers:
            runs.append(run(folder, server, batch, strain, workers))
            report(runs[-1])
            print(f"  load        {os.getloadavg()[0]:.1f} at its end", flush=True)
        for other in runs[1:]:
            print(
                f"\n{other.workers} workers against {runs[0].workers}: "
                f"{other.rate / runs[0].rate:.2f} times the rate"
            )
        if chosen.peer and strain is not None:
            peer_s = time_gravity_spy_route(frames, chosen.peer)
            own_s = (runs[0].worker_cpu_s + runs[0].server_cpu_s) / runs[0].done
            print(f"\nGravity Spy's route, {chosen.peer} of these glitches on one core:")
            for line in peer_s.lines():
                print(f"  {line}")
            print(
                f"  ours takes {own_s:.3f} s processor a glitch, stored and judged: "
                f"{peer_s.cpu_s / own_s:.0f} times less"
            )
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
