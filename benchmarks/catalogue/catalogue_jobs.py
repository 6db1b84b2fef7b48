"""Cost of exports and the label audit in a large catalogue: time, and memory of the worker.

Each job runs alone in its own process, at two catalogue sizes, to show how the cost grows. ``python
-m benchmarks.catalogue.catalogue_jobs --glitches 20000 100000``
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid4

from app.classes.audit.service import start_audit
from app.core.access import Principal, Role
from app.core.engine import make_engine, make_session_factory
from app.core.settings import Settings
from app.glitches.exports.service import start_export
from app.glitches.records import GlitchFilters
from app.jobs.service import get_job
from benchmarks.catalogue.big_catalogue import make_catalogue
from benchmarks.machine import heading
from worker.runner import JobRunner

ASKER = Principal(uuid4(), "benchmark", Role.ADMIN)


def peak_memory_mb() -> float:
    """Return the peak memory of this process, in MB (from Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def work(url: str, folder: Path, job_id: UUID) -> None:
    """Run one job here, and print its time and the peak memory of this process."""
    sessions = make_session_factory(make_engine(url))
    runner = JobRunner(sessions, Settings(data_dir=folder, database_url=url))
    before = peak_memory_mb()
    started, used = time.perf_counter(), time.process_time()
    while runner.work(job_id):
        pass
    wall, cpu = time.perf_counter() - started, time.process_time() - used
    peak_mb = peak_memory_mb()
    with sessions() as session:
        job = get_job(session, job_id)
    result = dict(job.result or {})
    row = ", ".join(
        f"{result[one]:,} {one}"
        for one in ("rows", "bytes", "audited", "doubtful")
        if one in result
    )
    print(
        f"{wall:7.1f} s wall {cpu:7.1f} s processor   peak {peak_mb:6.0f} MB "
        f"(+{peak_mb - before:.0f} MB)   {job.state}: {row}",
        flush=True,
    )


def measure(count: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="glitch-bench-"))
    server, engine = make_catalogue(folder, count, 0.0)
    try:
        url = server.ensure_database("glitch")
        print(f"{count:,} glitches", flush=True)
        for name in ("csv", "hdf5", "ligolw", "audit"):
            with make_session_factory(engine).begin() as session:
                job = (
                    start_audit(session, principal=ASKER)
                    if name == "audit"
                    else start_export(session, GlitchFilters(), name, principal=ASKER)
                )
            print(f"  {name:<8}", end="", flush=True)
            module = "benchmarks.catalogue.catalogue_jobs"
            command = [sys.executable, "-m", module, "--work", url, str(folder), str(job.id)]
            subprocess.run(command, check=True)
    finally:
        engine.dispose()
        server.stop()
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--glitches", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        url, folder, job_id = args.work
        work(url, Path(folder), UUID(job_id))
        return
    print(heading(), flush=True)
    for count in args.glitches:
        measure(count)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
