"""What the templates of review are given."""

from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

from fastapi import Form

from app.clusters.pages.words import ClusterInWords
from app.clusters.records import ClusteringParameters
from app.clusters.review.log import ReviewEvent
from app.core.errors import InvalidRequestError
from app.frame.contexts import (
    Card,
    Choice,
    ClassCount,
    Download,
    Fact,
    MemberChoice,
    Moment,
    PageContext,
)
from app.frame.deps import EventId, LongText
from app.frame.figures import StripSection
from app.frame.histograms import Histogram, Sparkline, Timeline
from app.glitches.records import GlitchRecord
from app.jobs.pages.view import FollowedJob


@dataclass(frozen=True)
class ClusterCard:
    """One cluster in the list."""

    words: ClusterInWords
    title: str  # what it is called: its class, or its size
    exemplars: tuple[GlitchRecord, ...]  # the medoid first
    spark: Sparkline | None
    nearest: tuple[str, str | None] | None  # the nearest class, and how far it is
    is_simulated: bool


@dataclass(frozen=True)
class RunTyped:
    """The fields of the form that starts a clustering, as typed."""

    fdr: Annotated[str, Form(max_length=40)] = f"{ClusteringParameters.fdr:g}"
    min_cluster_size: Annotated[str, Form(max_length=40)] = (
        f"{ClusteringParameters.min_cluster_size}"
    )
    dormant_days: Annotated[str, Form(max_length=20)] = f"{ClusteringParameters.dormant_days}"
    ifo: Annotated[str, Form(max_length=10)] = ""
    simulated: Annotated[str, Form(max_length=5)] = ""  # the simulated glitches, if anything
    everything: Annotated[str, Form(max_length=5)] = ""  # labelled glitches too, if anything

    def parsed(self) -> ClusteringParameters:
        """The parameters as services take them.

        Raises:
            InvalidRequestError: if a number is none.
        """
        try:
            return ClusteringParameters(
                fdr=float(self.fdr),
                min_cluster_size=int(self.min_cluster_size),
                ifo=self.ifo or None,
                scope="everything" if self.everything else ClusteringParameters.scope,
                is_simulated=bool(self.simulated),
                dormant_days=int(self.dormant_days),
            )
        except ValueError:
            raise InvalidRequestError(
                "Give the rate as a number such as 0.1, the smallest size and the days of silence "
                "as whole numbers such as 5 and 60."
            ) from None


UNTYPED = RunTyped()


@dataclass(frozen=True)
class ReviewTyped:
    """The fields of the form that reviews a cluster, as typed and chosen."""

    act: Annotated[str, Form(max_length=20)] = ""
    last_event_id: EventId = 0
    event_id: EventId = 0
    new_class: LongText = ""
    class_name: LongText = ""
    text: LongText = ""
    member: Annotated[tuple[UUID, ...], Form(max_length=10_000)] = ()
    also: Annotated[str, Form(max_length=400_000)] = ""  # members of pages that were not open

    @property
    def chosen(self) -> tuple[UUID, ...]:
        """Members on the page of the gallery that was open, and on others, or chosen by eye.

        Raises:
            InvalidRequestError: if the list of the others is damaged.
        """
        try:
            others = [UUID(part) for part in self.also.split()]
        except ValueError:
            raise InvalidRequestError(
                "The list of chosen members is damaged: choose them again."
            ) from None
        return tuple(dict.fromkeys((*self.member, *others)))


@dataclass(frozen=True)
class DemoNote:
    """How the demonstration stands, for who looks."""

    is_there: bool  # or on its way
    is_admin: bool  # may remove it, or bring it back
    its_run: str | None  # address of its clusters, where others are shown


