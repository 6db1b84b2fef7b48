"""Timing of training steps of several contenders in turn, so that load affects all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

ROUNDS = 5
_WARM_UP = 3  # untimed steps at the start


def compare_steps(
    contenders: Mapping[str, Callable[[int], None]], n_steps: int, *, label: str = ""
) -> None:
    """Print steps per second of each, and the ratio to the first contender, one line each.

    Args:
        contenders: Functions that do one step, given its number; the first is the reference.
        n_steps: Of each, in ``ROUNDS`` turns.
        label: Starts each line.
    """
    wall, processor = dict.fromkeys(contenders, 0.0), dict.fromkeys(contenders, 0.0)
    for step in contenders.values():
        for index in range(_WARM_UP):
            step(index)
    n_timed = max(1, n_steps // ROUNDS)
    for turn in range(ROUNDS):
        for name, step in contenders.items():
            started = time.perf_counter(), time.process_time()
            for index in range(n_timed):
                step(_WARM_UP + turn * n_timed + index)
            wall[name] += time.perf_counter() - started[0]
            processor[name] += time.process_time() - started[1]
    done, first = ROUNDS * n_timed, next(iter(contenders))
    for name in contenders:
        print(
            f"{label:9s} {name:14s} {done / wall[name]:7.2f} steps/s wall, "
            f"{done / processor[name]:7.2f} of processor time; "
            f"{wall[first] / wall[name]:.2f} and "
            f"{processor[first] / processor[name]:.2f} times {first}",
            flush=True,
        )
