"""Contexts of a cluster's page and of the cards in the list, built from service records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Form
from sqlalchemy.orm import Session

from app.classes.naming import class_named, current_name, list_classes, usable_class_names
from app.clusters import service
from app.clusters.decided import count_unlabelled_again, identity_in
from app.clusters.identities import current_cluster
from app.clusters.pages.display import ClusterInWords, chord, cluster_href
from app.clusters.pages.model import Comparison, comparison_of, model_note, strips_of
from app.clusters.records import Cluster
from app.clusters.review.context import count_by_cluster, suggested_classes
from app.clusters.review.log import Log
from app.clusters.review.service import class_names_of, history, may_withdraw, reported_decisions
from app.core.access import Principal
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.wording import count
from app.frame.contexts import Card, ClassCount, Download, PageContext, Pages
from app.frame.deps import EventId, LongText
from app.frame.display import CARD_WINDOW_S, address, card, export_links, nearest_window, numbered
from app.frame.figures import StripSection
from app.frame.histograms import Histogram, histogram
from app.glitches.records import GlitchRecord
from app.glitches.service import exemplars


@dataclass(frozen=True)
class ClusterCard:
    """One cluster in the list."""

    words: ClusterInWords
    name: str | None  # of its class, if it is named
    exemplars: tuple[GlitchRecord, ...]  # the medoid first


@dataclass(frozen=True)
class ReviewForm:
    """The fields of the form that reviews a cluster, as typed and chosen."""

    act: Annotated[str, Form(max_length=20)] = ""
    last_event_id: EventId = 0
    event_id: EventId = 0
    new_class: LongText = ""
    class_name: LongText = ""
    text: LongText = ""
    member: Annotated[tuple[UUID, ...], Form(max_length=10_000)] = ()
    also: Annotated[str, Form(max_length=400_000)] = ""  # selected members on other pages

    @property
    def chosen(self) -> tuple[UUID, ...]:
        """The selected members, on this page of the gallery, on others and in the scatter plot."""
        try:
            others = [UUID(part) for part in self.also.split()]
        except ValueError:
            raise InvalidRequestError(
                "The list of chosen members is damaged: choose them again."
            ) from None
        return tuple(dict.fromkeys((*self.member, *others)))


@dataclass(frozen=True)
class Likeness:
    """A known class shown next to the cluster."""

    name: str
    href: str
    picture: str | None
    window: str  # another, such as "4 s", if the class has no picture in the cluster's
    distance: str | None
    members: str
    returning: bool  # the class was dormant and occurs again


@dataclass(frozen=True)
class UndoOffer:
    """The button that undoes the action just done."""

    action: str
    event_id: int
    last_event_id: int


@dataclass(frozen=True)
class DecidedCluster:
    """The decided cluster that this cluster's members joined later, or belonged to."""

    href: str
    text: str
    n_unlabelled: int  # members that belonged to it and whose labels were revoked


class ClusterPage(PageContext, template="cluster.html", section="clusters"):
    """The page of one cluster."""

    href: str
    heading: str
    class_name: str | None  # what it was named or merged into
    words: ClusterInWords
    is_simulated: bool
    labels_since: str | None  # how many labels changed since its run
    suggestions: int
    window: str  # in which the medoid and the classes are shown
    windows: tuple[ClassCount, ...]  # of the medoid
    medoid: str | None
    has_medoid: bool  # if not, another exemplar is shown
    n_deleted: int  # members that were deleted from the catalogue
    likenesses: tuple[Likeness, ...]
    model_note: str | None  # says that another model is active now
    strips: StripSection
    comparison: Comparison | None
    charts: tuple[Histogram, ...]
    times: Histogram | None
    members: tuple[Card, ...]
    suggested: Mapping[str, str]  # by member id, the class that the review suggests
    orders: tuple[ClassCount, ...]
    pages: Pages
    log: Log
    elsewhere: tuple[tuple[str, str], ...]  # address and text of the clusters that replace it
    decided: DecidedCluster | None
    unlabelled_again: int  # members of a named cluster whose labels were revoked
    queue: service.Queue
    undo: UndoOffer | None
    may_withdraw: bool
    merge_offer: str | None  # existing class whose name was typed as that of a new one
    class_names: tuple[str, ...]
    exports: tuple[Download, ...]
    error: str | None
    typed: ReviewForm
    chosen: frozenset[str]  # selected members on all pages of the gallery
    chosen_elsewhere: str  # selected members on other pages, separated by spaces


