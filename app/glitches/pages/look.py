"""A glitch that was looked at and not stored: its views, how novel it is, and its neighbours."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Card, Novelty, PageContext
from app.frame.figures import LatentChart, ViewPanel, latent_chart, view_panel
from app.frame.words import neighbour_card, novelty
from app.glitches.embed import Embedded
from app.glitches.facts import GlitchFacts
from app.glitches.upload import ParsedUpload
from glitch.images import render_view

NEIGHBOURS_SHOWN = 20


@dataclass(frozen=True)
class LookPage(PageContext):
    """What an upload is like."""

    template: ClassVar[str] = "look.html"
    section: ClassVar[str] = "upload"

    known: GlitchFacts
    panels: tuple[ViewPanel, ...]
    assumption: str | None  # of the scales of its pictures
    novelty: Novelty
    neighbours: tuple[Card, ...]
    latent: LatentChart
    checkpoint: str
    known_href: str | None  # of a stored glitch with the same views
    can_store: bool


def look_page_of(embedded: Embedded, *, can_store: bool) -> LookPage:
    """The page. Its pictures are in it, since nothing is kept that an address could lead to."""
    upload = embedded.upload
    cards = tuple(neighbour_card(one) for one in embedded.neighbours)
    nearest = embedded.neighbours[0] if embedded.neighbours else None
    return LookPage(
        known=upload,
        panels=_panels(upload),
        assumption=upload.assumption,
        novelty=novelty(embedded.novelty),
        neighbours=cards,
        latent=latent_chart(embedded.encoding.mean, embedded.encoding.log_variance),
        checkpoint=embedded.checkpoint,
        known_href=cards[0].href if nearest and nearest.distance == 0 else None,
        can_store=can_store,
    )


def _panels(upload: ParsedUpload) -> tuple[ViewPanel, ...]:
    recipe = upload.views.preprocessing
    present = upload.views.durations_s
    panels = []
    for index, duration_s in enumerate(recipe.durations_s):
        observed = upload.views.observed[index] if duration_s in present else None
        picture = None
        if observed is not None:
            png = render_view(upload.views.view(duration_s), observed)
            picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        panels.append(
            view_panel(
                duration_s,
                recipe,
                picture=picture,
                observed=observed,
                name="Spectrogram of the upload",
            )
        )
    return tuple(panels)
