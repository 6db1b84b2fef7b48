"""The tally of glitches always equals a count of all glitches."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np
from lifecycle_helpers import fill
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session
from store_helpers import Store, person

from alembic import command
from app.classes.naming import find_class
from app.classes.overview import TIME_BINS, WEEK_S, times_of
from app.core import migrate
from app.core.access import Role
from app.core.engine import make_engine
from app.glitches.labels import append_label, revoke_label
from app.glitches.records import GlitchFilters
from app.glitches.service import tally_by_class
from app.glitches.tables import Glitch
from app.models.records import CheckpointRecord

ANN = person(Role.REVIEWER, "ann")
KEPT = """
SELECT class_id, ifo, is_simulated, week, sum(n) FROM glitch_tally
GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0"""
COUNTED = """
SELECT class_id, ifo, is_simulated, floor(gps_time / 604800)::int, count(*) FROM glitch
GROUP BY 1, 2, 3, 4"""


def rows(session: Session, statement: str) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row) for row in session.execute(text(statement.replace("::", "\\:\\:"))))


def check(session: Session) -> None:
    kept, counted = rows(session, KEPT), rows(session, COUNTED)
    assert kept == counted


def test_the_tally_follows_every_change(
    session: Session, store: Store, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    key = store().glitch.id
    check(session)
    label = append_label(session, key, "Blip", author=ANN)
    append_label(session, key, "Whistle", author=ANN)
    check(session)
    fill(session, rng, 30, (1.0, 0.0, 0.0, 0.0), "Blip", ifo="L1")
    gone = fill(session, rng, 5, (1.0, 0.0, 0.0, 0.0), origin="simulated", gps_time=None)
    check(session)
    revoke_label(session, label.id, principal=ANN)
    session.execute(update(Glitch).where(Glitch.ifo == "L1").values(gps_time=Decimal(1000000000)))
    check(session)
    session.execute(delete(Glitch).where(Glitch.id.in_(gone)))
    check(session)
    assert {one.name: one.total for one in tally_by_class(session)} == {"Blip": 30, "Whistle": 1}
    assert tally_by_class(session, GlitchFilters(ifos=("L1",)))[0].total == 30
    session.execute(text("TRUNCATE glitch CASCADE"))
    check(session)
    session.rollback()
    check(session)


def test_many_changes_are_summed_up_beside_other_writers(
    database_url: str, session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    fill(session, rng, 50, (1.0, 0.0, 0.0, 0.0), "Blip")
    other = fill(session, rng, 1, (1.0, 0.0, 0.0, 0.0), "Blip", ifo="V1")[0]
    in_weeks = text("UPDATE glitch SET gps_time = 1126259462 + 168 * (gps_time - 1126259462)")
    session.execute(in_weeks)
    session.commit()
    turn = text(
        "UPDATE glitch SET class_id = nullif(coalesce(class_id, 0) % 4 + 1, 4) WHERE ifo = 'H1'"
    )
    for _ in range(51):  # each writes 50 decrements and 50 increments
        session.execute(turn)
    assert session.scalar(text("SELECT count(*) FROM glitch_tally WHERE is_sum"))
    engine = make_engine(database_url)
    with engine.begin() as second:  # while the sums are uncommitted
        second.execute(text("SET LOCAL lock_timeout = '3s'"))
        second.execute(update(Glitch).where(Glitch.id == other).values(class_id=None))
    engine.dispose()
    session.commit()
    check(session)
    assert session.scalar(text("SELECT count(*) FROM glitch_tally")) < 5100
    # Later changes are added to the existing sums.
    for _ in range(51):
        session.execute(turn)
    session.commit()
    check(session)


def test_the_migration_counts_existing_glitches(
    database_url: str, session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    fill(session, rng, 3, (1.0, 0.0, 0.0, 0.0), "Blip")
    fill(session, rng, 2, (1.0, 0.0, 0.0, 0.0), gps_time=None, origin="simulated")
    session.commit()
    config = migrate.alembic_config(database_url)
    command.downgrade(config, "0016")
    fill(session, rng, 4, (1.0, 0.0, 0.0, 0.0), ifo="L1")
    session.commit()
    command.upgrade(config, "head")
    check(session)
    fill(session, rng, 1, (1.0, 0.0, 0.0, 0.0), ifo="L1")
    check(session)


def test_the_times_of_years_are_counted_by_weeks(
    session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator
) -> None:
    times = np.sort(rng.uniform(1.1e9, 1.4e9, 50)).round(3)
    for time in times:
        fill(session, rng, 1, (1.0, 0.0, 0.0, 0.0), "Blip", gps_time=Decimal(str(time)))
    fill(session, rng, 2, (1.0, 0.0, 0.0, 0.0), "Blip", origin="simulated")
    blip = find_class(session, "Blip")
    assert blip is not None
    bins = times_of(session, blip.id)
    starts = np.array([start for start, _ in bins])
    width = starts[1] - starts[0]
    assert len(bins) <= TIME_BINS
    assert width % WEEK_S == 0
    edges = [*starts, starts[-1] + width]
    assert [number for _, number in bins] == np.histogram(times, edges)[0].tolist()
    assert bins[0][1] > 0
    assert bins[-1][1] > 0