MEMBERS_SHOWN = 48
_NAMED = {"promoted", "merged"}
UNREVIEWED = ReviewForm()


def cluster_cards(session: Session, clusters: Sequence[Cluster]) -> tuple[ClusterCard, ...]:
    """Build the cards of the list."""
    exemplars_by_id = service.exemplars_of(session, [cluster.id for cluster in clusters])
    named = class_names_of(session, [cluster.identity for cluster in clusters])
    decisions = reported_decisions(session, clusters)
    return tuple(
        ClusterCard(
            words=ClusterInWords(one, decisions.get(one.id)),
            name=named.get(one.identity) if one.state in _NAMED else None,
            exemplars=exemplars_by_id.get(one.id, ()),
        )
        for one in clusters
    )


def cluster_page_of(
    session: Session,
    cluster: Cluster,
    *,
    order: service.Order = "distance",
    window_s: float | None = None,
    page: int = 1,
    error: str | None = None,
    typed: ReviewForm = UNREVIEWED,
    undo: UndoOffer | None = None,
) -> ClusterPage:
    """Build the page of one cluster; after an error, with the values that were typed."""
    log = history(session, cluster.id)
    run = service.get_run(session, cluster.run_id)
    is_simulated = run.is_simulated
    medoid = next(iter(service.exemplars_of(session, [cluster.id]).get(cluster.id, ())), None)
    windows = () if medoid is None else medoid.views
    window = window_s if window_s in windows else nearest_window(windows, CARD_WINDOW_S)
    window = window or CARD_WINDOW_S
    elsewhere = _replacements(session, cluster)
    members = service.list_members(
        session, cluster.id, order=order, limit=MEMBERS_SHOWN, offset=MEMBERS_SHOWN * (page - 1)
    )
    facts = service.member_facts(session, cluster.id)
    chosen = frozenset(map(str, typed.chosen))
    # The class that it was named or merged into, if that is in force.
    named = class_names_of(session, [cluster.identity]) if cluster.state in _NAMED else {}
    class_name, number = named.get(cluster.identity), count(cluster.size, "glitch", "glitches")
    shown = tuple(card(one.glitch, distance=one.distance, wanted_s=window) for one in members.items)
    suggested = suggested_classes(
        session, [one.glitch.id for one in members.items], cluster.identity
    )
    charts = (
        histogram([one.snr for one in facts], name="SNR", is_logarithmic=True),
        histogram(
            [one.peak_frequency for one in facts],
            name="Peak frequency",
            unit="Hz",
            is_logarithmic=True,
        ),
    )
    words = ClusterInWords(cluster, reported_decisions(session, [cluster]).get(cluster.id))
    ends = words.ends
    since = service.labels_since(session, run)
    changes = ((since.added, "added"), (since.removed, "removed"), (since.changed, "changed class"))
    labels = ", ".join(
        f"{n:,}{' or more' * (n >= service.MAX_LABELS_COUNTED)} {how}" for n, how in changes if n
    )
    return ClusterPage(
        href=cluster_href(cluster.id),
        heading=f"{class_name}: cluster of {number}" if class_name else f"Cluster of {number}",
        class_name=class_name,
        words=words,
        is_simulated=is_simulated,
        labels_since=labels or None,
        suggestions=count_by_cluster(session, [cluster.identity]).get(cluster.identity, 0),
        window=f"{window:g} s",
        windows=tuple(
            ClassCount(
                f"{one:g} s", f"{cluster_href(cluster.id)}?window={one:g}", is_chosen=one == window
            )
            for one in windows
        ),
        medoid=None if medoid is None else card(medoid, wanted_s=window).picture,
        has_medoid=cluster.medoid_id is not None,
        n_deleted=cluster.size - len(facts),
        likenesses=_likenesses(session, cluster, window, is_simulated=is_simulated),
        model_note=model_note(session, cluster),
        strips=strips_of(session, cluster),
        comparison=comparison_of(session, cluster),
        charts=tuple(chart for chart in charts if chart is not None),
        times=histogram(
            [one.gps_time for one in facts],
            name="Times",
            texts=None if ends is None else (ends[0].utc[:10], ends[1].utc[:10]),
        ),
        members=shown,
        suggested={str(glitch_id): names[0] for glitch_id, names in suggested.items()},
        orders=tuple(
            ClassCount(text, _address(cluster, value, None, window), value == order)
            for value, text in (("distance", "distance to the medoid"), ("time", "time"))
        ),
        pages=numbered(
            page, len(facts), MEMBERS_SHOWN, lambda number: _address(cluster, order, number, window)
        ),
        log=log,
        elsewhere=elsewhere,
        decided=_decided_cluster(session, cluster),
        unlabelled_again=0 if elsewhere else count_unlabelled_again(session, cluster.id),
        queue=service.queue_of(session, cluster),
        undo=undo,
        may_withdraw=may_withdraw(session, cluster),
        merge_offer=class_named(session, typed.new_class)
        if error and typed.act == "promote"
        else None,
        class_names=usable_class_names(session),
        exports=export_links(f"/ui/glitches?cluster={cluster.id}"),
        error=error,
        typed=typed,
        chosen=chosen,
        chosen_elsewhere=" ".join(sorted(chosen - {one.id for one in shown})),
    )


