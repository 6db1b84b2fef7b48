"""Neighbours in SQL, against plain numpy."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from store_helpers import LATENT, SMALL, Store, encoding, ids, make_views, person

from app.core.access import Role
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.postgres.partitions import ensure_vector_index, has_vector_index, vector_index_name
from app.glitches import neighbours
from app.glitches.ingest import insert_glitch
from app.glitches.labels import append_label
from app.glitches.neighbours import EF_SEARCH, find_neighbours
from app.glitches.records import GlitchFilters, GlitchMetadata
from app.models.checkpoints import publish_checkpoint
from app.models.records import CheckpointRecord


@pytest.fixture
def catalogue(store: Store, rng: np.random.Generator) -> dict[Any, np.ndarray]:
    """Sixty glitches of two detectors: their means by id."""
    means = rng.normal(size=(60, LATENT)).astype(np.float32)
    return {
        store(
            tuple(mean), ifo=("H1", "L1")[number % 2], snr=float(number), gps_time=Decimal(number)
        ).glitch.id: mean
        for number, mean in enumerate(means)
    }


def test_agrees_with_numpy(
    session: Session,
    checkpoint: CheckpointRecord,
    catalogue: dict[Any, np.ndarray],
    rng: np.random.Generator,
) -> None:
    for _ in range(5):
        query = rng.normal(size=LATENT).astype(np.float32)
        found = find_neighbours(session, vector=query, checkpoint_id=checkpoint.id, k=12)
        expected = sorted(
            (float(np.linalg.norm(mean.astype(np.float64) - query)), key)
            for key, mean in catalogue.items()
        )[:12]
        assert ids(found) == [key for _, key in expected]
        np.testing.assert_allclose(
            [neighbour.distance for neighbour in found], [d for d, _ in expected], rtol=1e-6
        )


def test_filters_and_exclusion(
    session: Session, checkpoint: CheckpointRecord, catalogue: dict[Any, np.ndarray]
) -> None:
    keys = list(catalogue)
    append_label(session, keys[4], "Blip", author=person(Role.SUBMITTER))

    def found(exclude: Any = None, **filters: Any) -> set[Any]:
        return set(
            ids(
                find_neighbours(
                    session,
                    vector=catalogue[keys[0]],
                    checkpoint_id=checkpoint.id,
                    k=200,
                    filters=GlitchFilters(**filters),
                    exclude_id=exclude,
                )
            )
        )

    assert found() == set(keys)
    assert found(keys[0]) == set(keys[1:])
    assert found(ifos=("L1",)) == set(keys[1::2])
    assert found(snr_min=50.0, ifos=("H1",)) == set(keys[50::2])
    assert found(gps_end=Decimal(3)) == set(keys[:4])
    assert found(labels=("Blip",)) == {keys[4]}
    assert found(origins=("simulated",)) == set()
    assert found(is_judged=True) == set()


def test_the_glitch_itself_is_nearest_and_ties_go_by_id(
    session: Session, checkpoint: CheckpointRecord, store: Store
) -> None:
    twins = [store((1, 0, 0, 0)).glitch.id for _ in range(5)]
    other = store((3, 0, 0, 0)).glitch.id
    query = np.array([1, 0, 0, 0], dtype=np.float32)
    found = find_neighbours(session, vector=query, checkpoint_id=checkpoint.id, k=6)
    assert ids(found) == [*sorted(twins), other]
    assert [neighbour.distance for neighbour in found] == [0, 0, 0, 0, 0, 2]


def test_checkpoints_are_never_mixed(
    session: Session, checkpoint: CheckpointRecord, store: Store, rng: np.random.Generator
) -> None:
    old = store((0, 0, 0, 0)).glitch.id
    for number, size in enumerate((LATENT, 2)):
        other = publish_checkpoint(
            session,
            name=f"other {size}",
            digest=str(number) * 64,
            preprocessing_digest=SMALL.digest(),
            latent_size=size,
            manifest={},
        )
        new = insert_glitch(
            session,
            views=make_views(rng),
            encoding=encoding(*[0.0] * size),
            checkpoint=other,
            metadata=GlitchMetadata(origin="upload", ifo="H1"),
        ).glitch.id
        for under, expected in ((checkpoint, old), (other, new)):
            query = np.zeros(under.latent_size, dtype=np.float32)
            found = find_neighbours(session, vector=query, checkpoint_id=under.id, k=10)
            assert ids(found) == [expected]


def test_a_partition_holds_its_own_dimension_alone(
    session: Session, checkpoint: CheckpointRecord, store: Store
) -> None:
    glitch = store().glitch
    with pytest.raises(IntegrityError, match="mean"):
        session.execute(
            text("UPDATE embedding SET mean = '[1,2]' WHERE glitch_id = :id"), {"id": glitch.id}
        )


@pytest.mark.parametrize("k", [-1, 10_001, 100_000])
def test_k_out_of_range(session: Session, checkpoint: CheckpointRecord, k: int) -> None:
    with pytest.raises(InvalidRequestError, match="neighbours must lie between 0 and 10,000"):
        find_neighbours(
            session, vector=np.zeros(LATENT, dtype=np.float32), checkpoint_id=checkpoint.id, k=k
        )


def test_a_request_for_no_neighbours_returns_none(
    session: Session, checkpoint: CheckpointRecord, store: Store
) -> None:
    store()
    query = np.zeros(LATENT, dtype=np.float32)
    assert find_neighbours(session, vector=query, checkpoint_id=checkpoint.id, k=0) == []


def test_vectors_of_another_size_and_unknown_checkpoints(
    session: Session, checkpoint: CheckpointRecord
) -> None:
    with pytest.raises(InvalidRequestError, match="4 dimensions"):
        find_neighbours(session, vector=np.zeros(3, dtype=np.float32), checkpoint_id=checkpoint.id)
    with pytest.raises(InvalidRequestError, match="not finite"):
        find_neighbours(
            session, vector=np.full(4, np.nan, dtype=np.float32), checkpoint_id=checkpoint.id
        )
    with pytest.raises(NotFoundError, match="no checkpoint"):
        find_neighbours(session, vector=np.zeros(4, dtype=np.float32), checkpoint_id=999)


def test_the_vector_index_is_built_when_large_and_then_used(
    engine: Engine,
    session: Session,
    checkpoint: CheckpointRecord,
    catalogue: dict[Any, np.ndarray],
    rng: np.random.Generator,
) -> None:
    session.commit()
    assert not ensure_vector_index(engine, checkpoint.id, LATENT)
    assert not has_vector_index(session, checkpoint.id)
    session.commit()  # the build waits for every transaction that reads
    assert ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=50)
    assert ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=50)
    assert has_vector_index(session, checkpoint.id)
    session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))
    for filters in (GlitchFilters(), GlitchFilters(ifos=("H1",)), GlitchFilters(snr_min=20.0)):
        query = rng.normal(size=LATENT).astype(np.float32)
        arguments: dict[str, Any] = {
            "vector": query,
            "checkpoint_id": checkpoint.id,
            "k": 5,
            "filters": filters,
        }
        indexed = find_neighbours(session, **arguments)
        exact = find_neighbours(session, **arguments, exact=True)
        assert indexed == exact  # so small a graph is searched completely
    uses = session.scalar(
        text(
            "SELECT pg_stat_get_numscans(indexrelid) + pg_stat_get_xact_numscans(indexrelid)"
            " FROM pg_index WHERE indexrelid = to_regclass(:name)"
        ),
        {"name": vector_index_name(checkpoint.id)},
    )
    assert uses >= 3


@pytest.fixture
def index(
    engine: Engine, session: Session, checkpoint: CheckpointRecord, catalogue: dict[Any, np.ndarray]
) -> None:
    session.commit()  # the build waits for every transaction that reads
    ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=50)
    session.execute(text("ANALYZE glitch"))
    session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))


@pytest.mark.usefixtures("index")
def test_a_search_by_the_index_has_its_own_settings_for_one_transaction(
    session: Session, checkpoint: CheckpointRecord
) -> None:
    def settings() -> tuple[str, ...]:
        names = ("hnsw.ef_search", "hnsw.iterative_scan")
        return tuple(session.scalar(text(f"SHOW {name}")) for name in names)

    usual = settings()
    find_neighbours(session, vector=np.zeros(LATENT), checkpoint_id=checkpoint.id, k=5)
    assert settings() == (str(EF_SEARCH), "strict_order") != usual
    session.rollback()
    assert settings() == usual


@pytest.mark.usefixtures("index")
def test_a_scan_finds_neighbours_that_the_index_misses(
    session: Session, checkpoint: CheckpointRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shallow(session: Session, _candidates: int) -> None:
        session.execute(text("SET LOCAL hnsw.ef_search = 1; SET LOCAL hnsw.iterative_scan = off"))

    monkeypatch.setattr(neighbours, "prepare_index_scan", shallow)
    query: dict[str, Any] = {"vector": np.zeros(LATENT), "checkpoint_id": checkpoint.id, "k": 5}
    found = find_neighbours(session, **query)
    assert len(found) == 5
    assert found == find_neighbours(session, **query, exact=True)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("filters", "is_by_index"),
    [
        (GlitchFilters(), True),
        (GlitchFilters(ifos=("H1", "L1")), True),
        (GlitchFilters(snr_min=1e6), False),  # hardly any glitch passes
        (GlitchFilters(labels=("Blip",)), False),  # no glitch is labelled
        (GlitchFilters(p_value_max=0.5), False),
    ],
)
def test_selective_filters_use_a_scan_instead_of_the_index(
    session: Session,
    checkpoint: CheckpointRecord,
    monkeypatch: pytest.MonkeyPatch,
    filters: GlitchFilters,
    is_by_index: bool,
) -> None:
    prepared: list[Any] = []
    monkeypatch.setattr(neighbours, "prepare_index_scan", lambda *args: prepared.append(args))
    find_neighbours(
        session, vector=np.zeros(LATENT), checkpoint_id=checkpoint.id, k=1, filters=filters
    )
    assert bool(prepared) == is_by_index


@pytest.mark.parametrize("ifos", [(), ("H1",)])
@pytest.mark.parametrize(("at", "is_scanned"), [(3.0, False), (-3.0, True)])
def test_for_common_classes_the_nearest_of_all_are_searched_first(
    engine: Engine,
    session: Session,
    checkpoint: CheckpointRecord,
    catalogue: dict[Any, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    *,
    at: float,
    is_scanned: bool,
    ifos: tuple[str, ...],
) -> None:
    """If enough of them are near the query, the index suffices; otherwise a scan finds them."""
    of_class = [key for key, mean in catalogue.items() if mean[0] > 0]
    for key in of_class:
        append_label(session, key, "Blip", author=person(Role.SUBMITTER))
    session.commit()
    ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=50)
    session.execute(text("ANALYZE glitch"))
    session.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"))
    scans: list[Any] = []
    narrow = neighbours._narrow
    monkeypatch.setattr(neighbours, "EF_SEARCH", 12)
    monkeypatch.setattr(neighbours, "_narrow", lambda *query: scans.append(query) or narrow(*query))
    query: dict[str, Any] = {
        "vector": np.array([at] + [0.0] * (LATENT - 1), dtype=np.float32),
        "checkpoint_id": checkpoint.id,
        "k": 4,
        "filters": GlitchFilters(labels=("Blip",), ifos=ifos),
    }
    found = find_neighbours(session, **query)
    assert bool(scans) == is_scanned
    assert found == find_neighbours(session, **query, exact=True)
    assert {one.glitch.label for one in found} == {"Blip"}
    assert {one.glitch.ifo for one in found} <= {"H1", *(() if ifos else ("L1",))}


def test_an_unfinished_index_is_built_again(
    engine: Engine, session: Session, checkpoint: CheckpointRecord, catalogue: dict[Any, np.ndarray]
) -> None:
    session.commit()
    ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=50)
    session.execute(
        text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)"),
        {"name": vector_index_name(checkpoint.id)},
    )
    session.commit()
    assert not has_vector_index(session, checkpoint.id)
    session.commit()  # the build waits for every transaction that reads
    assert ensure_vector_index(engine, checkpoint.id, LATENT, from_rows=50)
    assert has_vector_index(session, checkpoint.id)


def test_unknown_excluded_glitch_changes_nothing(
    session: Session, checkpoint: CheckpointRecord, catalogue: dict[Any, np.ndarray]
) -> None:
    query = np.zeros(LATENT, dtype=np.float32)
    found = find_neighbours(
        session, vector=query, checkpoint_id=checkpoint.id, k=3, exclude_id=uuid4()
    )
    assert len(found) == 3


def test_a_search_may_be_the_first_thing_that_a_session_does(
    session: Session, checkpoint: CheckpointRecord
) -> None:
    session.commit()
    found = find_neighbours(
        session, vector=np.zeros(LATENT, dtype=np.float32), checkpoint_id=checkpoint.id, k=1
    )
    assert found == []
