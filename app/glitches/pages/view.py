"""The page of one glitch, put together from what the services tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fastapi.datastructures import QueryParams
from sqlalchemy.orm import Session

from app.classes.naming import usable_class_names
from app.clusters.review.scene import suggested_classes
from app.core.access import Principal, Role
from app.core.elsewhere import Templates, pages_elsewhere
from app.core.errors import InvalidRequestError, NotFoundError
from app.frame.contexts import Card, ClassCount, Download
from app.frame.figures import latent_chart, view_panels
from app.frame.words import (
    CARD_WINDOW_S,
    ORIGIN_TEXTS,
    glitch_href,
    nearest_window,
    neighbour_card,
    novelty,
    view_href,
)
from app.glitches.browsing import list_views
from app.glitches.labels import list_labels
from app.glitches.neighbours import find_neighbours
from app.glitches.pages.contexts import GlitchPage
from app.glitches.pages.query import CatalogueQuery, filter_form, parse_catalogue_query
from app.glitches.records import EmbeddingRecord, GlitchRecord
from app.glitches.service import find_embedding, find_glitch
from app.models.pages.strips import strip_section
from app.models.traversals import glitch_traversals
from glitch.views import Preprocessing

CLASSES_NAMED = 4
EVERYTHING = parse_catalogue_query(QueryParams())
SEEN = "views"
SHOWS = {SEEN: "as seen", "reconstruction": "as the model paints it", "residual": "what is left"}
_PICTURES = {SEEN: "Spectrogram", "reconstruction": "Reconstruction", "residual": "Residual"}
NEIGHBOURS_SHOWN = 20  # fills whole rows of 2, 4 and 5 cards


def find_or_refuse(session: Session, public_id: str) -> GlitchRecord:
    """The glitch of this id.

    Raises:
        NotFoundError: if there is none.
    """
    is_plain = len(public_id) <= 100 and public_id.isprintable()
    found = find_glitch(session, public_id) if is_plain else None
    if found is None:
        raise NotFoundError(
            f"There is no glitch “{public_id[:60]}” here: search for it by GPS time, or look for "
            "it in the catalogue."
        )
    return found


def glitch_page_of(
    session: Session,
    glitch: GlitchRecord,
    principal: Principal,
    *,
    base: str,
    near: CatalogueQuery = EVERYTHING,
    show: str = SEEN,
    templates: Templates | None = None,
    label_error: str | None = None,
    label_typed: str = "",
) -> GlitchPage:
    """The page.

    ``base`` is the service's address as the visitor sees it, for the link to share.
    """
    embedding = find_embedding(session, glitch.id)
    can_label = principal.role >= Role.SUBMITTER
    errors = list(near.errors)
    labels = tuple(list_labels(session, glitch.id))
    neighbours = () if errors else _neighbours(session, glitch, embedding, near, errors)
    shown = show if embedding else SEEN
    class_names = usable_class_names(session)
    window_s = nearest_window(glitch.views, CARD_WINDOW_S) or CARD_WINDOW_S
    return GlitchPage(
        glitch=glitch,
        href=glitch_href(glitch.id),
        origin=ORIGIN_TEXTS.get(glitch.origin, glitch.origin),
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
        else tuple(
            Download(name, address)
            for name, address in pages_elsewhere(templates or {}, glitch.ifo, glitch.gps_time)
        ),
        labels=labels,
        revocable=frozenset(
            label.id
            for label in labels
            if label.revoked_at is None
            and (principal.role >= Role.REVIEWER or (can_label and label.author == principal.name))
        ),
        suggested=suggested_classes(session, [glitch.id]).get(glitch.id, ()),
        class_names=class_names if can_label else (),
        can_label=can_label,
        label_error=label_error,
        label_typed=label_typed,
        shows=_shows(glitch, shown) if embedding else (),
        show=shown,
        neighbours=neighbours,
        neighbour_classes=_neighbour_classes(neighbours),
        near=filter_form(near, class_names),
        near_errors=tuple(errors),
        traversals=strip_section(glitch_traversals(session, glitch.id), window_s)
        if embedding
        else None,
        share=f"{base}{glitch_href(glitch.id)}",
        latent=latent_chart(embedding.mean, embedding.log_variance) if embedding else None,
        downloads=_downloads(glitch),
    )


def _shows(glitch: GlitchRecord, shown: str) -> tuple[ClassCount, ...]:
    return tuple(
        ClassCount(text, f"{glitch_href(glitch.id)}?show={kind}#sights", kind == shown)
        for kind, text in SHOWS.items()
    )


def _neighbours(
    session: Session,
    glitch: GlitchRecord,
    embedding: EmbeddingRecord | None,
    near: CatalogueQuery,
    errors: list[str],
) -> tuple[Card, ...]:
    if embedding is None:
        return ()
    try:
        found = find_neighbours(
            session,
            vector=embedding.mean,
            checkpoint_id=embedding.checkpoint_id,
            k=NEIGHBOURS_SHOWN,
            filters=near.filters,
            exclude_id=glitch.id,
        )
    except InvalidRequestError as error:
        errors.append(str(error))
        return ()
    return tuple(neighbour_card(neighbour) for neighbour in found)


def _neighbour_classes(neighbours: Sequence[Card]) -> str:
    """What the neighbours are, most frequent first."""
    tally = Counter(card.label or "unlabelled" for card in neighbours).most_common()
    named = [f"{number} {name}" for name, number in tally[:CLASSES_NAMED]]
    others = sum(number for _, number in tally[CLASSES_NAMED:])
    return ", ".join([*named, f"{others} of other classes"] if others else named)


def _downloads(glitch: GlitchRecord) -> tuple[Download, ...]:
    own = glitch_href(glitch.id)
    pictures = (
        Download(f"PNG, {length:g} s", f"{own}/scans/{length:g}.png") for length in glitch.views
    )
    files = (Download("HDF5", f"{own}/glitch.h5"), Download("JSON", f"{own}/record.json"))
    return (*pictures, *files)
