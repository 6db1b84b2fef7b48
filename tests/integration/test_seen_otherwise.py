"""References with one window, own glitches with four: the first thing that a group tries."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session
from store_helpers import person

from app.classes.naming import seed_classes
from app.clusters.crowds import Reencoding
from app.clusters.job import run_clustering
from app.clusters.records import ClusteringParameters
from app.core.access import Role
from app.glitches.ingest import NewGlitch, insert_glitches
from app.glitches.labels import append_labels
from app.glitches.records import GlitchMetadata, StoredGlitch
from app.glitches.service import get_embedding, stored_views
from app.models.checkpoints import active_checkpoint, publish_checkpoint
from app.novelty.catalogue import recalibrate
from glitch.checkpoint import load_checkpoint
from glitch.encoder import Encoder
from glitch.novelty.pool import Pool
from glitch.views import Preprocessing, Views

RECIPE = Preprocessing()
PARAMETERS = ClusteringParameters(fdr=0.1, min_cluster_size=5)
KINDS = ("Blip", "Koi_Fish", "Tomte")


@pytest.fixture
def encoder(session: Session, data_folder: Path) -> Encoder:
    checkpoint = load_checkpoint(data_folder / "checkpoints" / "tiny")
    seed_classes(session)
    publish_checkpoint(
        session,
        name="tiny",
        digest=checkpoint.digest,
        preprocessing_digest=checkpoint.manifest.preprocessing.digest(),
        latent_size=checkpoint.manifest.architecture.latent,
        manifest={"name": "tiny"},
    )
    return Encoder(checkpoint)


def views_of(kind: int, seed: int, *, windows: int, first: int = 0) -> Views:
    """Return views of a blob, whose position and width show its kind, in consecutive windows."""
    rng = np.random.default_rng([kind, seed])
    row, column = np.mgrid[0:128, 0:128]
    heights, widths = (20, 60, 100), (4, 25, 60)
    blob = np.exp(
        -(((row - heights[kind]) / 10) ** 2) - ((column - 64) / (widths[kind] + rng.normal())) ** 2
    )
    values = np.zeros((4, 128, 128), dtype=np.float32)
    shown = slice(first, first + windows)
    values[shown] = np.clip(blob + 0.05 * rng.random((windows, 128, 128)), 0, 1)
    observed = np.zeros((4, 128), dtype=np.bool_)
    observed[shown] = True
    return Views(values, observed, RECIPE)


def store(session: Session, encoder: Encoder, views: list[Views], first: int) -> list[StoredGlitch]:
    new = [
        NewGlitch(
            one,
            encoding,
            GlitchMetadata(
                origin="upload", ifo="L1", gps_time=Decimal(1_240_000_000 + 3600 * (first + place))
            ),
        )
        for place, (one, encoding) in enumerate(zip(views, encoder.encode(views), strict=True))
    ]
    stored = insert_glitches(session, new, checkpoint=active_checkpoint(session))
    assert all(isinstance(one, StoredGlitch) for one in stored)
    return [one for one in stored if isinstance(one, StoredGlitch)]


def test_glitches_of_four_windows_are_judged_by_references_of_one(
    session: Session, encoder: Encoder
) -> None:
    for kind, name in enumerate(KINDS):
        known = store(
            session, encoder, [views_of(kind, seed, windows=1) for seed in range(20)], 20 * kind
        )
        append_labels(
            session, [one.glitch.id for one in known], name, author=person(Role.SUBMITTER)
        )
    own = [views_of(seed % 3, 100 + seed, windows=4) for seed in range(6)]
    tested = store(session, encoder, own, 1000)
    recalibrate(session, active_checkpoint(session).id)
    for one in tested:
        reason = str(one.novelty.reason)
        assert "glitch-discovery references training-set --ifo L1" in reason
    before = run_clustering(session, PARAMETERS, author="test")
    assert (before.n_judged, before.n_unjudged) == (0, 6)
    run = run_clustering(session, PARAMETERS, author="test", encoder=lambda _: encoder)
    assert (run.n_judged, run.n_unjudged, run.n_flagged) == (6, 0, 0)
    assert "seen_otherwise" in {one["kind"] for one in run.findings}
    assert "judged by the part that both show" in run.detail
    # A window that no reference has cannot be judged, and the reason names the window.
    lone = store(session, encoder, [views_of(0, 200, windows=1, first=3)], 2000)
    recalibrate(session, active_checkpoint(session).id)
    assert "(4 s, 10 to 2048 Hz)" in str(get_embedding(session, lone[0].glitch.id).novelty.reason)
    run = run_clustering(session, PARAMETERS, author="test", encoder=lambda _: encoder)
    assert (run.n_judged, run.n_unjudged, run.n_flagged) == (6, 1, 0)
    assert "share windows and band with these (seen: 1 in 4 s, 10 to 2048 Hz)" in run.detail


def test_encoding_again_uses_only_the_masked_pixels(session: Session, encoder: Encoder) -> None:
    stored = store(session, encoder, [views_of(1, 7, windows=4), views_of(2, 8, windows=4)], 0)
    ids = [one.glitch.id for one in stored]
    n = len(ids)
    nothing = np.full(n, np.nan)
    pool = Pool(
        means=np.zeros((n, 8), dtype=np.float32),
        gps_times=nothing,
        is_reference=np.ones(n, dtype=np.bool_),
        classes=np.zeros(n, dtype=np.int64),
        conditions=np.zeros(n, dtype=np.int64),
        judged=nothing,
        calibration=nothing,
    )
    beats: list[int] = []
    again = Reencoding(lambda: encoder, lambda: beats.append(1))
    seen = again.masked_encoder(session, lambda places: [ids[at] for at in places], pool)
    assert seen.observed.shape == (1, 4, 128)
    assert not seen.is_established.any()  # two references are too few to calibrate
    mask = seen.observed[0].copy()
    mask[1:], mask[0, 100:] = False, False
    views = stored_views(session, ids, RECIPE)
    masked = []
    for one in ids:
        values = views[one].values.copy()
        values[~mask] = 0
        masked.append(Views(values, mask, RECIPE))
    np.testing.assert_allclose(
        seen.encode(np.arange(n), mask),
        [one.mean for one in encoder.encode(masked)],
        rtol=1e-5,
        atol=1e-6,
    )
    assert beats
