"""Storing and finding glitches in a real PostgreSQL database."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session
from store_helpers import SMALL, Store, encoding, ids, make_views, person

from app.core.access import AuditEvent, Role
from app.core.engine import make_session_factory
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, NotReadyError
from app.glitches.ingest import insert_glitch
from app.glitches.labels import append_label
from app.glitches.records import GlitchFilters, GlitchMetadata
from app.glitches.selection import get_glitch
from app.glitches.service import find_glitch, get_embedding, get_view, list_glitches
from app.glitches.tables import Embedding, Glitch, View
from app.models.checkpoints import publish_checkpoint
from app.models.records import CheckpointRecord
from glitch.codec import unpack_view
from glitch.views import Views


def count(session: Session, table: Any) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_stored_glitches_read_back_equal(
    session: Session, store: Store, rng: np.random.Generator, checkpoint: CheckpointRecord
) -> None:
    views = make_views(rng, (0.5, 4.0))
    observed = views.observed.copy()
    values = views.values.copy()
    observed[3, 7:] = False  # strain of a low rate lacks the upper rows
    values[3, 7:] = 0
    views = Views(values, observed, SMALL)
    stored = store(
        (1, 2, 3, 4),
        views=views,
        ifo="L1",
        channel="L1:GDS-CALIB_STRAIN",
        gps_time=Decimal("1187008881.389999999"),
        snr=12.5,
        peak_frequency=60.0,
        duration=0.25,
        bandwidth=10.0,
        q=8.0,
        gravityspy_id="8FHTgA8MEu",
    )
    assert stored.is_new
    session.expunge_all()
    glitch = get_glitch(session, stored.glitch.id)
    assert glitch == stored.glitch
    assert glitch.gps_time == Decimal("1187008881.389999999")
    assert (glitch.views, glitch.label, glitch.snr, glitch.q) == ((0.5, 4.0), None, 12.5, 8.0)
    assert glitch.id.version == 7
    assert glitch.public_id == "8FHTgA8MEu"

    view = get_view(session, glitch.id, 4.0)
    energies = unpack_view(view.packed, view.shape)
    np.testing.assert_allclose(energies, views.view(4.0), atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(view.observed, observed[3])

    embedding = get_embedding(session, glitch.id)
    assert embedding.mean.tolist() == [1, 2, 3, 4]
    assert (embedding.checkpoint, embedding.checkpoint_id) == ("small", checkpoint.id)
    assert (embedding.reconstruction_error, embedding.kl) == (1.5, 2.5)
    assert embedding.simulated_class is None
    assert not embedding.novelty.is_judged
    assert "of this detector and origin, and there are none" in (embedding.novelty.reason or "")


def test_the_same_upload_twice_is_one_glitch(
    session: Session, store: Store, rng: np.random.Generator
) -> None:
    views = make_views(rng)
    first, second = store(views=views), store(views=views)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.glitch == second.glitch
    assert (count(session, Glitch), count(session, View), count(session, Embedding)) == (1, 2, 1)


@pytest.mark.parametrize(
    "other", [{"ifo": "L1"}, {"gps_time": Decimal("1126259462.400000001")}, {"gps_time": None}]
)
def test_another_detector_or_time_is_another_glitch(
    session: Session, store: Store, rng: np.random.Generator, other: dict[str, Any]
) -> None:
    views = make_views(rng)
    assert store(views=views).is_new
    assert store(views=views, **other).is_new


@pytest.mark.parametrize("is_rounded", [False, True])
def test_simultaneous_identical_uploads_give_one_row(
    engine: Engine,
    session: Session,
    checkpoint: CheckpointRecord,
    rng: np.random.Generator,
    is_rounded: bool,
) -> None:
    """They do so even if each rounds a different cell, as can happen in different batches."""
    session.commit()
    given, factory = make_views(rng), make_session_factory(engine)
    outcomes: list[Any] = []
    barrier = threading.Barrier(8)
    facts: dict[str, Any] = (
        {"gps_time": Decimal("1126259462.4")} if is_rounded else {"gravityspy_id": "abc"}
    )

    def upload(number: int) -> None:
        values = given.values.copy()
        if is_rounded:
            cell = values[0, number, 0]
            values[0, number, 0] = cell + (1 if cell < 0.5 else -1) / 255
        views = replace(given, values=values)
        with factory() as own:
            barrier.wait()
            outcomes.append(
                insert_glitch(
                    own,
                    views=views,
                    encoding=encoding(1, 2, 3, 4),
                    checkpoint=checkpoint,
                    metadata=GlitchMetadata(origin="upload", ifo="H1", **facts),
                )
            )
            own.commit()

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert sum(outcome.is_new for outcome in outcomes) == 1
    assert len({outcome.glitch.id for outcome in outcomes}) == 1
    assert (count(session, Glitch), count(session, View), count(session, Embedding)) == (1, 2, 1)


def test_a_fuller_upload_under_a_known_gravityspy_id_adds_its_windows(
    session: Session, store: Store, rng: np.random.Generator
) -> None:
    full = make_views(rng, (0.5, 1.0, 2.0, 4.0))
    one = make_views(rng, (0.5,))
    first = store((0, 0, 0, 0), views=one, gravityspy_id="abc")
    append_label(session, first.glitch.id, "Blip", author=person(Role.SUBMITTER))
    second = store((1, 1, 1, 1), views=full, gravityspy_id="abc")
    third = store((0, 0, 0, 0), views=one, gravityspy_id="abc")
    assert (second.is_new, third.is_new) == (False, False)
    assert first.glitch.id == second.glitch.id == third.glitch.id
    assert second.glitch.views == third.glitch.views == (0.5, 1.0, 2.0, 4.0)
    assert get_embedding(session, first.glitch.id).mean.tolist() == [1, 1, 1, 1]
    assert third.glitch.label == "Blip"
    event = session.scalar(select(AuditEvent).where(AuditEvent.action == "add views"))
    assert event is not None
    assert event.subject_id == str(first.glitch.id)
    labelled = session.scalar(
        select(Embedding.is_reference | Embedding.calibration_score.is_(None))
    )
    assert labelled


@pytest.mark.parametrize("other", [{"ifo": "L1"}, {"gps_time": Decimal("1126259464.4")}])
def test_a_gravityspy_id_never_names_two_glitches(
    session: Session, store: Store, other: dict[str, Any]
) -> None:
    store(gravityspy_id="abc")
    with pytest.raises(ConflictError, match=r"names glitch .* correct the id"):
        store(gravityspy_id="abc", **other)


def test_a_known_glitch_is_embedded_under_a_new_checkpoint(
    session: Session, store: Store, rng: np.random.Generator
) -> None:
    views = make_views(rng)
    first = store((1, 2, 3, 4), views=views)
    label_everything(session, [first.glitch.id])
    newer = publish_checkpoint(
        session,
        name="newer",
        digest="b" * 64,
        preprocessing_digest=SMALL.digest(),
        latent_size=2,
        manifest={},
    )
    again = insert_glitch(
        session,
        views=views,
        encoding=encoding(5, 6),
        checkpoint=newer,
        metadata=GlitchMetadata(origin="upload", ifo="H1", gps_time=Decimal("1126259462.4")),
    )
    assert not again.is_new
    assert get_embedding(session, first.glitch.id).mean.tolist() == [5, 6]
    rows = session.execute(select(Embedding.checkpoint_id, Embedding.is_reference))
    is_reference = {row.checkpoint_id: row.is_reference for row in rows}
    assert len(is_reference) == 2
    assert len(set(is_reference.values())) == 1  # references under both, or calibrating under both


def label_everything(session: Session, glitch_ids: list[Any], name: str = "Blip") -> None:
    for glitch_id in glitch_ids:
        append_label(session, glitch_id, name, author=person(Role.SUBMITTER))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"origin": "guess"}, "no origin 'guess'"),
        ({"ifo": "X"}, "no detector 'X'"),
        ({"ifo": "H1'; DROP TABLE glitch; --"}, "no detector"),
        ({"gravityspy_id": "../etc"}, "Gravity Spy id"),
        ({"gravityspy_id": "a" * 65}, "Gravity Spy id"),
        ({"channel": "a\0b"}, "channel name"),
        ({"gps_time": Decimal("NaN")}, "gps_time"),
        ({"gps_time": Decimal("1e12")}, "gps_time"),
        ({"snr": float("inf")}, "snr must be a finite number"),
    ],
)
def test_impossible_metadata_is_refused_and_not_stored(
    session: Session, store: Store, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        store(**metadata)
    assert count(session, Glitch) == 0


def test_views_and_encodings_of_another_checkpoint_are_refused(
    session: Session, store: Store, rng: np.random.Generator
) -> None:
    with pytest.raises(InvalidRequestError, match="4 finite dimensions"):
        store((1, 2, 3))
    with pytest.raises(InvalidRequestError, match="4 finite dimensions"):
        store((1, 2, 3, float("nan")))
    views = make_views(rng)
    other = replace(views, preprocessing=replace(SMALL, energy_clip=20.0))
    with pytest.raises(InvalidRequestError, match="other preprocessing"):
        store(views=other)


def test_unknown_glitches_and_views_are_not_found(session: Session, store: Store) -> None:
    glitch = store().glitch
    unknown = uuid4()
    with pytest.raises(NotFoundError, match=str(unknown)):
        get_glitch(session, unknown)
    with pytest.raises(NotFoundError, match=str(unknown)):
        get_view(session, unknown, 0.5)
    with pytest.raises(NotFoundError, match=r"no view of 1 s: it has views of 0\.5, 4 s"):
        get_view(session, glitch.id, 1.0)
    with pytest.raises(NotFoundError, match="no embedding"):
        get_embedding(session, unknown)


def test_find_by_either_id(session: Session, store: Store) -> None:
    named, nameless = store(gravityspy_id="8FHTgA8MEu").glitch, store().glitch
    assert find_glitch(session, "8FHTgA8MEu") == named
    assert find_glitch(session, str(nameless.id)) == nameless
    assert nameless.public_id == str(nameless.id)
    for unknown in ("8fhtga8meu", str(uuid4()), "' OR 1=1 --", "a\0b", ""):
        assert find_glitch(session, unknown) is None


def test_pages_follow_each_other_while_glitches_arrive(session: Session, store: Store) -> None:
    expected = [store().glitch.id for _ in range(7)][::-1]
    first = list_glitches(session, limit=3)
    assert ids(first.items) == expected[:3]
    store()  # newer than everything: it must not shift the pages
    second = list_glitches(session, limit=3, cursor=first.next)
    third = list_glitches(session, limit=3, cursor=second.next)
    assert ids(second.items) + ids(third.items) == expected[3:]
    assert third.next is None
    assert list_glitches(session, GlitchFilters(ifos=("V1",))).items == ()


def test_an_exactly_full_last_page_has_no_next(session: Session, store: Store) -> None:
    for _ in range(3):
        store()
    assert list_glitches(session, limit=3).next is None


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_limits_of_a_page(session: Session, limit: int) -> None:
    with pytest.raises(InvalidRequestError, match="limit must be 1 to 1000"):
        list_glitches(session, limit=limit)


@pytest.mark.parametrize("cursor", ["", "abc", "é", "A" * 34, "'; DROP TABLE glitch; --", "AQ=="])
def test_damaged_cursors_are_refused(session: Session, cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="cursor is damaged"):
        list_glitches(session, cursor=cursor)


def test_a_cursor_belongs_to_its_filters(session: Session, store: Store) -> None:
    for _ in range(3):
        store()
    cursor = list_glitches(session, limit=1).next
    with pytest.raises(InvalidRequestError, match="other filters"):
        list_glitches(session, GlitchFilters(ifos=("H1",)), limit=1, cursor=cursor)


def test_filters(session: Session, store: Store) -> None:
    first = store(ifo="H1", gps_time=Decimal(100), snr=8.0, peak_frequency=50.0).glitch.id
    second = store(ifo="L1", gps_time=Decimal(200), snr=20.0, origin="simulated").glitch.id
    third = store(ifo=None, gps_time=None, origin="gravityspy").glitch.id
    append_label(session, first, "Blip", author=person(Role.SUBMITTER))
    append_label(session, second, "Whistle", author=person(Role.SUBMITTER))

    def found(**filters: Any) -> list[Any]:
        return ids(list_glitches(session, GlitchFilters(**filters)).items)

    assert found() == [third, second, first]
    assert found(ifos=("H1", "L1")) == [second, first]
    assert found(gps_start=Decimal(100), gps_end=Decimal("199.9")) == [first]
    assert found(gps_start=Decimal(101)) == [second]
    assert found(snr_min=8.0, snr_max=8.0) == [first]
    assert found(snr_min=9.0) == [second]
    assert found(peak_frequency_min=10.0, peak_frequency_max=60.0) == [first]
    assert found(labels=("Whistle", "Blip")) == [second, first]
    assert found(labels=("Koi_Fish",)) == []
    assert found(is_labelled=True) == [second, first]
    assert found(is_labelled=False) == [third]
    assert found(origins=("simulated", "gravityspy")) == [third, second]
    assert found(is_judged=False) == [third, second, first]
    assert found(p_value_max=0.5) == []
    session.execute(
        text("UPDATE embedding SET p_value = 0.01, is_judged = true WHERE glitch_id = :id"),
        {"id": second},
    )
    assert found(p_value_max=0.01) == [second]
    assert found(is_judged=True, ifos=("H1",)) == []
    session.execute(
        text(
            "UPDATE embedding SET simulated_class = 'Whistle', simulated_probability = 0.75"
            " WHERE glitch_id IN (:first, :third)"
        ),
        {"first": first, "third": third},
    )
    assert found(simulated_classes=("Tomte", "Whistle")) == [third, first]
    assert found(simulated_classes=("Tomte",)) == []
    assert found(simulated_probability_min=0.75, ifos=("H1",)) == [first]
    assert found(simulated_probability_min=0.76) == []


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"ifos": ("H1' OR '1'='1",)}, "no detector"),
        ({"origins": ("guess",)}, "no origin"),
        ({"labels": ("Nonsense",)}, "no class 'Nonsense'"),
        ({"labels": ("a\0",)}, "NUL"),
        ({"labels": ("Blip",) * 101}, "at most 100"),
        ({"snr_min": float("nan")}, "snr_min must be a finite number"),
        ({"snr_min": 2.0, "snr_max": 1.0}, "snr_min must not exceed snr_max"),
        ({"gps_start": Decimal("Infinity")}, "gps_start must be a finite number"),
        ({"p_value_max": float("nan")}, "p_value_max"),
    ],
)
def test_invalid_filters_are_refused(
    session: Session, checkpoint: CheckpointRecord, filters: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        list_glitches(session, GlitchFilters(**filters))


def test_novelty_filters_need_an_active_checkpoint(session: Session) -> None:
    with pytest.raises(NotReadyError, match="glitch-discovery publish"):
        list_glitches(session, GlitchFilters(p_value_max=0.1))
