"""The list of clusters: filters, changes since the previous run, and the job of the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.orm import Session

from app.clusters import service
from app.clusters.findings import DOUBTS, doubt_of, sentences
from app.clusters.pages.display import STATE_TEXTS, cluster_href
from app.clusters.pages.view import ClusterCard, cluster_cards
from app.clusters.records import Cluster, ClusteringParameters, Run, population
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.wording import count
from app.demo.plan import HIDDEN_CLASS
from app.demo.service import Demonstration, demonstration
from app.frame.contexts import ClassCount, PageContext, Pages
from app.frame.deps import ShortText
from app.frame.display import address, numbered, stamp
from app.frame.form_values import no_such_filter, parse_time_range
from app.frame.render import SAID
from app.glitches.service import list_glitches
from app.jobs.pages.view import FollowedJob, followed
from app.jobs.service import latest_job
from glitch.detectors import DETECTORS


@dataclass(frozen=True)
class ClusteringForm:
    """The fields of the form that starts a clustering, as typed."""

    fdr: ShortText = f"{ClusteringParameters.fdr:g}"
    min_cluster_size: ShortText = f"{ClusteringParameters.min_cluster_size}"
    dormant_days: ShortText = f"{ClusteringParameters.dormant_days}"
    ifo: ShortText = ""
    simulated: ShortText = ""  # if not empty: cluster simulated glitches
    everything: ShortText = ""  # if not empty: labelled glitches too

    def parsed(self) -> ClusteringParameters:
        """Parse the fields; InvalidRequestError if a number cannot be parsed."""
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


UNTYPED = ClusteringForm()


@dataclass(frozen=True)
class DemoNote:
    """The state of the demonstration, for the note on the page."""

    is_loaded: bool  # or being loaded
    to_review: str | None  # address of one of its clusters that waits for review
    hidden_class: str | None  # class whose labels it hides, once all its clusters are reviewed


class ClustersPage(PageContext, template="clusters.html", section="clusters"):
    """The page that lists the clusters of a run."""

    heading: str
    run: tuple[str, ...]  # its findings, in sentences
    run_more: tuple[str, ...]  # further ones, folded away
    doubt: str | None  # why its false-discovery rate may not hold
    run_created: str | None
    changes: tuple[ClassCount, ...]  # since the previous run, each with a link to its clusters
    changes_text: str | None
    cards: tuple[ClusterCard, ...]
    is_simulated: bool
    states: tuple[ClassCount, ...]
    elsewhere: tuple[tuple[str, str], ...]  # other runs whose clusters wait: address and text
    runs: Mapping[str, str]  # run ids and their texts in the selection list
    run_id: str
    query: Mapping[str, str]  # query parameters of the address
    state: str
    is_narrowed: bool
    errors: tuple[str, ...]
    pages: Pages
    followed: FollowedJob | None  # the open job whose result will appear here
    trouble: str | None  # why the last clustering failed
    demo: DemoNote
    is_empty_catalogue: bool
    is_nothing_new: bool  # the run had no unlabelled glitch to test
    typed: ClusteringForm
    start_error: str | None  # why no clustering was started


PAGE_SIZE = 24
RUNS_OFFERED = 20
_EVERY = "all"
_SENTENCES_SHOWN = 3  # of a run's findings; the others are folded
_FIELDS = ("run", "state", "ifo", "min_size", "observing_run", "start", "end", "change", "page")
_LONGEST = 60


def clusters_page_of(
    session: Session,
    params: Mapping[str, str],
    page: int = 1,
    *,
    typed: ClusteringForm = UNTYPED,
    start_error: str | None = None,
) -> ClustersPage:
    """Build the page for the query parameters; those that are not valid give errors on it."""
    values = {name: params.get(name, "").strip() for name in _FIELDS}
    values = {name: value for name, value in values.items() if value}
    runs = service.list_runs(session, limit=RUNS_OFFERED).items
    filters, errors = _read(values, no_such_filter(params, (*_FIELDS, SAID)))
    waiting = service.runs_that_wait(session)
    first = next((one for one, _ in waiting), next(iter(runs), None))
    run = _chosen_run(session, first, values.get("run"), errors)
    if run is not None and run not in runs:  # an older run, linked from a job's page
        runs = (*runs, run)
    clusters: list[Cluster] = []
    counts: dict[str, int] = {}
    if run is not None and not errors:
        offset = PAGE_SIZE * (page - 1)
        clusters = service.ranked_clusters(session, run.id, filters, limit=PAGE_SIZE, offset=offset)
        counts = service.count_by_state(session, run.id, filters)
    demo = demonstration(session)
    at_work, trouble = _followed(session, demo)
    changes, changes_text = _changes(session, run, values)
    chosen_state = values.get("state", "flagged")
    total = sum(counts.values()) if chosen_state == _EVERY else counts.get(chosen_state, 0)
    findings = () if run is None else run.findings
    texts = tuple(sentences(one for one in findings if one["kind"] not in DOUBTS))
    words = {"flagged": "cluster to review", _EVERY: "cluster"}
    one = words.get(chosen_state, f"cluster: {STATE_TEXTS.get(chosen_state, '')}")
    many = one.replace("cluster", "clusters", 1)
    return ClustersPage(
        heading="Clusters" if run is None or errors else count(total, one, many),
        run=texts[:_SENTENCES_SHOWN],
        run_more=texts[_SENTENCES_SHOWN:],
        doubt=doubt_of(findings),
        changes=changes,
        changes_text=changes_text,
        run_created=f"{_kind(run)}, {stamp(run.created_at)}, by {run.author}" if run else None,
        cards=cluster_cards(session, clusters),
        is_simulated=run is not None and run.is_simulated,
        elsewhere=tuple(
            (f"/ui/clusters?run={one.id}", f"{number:,} of {_kind(one)}")
            for one, number in waiting
            if (run is None or one.id != run.id)
            and not one.is_simulated  # the demonstration's note links to those
        ),
        states=tuple(
            ClassCount(
                text="all" if name == _EVERY else STATE_TEXTS[name],
                count=f"{sum(counts.values()) if name == _EVERY else counts.get(name, 0):,}",
                href=_href(values, state=None if name == "flagged" else name, page=None),
                is_chosen=name == chosen_state,
            )
            for name in ("flagged", "promoted", "merged", "dismissed", _EVERY)
        ),
        runs={
            str(one.id): f"{stamp(one.created_at)} · {_kind(one)} · FDR {one.fdr:g} · "
            f"{count(one.n_clusters, 'cluster')}"
            for one in runs
        },
        run_id=str(run.id) if run else "",
        query={**dict.fromkeys(_FIELDS, ""), **values},
        state=chosen_state,
        is_narrowed=bool(set(values) - {"run", "state", "page"}),
        errors=tuple(errors),
        pages=numbered(page, total, PAGE_SIZE, lambda number: _href(values, page=number)),
        followed=at_work,
        trouble=trouble,
        demo=_demo_note(session, demo, runs),
        is_empty_catalogue=run is None and not list_glitches(session, limit=1).items,
        is_nothing_new=run is not None and run.scope == "novel" and not run.n_judged,
        typed=typed,
        start_error=start_error,
    )


def _demo_note(session: Session, demo: Demonstration, runs: Sequence[Run]) -> DemoNote:
    """Describe the demonstration, from the latest run of simulated glitches that found clusters."""
    is_loaded = demo.is_loaded or demo.is_loading
    run = next((one for one in runs if one.is_simulated and one.n_clusters), None)
    if run is None or not is_loaded:
        return DemoNote(is_loaded=is_loaded, to_review=None, hidden_class=None)
    flagged = service.ClusterFilters(state="flagged")
    first = next(iter(service.ranked_clusters(session, run.id, flagged, limit=1)), None)
    return DemoNote(
        is_loaded=True,
        to_review=cluster_href(first.id) if first else None,
        hidden_class=None if first else HIDDEN_CLASS,
    )


def _changes(
    session: Session, run: Run | None, values: Mapping[str, str]
) -> tuple[tuple[ClassCount, ...], str | None]:
    """Describe the changes since the previous run, as links to the clusters concerned."""
    if run is None:
        return (), None
    changed = service.changes_since(session, run)
    if changed is None:
        return (), "This is the first clustering of its kind: everything in it is new."
    words = {"new": "new", "grown": "grew", "shrunk": "shrank", "same": "as large as before"}
    chosen = values.get("change")
    links = tuple(
        ClassCount(
            text=f"{number:,} {words[name]}",
            href=_href(values, change=None if chosen == name else name, page=None),
            is_chosen=chosen == name,
        )
        for name, number in changed.of.items()
        if number or chosen == name
    )
    outcomes = [
        (changed.labelled, "labelled or deleted since"),
        (changed.decided, "decided and not found again"),
        (changed.lost, "not found again"),
    ]
    gone = ", ".join(f"{number:,} {outcome}" for number, outcome in outcomes if number)
    # The previous cluster may be from an earlier run than the previous one.
    since = "since they were last found; the" if links else "The"
    before = f"{since} previous clustering is of {stamp(changed.previous_created_at)}"
    return links, f"{before}; of its clusters {gone}" if gone else before


def _href(values: Mapping[str, str], **changes: str | None) -> str:
    return address("/ui/clusters", **{**values, **changes})


def _kind(run: Run) -> str:
    return population(run.scope, run.ifo, is_simulated=run.is_simulated)


def _chosen_run(
    session: Session, first: Run | None, requested: str | None, errors: list[str]
) -> Run | None:
    if requested is None:
        return first
    try:
        return service.get_run(session, UUID(requested))
    except (ValueError, NotFoundError):
        errors.append("There is no such clustering: choose one from the list.")
        return None


def _read(values: Mapping[str, str], errors: list[str]) -> tuple[service.ClusterFilters, list[str]]:
    """Read the filters, and a sentence for each value that cannot be used."""
    errors += [f"{name} is too long." for name, value in values.items() if len(value) > _LONGEST]
    state = values.get("state", "flagged")
    if state not in {*STATE_TEXTS, _EVERY}:
        errors.append("There is no such state: choose one of those above the list.")
    ifo = values.get("ifo")
    if ifo is not None and ifo not in DETECTORS:
        errors.append(f"“{ifo[:20]}” is not a known detector: choose one from the list.")
    min_size = values.get("min_size")
    if min_size is not None and not (
        min_size.isascii() and min_size.isdigit() and len(min_size) < 9
    ):
        errors.append("The smallest size must be a whole number.")
    if values.get("change", "new") not in service.CHANGES:
        errors.append("There is no such change: choose one of those above the list.")
    start, end = parse_time_range(
        values.get("start", ""), values.get("end", ""), values.get("observing_run", ""), errors
    )
    if errors:
        return service.ClusterFilters(), errors
    return (
        service.ClusterFilters(
            state=None if state == _EVERY else state,
            ifo=ifo,
            min_size=None if min_size is None else int(min_size),
            gps_start=start,
            gps_end=end,
            change=values.get("change"),
        ),
        [],
    )


def _followed(session: Session, demo: Demonstration) -> tuple[FollowedJob | None, str | None]:
    """Return the open job that fills this page, or else why the last clustering failed."""
    now = datetime.now(UTC)
    if demo.job is not None and demo.job.is_open:
        text = (
            "Simulated glitches are stored one by one. Then those that no known class explains "
            "are clustered, and the clusters to review appear here by themselves."
        )
        return followed(demo.job, now, "Filling the demonstration", text), None
    latest = latest_job(session, service.KIND)
    if latest is None:
        return None, None
    if latest.is_open:
        text = "Its clusters appear here by themselves."
        return followed(latest, now, "Clustering", text), None
    if latest.state != "failed":
        return None, None
    started = f"started by {latest.author}, {stamp(latest.created_at)}"
    return None, f"The last clustering failed ({started}): {latest.detail or 'no reason is known.'}"
