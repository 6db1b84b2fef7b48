"""Model output on a cluster's page, and the page on earlier occurrences."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from app.clusters.occurrences import seen_before
from app.clusters.pages.display import cluster_href
from app.clusters.records import Cluster
from app.clusters.service import get_run
from app.core.errors import NotFoundError, NotReadyError
from app.core.wording import count
from app.frame.contexts import Fact, Moment, PageContext
from app.frame.display import CARD_WINDOW_S, glitch_href, moment, nearest_window
from app.frame.figures import StripSection
from app.frame.histograms import Timeline, timeline
from app.glitches.selection import get_glitch
from app.models.checkpoints import active_checkpoint, get_checkpoint
from app.models.pages.strips import strip_section
from app.models.traversals import cluster_traversals
from glitch.gps import gps_to_utc


@dataclass(frozen=True)
class Comparison:
    """The medoid's spectrogram, its reconstruction by the model, and the residual."""

    pictures: tuple[tuple[str, str, str], ...]  # address, caption, description
    window: str  # "1 s"
    href: str  # of the page that compares all windows


class SeenPage(PageContext, template="cluster_seen.html", section="clusters"):
    """The page on earlier glitches that look like a cluster."""

    href: str  # of the cluster
    sentence: str
    timeline: Timeline | None
    width: str  # of a bar: "a day"
    first: Moment | None
    last: Moment | None
    runs: tuple[Fact, ...]


_DAY_S, _YEAR_S = 86_400, 31_557_600
_WIDTHS = {
    60: "a minute",
    3_600: "an hour",
    _DAY_S: "a day",
    604_800: "a week",
    2_629_800: "a month",
    _YEAR_S: "a year",
}

_CAPTIONS = {
    "views": ("input", "Spectrogram of the medoid"),
    "reconstruction": ("reconstruction", "Reconstruction of the medoid"),
    "residual": ("residual", "Residual of the medoid"),
}


def strips_of(session: Session, cluster: Cluster) -> StripSection:
    """Return the latents that distinguish the cluster, or a sentence why they are not known."""
    try:
        window_s = _window_of_medoid(session, cluster)
        return strip_section(cluster_traversals(session, cluster.id), window_s)
    except NotFoundError as error:
        return StripSection((), "", "", str(error))


def comparison_of(session: Session, cluster: Cluster) -> Comparison | None:
    """Return the medoid's pictures in one window; None if the medoid was deleted."""
    if cluster.medoid_id is None:
        return None
    window_s = _window_of_medoid(session, cluster)
    own = glitch_href(cluster.medoid_id)
    checkpoint = get_run(session, cluster.run_id).checkpoint_id
    return Comparison(
        pictures=tuple(
            (
                f"{own}/{kind}/{window_s:g}.png"
                + ("" if kind == "views" else f"?checkpoint={checkpoint}"),
                caption,
                f"{name}, {window_s:g} s",
            )
            for kind, (caption, name) in _CAPTIONS.items()
        ),
        window=f"{window_s:g} s",
        href=f"{own}?show=residual#sights",
    )


def model_note(session: Session, cluster: Cluster) -> str | None:
    """Say that another model is active than the one of the cluster's run, and what follows."""
    run = get_run(session, cluster.run_id)
    try:
        active = active_checkpoint(session)
    except NotReadyError:
        return "No model is active now: this is what the last clustering found."
    if run.checkpoint_id == active.id:
        return None
    found_by = get_checkpoint(session, run.checkpoint_id).name
    return (
        f"The model {found_by} found this cluster; {active.name} is active now. Decisions are "
        "kept, and you can still review it. Start a clustering to see what the new model finds."
    )


def seen_page_of(session: Session, cluster: Cluster) -> SeenPage:
    """Build the page on the glitches that look like the cluster's medoid, over time."""
    times = seen_before(session, cluster.id)
    start = cluster.summary.get("gps_times", {}).get("first")
    width = 10 if times.width_s >= _DAY_S else 16  # characters of UTC: date, or date and minute
    counts = [
        (one.count, one.total, str(gps_to_utc(Decimal(str(round(one.gps_start, 3)))))[:width])
        for one in times.bins
    ]
    earlier = sum(
        one.count for one in times.bins if start is not None and one.gps_end <= float(start)
    )
    alike = count(times.count, "glitch looks", "glitches look")
    sentence = f"{alike} like the medoid of this cluster, whether labelled or not"
    if start is not None:
        sentence += (
            f"; {earlier:,} of them before its first member"
            if earlier
            else ("; none before its first member")
        )
    if times.untimed:
        sentence += f"; {times.untimed:,} have no time and are in no bar"
    return SeenPage(
        href=cluster_href(cluster.id),
        sentence=f"{sentence}.",
        timeline=timeline(counts, sentence),
        width=_WIDTHS.get(round(times.width_s), f"{times.width_s / _YEAR_S:.0f} years"),
        first=moment(Decimal(str(times.bins[0].gps_start))) if times.bins else None,
        last=moment(Decimal(str(times.bins[-1].gps_end))) if times.bins else None,
        runs=tuple(
            Fact(one.observing_run, f"{one.count:,} of {one.total:,}") for one in times.runs
        ),
    )


def _window_of_medoid(session: Session, cluster: Cluster) -> float:
    if cluster.medoid_id is None:
        raise NotFoundError(
            "The medoid of this cluster was deleted, so there are no pictures of it."
        )
    views = get_glitch(session, cluster.medoid_id).views
    return nearest_window(views, CARD_WINDOW_S) or CARD_WINDOW_S