def undo_offer(
    session: Session, cluster_id: UUID, event_id: int, principal: Principal
) -> UndoOffer | None:
    """Offer to undo the visitor's own action, as long as it is the last on its cluster.

    Without an event it is that the visitor made the cluster of a selection.
    """
    try:
        log = history(session, cluster_id)
        cluster = service.get_cluster(session, cluster_id)
    except NotFoundError:
        return None
    if not event_id and cluster.summary.get("by_hand") == principal.name:
        is_possible = may_withdraw(session, cluster)
        return UndoOffer(f"{cluster_href(cluster_id)}/withdraw", 0, 0) if is_possible else None
    if not log.may_undo(event_id) or log.event(event_id).author != principal.name:
        return None
    return UndoOffer(f"{cluster_href(cluster_id)}/review", event_id, log.last_id)


def _address(cluster: Cluster, order: str, page: str | None, window_s: float) -> str:
    window = "" if window_s == CARD_WINDOW_S else f"{window_s:g}"
    own = address(cluster_href(cluster.id), order=order, page=page, window=window)
    return f"{own}#members"


def _likenesses(
    session: Session, cluster: Cluster, window_s: float, *, is_simulated: bool
) -> tuple[Likeness, ...]:
    nearest = cluster.summary.get("nearest_classes", [])
    usable = {one.name for one in list_classes(session)}
    current_names = {  # current names of classes renamed since
        name: name if name in usable else current_name(session, name) or name
        for name in (one["label"] for one in nearest)
    }
    names = list(current_names.values())
    known = exemplars(session) | service.class_pictures(
        session, names, window_s, is_simulated=is_simulated
    )
    cards = {name: card(known[name], wanted_s=window_s) for name in names if name in known}
    returning = set(cluster.summary.get("returning", []))
    return tuple(
        Likeness(
            name=name,
            href=address("/ui/glitches", label=name),
            picture=cards[name].picture if name in cards else None,
            window=cards[name].window if name in cards else "",
            distance=chord(one["distance"]),
            members=count(one["members"], "glitch", "glitches"),
            returning=one["label"] in returning,
        )
        for one, name in zip(nearest, names, strict=True)
    )


def _decided_cluster(session: Session, cluster: Cluster) -> DecidedCluster | None:
    identity = identity_in(cluster.summary)
    decided = None if identity is None else current_cluster(session, identity)
    if decided is None or decided.state == "flagged":  # the decision was undone
        return None
    name = class_names_of(session, [decided.identity]).get(decided.identity)
    state = "was dismissed" if decided.state == "dismissed" else f"is {name}"
    text = f"the cluster of {count(decided.size, 'glitch', 'glitches')} that {state}"
    n_unlabelled = cluster.summary.get("n_unlabelled_again", 0)
    return DecidedCluster(cluster_href(decided.id), text, n_unlabelled)


def _replacements(session: Session, cluster: Cluster) -> tuple[tuple[str, str], ...]:
    """Return links to the parts of a split cluster, or to its cluster in a later run."""
    parts = service.parts_of(session, cluster.id)
    if parts:
        return tuple((cluster_href(one.id), f"the part of {one.size:,}") for one in parts)
    latest = current_cluster(session, cluster.identity)
    if latest.id != cluster.id:
        return ((cluster_href(latest.id), f"the latest, with {latest.size:,} members"),)
    return ()
