"""The held-out glitches with the highest cost in a run of Table 1, which may dominate a mean.

    python -m benchmarks.training.dearest_glitches FOLDER [--seeds 3 4] [--contender beta-Annealed]

FOLDER is Table 1's (`reproduce table1`, its `table1/`). Printed for each seed: the negative ELBO of
its held-out glitches (all views, decoded from the posterior mean): mean, median, mean without the
highest, and the five highest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.machine import heading
from glitch.model import ViewsVAE
from training.core.state import STATE_FILE, load_state
from training.evaluation.encoding import encode_pack
from training.reproduction.table1.command import (
    OBJECTIVES,
    PLAIN,
    configuration,
    read_splits,
    run_folder,
    tier_named,
)

_N_SHOWN = 5


def main() -> None:
    """Print a paragraph for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="that holds Table 1's runs/")
    parser.add_argument("--tier", default="reduced")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--contender", default=PLAIN, choices=(*OBJECTIVES, PLAIN))
    parser.add_argument(
        "--real-images", type=Path, default=Path("../shared/data/gravityspy_images")
    )
    chosen = parser.parse_args()
    print(heading())
    tier = tier_named(chosen.tier)
    splits = read_splits(tier, chosen.real_images)
    for seed in chosen.seeds:
        config = configuration(tier, chosen.contender, seed)
        model = ViewsVAE(config.architecture)
        load_state(run_folder(chosen.folder, config) / STATE_FILE, model, None)
        held_out = splits[seed][1]
        encoded = encode_pack(model.eval(), held_out)
        nats = encoded.rate + encoded.distortion
        order = np.argsort(-nats)
        print(
            f"\nseed {seed}: {len(nats)} glitches, mean {nats.mean():.0f}, median "
            f"{np.median(nats):.0f}, without the dearest {nats[order[1:]].mean():.0f}"
        )
        for place in order[:_N_SHOWN]:
            print(f"  {held_out.labels[place]} ({held_out.groups[place]}): {nats[place]:.0f}")


if __name__ == "__main__":
    main()
