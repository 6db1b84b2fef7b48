"""Display values of a cluster that several templates use."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from app.clusters.decided import Decision
from app.clusters.records import Cluster
from app.core.wording import count
from app.frame.contexts import Moment
from app.frame.display import moment
from app.frame.histograms import Bar, sparkline

STATE_TEXTS = {
    "flagged": "to review",
    "promoted": "new class",
    "merged": "merged",
    "dismissed": "dismissed",
    "split": "split",
}
_MIN_CHANCE = 1e-12


def cluster_href(cluster_id: UUID) -> str:
    """Return the address of a cluster's page."""
    return f"/ui/clusters/{cluster_id}"


@dataclass(frozen=True)
class ClusterInWords:
    """A cluster, with its values as display texts."""

    cluster: Cluster
    # Decisions in force about members in other clusters, with the number of members each. If
    # None, the decisions that the run found are shown.
    decisions: Sequence[tuple[Decision, int]] | None = None

    @property
    def state(self) -> str:
        """Its state, as shown on pages."""
        return STATE_TEXTS[self.cluster.state]

    @property
    def change(self) -> str | None:
        """The change since the previous run: "new in this clustering", "grew from 12"."""
        cluster, summary = self.cluster, self.cluster.summary
        before = summary.get("previous_size")
        if "by_hand" in summary:
            return f"made by {summary['by_hand']}"
        if "split_from" in summary:
            return f"split off by hand from {summary['split_from']:,}"
        if "beside" in summary and before is None:
            is_again = summary.get("n_unlabelled_again") == cluster.size
            return f"{'lost their labels in' if is_again else 'joined'} a decided cluster later"
        if before is None:
            return "new in this clustering"
        if cluster.size > before:
            return f"grew from {before:,}"
        return f"shrank from {before:,}" if cluster.size < before else "as large as before"

    @property
    def stability(self) -> str:
        """Its stability; "not tested" for clusters made by hand."""
        if "by_hand" in self.cluster.summary:
            return "not tested"
        whole = " for the whole" if self._is_part else ""
        return f"{self.cluster.stability:.2f} of 1{whole}"

    @property
    def hint(self) -> str | None:
        """The simulated class that it looks like, if any."""
        look = self.cluster.summary.get("simulated_look")
        if not look or "members" not in look:  # those of earlier versions counted other glitches
            return None
        n, members = look["n"], look["members"]
        return f"looks like simulated {look['label']}: the model is sure of {n:,} of {members:,}"

    @property
    def warning(self) -> str | None:
        """Decisions about members in other clusters, and members that joined since its decision."""
        decided = [
            f"{n:,} of these {'was' if n == 1 else 'were'} {what} by {author} on {on}"
            for n, what, author, on in self._decided()
        ]
        return "; ".join([*decided, *filter(None, [self.not_judged])]) or None

    def _decided(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield number of members, decision, author and date; dismissals first."""
        summary = self.cluster.summary
        stored = [*summary.get("dismissed_before", []), *summary.get("named_before", [])]
        if self.decisions is not None:
            ordered = sorted(self.decisions, key=lambda one: not one[0].is_dismissal)
            stored = [{"n": n, "label": one.label, **one.facts} for one, n in ordered]
        for one in stored:
            label = one.get("label")
            yield one["n"], f"named {label}" if label else "dismissed", one["author"], one["on"]

    @property
    def not_judged(self) -> str | None:
        """How many members joined since the decision about it."""
        n = self.cluster.summary.get("n_unjudged")
        return None if not n else f"{count(n, 'member')} joined after the decision"

    @property
    def undecided(self) -> str:
        """The text shown if it has no review history."""
        if "is_part" in self.cluster.summary and "beside" not in self.cluster.summary:
            return (
                "A reviewer split it off from a larger one; nobody has decided anything about it "
                "yet."
            )
        return "Nobody has decided anything about this cluster yet."

    @property
    def chance(self) -> str:
        """Its significance."""
        significance = self.cluster.significance
        if significance is None:
            return "not tested"
        # The test is about the whole cluster that was found; a split does not change that.
        whole = " for the whole" if self._is_part else ""
        if significance < _MIN_CHANCE:
            return f"p < {_MIN_CHANCE:.0e}{whole}"
        return f"p = {significance:.2g}{whole}"

    @property
    def _is_part(self) -> bool:
        return bool(self.cluster.summary.get("is_part"))

    @property
    def rate(self) -> str | None:
        """How often it occurs; None if unknown."""
        times = self.cluster.summary.get("gps_times", {})
        if times.get("first") is None:  # the page says so
            return None
        size, n_timed = self.cluster.size, times.get("n_timed", self.cluster.size)
        days = float(Decimal(times["last"]) - Decimal(times["first"])) / 86_400
        known = ""
        if days:
            per_day = (n_timed - 1) / days
            known = f"{per_day:.3g} a day" if per_day >= 1 else f"one in {1 / per_day:.3g} days"
        if n_timed == size:
            return known or None
        missing = f"the time of {size - n_timed:,} of {size:,} is not known"
        return f"at least {known}; {missing}" if known else missing

    @property
    def ends(self) -> tuple[Moment, Moment] | None:
        """Times of its first and last member, rounded to seconds."""
        times = self.cluster.summary.get("gps_times", {})
        first, last = (
            moment(None if times.get(name) is None else Decimal(times[name]).to_integral_value())
            for name in ("first", "last")
        )
        return None if first is None or last is None else (first, last)

    @property
    def spark(self) -> tuple[Bar, ...]:
        """Bars of its members over time, for a card."""
        bins = self.cluster.summary.get("gps_times", {}).get("histogram", [])
        return sparkline([one["count"] for one in bins])

    @property
    def nearest(self) -> tuple[str, str | None] | None:
        """The nearest known class, and its distance."""
        near = next(iter(self.cluster.summary.get("nearest_classes", [])), None)
        return None if near is None else (near["label"], chord(near["distance"]))


def chord(cosine: float | None) -> str | None:
    """Format a cosine distance as a chord, the unit of the members' distances."""
    return None if cosine is None else f"{math.sqrt(2 * max(cosine, 0.0)):.2f}"
