"""One glitch: its page and its labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.datastructures import QueryParams
from sqlalchemy.orm import Session

from app.classes.naming import list_classes, no_class, resolve_class_name, usable_class_names
from app.clusters.review.context import suggested_classes
from app.core.access import Role
from app.core.elsewhere import pages_elsewhere
from app.core.errors import InvalidRequestError, required
from app.frame.contexts import Card, Novelty, PageContext
from app.frame.deps import AnyText, BackPath, PageRoute, ReaderVisit, SubmitterVisit, Visit
from app.frame.display import (
    CARD_WINDOW_S,
    glitch_href,
    nearest_window,
    neighbour_card,
    novelty,
    view_href,
)
from app.frame.failures import see_other
from app.frame.figures import LatentChart, StripSection, ViewPanel, latent_chart, view_panels
from app.frame.render import local_path
from app.glitches.labels import append_label, list_labels, revoke_label
from app.glitches.neighbours import find_neighbours
from app.glitches.pages.query import AddressedQuery, CatalogueQuery, parse_catalogue_query
from app.glitches.records import EmbeddingRecord, GlitchRecord, Label
from app.glitches.service import find_embedding, find_glitch, list_views
from app.models.pages.strips import strip_section
from app.models.traversals import glitch_traversals
from app.server.request_scope import base_url, runtime_of
from glitch.views import Preprocessing


class GlitchPage(PageContext, template="glitch.html", section="catalogue"):
    """One glitch."""

    glitch: GlitchRecord
    href: str
    panels: tuple[ViewPanel, ...]
    novelty: Novelty
    embedding: EmbeddingRecord | None  # under the active checkpoint
    elsewhere: tuple[tuple[str, str], ...]  # names and addresses of other sites for this time
    labels: tuple[Label, ...]
    undoable: frozenset[UUID]  # labels that this visitor may revoke
    undo: UUID | None  # label just added
    suggested: tuple[str, ...]  # by the review of a cluster; not accepted yet
    class_names: tuple[str, ...]
    label_error: str | None
    label_typed: str
    shows: Mapping[str, str]  # choices for the four panels, with their texts
    show: str  # views, reconstruction or residual
    neighbours: tuple[Card, ...]
    neighbour_classes: str  # for example "8 Blip, 5 Tomte, 1 unlabelled"
    neighbour_query: CatalogueQuery  # filters on the neighbours
    neighbour_errors: tuple[str, ...]
    traversals: StripSection | None
    share: str  # address to send to a colleague
    latent: LatentChart | None


CLASSES_NAMED = 4
EVERYTHING = parse_catalogue_query(QueryParams())
SEEN = "views"
SHOWS = {SEEN: "input", "reconstruction": "reconstruction", "residual": "residual"}
_PICTURES = {SEEN: "Spectrogram", "reconstruction": "Reconstruction", "residual": "Residual"}
NEIGHBOURS_SHOWN = 20  # fills whole rows of 2, 4 and 5 cards


def find_or_refuse(session: Session, public_id: str) -> GlitchRecord:
    """The glitch with this id; NotFoundError if there is none."""
    is_plain = len(public_id) <= 100 and public_id.isprintable()
    glitch = find_glitch(session, public_id) if is_plain else None
    return required(
        glitch,
        f"There is no glitch “{public_id[:60]}” here: search for it by GPS time, or look for it in "
        "the catalogue.",
    )


def _page(
    visit: Visit,
    glitch: GlitchRecord,
    *,
    neighbour_query: CatalogueQuery = EVERYTHING,
    show: str = SEEN,
    label_error: str | None = None,
    label_typed: str = "",
    undo: UUID | None = None,
) -> GlitchPage:
    request, session, principal = visit.request, visit.session, visit.principal
    embedding = find_embedding(session, glitch.id)
    errors = list(neighbour_query.errors)
    labels = tuple(list_labels(session, glitch.id))
    neighbours = () if errors else _neighbours(session, glitch, embedding, neighbour_query, errors)
    shown = show if embedding else SEEN
    window_s = nearest_window(glitch.views, CARD_WINDOW_S) or CARD_WINDOW_S
    return GlitchPage(
        glitch=glitch,
        href=glitch_href(glitch.id),
        panels=view_panels(
            Preprocessing(),
            {
                one.duration_s: (view_href(glitch.id, one.duration_s, shown), one.observed)
                for one in list_views(session, glitch.id)
            },
            name=f"{_PICTURES[shown]} of {glitch.label or 'an unlabelled glitch'}",
        ),
        novelty=novelty(embedding.novelty if embedding else None),
        embedding=embedding,
        elsewhere=()
        if glitch.is_simulated
        else pages_elsewhere(runtime_of(request).settings.links, glitch.ifo, glitch.gps_time),
        labels=labels,
        undo=undo,
        undoable=frozenset(
            label.id
            for label in labels
            if label.revoked_at is None
            and principal.role
            >= (Role.SUBMITTER if label.author == principal.name else Role.REVIEWER)
        ),
        suggested=suggested_classes(session, [glitch.id]).get(glitch.id, ()),
        class_names=usable_class_names(session),
        label_error=label_error,
        label_typed=label_typed,
        shows=SHOWS if embedding else {},
        show=shown,
        neighbours=neighbours,
        neighbour_classes=_neighbour_classes(neighbours),
        neighbour_query=neighbour_query,
        neighbour_errors=tuple(errors),
        traversals=strip_section(glitch_traversals(session, glitch.id), window_s)
        if embedding
        else None,
        share=f"{base_url(request)}{glitch_href(glitch.id)}",
        latent=latent_chart(embedding.mean, embedding.log_variance) if embedding else None,
    )


def _neighbours(
    session: Session,
    glitch: GlitchRecord,
    embedding: EmbeddingRecord | None,
    query: CatalogueQuery,
    errors: list[str],
) -> tuple[Card, ...]:
    if embedding is None:
        return ()
    try:
        neighbours = find_neighbours(
            session,
            vector=embedding.mean,
            checkpoint_id=embedding.checkpoint_id,
            k=NEIGHBOURS_SHOWN,
            filters=query.filters,
            exclude_id=glitch.id,
        )
    except InvalidRequestError as error:
        errors.append(str(error))
        return ()
    return tuple(neighbour_card(neighbour) for neighbour in neighbours)


def _neighbour_classes(neighbours: Sequence[Card]) -> str:
    """Classes of the neighbours with counts, most frequent first."""
    tally = Counter(card.label or "unlabelled" for card in neighbours).most_common()
    largest = [f"{number} {name}" for name, number in tally[:CLASSES_NAMED]]
    others = sum(number for _, number in tally[CLASSES_NAMED:])
    return ", ".join([*largest, f"{others} of other classes"] if others else largest)


router = APIRouter(route_class=PageRoute)

LONGEST_LABEL = 100


@router.get("/glitches/{public_id}")
def glitch_page(
    *,
    visit: ReaderVisit,
    public_id: str,
    neighbour_query: AddressedQuery,
    show: str = SEEN,
    event: UUID | None = None,
) -> Response:
    """The page of one glitch, by our id or Gravity Spy's; ``event`` is the label just added."""
    glitch = find_or_refuse(visit.session, public_id)
    show = show if show in SHOWS else SEEN
    page = _page(visit, glitch, neighbour_query=neighbour_query, show=show, undo=event)
    return visit.show(page, status=400 if page.neighbour_errors else 200)


