"""Storage of a run's clusters, with their identities and earlier decisions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Int
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.clusters import decided
from app.clusters.decided import Part
from app.clusters.findings import Finding, found
from app.clusters.selection import Selection
from app.clusters.summary import significance, summarise
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember, ReviewEvent
from app.core.database import uuid7
from glitch.clustering import FoundCluster, Unit, describe_cluster

STATE_WORDS = {"promoted": "named", "merged": "merged into a class", "dismissed": "dismissed"}


@dataclass
class ClusterStore:
    """Stores the clusters of one run."""

    session: Session
    run: ClusteringRun
    selection: Selection
    units: Unit
    # Earlier clusters that no found cluster continues, and their members in this run.
    unmatched: list[tuple[Cluster, set[object]]] = field(default_factory=list)
    continued: dict[UUID, str] = field(default_factory=dict)  # states of earlier clusters, by id
    n_stored: int = 0
    clustered: set[int] = field(default_factory=set)  # positions in the selection of all members
    sizes_apart: list[int] = field(default_factory=list)  # sizes of the parts that are kept apart
    _revoked: dict[UUID, decided.Decision] = field(default_factory=dict, init=False)
    _lost: dict[int, Cluster] = field(default_factory=dict, init=False)  # by selection position
    _decisions: list[decided.Decision] = field(default_factory=list, init=False)

    def begin(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts in the order in which to store them: undecided ones first.

        Members whose labels were revoked need review again. Undecided parts show those that they
        contain; ``add`` and ``finish`` store the others in clusters to review.
        """
        self._decisions = decided.active_decisions(self.session, is_simulated=self.run.is_simulated)
        self._revoked = decided.unlabelled_again(self.session, self._decisions)
        undecided = [one for one in parts if not one.is_decided]
        shown = {position for one in undecided for position in one.cluster.members.tolist()}
        waiting_in_others = decided.waiting_elsewhere(self.session, self.run)
        self._lost = {
            position: self._revoked[key].cluster
            for position, key in enumerate(self.selection.ids)
            if key in self._revoked and key not in waiting_in_others and position not in shown
        }
        return [*undecided, *(one for one in parts if one.is_decided)]

    def add(self, part: Part) -> list[Finding]:
        """Store a cluster; of a decided one, store unreviewed members as a separate cluster.

        These are members that joined since the decision, if they are enough for a cluster, and
        members whose labels were revoked.
        """
        before, cluster = part.before, part.cluster
        if before is not None:
            self.continued[before.id] = before.state
        if before is None or not part.is_decided:
            identity = None if before is None else decided.identity_in(before.summary)
            lost = self._take_lost(identity)
            return self._store(self._with(cluster, lost), part)
        is_new = decided.unjudged(self.session, before, self.selection.ids, cluster.members)
        is_lost = np.isin(cluster.members, list(self._lost))
        is_apart = is_new | is_lost
        n = int(is_apart.sum())
        lost = self._take_lost(before.identity, cluster.members[is_lost])
        if not len(lost) and (n < self.run.min_cluster_size):
            return self._store(cluster, part, n_unjudged=n)
        findings = [] if is_apart.all() else self._store(self._subset(cluster, ~is_apart), part)
        apart = self._with(self._subset(cluster, is_apart) if n else None, lost, cluster.stability)
        whole = part.whole or cluster
        if (earlier := self._left_like(apart)) is not None:  # it continues an earlier cluster
            return findings + self.add(Part(apart, earlier[0], 2, whole, earlier[1]))
        if n_joined := int((is_new & ~is_lost).sum()):
            findings.append(found("beside", n=n_joined, state=STATE_WORDS[before.state]))
        return findings + self._store_apart(apart, before.identity, whole)

    def _left_like(self, cluster: FoundCluster) -> tuple[Cluster, float] | None:
        """Find an unmatched earlier cluster with a Jaccard index of at least ``ALIKE``."""
        own = {self.selection.ids[index] for index in cluster.members}
        overlaps = [len(own & others) / len(own | others) for _, others in self.unmatched]
        if not overlaps or max(overlaps) < decided.ALIKE:
            return None
        best = int(np.argmax(overlaps))
        return self.unmatched.pop(best)[0], overlaps[best]

    def finish(self) -> list[Finding]:
        """Store clusters to review of the remaining members whose labels were revoked."""
        findings = []
        for before in {one.id: one for one in self._lost.values()}.values():
            cluster = self._with(None, self._take_lost(before.identity), before.stability)
            findings += self._store_apart(cluster, before.identity, cluster)
        return findings

    def _take_lost(
        self, identity: UUID | None, others: Int[np.ndarray, " member"] | None = None
    ) -> Int[np.ndarray, " member"]:
        """Remove members of this identity with revoked labels, and ``others``, from ``_lost``.

        Returns their positions in the selection.
        """
        taken = [position for position, one in self._lost.items() if one.identity == identity]
        taken += [] if others is None else others.tolist()
        for position in taken:
            self._lost.pop(position, None)
        return np.unique(np.array(taken, dtype=np.int64))

    def _with(
        self, cluster: FoundCluster | None, more: Int[np.ndarray, " member"], stability: float = 0.0
    ) -> FoundCluster:
        """Add these members to a cluster, each with membership probability 1."""
        if cluster is None:
            return describe_cluster(self.units, more, np.ones(len(more)), stability)
        more = np.setdiff1d(more, cluster.members)
        if not len(more):
            return cluster
        members = np.concatenate([cluster.members, more])
        probabilities = np.concatenate([cluster.probabilities, np.ones(len(more))])
        order = np.argsort(members)
        return describe_cluster(self.units, members[order], probabilities[order], cluster.stability)

    def _store_apart(
        self, cluster: FoundCluster, identity: UUID, whole: FoundCluster
    ) -> list[Finding]:
        return self._store(cluster, Part(cluster, whole=whole), identity=identity)

    def _subset(self, cluster: FoundCluster, is_chosen: np.ndarray) -> FoundCluster:
        return describe_cluster(
            self.units,
            cluster.members[is_chosen],
            cluster.probabilities[is_chosen],
            cluster.stability,
        )

    def _store(
        self,
        cluster: FoundCluster,
        part: Part,
        *,
        n_unjudged: int = 0,
        identity: UUID | None = None,
    ) -> list[Finding]:
        before, cluster_id, size = part.before, uuid7(), len(cluster.members)
        is_part = part.n_parts > 1 or identity is not None
        if part.n_parts > 1:
            self.sizes_apart.append(size)
        summary = summarise(self.session, self.run, self.selection, cluster)
        summary["previous_size"] = before.size if before else None
        if is_part:
            summary["is_part"] = True  # stability and significance are those of the whole
            if part.overlap is not None and before and "is_part" not in before.summary:
                summary["split_from"] = before.size  # it was whole in the previous run of this kind
        if identity is None and before is not None and before.state == "flagged":
            identity = decided.identity_in(before.summary)
        keys = () if part.is_decided else (self.selection.ids[one] for one in cluster.members)
        revoked = [self._revoked[key] for key in keys if key in self._revoked]
        if revoked:
            summary["n_unlabelled_again"] = len(revoked)
            identities = {one.cluster.identity for one in revoked}
            if not (identity or before) and len(revoked) == size and len(identities) == 1:
                [identity] = identities
        if identity is not None:
            summary["beside"] = str(identity)
        if n_unjudged:
            summary["n_unjudged"] = n_unjudged
        by_hand = before.summary.get("by_hand") if before and before.state == "flagged" else None
        if by_hand is not None:
            summary["by_hand"] = by_hand
        findings = self._notes(cluster, part, summary)
        if revoked:
            named = " and ".join(sorted({one.label for one in revoked if one.label}))
            findings.append(found("unlabelled_again", n=len(revoked), label=named))
        dismissed_with = None
        if before is None or before.state == "flagged":
            dismissed_with, more = self._dismissed(cluster, summary, is_new=before is None)
            findings += more
        state = before.state if before else "dismissed" if dismissed_with else "flagged"
        self.session.add(
            Cluster(
                id=cluster_id,
                run_id=self.run.id,
                identity=before.identity if before else cluster_id,
                previous_id=before.id if before else None,
                overlap=part.overlap,
                size=size,
                stability=cluster.stability,
                # Clusters made by hand, or found among all glitches, were not tested.
                significance=None
                if by_hand is not None or self.run.scope == "everything"
                else significance(self.selection, part.whole or part.cluster),
                medoid_id=self.selection.ids[cluster.medoid],
                # Earlier decisions stay in force.
                state=state,
                summary=summary,
            )
        )
        self.session.flush()
        if dismissed_with is not None:
            self._dismiss(cluster_id, *dismissed_with)
        store_members(self.session, cluster_id, self.selection, cluster)
        self.n_stored += 1
        self.clustered |= set(cluster.members.tolist())
        return findings

    def _notes(self, cluster: FoundCluster, part: Part, summary: dict[str, Any]) -> list[Finding]:
        size, before = len(cluster.members), part.before
        ifos = " and ".join(one for one in summary["ifos"] if one != "unknown")
        findings = [found("dormant", label=name, n=size, ifo=ifos) for name in summary["returning"]]
        if before is not None and part.n_parts == 1 and size != before.size:
            findings.insert(0, found("continued", before=before.size, now=size))
        return findings

    def _dismissed(
        self, cluster: FoundCluster, summary: dict[str, Any], *, is_new: bool
    ) -> tuple[tuple[decided.Decision, str] | None, list[Finding]]:
        """Find a dismissal that applies to a new cluster, with the reason, and findings to report.

        A cluster that waits since an earlier run is not dismissed again, because somebody may have
        undone that; the findings still mention it.
        """
        members = [self.selection.ids[index] for index in cluster.members]
        covering = decided.decided_among(self.session, self._decisions, members)
        dismissals = [(one, n) for one, n in covering if one.is_dismissal]
        named = [(one, n) for one, n in covering if not one.is_dismissal]
        summary["dismissed_before"] = [
            {"n": n, "cluster_id": str(one.cluster.id), **one.facts} for one, n in dismissals
        ]
        summary["named_before"] = [
            {"n": n, "cluster_id": str(one.cluster.id), "label": one.label, **one.facts}
            for one, n in named
        ]
        size = len(members)
        same = next((one for one, n in dismissals if n == size and self._is_most_of(one, n)), None)
        if same is not None and is_new:
            finding = found("dismissed_again", size=size, **same.facts)
            return (same, "These glitches were dismissed"), [finding]
        findings = [found("dismissed_before", size=size, n=n, **one.facts) for one, n in dismissals]
        findings += [
            found("named_before", size=size, n=n, label=one.label, **one.facts) for one, n in named
        ]
        if not is_new:
            return None, findings
        look = decided.like_dismissed(
            self.session, self.run.checkpoint_id, self._decisions, self.units[cluster.members]
        )
        if look is None:
            return None, findings
        findings.append(found("dismissed_look", size=size, **look.facts))
        return (look, "Looks like a cluster whose look was dismissed"), findings

    def _is_most_of(self, dismissal: decided.Decision, n: int) -> bool:
        """Is n at least half of the dismissed glitches that this run could cluster?"""
        [(_, n_selected)] = decided.decided_among(self.session, [dismissal], self.selection.ids)
        return n >= decided.ALIKE * n_selected

    def _dismiss(self, cluster_id: UUID, earlier: decided.Decision, reason: str) -> None:
        """Record the dismissal as an event of this cluster, so that it can be undone separately."""
        remark = f"{reason} on {earlier.facts['on']}: a clustering did it by itself."
        payload = {"asked": {"is_of_look": False}, "remark": remark}
        ReviewEvent.add(
            self.session,
            "dismiss",
            earlier.event.author,
            identity=cluster_id,
            cluster_id=cluster_id,
            payload=payload,
        )


def store_members(session: Session, key: UUID, chosen: Selection, cluster: FoundCluster) -> None:
    """Store the members of a cluster, given as positions in the selection."""
    exemplars = set(cluster.exemplars)
    session.execute(
        insert(ClusterMember),
        [
            {
                "cluster_id": key,
                "glitch_id": chosen.ids[index],
                "predicted_id": chosen.predicted.get(chosen.ids[index]),
                "probability": float(probability),
                "distance": float(distance),
                "is_exemplar": int(index) in exemplars,
            }
            for index, probability, distance in zip(
                cluster.members, cluster.probabilities, cluster.distances, strict=True
            )
        ],
    )
