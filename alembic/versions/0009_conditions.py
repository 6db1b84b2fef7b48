"""Store the windows and frequency band of each embedding: calibration compares equal ones only."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The same text as glitch.novelty.conditions, for the only recipe so far, 10 to 2048 Hz.
_FILL = """
UPDATE embedding SET condition = words.condition FROM (
  SELECT glitch_id, string_agg(windows || ' s, ' || band, '; ' ORDER BY first) AS condition FROM (
    SELECT glitch_id, band, min(duration) AS first,
      string_agg(duration::text, ' + ' ORDER BY duration) AS windows
    FROM (
      SELECT glitch_id, duration,
        round(10 * 204.8 ^ (low::float8 / n_frequency)) || ' to '
          || round(10 * 204.8 ^ (high::float8 / n_frequency)) || ' Hz'
          || CASE WHEN n_observed < high - low
               THEN ' without ' || (high - low - n_observed) || ' rows between' ELSE '' END AS band
      FROM (
        SELECT glitch_id, duration, n_frequency, position('1' in bits) - 1 AS low,
          length(bits) + 1 - position('1' in reverse(bits)) AS high,
          length(replace(bits, '0', '')) AS n_observed
        FROM (
          SELECT glitch_id, duration, n_frequency,
            left((('x' || encode(observed, 'hex'))::varbit)::text, n_frequency) AS bits
          FROM view
        ) AS rows WHERE position('1' in bits) > 0
      ) AS edges
    ) AS bands GROUP BY glitch_id, band
  ) AS grouped GROUP BY glitch_id
) AS words WHERE words.glitch_id = embedding.glitch_id
"""
# Queue a job that repeats the calibration.
_JUDGE = (
    "WITH made AS ("
    " INSERT INTO job (id, kind, key, parameters, author)"
    " SELECT gen_random_uuid(), 'judge', id::text, jsonb_build_object('checkpoint_id', id),"
    " 'upgrade' FROM checkpoint WHERE is_active AND EXISTS (SELECT 1 FROM embedding)"
    " ON CONFLICT DO NOTHING RETURNING id)"
    " INSERT INTO job_chunk (job_id, phase, ordinal, payload)"
    " SELECT id, phase, 0, '{}' FROM made, (VALUES (0), (2)) AS phases (phase)"
)


def upgrade() -> None:
    op.add_column("embedding", sa.Column("condition", sa.Text, nullable=False, server_default=""))
    op.execute(_FILL)
    op.execute(_JUDGE)


def downgrade() -> None:
    op.drop_column("embedding", "condition")