@dataclass(frozen=True)
class ClustersPage(PageContext):
    """The clusters of a run."""

    template: ClassVar[str] = "clusters.html"
    section: ClassVar[str] = "clusters"

    heading: str
    run: tuple[str, ...]  # what it found, in sentences
    run_more: tuple[str, ...]  # further ones, folded away
    doubt: str | None  # whether its labels were a fair sample
    run_made: str | None
    changes: tuple[ClassCount, ...]  # since the run before, each with the clusters it means
    changes_text: str | None
    cards: tuple[ClusterCard, ...]
    states: tuple[ClassCount, ...]
    elsewhere: tuple[tuple[str, str], ...]  # other runs whose clusters wait: address and text
    runs: tuple[Choice, ...]
    ifos: tuple[Choice, ...]
    observing_runs: tuple[Choice, ...]  # observing runs
    state: str
    min_size: str
    start: str
    end: str
    is_narrowed: bool
    errors: tuple[str, ...]
    next_href: str | None
    first_href: str | None
    followed: FollowedJob | None  # at work, and of interest here
    trouble: str | None  # why the last clustering failed
    demo: DemoNote
    is_empty_catalogue: bool
    is_nothing_new: bool  # the run had no unlabelled glitch to test
    can_start: bool
    typed: RunTyped
    run_ifos: tuple[Choice, ...]  # of a new clustering
    start_error: str | None  # why none was started


@dataclass(frozen=True)
class Member:
    """One member in the gallery."""

    card: Card
    choice: MemberChoice


@dataclass(frozen=True)
class Likeness:
    """A known class beside the cluster."""

    name: str
    href: str
    picture: str | None
    window: str  # "4 s" where none of the class was seen in the common one
    distance: str | None
    members: str
    returning: bool  # dormant, and it occurs again


@dataclass(frozen=True)
class Comparison:
    """The medoid as it was seen, as the model paints it, and what is left."""

    pictures: tuple[tuple[str, str, str], ...]  # address, caption, description
    window: str  # "1 s"
    href: str  # where all windows are compared


@dataclass(frozen=True)
class UndoOffer:
    """The way back from what was just done, beside the sentence that says so."""

    action: str
    event_id: int
    last_event_id: int


@dataclass(frozen=True)
class ClusterPage(PageContext):
    """One cluster."""

    template: ClassVar[str] = "cluster.html"
    section: ClassVar[str] = "clusters"

    href: str
    heading: str
    words: ClusterInWords
    is_simulated: bool
    suggestions: int
    trust: str  # one sentence
    doubt: str | None  # whether the labels of its run were a fair sample
    window: str  # in which the medoid and the classes are shown beside each other
    windows: tuple[ClassCount, ...]  # those of the medoid
    medoid: str | None
    likenesses: tuple[Likeness, ...]
    model_note: str | None  # that another model serves now
    strips: StripSection
    comparison: Comparison | None
    charts: tuple[Histogram, ...]
    times: Histogram | None
    members: tuple[Member, ...]
    orders: tuple[ClassCount, ...]
    next_href: str | None
    first_href: str | None
    history: tuple[ReviewEvent, ...]
    last_event_id: int
    elsewhere: tuple[tuple[str, str], ...]  # address and text of what stands in for it now
    beside: tuple[str, str] | None  # and of the decided cluster that it came to
    queue: str  # "2 of 7 to review"
    previous_cluster: str | None
    next_cluster: str | None
    undo: UndoOffer | None
    merge_offer: str | None  # the class whose name was given to the cluster as a new one
    class_names: tuple[str, ...]
    exports: tuple[Download, ...]
    can_review: bool
    error: str | None
    typed_new: str
    typed_known: str
    typed_text: str
    chosen: frozenset[str]  # members, on this page of the gallery or not
    chosen_elsewhere: str  # those that it does not show, with spaces between


@dataclass(frozen=True)
class SeenPage(PageContext):
    """When the look of a cluster occurred before."""

    template: ClassVar[str] = "cluster_seen.html"
    section: ClassVar[str] = "clusters"

    href: str  # of the cluster
    sentence: str
    timeline: Timeline | None
    width: str  # of a bar: "a day"
    first: Moment | None
    last: Moment | None
    runs: tuple[Fact, ...]
