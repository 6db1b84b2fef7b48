"""Calibrate novelty by leave-one-out, separately for each observing run.

Every labelled glitch is now a reference and is scored against the others; before, the content
digest selected a separate calibration set. The job of kind ``judge`` that is queued here recomputes
the stored p-values; until it has run, they are those of the old calibration.
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("embedding", sa.Column("judged_within", sa.Text))
    op.add_column("embedding", sa.Column("calibration_run", sa.Text))
    op.execute(
        "UPDATE embedding SET is_reference = known.is_known FROM ("
        " SELECT glitch.id, glitch_class.id IS NOT NULL AS is_known FROM glitch LEFT JOIN"
        " glitch_class ON glitch_class.id = class_id"
        " AND glitch_class.name <> 'None_of_the_Above'"  # holds rejects, not one kind of glitch
        ") AS known WHERE known.id = glitch_id AND is_reference <> known.is_known"
    )
    op.drop_column("glitch", "is_calibration")
    op.execute(
        "WITH made AS ("
        " INSERT INTO job (id, kind, key, parameters, author)"
        " SELECT gen_random_uuid(), 'judge', id::text,"
        " jsonb_build_object('checkpoint_id', id), 'upgrade'"
        " FROM checkpoint WHERE is_active AND EXISTS (SELECT 1 FROM embedding)"
        " RETURNING id"
        ") INSERT INTO job_chunk (job_id, phase, ordinal, payload)"
        " SELECT id, phase, 0, '{}' FROM made, (VALUES (0), (2)) AS phases (phase)"
    )


def downgrade() -> None:
    op.execute("DELETE FROM job WHERE kind = 'judge'")
    op.add_column(
        "glitch",
        sa.Column(
            "is_calibration",
            sa.Boolean,
            sa.Computed("get_byte(content_digest, 0) < 64", persisted=True),
            nullable=False,
        ),
    )
    op.execute(
        "UPDATE embedding SET is_reference = class_id IS NOT NULL AND NOT is_calibration"
        " FROM glitch WHERE glitch.id = glitch_id"
        " AND is_reference <> (class_id IS NOT NULL AND NOT is_calibration)"
    )
    op.execute(
        "UPDATE embedding SET calibration_score = NULL FROM glitch"
        " WHERE glitch.id = glitch_id AND NOT is_calibration AND calibration_score IS NOT NULL"
    )
    op.drop_column("embedding", "calibration_run")
    op.drop_column("embedding", "judged_within")
