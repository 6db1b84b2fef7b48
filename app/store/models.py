"""The tables. Names and constraints here and in ``alembic/versions`` agree (a test compares)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    CheckConstraint,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.store.identifiers import uuid7

ORIGINS = ("upload", "simulated", "gravityspy", "omicron")
# A class is withdrawn when the review that made it is undone: gone from every list, its name free.
CLASS_STATES = ("active", "dormant", "candidate", "retired", "withdrawn")
CLASS_ORIGINS = ("gravityspy", "ours")
ROLES = ("reader", "submitter", "reviewer", "admin")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The SQL condition that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """Root of the tables; constraints get names that a migration can drop."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (read by SQLAlchemy once, at class creation)
        str: Text,
        float: Double,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


class GlitchClass(Base):
    """A class of glitches, Gravity Spy's or ours."""

    __tablename__ = "glitch_class"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint(one_of("state", CLASS_STATES), name="state"),
        CheckConstraint(one_of("origin", CLASS_ORIGINS), name="origin"),
        CheckConstraint("parent_id <> id", name="parent_id"),
        Index("ix_glitch_class_parent_id", "parent_id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    state: Mapped[str]
    origin: Mapped[str]
    # Of a sub-class; app.services.lifecycle keeps the tree shallow and free of cycles.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("glitch_class.id"))
    # Glitches that staff chose to show what it looks like, best first.
    exemplar_ids: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid, dimensions=1), server_default=text("'{}'")
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Glitch(Base):
    """A glitch. ``class_id`` is the class of its latest label that is not revoked.

    That column repeats what ``label`` says, so that filters by class stay one index scan at a
    million rows; ``app.services.labels`` alone writes it, in the transaction of the label.
    """

    __tablename__ = "glitch"
    __table_args__ = (
        UniqueConstraint("gravityspy_id"),
        UniqueConstraint("content_digest"),
        CheckConstraint(one_of("origin", ORIGINS), name="origin"),
        CheckConstraint("octet_length(content_digest) = 32", name="content_digest"),
        CheckConstraint("ifo ~ '^[A-Z][0-9]$'", name="ifo"),
        Index("ix_glitch_ifo_id", "ifo", "id"),
        Index("ix_glitch_class_id_id", "class_id", "id"),
        Index("ix_glitch_class_id_is_simulated_id", "class_id", "is_simulated", "id"),
        # Counts of a class, and its times, without a look at the rows.
        Index(
            "ix_glitch_class_id_is_simulated_gps_time",
            "class_id",
            "is_simulated",
            "gps_time",
            postgresql_include=["ifo"],
        ),
        Index("ix_glitch_gps_time", "gps_time"),
        Index("ix_glitch_snr", "snr"),
        Index("ix_glitch_peak_frequency", "peak_frequency"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    gravityspy_id: Mapped[str | None]
    ifo: Mapped[str | None]
    channel: Mapped[str | None]
    gps_time: Mapped[Decimal | None] = mapped_column(Numeric(20, 9))  # s
    snr: Mapped[float | None]
    peak_frequency: Mapped[float | None]  # Hz
    duration: Mapped[float | None]  # s
    bandwidth: Mapped[float | None]  # Hz
    q: Mapped[float | None]
    origin: Mapped[str]
    content_digest: Mapped[bytes]
    class_id: Mapped[int | None] = mapped_column(ForeignKey("glitch_class.id"))
    is_simulated: Mapped[bool] = mapped_column(Computed("origin = 'simulated'", persisted=True))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class View(Base):
    """One window of a glitch, as ``glitch.codec`` packs it."""

    __tablename__ = "view"

    glitch_id: Mapped[UUID] = mapped_column(
        ForeignKey("glitch.id", ondelete="CASCADE"), primary_key=True
    )
    duration: Mapped[float] = mapped_column(primary_key=True)  # s
    packed: Mapped[bytes]
    observed: Mapped[bytes]  # numpy.packbits of the rows observed
    n_frequency: Mapped[int] = mapped_column(SmallInteger)
    n_time: Mapped[int] = mapped_column(SmallInteger)


class Checkpoint(Base):
    """A published checkpoint; the partial unique index lets one at most be active."""

    __tablename__ = "checkpoint"
    __table_args__ = (
        UniqueConstraint("digest"),
        CheckConstraint("latent_size BETWEEN 1 AND 2000", name="latent_size"),
        Index(
            "uq_checkpoint_is_active",
            "is_active",
            unique=True,
            postgresql_where=text("is_active"),
        ),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str]
    digest: Mapped[str]
    preprocessing_digest: Mapped[str]
    latent_size: Mapped[int] = mapped_column(SmallInteger)
    manifest: Mapped[dict[str, Any]]
    is_active: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Embedding(Base):
    """A glitch under one checkpoint. One partition a checkpoint, made when it is published.

    The dimension of ``mean`` is a CHECK of the partition, because checkpoints differ in it.
    ``ifo`` and ``is_simulated`` repeat the glitch's, and ``is_reference`` says that it carries the
    label of a class: at 200,000 rows a scan without the join takes half the time. References of
    established classes calibrate too: ``calibration_score``, and the observing run it counts for.
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

    # The glitch leads the key: its cascade and its history look it up without a checkpoint.
    glitch_id: Mapped[UUID] = mapped_column(
        ForeignKey("glitch.id", ondelete="CASCADE"), primary_key=True
    )
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoint.id"), primary_key=True)
    ifo: Mapped[str | None]
    is_simulated: Mapped[bool]
    is_reference: Mapped[bool]
    mean: Mapped[Any] = mapped_column(Vector(), nullable=False)
    log_variance: Mapped[list[float]] = mapped_column(ARRAY(REAL, dimensions=1))
    reconstruction_error: Mapped[float]
    kl: Mapped[float]  # nats
    novelty_score: Mapped[float | None]  # higher is more novel
    p_value: Mapped[float | None]  # lower is more novel
    is_judged: Mapped[bool]
    not_judged_reason: Mapped[str | None]
    judged_within: Mapped[str | None]  # the observing run that calibrated p_value; null: all runs
    calibration_score: Mapped[float | None]  # only where it calibrates
    calibration_run: Mapped[str | None]  # the observing run it calibrates, where its time is known


class Label(Base):
    """A statement that a glitch is of a class. Rows are added and revoked, never deleted."""

    __tablename__ = "label"
    __table_args__ = (
        CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="revoked"),
        Index("ix_label_glitch_id_id", "glitch_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    glitch_id: Mapped[UUID] = mapped_column(ForeignKey("glitch.id", ondelete="CASCADE"))
    class_id: Mapped[int] = mapped_column(ForeignKey("glitch_class.id"))
    author: Mapped[str]
    source: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str | None]


class ApiToken(Base):
    """A bearer token: its SHA-256, never itself. A name is free again once its token is revoked."""

    __tablename__ = "api_token"
    __table_args__ = (
        UniqueConstraint("secret_hash"),
        CheckConstraint(one_of("role", ROLES), name="role"),
        CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        Index(
            "uq_api_token_name", "name", unique=True, postgresql_where=text("revoked_at IS NULL")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    role: Mapped[str]
    secret_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEvent(Base):
    """Who did what to what. Append-only."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("ix_audit_event_subject_id", "subject", "subject_id", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]]
