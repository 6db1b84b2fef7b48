"""The job of kind ``label_audit``: compare every labelled glitch with its labelled neighbours.

Each population (a detector, simulated or not) is audited separately, in chunks of some thousand
glitches. Each chunk holds the latent vectors of the whole population in memory: 13 MB for 100,000
glitches with 32 dimensions.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.classes.audit.tables import LabelAudit, LabelFinding
from app.classes.tree import Tree
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, Work
from app.novelty.conditions import in_population
from glitch.clustering import unit_vectors
from glitch.label_votes import contradictions, nearest_labels

AUDITED = 5000  # glitches in a chunk: a few seconds of work in a large catalogue
_READ = 2000


class LabelAuditHandler:
    """A ``JobHandler`` without state."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Yield ranges of labelled glitches of each population that has enough voters."""
        parameters = work.job.parameters
        checkpoint_id, n_voters = parameters["checkpoint_id"], parameters["n_voters"]
        groups = work.session.execute(
            select(Embedding.ifo, Embedding.is_simulated, func.count())
            .join(Glitch, Glitch.id == Embedding.glitch_id)
            .where(Embedding.checkpoint_id == checkpoint_id, Glitch.class_id.is_not(None))
            .group_by(Embedding.ifo, Embedding.is_simulated)
            .order_by(Embedding.ifo, Embedding.is_simulated)
        ).all()
        enough = [group for group in groups if group[0] and group[2] > n_voters]
        audited = [(ifo, is_simulated) for ifo, is_simulated, _ in enough if ifo is not None]
        work.session.execute(  # a second attempt finds the row already stored
            insert(LabelAudit)
            .values(
                id=work.job.id,
                checkpoint_id=checkpoint_id,
                n_voters=n_voters,
                n_labelled=sum(group[2] for group in groups),
                n_audited=sum(group[2] for group in enough),
                author=work.job.author,
            )
            .on_conflict_do_nothing()
        )
        for ifo, is_simulated in audited:
            ids = work.session.scalars(
                select(Embedding.glitch_id)
                .join(Glitch, Glitch.id == Embedding.glitch_id)
                .where(*in_population(checkpoint_id, (ifo, is_simulated)))
                .where(Glitch.class_id.is_not(None))
                .order_by(Embedding.glitch_id)
                .execution_options(yield_per=AUDITED)
            )
            with ids:
                for part in ids.partitions():
                    work.heartbeat()
                    of_population = {"ifo": ifo, "is_simulated": is_simulated}
                    payload = of_population | {"first": str(part[0]), "last": str(part[-1])}
                    yield ChunkPlan(payload, units=len(part))

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Audit one range, and store the labels that the neighbours contradict."""
        n_voters = work.job.parameters["n_voters"]
        ids, classes, directions = _load(work, chunk)
        first, last = UUID(chunk.payload["first"]), UUID(chunk.payload["last"])
        indices = np.array([n for n, one in enumerate(ids) if first <= one <= last], dtype=np.int64)
        if len(ids) <= n_voters or not len(indices):  # labels were revoked since the plan
            return ChunkResult()
        votes = nearest_labels(directions, classes, indices, n_voters, work.heartbeat)
        tree = Tree.load(work.session)
        findings = [
            {
                "audit_id": work.job.id,
                "glitch_id": ids[indices[one.query]],
                "class_id": int(classes[indices[one.query]]),
                "suggested_id": one.suggested,
                "n_agreeing": one.n_agreeing,
                "n_suggesting": one.n_suggesting,
                "margin": one.n_agreeing - one.n_suggesting,
            }
            for one in contradictions(votes, classes[indices], tree.lineage)
        ]
        if findings:
            work.session.execute(insert(LabelFinding).on_conflict_do_nothing(), findings)
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Mark the audit as finished, so that pages show it, and delete earlier ones."""
        audit = work.session.execute(
            update(LabelAudit)
            .where(LabelAudit.id == work.job.id)
            .values(finished_at=func.now())
            .returning(LabelAudit.n_labelled, LabelAudit.n_audited, LabelAudit.created_at)
        ).one()
        work.session.execute(
            delete(LabelAudit).where(
                LabelAudit.created_at < audit.created_at, LabelAudit.finished_at.is_not(None)
            )
        )
        doubtful = work.session.scalar(
            select(func.count(LabelFinding.glitch_id)).where(LabelFinding.audit_id == work.job.id)
        )
        return {
            "labelled": audit.n_labelled,
            "audited": audit.n_audited,
            "doubtful": doubtful,
            "href": "/label-audit",
            "page": "/ui/label-audit",
        }


def _load(work: Work, chunk: Chunk) -> tuple[list[UUID], np.ndarray, np.ndarray]:
    """Read ids, classes and unit vectors of a population, by id, without keeping the rows."""
    population = chunk.payload["ifo"], chunk.payload["is_simulated"]
    statement: Select[tuple[UUID, int | None, Any]] = (
        select(Embedding.glitch_id, Glitch.class_id, Embedding.mean)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(*in_population(work.job.parameters["checkpoint_id"], population))
        .where(Glitch.class_id.is_not(None))
        .order_by(Embedding.glitch_id)
        .execution_options(yield_per=_READ)
    )
    ids: list[UUID] = []
    classes: list[int] = []
    blocks: list[np.ndarray] = []
    with work.session.execute(statement) as result:
        for rows in result.partitions():
            work.heartbeat()
            ids += [row[0] for row in rows]
            classes += [row[1] for row in rows if row[1] is not None]
            blocks.append(np.array([row[2] for row in rows], dtype=np.float32))
    vectors = np.concatenate(blocks) if blocks else np.empty((0, 1), dtype=np.float32)
    return ids, np.array(classes, dtype=np.int64), unit_vectors(vectors).astype(np.float32)
