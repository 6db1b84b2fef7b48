"""Tables of glitches, their views, embeddings and labels."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    SmallInteger,
    Text,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from app.classes.tables import GlitchClass
from app.core.database import Base, one_of, uuid7
from app.models.tables import Checkpoint

ORIGINS = ("upload", "simulated", "gravityspy", "omicron")


class Glitch(Base):
    """A glitch. ``class_id`` is the class of its latest label that is not revoked.

    That column and ``ml_confidence`` repeat values of ``label``, so that filters on them need one
    index scan even with a million rows. Only ``app.glitches.labels`` writes them, in the
    transaction that changes the label.
    """

    __tablename__ = "glitch"
    __table_args__ = (
        CheckConstraint(one_of("origin", ORIGINS), name="origin"),
        CheckConstraint("octet_length(content_digest) = 32", name="content_digest"),
        CheckConstraint("ifo ~ '^[A-Z][0-9]$'", name="ifo"),
        Index("ix_glitch_ifo_id", "ifo", "id"),
        Index("ix_glitch_class_id_id", "class_id", "id"),
        Index("ix_glitch_class_id_is_simulated_id", "class_id", "is_simulated", "id"),
        # Counts and times of a class by index-only scans.
        Index(
            "ix_glitch_class_id_is_simulated_gps_time",
            "class_id",
            "is_simulated",
            "gps_time",
            postgresql_include=["ifo"],
        ),
        Index("ix_glitch_data_quality", "data_quality", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    gravityspy_id: Mapped[str | None] = mapped_column(unique=True)
    ifo: Mapped[str | None]
    channel: Mapped[str | None]
    gps_time: Mapped[Decimal | None] = mapped_column(Numeric(20, 9), index=True)  # s
    snr: Mapped[float | None] = mapped_column(index=True)
    peak_frequency: Mapped[float | None] = mapped_column(index=True)  # Hz
    duration: Mapped[float | None]  # s
    bandwidth: Mapped[float | None]  # Hz
    q: Mapped[float | None]
    # Only for strain; null for pictures and for strain stored before views were centred.
    peak_gps_time: Mapped[Decimal | None] = mapped_column(Numeric(20, 9))  # s, of the loudest tile
    centre_gps_time: Mapped[Decimal | None] = mapped_column(Numeric(20, 9))  # s, of the views
    origin: Mapped[str]
    content_digest: Mapped[bytes] = mapped_column(unique=True)
    class_id: Mapped[int | None] = mapped_column(ForeignKey(GlitchClass.id))
    # Of that label, 0 to 1; null if not stated.
    ml_confidence: Mapped[float | None] = mapped_column(index=True)
    # Active data-quality flags, of the flags that batches provided.
    data_quality: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    is_simulated: Mapped[bool] = mapped_column(Computed("origin = 'simulated'", persisted=True))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


GlitchKey = Annotated[
    UUID, mapped_column(ForeignKey(Glitch.id, ondelete="CASCADE"), primary_key=True)
]


class GlitchTally(Base):
    """Counts of glitches by class, detector, simulated or not, and week; add up ``n``.

    A trigger on ``glitch`` (migration 0017) appends the changes of each statement and regularly
    merges them into rows of sums. Nothing else writes to this table.
    """

    __tablename__ = "glitch_tally"
    __table_args__ = (
        Index(
            "ix_glitch_tally_class_id_ifo_is_simulated_week",
            *("class_id", "ifo", "is_simulated", "week"),
            unique=True,
            postgresql_where=text("is_sum"),
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_glitch_tally_id", "id", postgresql_where=text("NOT is_sum")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    class_id: Mapped[int | None]
    ifo: Mapped[str | None]
    is_simulated: Mapped[bool]
    week: Mapped[int | None]  # of GPS time; null if unknown
    n: Mapped[int] = mapped_column(BigInteger)
    is_sum: Mapped[bool] = mapped_column(server_default=false())


class View(Base):
    """One window of a glitch, packed by ``glitch.codec``."""

    __tablename__ = "view"

    glitch_id: Mapped[GlitchKey]
    duration: Mapped[float] = mapped_column(primary_key=True)  # s
    packed: Mapped[bytes]
    observed: Mapped[bytes]  # numpy.packbits of the observed rows
    n_frequency: Mapped[int] = mapped_column(SmallInteger)
    n_time: Mapped[int] = mapped_column(SmallInteger)


class Embedding(Base):
    """The embedding of a glitch under one checkpoint; each checkpoint has a partition.

    The dimension of ``mean`` is a CHECK of the partition, because checkpoints differ in it. ``ifo``
    and ``is_simulated`` repeat the glitch's columns, and ``is_reference`` says whether it has a
    label: with 200,000 rows, a scan without the join takes half the time. ``calibration_score`` is
    set for references of established classes, which calibrate p-values.
    """

    __tablename__ = "embedding"
    __table_args__ = (
        Index(
            "ix_embedding_calibration",
            "ifo",
            "is_simulated",
            "calibration_score",
            postgresql_where=text("calibration_score IS NOT NULL"),
        ),
        Index("ix_embedding_p_value", "p_value", postgresql_where=text("p_value IS NOT NULL")),
        {"postgresql_partition_by": "LIST (checkpoint_id)"},
    )

    # The glitch is first in the key, because its cascade looks it up without a checkpoint.
    glitch_id: Mapped[GlitchKey]
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey(Checkpoint.id), primary_key=True)
    ifo: Mapped[str | None]
    is_simulated: Mapped[bool]
    is_reference: Mapped[bool]
    # Windows and band of the observation (``glitch.novelty.conditions``); only glitches of the same
    # condition calibrate each other.
    condition: Mapped[str] = mapped_column(server_default=text("''"))
    mean: Mapped[Any] = mapped_column(Vector(), nullable=False)
    log_variance: Mapped[list[float]] = mapped_column(ARRAY(REAL, dimensions=1))
    reconstruction_error: Mapped[float]
    kl: Mapped[float]  # nats
    # The most probable class among the simulated ones that the checkpoint learnt, if it did.
    simulated_class: Mapped[str | None]
    simulated_probability: Mapped[float | None]
    novelty_score: Mapped[float | None]  # higher is more novel
    p_value: Mapped[float | None]  # lower is more novel
    is_judged: Mapped[bool]
    not_judged_reason: Mapped[str | None]
    judged_within: Mapped[str | None]  # observing run that calibrated p_value; null: all runs
    calibration_score: Mapped[float | None]  # null if it does not calibrate
    calibration_run: Mapped[str | None]  # observing run that it calibrates; null: unknown


class Label(Base):
    """A statement that a glitch belongs to a class. Rows are added and revoked, never deleted."""

    __tablename__ = "label"
    __table_args__ = (
        CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked"),
        Index("ix_label_glitch_id_id", "glitch_id", "id"),
        Index("ix_label_revoked_at", "revoked_at", postgresql_where=text("revoked_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    glitch_id: Mapped[UUID] = mapped_column(ForeignKey("glitch.id", ondelete="CASCADE"))
    class_id: Mapped[int] = mapped_column(ForeignKey(GlitchClass.id))
    author: Mapped[str]
    source: Mapped[str]
    confidence: Mapped[float | None]  # stated by the source, 0 to 1
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]
