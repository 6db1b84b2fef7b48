"""Simulated rate of a batch of a year's triggers with many workers, from measured costs.

    python -m benchmarks.service.scaling [--triggers 1000000] [--database-cores 8] [--link-gbit 10]

A closed queueing network, simulated event by event: each worker claims a chunk of 32 glitches (one
at a time, the job's row is locked), fetches its strain (one link to the store), transforms and
encodes it (its own core), and stores it (the database's cores, first come first served). The costs
were measured by ``ingest_rate`` and ``neighbours_sql`` on this project's machine; their outputs are
in ``benchmarks/results``. The first table compares the model with measured runs.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.machine import heading

CHUNK = 32  # glitches: ``app.batches.planning.GLITCHES``
CATALOGUES = (0, 100_000, 200_000, 400_000, 700_000, 1_000_000)
WORKERS = (1, 2, 8, 64, 512)


@dataclass(frozen=True)
class Costs:
    """Costs per glitch unless stated otherwise. Times in ms."""

    encode: float = 82.1  # processor time of a worker (20,000 glitches, two workers)
    store: float = 6.1  # of PostgreSQL with a small catalogue (2000 glitches, one worker)
    scan: float = 0.317  # of PostgreSQL, for each 1000 rows: novelty of a new glitch by a scan
    search: float = 12.0  # of PostgreSQL: novelty by the index, and insertion into it
    is_indexed: bool = False
    claim: float = 6.0  # per chunk: time that the job's row is locked, claim and end together
    strain_mb: float = 1.1  # MB of strain per glitch, 64 s of float64 at 4096 Hz, half of it shared
    spread: float = 0.3  # standard deviation of a service time / its mean

    def database(self, rows: int) -> float:
        """Return the cost in PostgreSQL with a number of rows in the catalogue."""
        if self.is_indexed and rows >= 200_000:
            return self.store + self.search
        return self.store + self.scan * rows / 1000


@dataclass(frozen=True)
class Site:
    """The resources that the workers share."""

    database_cores: int = 8
    link_gbit: float = 10.0


STATIONS = ("job's row", "store", "worker", "database")


def simulate(workers: int, costs: Costs, site: Site, rows: int, chunks: int) -> tuple[float, dict]:
    """Return glitches per second, and the utilisation of each station, from 0 to 1."""
    rng = np.random.default_rng(7)
    means = [
        costs.claim / 1000,
        CHUNK * costs.strain_mb * 8 / 1000 / site.link_gbit,
        CHUNK * costs.encode / 1000,
        CHUNK * costs.database(rows) / 1000,
    ]
    servers = [1, 1, workers, site.database_cores]
    shape = costs.spread**-2
    times = rng.gamma(shape, 1 / shape, (chunks + workers, len(means))) * means
    free = [[0.0] * count for count in servers]  # time at which each server is free again
    events = [(float(rng.uniform(0, means[2])), number, 0, number) for number in range(workers)]
    heapq.heapify(events)
    started, done, busy, now = workers, 0, np.zeros(len(means)), 0.0
    while done < chunks:
        now, worker, station, chunk = heapq.heappop(events)
        if station == len(means):
            done, station, chunk = done + 1, 0, started
            started += 1
            if started > chunks + workers:
                continue
        begin = heapq.heappop(free[station])
        ends = max(now, begin) + times[min(chunk, len(times) - 1), station]
        heapq.heappush(free[station], ends)
        busy[station] += times[min(chunk, len(times) - 1), station]
        heapq.heappush(events, (ends, worker, station + 1, chunk))
    used = {
        name: min(1.0, float(total / now / count))
        for name, total, count in zip(STATIONS, busy, servers, strict=True)
    }
    return CHUNK * done / now, used


def hold_against_runs() -> None:
    """Compare with runs on two cores for workers and PostgreSQL; nothing was fitted to them."""
    print(f"{'workers':>7} {'glitches':>9} {'measured/s':>11} {'model/s':>8} {'off':>6}")
    runs = ((1, 2000, 97.7, 6.1, 9.4), (2, 2000, 91.2, 5.6, 19.2), (2, 20_000, 82.1, 8.3, 21.5))
    for workers, glitches, encode, store, measured in runs:
        # In sequence in each worker, because two workers on two cores leave none for PostgreSQL.
        costs = Costs(encode=encode, store=store, scan=0, claim=6.0, strain_mb=0)
        rate, _ = simulate(workers, costs, Site(database_cores=2), 0, 400)
        error = rate / measured - 1
        print(f"{workers:>7} {glitches:>9} {measured:>11.1f} {rate:>8.1f} {error:>+6.0%}")


def predict(title: str, costs: Costs, site: Site, triggers: int, workers: Sequence[int]) -> None:
    """Print hours for all triggers, and the busiest station at the end."""
    print(f"\n{title}")
    print(f"{'workers':>7} {'first/s':>8} {'last/s':>8} {'hours':>8}  busiest at the end")
    sizes = [one for one in CATALOGUES if one <= triggers]
    for count in workers:
        rates = [simulate(count, costs, site, size, max(600, 12 * count)) for size in sizes]
        seconds = np.trapezoid([1 / rate for rate, _ in rates], sizes)
        used = rates[-1][1]
        name = max(used, key=lambda one: used[one])
        loads = ", ".join(f"{one} {share:.0%}" for one, share in used.items() if share >= 0.05)
        first, last = rates[0][0], rates[-1][0]
        print(f"{count:>7} {first:>8.1f} {last:>8.1f} {seconds / 3600:>8.1f}  {name} ({loads})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triggers", type=int, default=1_000_000)
    parser.add_argument("--database-cores", type=int, default=8)
    parser.add_argument("--link-gbit", type=float, default=10.0)
    args = parser.parse_args()
    print(heading())
    print("\nthe model against measured runs")
    hold_against_runs()
    site = Site(args.database_cores, args.link_gbit)
    costs = Costs()
    all_of_it = (args.triggers, WORKERS)
    predict("every newcomer judged by a scan", costs, site, *all_of_it)
    indexed = replace(costs, is_indexed=True)
    predict("judged by the vector index from 200,000 on", indexed, site, *all_of_it)
    later = replace(costs, scan=0.0)
    predict("judged after the batch, in memory", later, site, *all_of_it)


if __name__ == "__main__":
    main()