@router.post("/glitches/{public_id}/labels")
def add_label(visit: SubmitterVisit, public_id: str, class_name: AnyText = "") -> Response:
    """Add a label; an error is shown beside the field."""
    glitch = find_or_refuse(visit.session, public_id)
    name, error = _class_typed(visit.session, class_name.strip())
    if error is None:
        added = append_label(visit.session, glitch.id, name, author=visit.principal)
        return see_other(glitch_href(glitch.id), done="labelled", event=str(added.id))
    typed = name[:LONGEST_LABEL]
    page = _page(visit, glitch, label_error=error, label_typed=typed)
    return visit.show(page, status=400)


def _class_typed(session: Session, typed: str) -> tuple[str, str | None]:
    """Name of the class that was typed, or the input and its error."""
    if not typed:
        return typed, "Type the name of a class, or choose one from the list."
    if len(typed) > LONGEST_LABEL:
        return (
            typed,
            f"A class name has at most {LONGEST_LABEL} characters; this has {len(typed)}.",
        )
    try:
        name = resolve_class_name(session, typed)
    except InvalidRequestError as error:
        return typed, str(error)
    if name not in {record.name for record in list_classes(session)}:
        return typed, no_class(session, typed)
    return name, None


@router.post("/labels/{label_id}/undo")
def undo_label(visit: SubmitterVisit, label_id: UUID, back: BackPath = "/ui/glitches") -> Response:
    """Revoke a label; allowed for its author and reviewers."""
    revoke_label(visit.session, label_id, principal=visit.principal)
    return see_other(local_path(back, "/ui/glitches"), done="undone")
