"""The heading of every benchmark's output: machine, time, code revision and command."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path


def heading() -> str:
    """Return machine, date, revision and command, one line each."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    now = datetime.datetime.now(datetime.UTC)
    command = " ".join(["python", *sys.orig_argv[1:]])
    return "\n".join(
        [
            f"machine   {_processor()}, {cpus} cores, {platform.system()} {platform.machine()}",
            f"load      {load} at the start (1, 5, 15 minutes): other work makes figures worse",
            f"date      {now:%Y-%m-%d %H:%M} UTC",
            f"revision  {_revision()}",
            f"command   {command}",
        ]
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
