"""Run every benchmark in sequence and store its output: `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("strain.strain_to_views", "service.embed_latency", "training.train_steps")
RESULTS = Path(__file__).parent / "results"


def run(name: str) -> int:
    """Run one benchmark and show its output; replace its result file only if it succeeds."""
    print(f"== {name}", flush=True)
    with subprocess.Popen(
        [sys.executable, "-u", "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode == 0:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name.rpartition('.')[2]}.txt").write_text("".join(lines))
    return process.returncode


def main() -> None:
    failed = [name for name in NAMES if run(name)]
    if failed:
        raise SystemExit(f"These failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
