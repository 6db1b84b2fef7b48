"""How well a class without labels is found: hide each class of glitches in turn.

    python -m benchmarks.discovery.leave_one_class_out service|direct|scores FOLDER
    python -m benchmarks.discovery.leave_one_class_out service FOLDER Blip Whistle  # only these
    python -m benchmarks.discovery.leave_one_class_out direct|scores PACK  # of simulated views
    python -m benchmarks.discovery.leave_one_class_out encoders FOLDER PACK...  # one per class

FOLDER is ../shared/data/gravityspy_images; PACK is made by `glitch-discovery simulate-pack
runs/simulated-a --per-class 240 --seed 1`.

``service`` uses the whole service: `glitch-discovery up` with its PostgreSQL, Redis, worker and
scheduler, a batch for each hidden class over HTTP, then the jobs `ingest`, `judge`, `cluster`; its
"flagged" glitches are the members of clusters. ``direct`` stores encodings in a database of its own
and calls the services; its "flagged" glitches are the flagged ones. ``scores`` computes from
encodings, over several splits, the results of the single and the joint test, and of other scores
(`hidden_class_scores.py`).

``encoders`` is ``direct`` with an encoder for each hidden class that was trained without it, real
and simulated (`unmet_classes.py`), as for a class that nobody knows yet.

Each class with at least 12 groups is hidden: its glitches are unlabelled, and so is a quarter of
the groups of the other such classes; all others are labelled. Every case has its own detector,
because 189 of 1,028 have none and 67 are of H1. The encoder was trained on three quarters of these
groups, without labels. Of each simulated class 80 are used, and 40 of the hidden one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from app.classes.naming import seed_classes
from app.classes.tables import GlitchClass
from app.clusters.crowds import judge_population
from app.clusters.job import run_clustering
from app.clusters.records import ClusteringParameters
from app.clusters.tables import Cluster, ClusterMember
from app.core.database import uuid7
from app.core.embedded import start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import publish_checkpoint
from app.novelty.catalogue import recalibrate
from benchmarks.discovery.class_hiding import Service, running_service, write_stack
from benchmarks.discovery.hidden_class_scores import (
    RATES,
    compare_scores,
    digest,
    is_held_back,
    report_crowds,
)
from benchmarks.discovery.unmet_classes import EIGHT, encoders
from benchmarks.machine import heading
from glitch.checkpoint import Checkpoint, load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder, Encoding
from glitch.views import Preprocessing, Views
from training.data.pack import GREY_LEVELS, Pack, read_pack
from training.data.real_images import read_real_images
from training.evaluation.probe import classes_with_groups

MIN_GROUPS = 12
UNKNOWN = "None_of_the_Above"  # a catch-all class: never a reference, but hidden like any other
# Real and simulated glitches never calibrate each other, so each detector is used for two cases.
DETECTORS = ("H1", "L1", "V1", "K1", "G1", "I1", "H2")
ROOMS = [(ifo, kind) for kind in ("gravityspy", "simulated") for ifo in DETECTORS]
# Each origin has its own times, in one observing run: otherwise the second case would be already
# known.
STARTS = {"gravityspy": 1_240_000_000, "simulated": 1_245_000_000}
OF_SIMULATED_CLASS, HIDDEN_SIMULATED = 80, 40


def report_head() -> None:
    print(
        f"\n{'hidden class':<21}{'n':>4}{'known':>6}{'AUROC alone':>12}   "
        + "   ".join(f"{f'at FDR {rate:g}: recall, realised':>30}" for rate in RATES)
        + "   best cluster at each: size, purity, share of the class"
    )


def report(  # noqa: PLR0917
    hidden: str,
    is_hidden: np.ndarray,
    is_tested: np.ndarray,
    alone: np.ndarray,
    flagged: list[np.ndarray],
    clusters: list[list[np.ndarray]],
) -> tuple[float, list[tuple[float, float]], list[tuple[int, float, float]]]:
    tested = np.nonzero((is_hidden | is_tested) & np.isfinite(alone))[0]
    area = float(roc_auc_score(is_hidden[tested], alone[tested]))
    rates, best = [], []
    for chosen, parts in zip(flagged, clusters, strict=True):
        valid = chosen[np.isin(chosen, tested)]
        hits = is_hidden[valid].sum()
        rates.append((hits / is_hidden.sum(), 1 - hits / max(1, len(valid)) if len(valid) else 0.0))
        members = max(parts, key=lambda one: is_hidden[one].sum(), default=np.empty(0, dtype=int))
        share = is_hidden[members].sum()
        best.append((len(members), share / max(1, len(members)), share / is_hidden.sum()))
    n_known = (~is_hidden[tested]).sum()
    print(
        f"{hidden:<21}{is_hidden.sum():>4}{n_known:>6}{area:>12.3f}   "
        + "   ".join(f"{recall:>22.2f}, {wrong:.3f}" for recall, wrong in rates)
        + "   "
        + "; ".join(
            f"{n}, {purity:.2f}, {share:.2f}" if n else "none" for n, purity, share in best
        ),
        flush=True,
    )
    return area, rates, best


def summary(rows: list[Any]) -> None:
    print(f"{'mean':<31}{np.mean([row[0] for row in rows]):>12.3f}   ", end="")
    for place in range(len(RATES)):
        recall, wrong = np.mean([row[1][place] for row in rows], axis=0)
        print(f"{recall:>22.2f}, {wrong:.3f}   ", end="")
    counts = [
        sum(row[2][place][0] > 0 and row[2][place][1] >= 0.9 for row in rows)
        for place in range(len(RATES))
    ]
    print("found with purity .9 or more: " + ", ".join(f"{n} of {len(rows)}" for n in counts))


def over_http(service: Service, pack: Pack, hidden: str, classes: list[str], room: Any) -> Any:
    labels = np.array(pack.labels)
    is_hidden = labels == hidden
    is_tested = is_held_back(pack, 0) & np.isin(labels, classes) & ~is_hidden & (labels != UNKNOWN)
    ifo, origin = room
    masked = ["" if o else name for o, name in zip(is_hidden | is_tested, pack.labels, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{hidden}.h5"
        write_stack(path, pack, ifo, masked, STARTS[origin])
        with path.open("rb") as file:
            batch = service.ask(
                "POST", "/batches", files={"file": file}, data={"ifo": ifo, "origin": origin}
            )
    job = service.wait(batch["job"])
    if job["progress"]["done"] != len(pack):
        raise SystemExit(f"not all glitches of {hidden} were stored as new: {job['progress']}")
    service.wait_for_kind("judge")
    place = {
        item["glitch_id"]: item["ordinal"]
        for item in service.all(f"/jobs/{job['id']}/items", limit=500)
    }
    alone = np.full(len(pack), np.nan)
    for key, index in place.items():
        if is_hidden[index] or is_tested[index]:
            score = service.ask("GET", f"/glitches/{key}")["novelty"]["score"]
            alone[index] = np.nan if score is None else score
    clusters = []
    for rate in RATES:
        settings = {"fdr": rate, "ifo": ifo, "simulated": origin == "simulated"}
        job = service.wait(service.ask("POST", "/clusters/runs", json=settings)["id"])
        run = job["result"]["run"]
        found = [
            np.array(
                [
                    place[one["glitch"]["id"]]
                    for one in service.all(f"/clusters/{cluster['id']}/members", limit=500)
                ]
            )
            for cluster in service.all("/clusters", run=run, limit=500)
        ]
        clusters.append(found)
    # A user sees the members of clusters as flagged.
    flagged = [np.concatenate([np.empty(0, dtype=int), *found]) for found in clusters]
    return report(hidden, is_hidden, is_tested, alone, flagged, clusters)


_RELABEL = text(
    "WITH new AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:classes AS int[]),"
    " CAST(:ifos AS text[])) AS new (id, class_id, ifo)),"
    " named AS (UPDATE glitch SET class_id = new.class_id FROM new WHERE glitch.id = new.id)"
    " UPDATE embedding SET ifo = new.ifo FROM new WHERE glitch_id = new.id"
)


def in_services(
    session: Session,
    pack: Pack,
    encodings: list[Encoding],
    classes: list[str],
    *,
    hidden_classes: list[str],
    is_real: bool,
) -> list[Any]:
    seed_classes(session)
    size = len(encodings[0].mean)
    published = publish_checkpoint(
        session,
        name="benchmark",
        digest="a" * 64,
        preprocessing_digest="b" * 64,
        latent_size=size,
        manifest={},
    )
    keys = [uuid7() for _ in encodings]
    groups = {group: place for place, group in enumerate(dict.fromkeys(pack.groups))}
    conditions = [
        rows.tobytes().hex() for rows in np.packbits(pack.observed.reshape(len(pack), -1), axis=1)
    ]
    common = {"checkpoint_id": published.id, "is_simulated": False, "is_judged": False}
    session.execute(
        insert(Glitch),
        [
            {
                "id": key,
                "ifo": "L1",
                "gps_time": 1_240_000_000 + 600 * groups[group],
                "origin": "gravityspy",
                "content_digest": digest(str(index), group),
            }
            for index, (key, group) in enumerate(zip(keys, pack.groups, strict=True))
        ],
    )
    session.execute(
        insert(Embedding),
        [
            {
                **common,
                "glitch_id": key,
                "ifo": "L1",
                "is_reference": False,
                "condition": seen,
                "mean": encoding.mean,
                "log_variance": encoding.log_variance.tolist(),
                "reconstruction_error": encoding.reconstruction_error,
                "kl": encoding.kl,
            }
            for key, encoding, seen in zip(keys, encodings, conditions, strict=True)
        ],
    )
    ids = dict(session.execute(select(GlitchClass.name, GlitchClass.id)).all())
    labels, is_held_out = np.array(pack.labels), is_held_back(pack, 0)
    rows = []
    for hidden in hidden_classes:
        is_member = labels == hidden
        is_hidden = is_member if is_real else is_member & (np.cumsum(is_member) <= HIDDEN_SIMULATED)
        is_tested = is_held_out & np.isin(labels, classes) & ~is_member & (labels != UNKNOWN)
        is_open = is_member | is_tested
        session.execute(
            _RELABEL,
            {
                "ids": keys,
                "classes": [
                    None if is_unlabelled else ids[str(name)]
                    for name, is_unlabelled in zip(labels, is_open, strict=True)
                ],
                "ifos": [None if gone else "L1" for gone in is_member & ~is_hidden],
            },
        )
        rows.append(cluster_directly(session, published.id, keys, hidden, is_hidden, is_tested))
    return rows


def cluster_directly(  # noqa: PLR0917
    session: Session,
    checkpoint_id: int,
    keys: list[Any],
    hidden: str,
    is_hidden: np.ndarray,
    is_tested: np.ndarray,
) -> Any:
    recalibrate(session, checkpoint_id)
    place = {key: index for index, key in enumerate(keys)}
    alone = np.full(len(keys), np.nan)
    for key, score, p_value in session.execute(
        select(Embedding.glitch_id, Embedding.novelty_score, Embedding.p_value)
    ):
        if p_value is not None:
            alone[place[key]] = score
    tested = judge_population(session, checkpoint_id, ("L1", False), None, None)
    places = np.array([place[key] for key in tested.ids(np.arange(len(tested.keys)))])
    flagged, clusters = [], []
    for rate in RATES:
        run = run_clustering(
            session, ClusteringParameters(fdr=rate, min_cluster_size=5), author="benchmark"
        )
        flagged.append(places[tested.p_values <= (run.p_threshold or -1)])
        members: dict[Any, list[int]] = {}
        for cluster, key in session.execute(
            select(ClusterMember.cluster_id, ClusterMember.glitch_id)
            .join(Cluster, Cluster.id == ClusterMember.cluster_id)
            .where(Cluster.run_id == run.id)
        ):
            members.setdefault(cluster, []).append(place[key])
        clusters.append([np.array(one) for one in members.values()])
    return report(hidden, is_hidden, is_tested, alone, flagged, clusters)


def encoded(pack: Pack, checkpoint: Checkpoint) -> list[Encoding]:
    recipe, encoder = checkpoint.manifest.preprocessing, Encoder(checkpoint)
    encodings: list[Encoding] = []
    for start in range(0, len(pack), 256):
        rows = slice(start, start + 256)
        encodings += encoder.encode(
            [
                Views(values.astype(np.float32) / GREY_LEVELS, np.asarray(observed), recipe)
                for values, observed in zip(pack.values[rows], pack.observed[rows], strict=True)
            ]
        )
    return encodings


def read(folder: Path, recipe: Preprocessing, *, is_whole: bool) -> tuple[Pack, bool]:
    """Read the pack, and whether it is of real glitches; of simulated ones only a part."""
    if not (folder / "names.json").exists():
        return read_real_images(folder, recipe), True
    pack = read_pack(folder, recipe)
    if is_whole:
        return pack, False
    labels = np.array(pack.labels)
    chosen = [np.nonzero(labels == name)[0][:OF_SIMULATED_CLASS] for name in np.unique(labels)]
    return pack.subset(np.concatenate(chosen)), False


def main() -> None:
    how, folder = sys.argv[1], Path(sys.argv[2])
    print(heading())
    checkpoint = load_checkpoint(shipped_checkpoint())
    pack, is_real = read(folder, checkpoint.manifest.preprocessing, is_whole=how == "scores")
    classes = sorted(classes_with_groups(pack.labels, pack.groups, MIN_GROUPS))
    print(f"checkpoint {checkpoint.manifest.name} {checkpoint.digest[:12]}, {len(pack)} glitches")
    if how == "scores":
        encodings = encoded(pack, checkpoint)
        report_crowds(pack, encodings, classes, is_real=is_real)
        compare_scores(pack, encodings, classes, is_real=is_real)
        return
    report_head()
    if how == "service":
        with running_service() as service:
            rooms = zip(sys.argv[3:] or classes, ROOMS, strict=False)
            summary([over_http(service, pack, hidden, classes, room) for hidden, room in rooms])
        return
    if how == "encoders":
        hidden = [name for name in EIGHT if name in classes]
        with own_database() as url:
            rows = []
            for name, model in encoders(pack, [Path(one) for one in sys.argv[3:]], hidden):
                codes = encoded(pack, replace(checkpoint, model=model))
                with fresh_session(url, name) as session:
                    rows += in_services(
                        session, pack, codes, classes, hidden_classes=[name], is_real=True
                    )
            summary(rows)
        return
    with own_database() as url, fresh_session(url, "all") as session:
        codes = encoded(pack, checkpoint)
        summary(in_services(session, pack, codes, classes, hidden_classes=classes, is_real=is_real))


@contextmanager
def fresh_session(make_database: Callable[[str], str], name: str) -> Iterator[Session]:
    """Open a session in a new, migrated database."""
    url = make_database(name.lower())
    upgrade(url)
    engine = make_engine(url)
    with make_session_factory(engine)() as session:
        yield session
    engine.dispose()


@contextmanager
def own_database() -> Iterator[Callable[[str], str]]:
    """Start a server, and yield a function that creates a database and returns its address."""
    data = Path(tempfile.mkdtemp(prefix="glitch-bench-"))
    server = start_embedded(data)
    try:
        yield server.ensure_database
    finally:
        server.stop()
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
