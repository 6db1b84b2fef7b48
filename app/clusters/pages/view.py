"""The pages of review, put together from what the services tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.orm import Session

from app.classes.naming import usable_class_names
from app.clusters.browsing import (
    Queue,
    class_pictures,
    exemplars_of,
    latest_of,
    member_facts,
    parts_of,
    queue_of,
)
from app.clusters.pages.contexts import (
    ClusterCard,
    ClusterPage,
    Likeness,
    Member,
    UndoOffer,
)
from app.clusters.pages.model import comparison_of, model_note, strips_of
from app.clusters.records import Cluster, MemberRecord
from app.clusters.review import schemas as review_schemas
from app.clusters.review.log import Log
from app.clusters.review.service import class_names_of, history
from app.clusters.review.suggestions import count_by_cluster, suggested_classes
from app.clusters.service import Order, list_members
from app.clusters.trust import trust_sentence
from app.core.errors import NotFoundError
from app.core.principals import Principal, Role
from app.frame.contexts import ClassCount, Fact, MemberChoice, Moment
from app.frame.histograms import histogram, sparkline
from app.frame.words import (
    CARD_WINDOW_S,
    card,
    count,
    export_links,
    moment,
    nearest_window,
    stamp,
)
from app.glitches.browsing import exemplars
from app.glitches.records import GlitchRecord

MEMBERS_SHOWN = 48
STATE_TEXTS = {
    "flagged": "to review",
    "promoted": "new class",
    "merged": "merged",
    "dismissed": "dismissed",
    "split": "split",
}
_LEAST_CHANCE = 1e-12


def cluster_href(cluster: Cluster) -> str:
    """Address of a cluster's page."""
    return f"/ui/clusters/{cluster.id}"


def cluster_cards(
    session: Session, clusters: Sequence[Cluster], *, is_simulated: bool
) -> tuple[ClusterCard, ...]:
    """Clusters for the list."""
    shown = exemplars_of(session, [cluster.id for cluster in clusters])
    named = class_names_of(session, [cluster.identity for cluster in clusters])
    return tuple(
        _card(one, shown.get(one.id, ()), named.get(one.identity), is_simulated=is_simulated)
        for one in clusters
    )


def _card(
    cluster: Cluster,
    shown: Sequence[GlitchRecord],
    named: str | None,
    *,
    is_simulated: bool,
) -> ClusterCard:
    summary = cluster.summary
    times = summary.get("gps_times", {})
    nearest = next(iter(summary.get("nearest_classes", [])), None)
    first, last = _moment(times.get("first")), _moment(times.get("last"))
    counts = [bin_["count"] for bin_ in times.get("histogram", [])]
    return ClusterCard(
        href=cluster_href(cluster),
        title=_title(cluster, named if cluster.state in {"promoted", "merged"} else None),
        pictures=tuple(
            picture for picture in (card(one).picture for one in shown) if picture is not None
        ),
        size=f"{cluster.size:,}",
        ifos=tuple((ifo, f"{number:,}") for ifo, number in summary.get("ifos", {}).items()),
        state=STATE_TEXTS[cluster.state],
        is_flagged=cluster.state == "flagged",
        change=_change(cluster),
        first=first,
        last=last,
        rate=_rate(cluster),
        spark=sparkline(counts, _spark_text(first, last)),
        chance=_chance(cluster.significance),
        may_be_chance=cluster.may_be_chance,
        hint=_hint(cluster),
        warning=_warning(cluster),
        stability=_stability(cluster),
        nearest=None if nearest is None else nearest["label"],
        nearest_distance=None if nearest is None else _distance(nearest["distance"]),
        is_simulated=is_simulated,
    )


def _title(cluster: Cluster, named: str | None) -> str:
    number = count(cluster.size, "glitch", "glitches")
    return f"{named}, {number}" if named else number


def _spark_text(first: Moment | None, last: Moment | None) -> str:
    if first is None or last is None:
        return "When the members occurred"
    return f"Members from {first.utc[:10]} to {last.utc[:10]}"


