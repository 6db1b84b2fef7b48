"""Decode one channel of a GWF file: run as a script, in a separate process, by ``gwf.py``.

The frame library is native code that trusts sizes in the file, so a damaged frame can make it
allocate without bound. That is harmless in this process, which has limits and no state to lose. It
imports only those modules of this project that import no others, so that it starts fast. It prints
a line of JSON, then raw float64 samples.
"""

import json
import sys
from pathlib import Path
from typing import Any

_LOWEST_RATE_HZ = 256  # slower channels are masks or states, not strain


def _limit(memory_bytes: int, cpu_s: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _choose(details: list[Any], request: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    """Return the channel to read, or None and the problem with the field that solves it."""
    from glitch.files.channels import choose_channel, listed

    fast = [detail.name for detail in details if detail.sample_rate >= _LOWEST_RATE_HZ]
    channel, ifo = request["channel"], request["ifo"]
    names = [detail.name for detail in details]
    name = choose_channel(names if channel else fast, channel, ifo, request["preferred"])
    if name is not None:
        return next(detail for detail in details if detail.name == name), {}
    if channel:
        return None, {"problem": f"no channel {channel!r}; it has {listed(names)}"}
    if not fast:
        return None, {"problem": f"no channel fast enough to be strain; it has {listed(names)}"}
    problem = f"several channels: give channel, one of {listed(fast)}"
    return None, {"problem": problem, "field": "channel"}


def _placed(reader: Any, name: str, rate: float, first: float, last: float) -> Any:
    """Return samples from ``first`` to ``last``, placed by their frames' times, NaN elsewhere."""
    import numpy as np

    placed = np.full(round((last - first) * rate), np.nan)
    spans = reader.frame_spans
    for span_index, span in enumerate(spans):
        if span.start + span.duration <= first or span.start >= last:
            continue
        try:
            part = reader.read(name, frame_index=span_index, allow_invalid=True, aux_mask=True)
        except (ValueError, KeyError):  # this frame lacks the channel
            continue
        if part.sample_rate != rate:
            raise _UnusableError(
                f"{name} at {rate:g} Hz and at {part.sample_rate:g} Hz: cut the file"
            )
        if np.iscomplexobj(part.array):
            raise _UnusableError(f"{name} as complex numbers")
        values = np.asarray(part.array, dtype="<f8")
        if part.mask is not None:
            values = np.where(part.mask, np.nan, values)
        at = round((part.start - first) * rate)
        low, high = max(at, 0), min(at + len(values), len(placed))
        if low >= high:
            continue
        before, new = placed[low:high], values[low - at : high - at]
        both = np.isfinite(before) & np.isfinite(new)
        if not np.allclose(before[both], new[both], rtol=1e-5, atol=0):
            raise _UnusableError(
                f"different samples of the same time in frames of {name}, from {span.start:.10g} s "
                "on: cut the file"
            )
        placed[low:high] = np.where(np.isfinite(before), before, new)
    return placed


class _UnusableError(Exception):
    """What makes the file unusable, as the end of a sentence "The file holds ..."."""


def main() -> None:
    request = json.loads(sys.argv[1])
    _limit(request["memory_bytes"], request["cpu_s"])
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    import gwframe

    from glitch.files.confinement import confine_to

    path = request["path"]
    confine_to([Path(path)])
    with gwframe.FrameReader(path) as reader:
        spans = [(span.start, span.start + span.duration) for span in reader.frame_spans]
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        gps_time = request["gps_time"]
        holding = 0 if gps_time is None else _frame_at(spans, gps_time)
        detail, answer = _choose(reader.channel_details(holding), request)
        if detail is None:
            sys.stdout.write(json.dumps(answer) + "\n")
            return
        rate = detail.sample_rate
        first, last = start, end
        if gps_time is not None:
            first = max(start, int(gps_time) - request["half_s"] - 1)
            last = min(end, int(gps_time) + request["half_s"] + 2)
        # on a sample, even if frames start between samples
        first = start + round((first - start) * rate) / rate
        header = {
            "channel": detail.name,
            "sample_rate_hz": rate,
            "gps_start": start,
            "n_samples_of_file": round((end - start) * rate),
            "first_sample": round((first - start) * rate),
            "n_samples": 0,
        }
        data = b""
        if first < last and (last - first) * rate <= request["max_samples"]:
            values = _placed(reader, detail.name, rate, first, last)
            data = values.tobytes()
            header["n_samples"] = len(values)
    sys.stdout.write(json.dumps(header) + "\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def _frame_at(spans: list[tuple[float, float]], gps_time: float) -> int:
    """Return the index of the frame that contains a time, or of the nearest one."""
    return min(
        range(len(spans)),
        key=lambda one: max(spans[one][0] - gps_time, gps_time - spans[one][1], 0),
    )


if __name__ == "__main__":
    try:
        main()
    except _UnusableError as error:
        sys.stdout.write(json.dumps({"problem": str(error)}) + "\n")
