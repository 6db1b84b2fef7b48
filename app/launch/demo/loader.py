"""One process of several that fill the demo catalogue: `python -m app.launch.demo.loader I N`.

Takes every N-th missing glitch from the I-th on. Prints the size of each batch once it is
committed; a batch is stored whole or not at all, so a killed loader leaves nothing half done. The
plan's last missing glitch is stored together with the calibration of novelty by the first process,
once all others are there: as long as that is not done, the catalogue shows as incomplete.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from app.glitches.facts import measured
from app.glitches.records import GlitchMetadata
from app.launch.database import Database, open_database
from app.launch.demo.catalogue import DemoGlitch, MadeGlitch, demo_plan, missing_from, store_made
from app.launch.lifeline import follow_lifeline
from app.launch.sentences import told_as_sentences
from app.launch.settings import LaunchSettings, read_settings
from app.models.checkpoints import active_checkpoint
from app.models.records import CheckpointRecord
from app.novelty import recalibrate
from app.server.runtime import CHECKPOINTS_FOLDER
from glitch.checkpoint import load_checkpoint
from glitch.encoder import Encoder
from glitch.simulate import SIMULATED_CLASSES, simulate_glitch
from glitch.strain import views_from_strain

_POLL_S = 0.2
BATCH = 16  # strain of so many glitches is held at once


def load_share(settings: LaunchSettings, number: int, count: int) -> None:
    """Simulate, encode and store this process's share of what the plan lacks."""
    with open_database(settings) as database:
        with database.transaction() as session:
            checkpoint = active_checkpoint(session)
        loader = _Loader(database, checkpoint, settings)
        *missing, last = loader.missing()
        share = islice(missing, number, None, count)
        while batch := list(islice(share, BATCH)):
            loader.store(batch)
        if number == 0:
            while len(loader.missing()) > 1:
                time.sleep(_POLL_S)  # a process that fails is seen by the supervisor, who stops us
            loader.store([last], is_last=True)


class _Loader:
    def __init__(
        self, database: Database, checkpoint: CheckpointRecord, settings: LaunchSettings
    ) -> None:
        self._database = database
        self._checkpoint = checkpoint
        self._plan = demo_plan(SIMULATED_CLASSES, settings.demo_per_class)
        folder = settings.data_dir / CHECKPOINTS_FOLDER / checkpoint.digest
        self._encoder = Encoder(load_checkpoint(folder), device=settings.device)

    def missing(self) -> list[DemoGlitch]:
        with self._database.transaction() as session:
            return missing_from(session, self._plan, self._checkpoint)

    def store(self, places: Sequence[DemoGlitch], *, is_last: bool = False) -> None:
        made = make_glitches(places, self._encoder)
        with self._database.transaction() as session:
            store_made(session, made, self._checkpoint)
            if is_last:
                recalibrate(session, self._checkpoint.id)
        print(len(places), flush=True)  # noqa: T201 - the supervisor's progress bar


def make_glitches(places: Sequence[DemoGlitch], encoder: Encoder) -> list[MadeGlitch]:
    """Simulate, transform and encode a batch."""
    simulated = [simulate_glitch(place.label, place.random, ifo=place.ifo) for place in places]
    strains = [
        replace(glitch.strain, gps_start=glitch.strain.gps_start + place.gps_time - glitch.gps_time)
        for place, glitch in zip(places, simulated, strict=True)
    ]
    transformed = views_from_strain(
        strains, [place.gps_time for place in places], encoder.preprocessing
    )
    encodings = encoder.encode([item.views for item in transformed])
    return [
        MadeGlitch(
            place,
            item.views,
            encoding,
            GlitchMetadata(
                origin="simulated",
                ifo=place.ifo,
                gps_time=place.gps_time,
                **measured(item),
            ),
        )
        for place, item, encoding in zip(places, transformed, encodings, strict=True)
    ]


def main() -> None:
    """The child's command line."""
    follow_lifeline()
    with told_as_sentences():
        load_share(read_settings(), int(sys.argv[1]), int(sys.argv[2]))


if __name__ == "__main__":
    main()