def _change(cluster: Cluster) -> str | None:
    before = cluster.summary.get("previous_size")
    if "by_hand" in cluster.summary:
        return f"put together by {cluster.summary['by_hand']}"
    if "split_from" in cluster.summary:
        return f"split off by hand from {cluster.summary['split_from']:,}"
    if "beside" in cluster.summary and before is None:
        return "came to a decided cluster since"
    if before is None:
        return "new in this run"
    if cluster.size > before:
        return f"grew from {before:,}"
    return f"shrank from {before:,}" if cluster.size < before else "as in the run before"


def _stability(cluster: Cluster) -> str:
    """Of a part that a reviewer made nobody knows how surely it is found again."""
    whole = ", of the whole that it is a part of" if cluster.summary.get("is_part") else ""
    return f"{cluster.stability:.2f} of 1{whole}"


def _hint(cluster: Cluster) -> str | None:
    look = cluster.summary.get("simulated_look")
    if not look:
        return None
    return f"looks like simulated {look['label']}: {look['n']:,} of them lie about its middle"


def _warning(cluster: Cluster) -> str | None:
    told = [
        f"{one['n']:,} of these were dismissed by {one['author']} on {one['on']}"
        for one in cluster.summary.get("dismissed_before", [])
    ]
    since = _not_judged(cluster)
    return "; ".join([*told, *([since] if since else [])]) or None


def _not_judged(cluster: Cluster) -> str | None:
    n = cluster.summary.get("n_unjudged")
    return None if not n else f"{count(n, 'member')} came since it was decided about"


def _undecided(cluster: ClusterRecord) -> str:
    if "is_part" in cluster.summary and "beside" not in cluster.summary:
        return (
            "A reviewer split it off from a larger one; nobody has decided anything about it yet."
        )
    return "Nobody has decided anything about this cluster yet."


def _chance(significance: float | None) -> str:
    if significance is None:
        return "not tested"
    if significance < _LEAST_CHANCE:
        return f"p < {_LEAST_CHANCE:.0e}"
    return f"p = {significance:.2g}"


def _rate(cluster: Cluster) -> str | None:
    times = cluster.summary.get("gps_times", {})
    per_day, n_timed = times.get("rate_per_day"), times.get("n_timed")
    if n_timed is not None and n_timed < cluster.size:
        return f"{n_timed:,} of {cluster.size:,} carry a time"
    if per_day is None:
        return None
    return f"{per_day:.3g} a day" if per_day >= 1 else f"one in {1 / per_day:.3g} days"


def _distance(cosine: float | None) -> str | None:
    """A cosine distance as the chord that the members' distances are."""
    return None if cosine is None else f"{math.sqrt(2 * max(cosine, 0.0)):.2f}"


def _moment(text: str | None) -> Moment | None:
    return None if text is None else moment(Decimal(text))


