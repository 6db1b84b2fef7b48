"""Create the tables of clustering runs, clusters and cluster members."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _created_at() -> sa.Column[sa.DateTime]:
    return sa.Column(
        "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "clustering_run",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.Column("previous_run_id", sa.Uuid),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("ifo", sa.Text),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("fdr", sa.Double, nullable=False),
        sa.Column("min_cluster_size", sa.Integer, nullable=False),
        sa.Column("p_threshold", sa.Double),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in (
                "n_judged",
                "n_unjudged",
                "n_flagged",
                "n_clustered",
                "n_noise",
                "n_clusters",
            )
        ),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_clustering_run"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name="fk_clustering_run_job_id", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_clustering_run_checkpoint_id"
        ),
        sa.ForeignKeyConstraint(
            ["previous_run_id"],
            ["clustering_run.id"],
            name="fk_clustering_run_previous_run_id",
            ondelete="SET NULL",
        ),
        sa.CheckConstraint("scope IN ('novel', 'everything')", name="ck_clustering_run_scope"),
        sa.CheckConstraint("fdr > 0 AND fdr < 1", name="ck_clustering_run_fdr"),
        sa.CheckConstraint("min_cluster_size >= 2", name="ck_clustering_run_min_cluster_size"),
    )
    op.create_index("ix_clustering_run_created_at_id", "clustering_run", ["created_at", "id"])
    op.create_index("ix_clustering_run_job_id", "clustering_run", ["job_id"])
    op.create_table(
        "cluster",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("run_id", sa.Uuid, nullable=False),
        sa.Column("identity", sa.Uuid, nullable=False),
        sa.Column("previous_id", sa.Uuid),
        sa.Column("overlap", sa.Double),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("stability", sa.Double, nullable=False),
        sa.Column("significance", sa.Double),
        sa.Column("medoid_id", sa.Uuid),
        sa.Column("state", sa.Text, server_default=sa.text("'flagged'"), nullable=False),
        sa.Column("summary", postgresql.JSONB, nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_cluster"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["clustering_run.id"], name="fk_cluster_run_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["previous_id"], ["cluster.id"], name="fk_cluster_previous_id", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["medoid_id"], ["glitch.id"], name="fk_cluster_medoid_id", ondelete="SET NULL"
        ),
        sa.CheckConstraint(
            "state IN ('flagged', 'promoted', 'merged', 'dismissed', 'split')",
            name="ck_cluster_state",
        ),
        sa.CheckConstraint("size >= 1", name="ck_cluster_size"),
        sa.CheckConstraint("stability BETWEEN 0 AND 1", name="ck_cluster_stability"),
        sa.CheckConstraint("significance BETWEEN 0 AND 1", name="ck_cluster_significance"),
    )
    op.create_index("ix_cluster_run_id_id", "cluster", ["run_id", "id"])
    op.create_index("ix_cluster_identity_id", "cluster", ["identity", "id"])
    op.create_index("ix_cluster_medoid_id", "cluster", ["medoid_id"])
    op.create_table(
        "cluster_member",
        sa.Column("cluster_id", sa.Uuid, nullable=False),
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("distance", sa.Double, nullable=False),
        sa.Column("is_exemplar", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "glitch_id", name="pk_cluster_member"),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["cluster.id"], name="fk_cluster_member_cluster_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_cluster_member_glitch_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint("probability BETWEEN 0 AND 1", name="ck_cluster_member_probability"),
    )
    op.create_index("ix_cluster_member_glitch_id", "cluster_member", ["glitch_id"])


def downgrade() -> None:
    for table in ("cluster_member", "cluster", "clustering_run"):
        op.drop_table(table)
