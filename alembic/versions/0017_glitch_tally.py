"""Store the number of glitches per class, detector and week, so that pages need not count them."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_KEY = "class_id, ifo, is_simulated, week"
_KEY_OF_GLITCH = "class_id, ifo, is_simulated, floor(gps_time / 604800)::int AS week"
# Each statement appends its changes as new rows, because writers would wait for each other on one
# row per class. When about 5000 rows have been appended, a writer adds them to the sums, unless
# another one is doing so. The triggers see every insert, update and delete, including cascades.
_FUNCTION = f"""
CREATE FUNCTION tally_glitches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM glitch_tally;
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO glitch_tally ({_KEY}, n)
    SELECT {_KEY_OF_GLITCH}, count(*) FROM added GROUP BY 1, 2, 3, 4;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO glitch_tally ({_KEY}, n)
    SELECT {_KEY_OF_GLITCH}, -count(*) FROM gone GROUP BY 1, 2, 3, 4;
  ELSE
    INSERT INTO glitch_tally ({_KEY}, n)
    SELECT {_KEY}, sum(n) FROM (
      SELECT {_KEY_OF_GLITCH}, 1 AS n FROM added
      UNION ALL SELECT {_KEY_OF_GLITCH}, -1 FROM gone) AS both_sides
    GROUP BY 1, 2, 3, 4 HAVING sum(n) <> 0;
  END IF;
  IF (SELECT max(id) - min(id) FROM glitch_tally WHERE NOT is_sum) > 5000
    AND pg_try_advisory_xact_lock(hashtext('glitch_tally')) THEN
    WITH appended AS (DELETE FROM glitch_tally WHERE NOT is_sum RETURNING {_KEY}, n)
    INSERT INTO glitch_tally ({_KEY}, n, is_sum)
    SELECT {_KEY}, sum(n), true FROM appended GROUP BY 1, 2, 3, 4
    ON CONFLICT ({_KEY}) WHERE is_sum DO UPDATE SET n = glitch_tally.n + excluded.n;
  END IF;
  RETURN NULL;
END $$
"""  # noqa: S608 - our own columns
_SEEN = {
    "insert": "REFERENCING NEW TABLE AS added",
    "update": "REFERENCING OLD TABLE AS gone NEW TABLE AS added",
    "delete": "REFERENCING OLD TABLE AS gone",
    "truncate": "",
}


def upgrade() -> None:
    op.create_table(
        "glitch_tally",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("class_id", sa.Integer),
        sa.Column("ifo", sa.Text),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("week", sa.Integer),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("is_sum", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_glitch_tally"),
    )
    op.execute(_FUNCTION)
    # Create the triggers first: their lock keeps writers out until existing rows are counted.
    for act, seen in _SEEN.items():
        op.execute(
            f"CREATE TRIGGER tally_{act} AFTER {act} ON glitch {seen}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tally_glitches()"
        )
    op.execute(
        f"INSERT INTO glitch_tally ({_KEY}, n, is_sum)"  # noqa: S608 - our own columns
        f" SELECT {_KEY_OF_GLITCH}, count(*), true FROM glitch GROUP BY 1, 2, 3, 4"
    )
    op.create_index(
        "ix_glitch_tally_class_id_ifo_is_simulated_week",
        "glitch_tally",
        ["class_id", "ifo", "is_simulated", "week"],
        unique=True,
        postgresql_where=sa.text("is_sum"),
        postgresql_nulls_not_distinct=True,
    )
    op.create_index(
        "ix_glitch_tally_id", "glitch_tally", ["id"], postgresql_where=sa.text("NOT is_sum")
    )


def downgrade() -> None:
    for act in _SEEN:
        op.execute(f"DROP TRIGGER tally_{act} ON glitch")
    op.execute("DROP FUNCTION tally_glitches")
    op.drop_table("glitch_tally")