def cluster_page_of(
    session: Session,
    cluster: Cluster,
    principal: Principal,
    *,
    is_simulated: bool,
    order: Order = "distance",
    window_s: float | None = None,
    page: int = 1,
    error: str | None = None,
    typed_new: str = "",
    typed_known: str = "",
    typed_text: str = "",
    chosen: frozenset[str] = frozenset(),
    undo: UndoOffer | None = None,
    merge_offer: str | None = None,
) -> ClusterPage:
    """The page of one cluster."""
    log = history(session, cluster.id)
    queue = queue_of(session, cluster)
    names = usable_class_names(session)
    medoid = next(iter(exemplars_of(session, [cluster.id]).get(cluster.id, ())), None)
    windows = () if medoid is None else medoid.views
    window = window_s if window_s in windows else nearest_window(windows, CARD_WINDOW_S)
    window = window or CARD_WINDOW_S
    can_review = principal.role >= Role.REVIEWER
    elsewhere = _elsewhere(session, cluster)
    can_choose = can_review and not elsewhere
    members = list_members(
        session,
        cluster.id,
        order=order,
        limit=MEMBERS_SHOWN,
        offset=MEMBERS_SHOWN * (page - 1),
    )
    facts = member_facts(session, cluster.id)
    times = cluster.summary.get("gps_times", {})
    first, last = _moment(times.get("first")), _moment(times.get("last"))
    class_name = _class_name(log)
    shown = _members(session, cluster, members.items, can_choose=can_choose, window_s=window)
    charts = (
        histogram([one.snr for one in facts], name="SNR", is_logarithmic=True),
        histogram(
            [one.peak_frequency for one in facts],
            name="Peak frequency",
            unit="Hz",
            is_logarithmic=True,
        ),
    )
    ends = None if first is None or last is None else (first, last)
    return ClusterPage(
        href=cluster_href(cluster),
        heading=_heading(cluster, class_name),
        state=STATE_TEXTS[cluster.state],
        class_name=class_name,
        is_simulated=is_simulated,
        is_open=cluster.state == "flagged",
        suggestions=count_by_cluster(session, [cluster.identity]).get(cluster.identity, 0),
        size=f"{cluster.size:,}",
        facts=_facts(cluster),
        chance=_chance(cluster.significance),
        may_be_chance=cluster.may_be_chance,
        trust=trust_sentence(cluster.size, cluster.summary.get("trust", {})),
        hint=_hint(cluster),
        warning=_warning(cluster),
        window=f"{window:g} s",
        windows=tuple(
            ClassCount(
                f"{one:g} s", f"{cluster_href(cluster)}?window={one:g}", is_chosen=one == window
            )
            for one in windows
        ),
        first=first,
        last=last,
        medoid=None if medoid is None else card(medoid, wanted_s=window).picture,
        likenesses=_likenesses(session, cluster, window, is_simulated=is_simulated),
        model_note=model_note(session, cluster),
        strips=strips_of(session, cluster),
        comparison=comparison_of(session, cluster),
        charts=tuple(chart for chart in charts if chart is not None),
        times=histogram(
            [one.gps_time for one in facts],
            name="Members over time",
            texts=None if ends is None else (ends[0].utc[:10], ends[1].utc[:10]),
        ),
        time_ends=ends,
        members=shown,
        orders=tuple(
            ClassCount(text, _address(cluster, value, 1, window), value == order)
            for value, text in (("distance", "distance to the medoid"), ("time", "time"))
        ),
        next_href=_address(cluster, order, page + 1, window) if members.next else None,
        first_href=_address(cluster, order, 1, window) if page > 1 else None,
        history=tuple(reversed(review_schemas.history(log).items)),
        undecided=_undecided(cluster),
        last_event_id=log.last_id,
        elsewhere=elsewhere,
        queue=_queue_text(queue),
        previous_cluster=_href_of(queue.previous_id),
        next_cluster=_href_of(queue.next_id),
        undo=undo,
        merge_offer=merge_offer,
        class_names=tuple(names),
        exports=export_links(f"/ui/glitches?cluster={cluster.id}"),
        can_review=can_review,
        error=error,
        typed_new=typed_new[:100],
        # What a second reviewer typed as a new class is kept, where only known ones are asked for.
        typed_known=(typed_known or ("" if cluster.state == "flagged" else typed_new))[:100],
        typed_text=typed_text,
        chosen=chosen,
        chosen_elsewhere=" ".join(sorted(chosen - {one.choice.id for one in shown})),
    )


def undo_offer(
    session: Session, cluster_id: UUID, event_id: int, principal: Principal
) -> UndoOffer | None:
    """The way back from an act of the visitor's own, as long as it is the last there."""
    try:
        log = history(session, cluster_id)
    except NotFoundError:
        return None
    if not log.may_undo(event_id) or log.event(event_id).author != principal.name:
        return None
    return UndoOffer(f"{_href_of(cluster_id)}/review", event_id, log.last_id)


def _href_of(cluster_id: UUID | None) -> str | None:
    return None if cluster_id is None else f"/ui/clusters/{cluster_id}"


