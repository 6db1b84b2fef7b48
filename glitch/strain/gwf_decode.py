"""Decode one channel of a GWF file: run as a script, in a process of its own, by ``gwf.py``.

The frame library is native code that trusts sizes in the file, so that a damaged frame can make
it allocate without bound. Here it may: this process has limits and nothing to lose. It imports
nothing of ours, so that it starts fast. Prints a line of JSON, then raw float64 samples.
"""

import json
import sys
from typing import Any


def _limit(memory_bytes: int, cpu_s: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _choose(details: list[Any], wanted: str | None) -> tuple[Any, str]:
    names = [detail.name for detail in details]
    if wanted:
        chosen = [detail for detail in details if detail.name == wanted]
    else:
        fast = [detail for detail in details if detail.sample_rate >= 256]
        chosen = [detail for detail in fast if "STRAIN" in detail.name.upper()] or fast
    if len(chosen) == 1:
        return chosen[0], ""
    if not chosen:
        what = f"no channel {wanted!r}" if wanted else "no channel fast enough to be strain"
        return None, f"{what}; it has {', '.join(names[:10])}"
    return None, f"several channels: give channel, one of {', '.join(d.name for d in chosen[:10])}"


def main() -> None:
    request = json.loads(sys.argv[1])
    _limit(request["memory_bytes"], request["cpu_s"])
    import gwframe
    import numpy as np

    with gwframe.FrameReader(request["path"]) as reader:
        detail, problem = _choose(reader.channel_details(), request["channel"])
        if detail is None:
            answer = {"problem": problem}
            sys.stdout.write(json.dumps(answer) + "\n")
            return
        spans = sorted((span.start, span.start + span.duration) for span in reader.frame_spans)
        start, end = spans[0][0], spans[-1][1]
        first, last = start, end
        if request["gps_time"] is not None:
            first = max(start, int(request["gps_time"]) - request["half_s"] - 1)
            last = min(end, int(request["gps_time"]) + request["half_s"] + 2)
        header = {
            "channel": detail.name,
            "sample_rate_hz": detail.sample_rate,
            "gps_start": start,
            "gps_end": end,
            "first": first,
            "n_samples": 0,
        }
        data = b""
        if first < last and (last - first) * detail.sample_rate <= request["max_samples"]:
            values = reader.read(detail.name, start=first, end=last).array
            if np.iscomplexobj(values):
                sys.stdout.write(json.dumps({"problem": f"{detail.name} as complex numbers"}))
                return
            data = np.ascontiguousarray(values, dtype="<f8").tobytes()
            header["n_samples"] = len(values)
    sys.stdout.write(json.dumps(header) + "\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


if __name__ == "__main__":
    main()
