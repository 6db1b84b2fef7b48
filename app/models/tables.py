"""The table of published checkpoints."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, Integer, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base


class Checkpoint(Base):
    """A published checkpoint; the partial unique index allows at most one active row."""

    __tablename__ = "checkpoint"
    __table_args__ = (
        CheckConstraint("latent_size BETWEEN 1 AND 2000", name="latent_size"),
        Index(
            "uq_checkpoint_is_active", "is_active", unique=True, postgresql_where=text("is_active")
        ),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    preprocessing_digest: Mapped[str]
    latent_size: Mapped[int] = mapped_column(SmallInteger)
    manifest: Mapped[dict[str, Any]]
    is_active: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