def _queue_text(queue: Queue) -> str:
    if queue.place is not None:
        return f"{queue.place} of {queue.total:,} to review"
    return f"{queue.total:,} to review" if queue.total else "nothing left to review"


def _address(cluster: Cluster, order: str, page: int, window_s: float) -> str:
    values = {"order": order} | ({"page": str(page)} if page > 1 else {})
    if window_s != CARD_WINDOW_S:
        values["window"] = f"{window_s:g}"
    return f"{cluster_href(cluster)}?{urlencode(values)}#members"


def _heading(cluster: Cluster, class_name: str | None) -> str:
    number = count(cluster.size, "glitch", "glitches")
    return f"{class_name}: cluster of {number}" if class_name else f"Cluster of {number}"


def _class_name(log: Log) -> str | None:
    """The class that the cluster was named, or merged into, if that stands."""
    named = [log.event(root) for root in log.done]
    names = [event.payload["class_name"] for event in named if event.kind in {"promote", "merge"}]
    return str(names[-1]) if names else None


def _facts(cluster: Cluster) -> tuple[Fact, ...]:
    summary = cluster.summary
    alike = summary.get("looks_alike", {})
    lines = [
        ("Members", f"{cluster.size:,}"),
        ("Since the last run", _change(cluster)),
        ("Detectors", ", ".join(f"{ifo} {n:,}" for ifo, n in summary.get("ifos", {}).items())),
        ("By chance", _chance(cluster.significance)),
        ("Stability", _stability(cluster)),
        ("Not judged", _not_judged(cluster)),
        ("Rate", _rate(cluster)),
        ("Looks like this", count(alike.get("count", 0), "glitch", "glitches")),
        ("Found", stamp(cluster.created_at)),
    ]
    return tuple(Fact(name, value) for name, value in lines if value)


def _likenesses(
    session: Session, cluster: Cluster, window_s: float, *, is_simulated: bool
) -> tuple[Likeness, ...]:
    names = [one["label"] for one in cluster.summary.get("nearest_classes", [])]
    known = exemplars(session) | class_pictures(session, names, window_s, is_simulated=is_simulated)
    cards = {name: card(known[name], wanted_s=window_s) for name in names if name in known}
    returning = set(cluster.summary.get("returning", []))
    return tuple(
        Likeness(
            name=one["label"],
            href=f"/ui/glitches?{urlencode({'label': one['label']})}",
            picture=cards[one["label"]].picture if one["label"] in cards else None,
            window=cards[one["label"]].window if one["label"] in cards else "",
            distance=_distance(one["distance"]),
            members=count(one["members"], "glitch", "glitches"),
            returning=one["label"] in returning,
        )
        for one in cluster.summary.get("nearest_classes", [])
    )


def _members(
    session: Session,
    cluster: Cluster,
    members: Sequence[MemberRecord],
    *,
    can_choose: bool,
    window_s: float,
) -> tuple[Member, ...]:
    suggested = suggested_classes(session, [one.glitch.id for one in members], cluster.identity)
    return tuple(
        Member(
            card(one.glitch, distance=one.distance, wanted_s=window_s),
            MemberChoice(
                id=str(one.glitch.id),
                name=f"Choose {one.glitch.label or 'unlabelled'} {one.glitch.public_id}",
                suggested=next(iter(suggested.get(one.glitch.id, ())), None),
                can_choose=can_choose,
            ),
        )
        for one in members
    )


def _elsewhere(session: Session, cluster: Cluster) -> tuple[tuple[str, str], ...]:
    """Where to go instead: the parts of a split, or what a later run found."""
    parts = parts_of(session, cluster.id)
    if parts:
        return tuple((cluster_href(one), f"the part of {one.size:,}") for one in parts)
    latest = latest_of(session, cluster.identity)[0]
    if latest.id != cluster.id:
        return ((cluster_href(latest), f"the latest, with {latest.size:,} members"),)
    return ()
