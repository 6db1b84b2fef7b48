"""Novelty in SQL, against the formulas in numpy."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session
from store_helpers import LATENT, Store, make_views, person

from app.classes.tables import GlitchClass
from app.core.access import Role
from app.core.errors import InvalidRequestError
from app.glitches.labels import append_label, append_labels, list_labels, revoke_label
from app.glitches.service import get_embedding
from app.glitches.tables import Embedding, Glitch
from app.models import checkpoints
from app.models.records import CheckpointRecord
from app.novelty import single
from app.novelty.catalogue import recalibrate, rejudge
from app.novelty.single import judge_novelty
from glitch.novelty import (
    MIN_CALIBRATION,
    MIN_OF_CLASS,
    MIN_REFERENCES,
    NEAREST,
    Judgement,
    conformal_p_value,
    novelty_score,
)
from glitch.novelty.conditions import condition_of
from glitch.novelty.episodes import STORM_S

SEEN = condition_of(make_views(np.random.default_rng(1)))  # of what ``store`` stores by default
AUTHOR = person(Role.SUBMITTER)
GPS = Decimal("1126259462.4")  # of what ``store`` stores by default


@pytest.fixture
def labelled(session: Session, store: Store, rng: np.random.Generator) -> Any:
    """Return a function that stores enough labelled glitches around one mean to judge with."""

    times = itertools.count(1)

    def fill(count: int = 130) -> None:
        blip = select(GlitchClass.id).where(GlitchClass.name == "Blip").scalar_subquery()
        means = rng.normal(2.0, size=(count, LATENT))
        stored = [
            store(tuple(mean), origin="simulated", gps_time=GPS + 600 * next(times)).glitch.id
            for mean in means
        ]
        # Labelled in one statement, as in a bulk load; other tests label one by one.
        session.execute(update(Glitch).where(Glitch.id.in_(stored)).values(class_id=blip))
        session.execute(
            update(Embedding)
            .where(Embedding.glitch_id.in_(stored), Glitch.id == Embedding.glitch_id)
            .values(is_reference=True)
        )
        session.expire_all()

    return fill


def same(stored: Judgement, fresh: Judgement) -> bool:
    """Compare two judgements; SQL and numpy differ in the last digits of a distance."""
    alike: bool = stored.score == pytest.approx(fresh.score, rel=1e-5)
    return alike and stored == replace(fresh, score=stored.score)


def means(session: Session, *conditions: Any) -> np.ndarray:
    rows = session.scalars(
        select(Embedding.mean).join(Glitch, Glitch.id == Embedding.glitch_id).where(*conditions)
    )
    return np.array(rows.all(), dtype=np.float32)


def test_agrees_with_the_formulas(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, rng: np.random.Generator
) -> None:
    labelled()
    recalibrate(session, checkpoint.id)
    references = means(session, Embedding.is_reference)
    calibration = [
        novelty_score(mean, np.delete(references, place, axis=0))
        for place, mean in enumerate(references)
    ]
    assert len(references) >= MIN_REFERENCES
    assert len(calibration) >= MIN_CALIBRATION
    for query in rng.normal(size=(5, LATENT)).astype(np.float32):
        score = novelty_score(query, references)
        as_novel = sum(other >= score for other in calibration)
        judged = judge_novelty(
            session,
            vector=query,
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="simulated",
            condition=SEEN,
        )
        assert judged.score == pytest.approx(score, rel=1e-6)
        assert judged.p_value == conformal_p_value(as_novel, len(calibration))
        assert (judged.is_judged, judged.reason) == (True, None)
    far = np.full(LATENT, -100, dtype=np.float32)
    assert judge_novelty(
        session,
        vector=far,
        checkpoint_id=checkpoint.id,
        ifo="H1",
        origin="simulated",
        condition=SEEN,
    ).p_value == pytest.approx(1 / (len(calibration) + 1))


def test_only_references_of_the_same_detector_and_origin_count(
    session: Session, checkpoint: CheckpointRecord, labelled: Any
) -> None:
    labelled()
    query = np.zeros(LATENT, dtype=np.float32)
    for ifo, origin, word in (
        (
            "L1",
            "simulated",
            "needs 50 labelled glitches of this detector and origin, and there are none",
        ),
        (
            "H1",
            "upload",
            "needs 50 labelled glitches of this detector and origin, and there are none",
        ),
        (None, "simulated", "detector is not known"),
    ):
        judged = judge_novelty(
            session,
            vector=query,
            checkpoint_id=checkpoint.id,
            ifo=ifo,
            origin=origin,
            condition=SEEN,
        )
        assert not judged.is_judged
        assert judged.p_value is None
        assert word in (judged.reason or "")


def test_labels_make_and_unmake_references(
    session: Session, checkpoint: CheckpointRecord, store: Store
) -> None:
    glitches = [store().glitch.id for _ in range(12)]
    assert means(session, Embedding.is_reference).size == 0
    labels = [append_label(session, glitch, "Blip", author=AUTHOR) for glitch in glitches]
    assert len(means(session, Embedding.is_reference)) == 12
    for label in labels:
        revoke_label(session, label.id, principal=AUTHOR)
    assert means(session, Embedding.is_reference).size == 0
    assert means(session, Embedding.calibration_score.is_not(None)).size == 0


def test_a_glitch_calibrates_from_when_it_is_labelled(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, store: Store
) -> None:
    labelled(20)
    before = means(session, Embedding.is_reference)
    glitch = store(origin="simulated", gps_time=Decimal(1187008882)).glitch.id
    append_label(session, glitch, "Blip", author=AUTHOR)
    row = session.scalars(select(Embedding).where(Embedding.glitch_id == glitch)).one()
    expected = novelty_score(np.asarray(row.mean, dtype=np.float32), before)
    assert row.calibration_score == pytest.approx(expected, rel=1e-5)
    assert (row.is_reference, row.calibration_run) == (True, "O2")
    assert len(list_labels(session, glitch)) == 1


def test_a_catch_all_is_no_known_kind(
    session: Session, checkpoint: CheckpointRecord, store: Store
) -> None:
    times = itertools.count(1)
    glitches = [store(gps_time=GPS + 600 * next(times)).glitch.id for _ in range(MIN_OF_CLASS)]
    append_labels(session, glitches, "None_of_the_Above", author=AUTHOR)
    recalibrate(session, checkpoint.id)
    assert means(session, Embedding.is_reference).size == 0
    append_labels(session, glitches, "Helix", author=AUTHOR)
    assert len(means(session, Embedding.is_reference)) == MIN_OF_CLASS
    recalibrate(session, checkpoint.id)
    assert len(means(session, Embedding.calibration_score.is_not(None))) == MIN_OF_CLASS


def test_glitches_of_one_episode_do_not_vouch_for_each_other(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, store: Store
) -> None:
    labelled()
    position = (-9.0, 3.0, 0.0, 0.0)
    event = Decimal("1126359999.5")
    copies = []
    for index in range(NEAREST + 1):
        copy = store(position, origin="simulated", gps_time=event + 5 * index).glitch.id
        copies.append(copy)
        append_label(session, copy, "Blip", author=AUTHOR)
    recalibrate(session, checkpoint.id)
    own, other = (
        judge_novelty(
            session,
            vector=np.array(position, dtype=np.float32),
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="simulated",
            condition=SEEN,
            gps_time=time,
        )
        for time in (event, event + 600)
    )
    assert other.score == pytest.approx(0, abs=1e-6)
    assert own.score is not None
    assert own.score > 0.5  # the copies are left out, and nothing else is similar
    of_copies = select(Embedding.calibration_score).where(Embedding.glitch_id.in_(copies))
    # One glitch of the episode calibrates, with the glitches outside it.
    [score] = [one for one in session.scalars(of_copies) if one is not None]
    assert score == pytest.approx(own.score, rel=1e-5)
    revoke_label(session, list_labels(session, copies[0])[-1].id, principal=AUTHOR)
    again = append_label(session, copies[0], "Blip", author=AUTHOR)
    assert again is not None
    assert sum(one is not None for one in session.scalars(of_copies)) <= 1


@pytest.mark.parametrize("step_s", [600, 90_000])
def test_repetitions_within_a_day_do_not_calibrate(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, store: Store, step_s: int
) -> None:
    """One source every ``step_s``; scores from memory and from a search in SQL are equal."""
    labelled()
    copies = []
    for index in range(NEAREST + 1):
        time = Decimal(1126359999 + step_s * index)
        copies.append(store((-9.0, 3.0, 0.0, 0.0), origin="simulated", gps_time=time).glitch.id)
        append_label(session, copies[-1], "Blip", author=AUTHOR)
    recalibrate(session, checkpoint.id)

    def scores() -> list[float]:
        of_copies = select(Embedding.calibration_score).where(Embedding.glitch_id.in_(copies))
        return [one for one in session.scalars(of_copies) if one is not None]

    together = scores()
    assert len(together) == len(copies)
    assert all((one < 1e-6) == (step_s > STORM_S) for one in together)
    revoke_label(session, list_labels(session, copies[2])[-1].id, principal=AUTHOR)
    append_label(session, copies[2], "Blip", author=AUTHOR)
    assert scores() == pytest.approx(together, abs=1e-5)


def test_glitches_without_times_are_labelled_and_their_copies_do_not_calibrate(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, store: Store
) -> None:
    labelled()
    recalibrate(session, checkpoint.id)
    first, copy, other = (
        store(mean, origin="simulated", gps_time=None).glitch.id
        for mean in ((-9.0, 3.0, 0.0, 0.0), (-9.0, 3.0, 0.0, 0.0), (3.0, -9.0, 0.0, 0.0))
    )
    for glitch in (first, copy, other):
        append_label(session, glitch, "Blip", author=AUTHOR)
    calibrate = session.scalars(
        select(Embedding.glitch_id).where(
            Embedding.glitch_id.in_([first, copy, other]), Embedding.calibration_score.is_not(None)
        )
    )
    assert set(calibrate) == {first, other}


def test_an_observing_run_with_enough_calibrates_alone(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled()
    recalibrate(session, checkpoint.id)
    session.execute(
        update(Embedding)
        .where(Embedding.glitch_id.in_(select(Embedding.glitch_id).limit(40)))
        .values(calibration_run="O3a")
    )

    def judged(gps_time: Decimal) -> Judgement:
        return judge_novelty(
            session,
            vector=np.zeros(LATENT, dtype=np.float32),
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="simulated",
            condition=SEEN,
            gps_time=gps_time,
        )

    o3a, o2 = Decimal(1240000000), Decimal(1180000000)
    assert judged(o3a).observing_run is None
    monkeypatch.setattr("glitch.novelty.conformal.MIN_OF_RUN", 40)
    within = judged(o3a)
    assert within.observing_run == "O3a"
    assert within.p_value is not None
    assert round(within.p_value * 41, 6).is_integer()
    assert within.basis == (
        "Calibrated by the known glitches of its detector in O3a that were seen in the same "
        "windows and band."
    )
    assert judged(o2).observing_run is None
    assert "all observing runs" in (judged(o2).basis or "")


def test_recalibrating_judges_what_came_first_too(
    session: Session, checkpoint: CheckpointRecord, store: Store, labelled: Any
) -> None:
    early = store((0, 0, 0, 0), origin="simulated").glitch.id
    far = store((-50, -50, -50, -50), origin="simulated").glitch.id
    without_ifo = store((0, 0, 0, 0), ifo=None).glitch.id
    labelled()
    assert not get_embedding(session, early).novelty.is_judged
    n_calibration = recalibrate(session, checkpoint.id)
    assert n_calibration >= MIN_CALIBRATION
    assert recalibrate(session, checkpoint.id) == n_calibration
    for glitch in (early, far):
        stored = get_embedding(session, glitch)
        fresh = judge_novelty(
            session,
            vector=stored.mean,
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="simulated",
            condition=SEEN,
            gps_time=GPS,
            exclude_id=glitch,
        )
        assert same(stored.novelty, fresh)
        assert fresh.is_judged
    assert get_embedding(session, far).novelty.p_value == 1 / (n_calibration + 1)
    assert "detector is not known" in (get_embedding(session, without_ifo).novelty.reason or "")


def test_no_known_glitch_judges_itself(
    session: Session, checkpoint: CheckpointRecord, labelled: Any
) -> None:
    labelled()
    recalibrate(session, checkpoint.id)
    known = session.execute(select(Glitch.id, Embedding.mean).join(Embedding)).all()
    for glitch, mean in known[::10]:
        fresh = judge_novelty(
            session,
            vector=np.asarray(mean, dtype=np.float32),
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="simulated",
            condition=SEEN,
            gps_time=session.get_one(Glitch, glitch).gps_time,
            exclude_id=glitch,
        )
        assert same(get_embedding(session, glitch).novelty, fresh)


def test_rejudging_a_few(session: Session, checkpoint: CheckpointRecord, labelled: Any) -> None:
    labelled()
    recalibrate(session, checkpoint.id)
    session.execute(update(Embedding).values(p_value=None, is_judged=False))
    some = session.scalars(select(Embedding.glitch_id).limit(7)).all()
    assert rejudge(session, checkpoint.id, some) == 7
    assert rejudge(session, checkpoint.id, []) == 0
    judged = session.scalars(select(Embedding.glitch_id).where(Embedding.is_judged)).all()
    assert set(judged) == set(some)


def test_members_of_a_small_class_do_not_calibrate(
    session: Session, checkpoint: CheckpointRecord, labelled: Any, store: Store
) -> None:
    labelled()
    few = [
        store(origin="simulated", gps_time=GPS - 600 * index).glitch.id
        for index in range(MIN_OF_CLASS)
    ]
    for glitch in few[1:]:
        append_label(session, glitch, "Whistle", author=AUTHOR)
    calibrating = select(func.count()).where(
        Embedding.glitch_id.in_(few), Embedding.calibration_score.is_not(None)
    )
    recalibrate(session, checkpoint.id)
    assert session.scalar(calibrating) == 0
    append_label(session, few[0], "Whistle", author=AUTHOR)
    recalibrate(session, checkpoint.id)
    assert session.scalar(calibrating) == MIN_OF_CLASS


def test_vectors_of_another_size(session: Session, checkpoint: CheckpointRecord) -> None:
    with pytest.raises(InvalidRequestError, match="4 dimensions"):
        judge_novelty(
            session,
            vector=np.zeros(5, dtype=np.float32),
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="upload",
            condition=SEEN,
        )


def test_the_index_judges_who_is_not_novel_and_a_scan_who_may_be(
    session: Session,
    checkpoint: CheckpointRecord,
    labelled: Any,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labelled()
    recalibrate(session, checkpoint.id)
    index_sizes: list[int | None] = []
    search = single.score_against

    def noted(*arguments: Any, index_size: int | None = None, **more: Any) -> Any:
        index_sizes.append(index_size)
        score, count = search(*arguments, index_size=index_size, **more)
        is_missing = index_size is not None and score is not None and len(index_sizes) % 2
        return (score + 10 if is_missing else score), count  # as if it had missed the nearest

    monkeypatch.setattr(single, "score_against", noted)
    queries = rng.normal(1.5, size=(12, LATENT)).astype(np.float32)

    def judged(query: np.ndarray) -> Judgement:
        return judge_novelty(
            session,
            vector=query,
            checkpoint_id=checkpoint.id,
            ifo="H1",
            origin="simulated",
            condition=SEEN,
        )

    exact = [judged(query) for query in queries]
    assert set(index_sizes) == {None}
    partition = f"embedding_p{checkpoint.id}"
    mean = f"(mean::vector({LATENT})) vector_l2_ops"
    session.execute(text(f"CREATE INDEX {partition}_mean_hnsw ON {partition} USING hnsw ({mean})"))
    session.execute(
        text("UPDATE checkpoint SET manifest = :manifest WHERE id = :id"),
        {"manifest": '{"architecture": {"front_end": "one that ends on a sphere"}}'}
        | {"id": checkpoint.id},
    )
    monkeypatch.setattr(checkpoints, "_FACTS_KEY", "another transaction's facts")
    index_sizes.clear()
    for query, expected in zip(queries, exact, strict=True):
        found = judged(query)
        assert expected.p_value is not None
        assert found.p_value is not None
        if index_sizes[-1] is None:  # exact, because it might be novel
            assert found == expected
        else:
            assert single.EXACT_BELOW < found.p_value <= expected.p_value
    assert index_sizes.count(LATENT) == len(queries)
    assert index_sizes.count(None) >= len(queries) // 3  # at least every miss


def test_the_same_catalogue_calibrates_the_same_however_its_rows_are_read(
    session: Session, checkpoint: CheckpointRecord, labelled: Any
) -> None:
    """One glitch of a class represents all that occurred at the same time.

    A clustering used to flag other glitches after a job had judged the same catalogue, because rows
    come in whatever order is quickest for the database.
    """
    labelled()
    keys = session.scalars(select(Glitch.id).order_by(Glitch.id)).all()
    for at, key in enumerate(keys):
        session.execute(update(Glitch).where(Glitch.id == key).values(gps_time=GPS + at // 2 * 600))
    chosen = select(Embedding.glitch_id).where(Embedding.calibration_score.is_not(None))
    found = []
    for otherwise in ("nestloop", "hashjoin", "mergejoin"):
        session.execute(text(f"SET LOCAL enable_{otherwise} = off"))
        recalibrate(session, checkpoint.id)
        found.append(set(session.scalars(chosen)))
        assert len(found[-1]) == len(keys) // 2
    assert found[0] == found[1] == found[2]
