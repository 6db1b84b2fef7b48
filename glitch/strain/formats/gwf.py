"""Read strain from GWF frames, decoded by gwframe in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError
from glitch.strain.series import LONGEST_SEGMENT_S
from glitch.strain.source import MAX_SAMPLES, Request, Samples, Source, check_size, decimal_seconds

_MEMORY_BYTES = 3 << 30  # address space; the libraries alone map about 1 GiB
_CPU_S = 30
_TIMEOUT_S = 60
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")  # other variables may hold passwords


@contextmanager
def open_gwf(path: Path, request: Request) -> Iterator[Source]:
    """Decode the strain channel of a GWF file around the GPS time.

    Samples are placed by the time of their frame; samples that are missing or flagged invalid are
    NaN.

    Raises:
        FormatError: if the file is damaged, or the channel cannot be determined.
    """
    header, data = _decode(path, request)
    offset = int(header["first_sample"])
    values = np.frombuffer(data, dtype="<f8")

    def read(first: int, last: int) -> Samples:
        check_size(last - first)
        if first < offset or last > offset + values.size:
            raise _damaged(request)
        return values[first - offset : last - offset].astype(np.float64)

    yield Source(
        n_samples=int(header["n_samples_of_file"]),
        sample_rate_hz=float(header["sample_rate_hz"]),
        gps_start=decimal_seconds(header["gps_start"]),
        ifo=detector_of_text(header["channel"]),
        channel=header["channel"],
        read=read,
    )


def _decode(path: Path, request: Request) -> tuple[dict[str, Any], bytes]:
    arguments = {
        "path": str(path.resolve()),
        "channel": request.channel,
        "ifo": request.ifo,
        "preferred": request.preferred_channel,
        "gps_time": None if request.gps_time is None else float(request.gps_time),
        "half_s": LONGEST_SEGMENT_S // 2,
        "max_samples": MAX_SAMPLES,
        "memory_bytes": _MEMORY_BYTES,
        "cpu_s": _CPU_S,
    }
    script = Path(__file__).with_name("gwf_decode.py")
    try:
        done = subprocess.run(  # noqa: S603 - our own script, no shell, arguments as JSON
            [sys.executable, str(script), json.dumps(arguments)],
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
    except subprocess.TimeoutExpired as error:
        raise _damaged(request) from error
    if done.returncode:
        raise _damaged(request)
    line, _, data = done.stdout.partition(b"\n")
    header = json.loads(line)
    if "problem" in header:
        sentence = f"{request.shown_name} holds {header['problem']}."
        raise FormatError(sentence, field=header.get("field"))
    if len(data) != 8 * header["n_samples"]:
        raise _damaged(request)
    return header, data


def _damaged(request: Request) -> FormatError:
    return FormatError(
        f"{request.shown_name} is a truncated or damaged GWF file. Send it again, or as HDF5."
    )
