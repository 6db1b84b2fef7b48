"""Storage of the clusters of a run, with their identity and earlier decisions."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.clusters import decided
from app.clusters.findings import Finding, found
from app.clusters.records import ClusteringParameters
from app.clusters.selection import Selection
from app.clusters.summary import significance, summarise
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember, ReviewEvent
from app.core.database import uuid7
from glitch.clustering import FoundCluster, Match, Unit, describe_cluster

STATE_WORDS = {"promoted": "named", "merged": "merged into a class", "dismissed": "dismissed"}


@dataclass(frozen=True)
class Draft:
    """A cluster that was found, and the earlier one that it continues, if any."""

    part: decided.Part
    before: Cluster | None
    match: Match | None


@dataclass
class ClusterStore:
    """Stores the clusters of one run."""

    session: Session
    run: ClusteringRun
    parameters: ClusteringParameters
    selection: Selection
    units: Unit
    n_stored: int = 0
    held: list[int] = field(default_factory=list)  # how large the parts kept apart are
    _decisions: list[decided.Decision] | None = field(default=None, init=False)

    def add(self, draft: Draft) -> list[Finding]:
        """Store a cluster; what came to a decided one since then apart, if it can be a cluster."""
        before, cluster = draft.before, draft.part.cluster
        if before is None or before.state not in decided.DECIDING:
            return self._store(cluster, draft)
        is_new = decided.unjudged(self.session, before, self.selection.ids, cluster.members)
        n = int(is_new.sum())
        if not n or n < self.parameters.min_cluster_size or is_new.all():
            return self._store(cluster, draft, n_unjudged=n)
        findings = self._store(self._some(cluster, ~is_new), draft)
        findings.append(found("beside", n=n, state=STATE_WORDS[before.state]))
        whole = draft.part.whole or cluster
        apart = Draft(decided.Part(self._some(cluster, is_new), None, whole=whole), None, None)
        return findings + self._store(apart.part.cluster, apart, beside=before.identity)

    def _some(self, cluster: FoundCluster, is_chosen: np.ndarray) -> FoundCluster:
        return describe_cluster(
            self.units,
            cluster.members[is_chosen],
            cluster.probabilities[is_chosen],
            cluster.stability,
        )

    def _store(
        self,
        cluster: FoundCluster,
        draft: Draft,
        *,
        n_unjudged: int = 0,
        beside: UUID | None = None,
    ) -> list[Finding]:
        before, key = draft.before, uuid7()
        is_part = draft.part.n_parts > 1 or beside is not None
        if draft.part.n_parts > 1:
            self.held.append(len(cluster.members))
        summary = summarise(
            self.session, self.run.checkpoint_id, self.parameters, self.selection, cluster
        )
        summary["previous_size"] = before.size if before else None
        if is_part:
            summary["is_part"] = True  # stability and chance are those of what was found, whole
            if draft.match and before and "is_part" not in before.summary:
                summary["split_from"] = before.size  # in the last run of this kind it was whole
        if beside is None and before is not None and before.state == "flagged":
            beside = decided.beside_of(before.summary)
        if beside is not None:
            summary["beside"] = str(beside)
        if n_unjudged:
            summary["n_unjudged"] = n_unjudged
        by_hand = before.summary.get("by_hand") if before and before.state == "flagged" else None
        if by_hand is not None:
            summary["by_hand"] = by_hand
        findings = self._about(cluster, draft, summary)
        dismissed_with = None
        if before is None or before.state == "flagged":
            dismissed_with, more = self._dismissed(cluster, summary, is_new=before is None)
            findings += more
        state = before.state if before else "dismissed" if dismissed_with else "flagged"
        self.session.add(
            Cluster(
                id=key,
                run_id=self.run.id,
                identity=before.identity if before else key,
                previous_id=before.id if before else None,
                overlap=draft.match.overlap if draft.match else None,
                size=len(cluster.members),
                stability=cluster.stability,
                # Nobody tested what was chosen by its looks, or clustered whether novel or not.
                significance=None
                if by_hand is not None or self.parameters.scope == "everything"
                else significance(self.selection, draft.part.whole or draft.part.cluster),
                medoid_id=self.selection.ids[cluster.medoid],
                # What was decided about it stays decided.
                state=state,
                summary=summary,
            )
        )
        self.session.flush()
        if dismissed_with is not None:
            self._dismiss(key, *dismissed_with)
        store_members(self.session, key, self.selection, cluster)
        self.n_stored += 1
        return findings

    def _about(self, cluster: FoundCluster, draft: Draft, summary: dict[str, Any]) -> list[Finding]:
        size, before, ifos = len(cluster.members), draft.before, " and ".join(summary["ifos"])
        findings = [found("dormant", label=name, n=size, ifo=ifos) for name in summary["returning"]]
        if before is not None and draft.part.n_parts == 1 and size != before.size:
            findings.insert(0, found("continued", before=before.size, now=size))
        return findings

    def _dismissed(
        self, cluster: FoundCluster, summary: dict[str, Any], *, is_new: bool
    ) -> tuple[tuple[decided.Decision, str] | None, list[Finding]]:
        """The dismissal that holds for a new cluster too, with why; and what to say of others.

        Of one that waits since an earlier run it is only said: somebody may have taken it back.
        """
        if self._decisions is None:
            self._decisions = decided.standing_decisions(self.session, self.parameters)
        members = [self.selection.ids[index] for index in cluster.members]
        every = decided.decided_among(self.session, self._decisions, members)
        among = [(one, n) for one, n in every if one.is_dismissal]
        named = [(one, n) for one, n in every if not one.is_dismissal]
        summary["dismissed_before"] = [
            {"n": n, "cluster_id": str(one.cluster.id), **one.facts} for one, n in among
        ]
        summary["named_before"] = [
            {"n": n, "cluster_id": str(one.cluster.id), "label": one.label, **one.facts}
            for one, n in named
        ]
        size = len(members)
        again = next((one for one, n in among if n == size and self._is_most_of(one, n)), None)
        if again is not None and is_new:
            said = found("dismissed_again", size=size, **again.facts)
            return (again, "These glitches were dismissed"), [said]
        findings = [found("dismissed_before", size=size, n=n, **one.facts) for one, n in among]
        findings += [
            found("named_before", size=size, n=n, label=one.label, **one.facts) for one, n in named
        ]
        if not is_new:
            return None, findings
        look = decided.of_dismissed_look(
            self.session, self.run.checkpoint_id, self._decisions, self.units[cluster.members]
        )
        if look is None:
            return None, findings
        findings.append(found("dismissed_look", size=size, **look.facts))
        return (look, "Looks like a cluster whose look was dismissed"), findings

    def _is_most_of(self, dismissal: decided.Decision, n: int) -> bool:
        """Whether n are half or more of the dismissed glitches that this run could cluster."""
        [(_, everyone)] = decided.decided_among(self.session, [dismissal], self.selection.ids)
        return n >= decided.ALIKE * everyone

    def _dismiss(self, key: UUID, earlier: decided.Decision, why: str) -> None:
        """An event of its own, so that it can be undone for this cluster alone."""
        self.session.add(
            ReviewEvent(
                identity=key,
                cluster_id=key,
                kind="dismiss",
                author=earlier.event.author,
                payload={
                    "asked": {"is_of_look": False},
                    "remark": f"{why} on {earlier.facts['on']}: a clustering did it by itself.",
                },
            )
        )
        self.session.flush()


def store_members(session: Session, key: UUID, chosen: Selection, cluster: FoundCluster) -> None:
    """Store the members of a cluster, which are places among what was chosen."""
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
