"""A glitch that was looked at and not stored: its views, how novel it is, and its neighbours."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from app.frame.contexts import Card, Novelty, PageContext
from app.frame.figures import LatentChart, ViewPanel, latent_chart, view_panels
from app.frame.words import neighbour_card, novelty
from app.glitches.assumed import assumption
from app.glitches.embed import Embedded
from app.glitches.facts import GlitchFacts
from glitch.images import render_view
from glitch.views import Views

NEIGHBOURS_SHOWN = 20


@dataclass(frozen=True)
class LookPage(PageContext):
    """What an upload is like."""

    template: ClassVar[str] = "look.html"
    section: ClassVar[str] = "upload"

    known: GlitchFacts
    panels: tuple[ViewPanel, ...]
    assumption: str | None  # of the scales of its pictures, or of when its strain starts
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
        panels=view_panels(
            upload.views.preprocessing,
            dict(_pictures(upload.views)),
            name="Spectrogram of the upload",
        ),
        assumption=assumption(upload.assumed),
        novelty=novelty(embedded.novelty),
        neighbours=cards,
        latent=latent_chart(embedded.encoding.mean, embedded.encoding.log_variance),
        checkpoint=embedded.checkpoint,
        known_href=cards[0].href if nearest and nearest.distance == 0 else None,
        can_store=can_store,
    )


def _pictures(views: Views) -> Iterator[tuple[float, tuple[str, np.ndarray]]]:
    for duration_s in views.durations_s:
        observed = views.observed[views.preprocessing.view_index(duration_s)]
        png = render_view(views.view(duration_s), observed)
        yield duration_s, (f"data:image/png;base64,{base64.b64encode(png).decode()}", observed)
