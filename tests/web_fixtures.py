"""A live service with a small catalogue, and a client that reads its pages without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import httpx
import numpy as np
import pytest
from api_fixtures import Service, energy, running_service, tiny_data_folder
from sqlalchemy.orm import Session

from app.core.access import Principal, verify_token
from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.glitches.ingest import insert_glitch
from app.glitches.labels import append_label
from app.glitches.records import GlitchMetadata, GlitchRecord
from app.models.checkpoints import active_checkpoint
from app.novelty.catalogue import recalibrate
from glitch.encoder import Encoding
from glitch.taxonomy import SimulatedClass
from glitch.views import views_from_images


@pytest.fixture(scope="module")
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    """Provide one service for all tests of a module that imports this fixture."""
    with (
        tiny_data_folder() as folder,
        running_service(postgres_server, migrated_template, folder) as running,
    ):
        yield running


@dataclass
class Form:
    """One form of a page, with the values of its input fields."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """The parsed contents of a page: its text, links, images, alerts and forms."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.images: list[str] = []
        self.alerts: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self._words: list[str] = []
        self._alert_tag: str | None = None
        self._is_code = False
        self.feed(response.text.replace("<wbr>", ""))  # <wbr> allows line breaks in long names

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= set(attributes)
        self._is_code = tag in {"script", "style"}
        if tag == "form":
            self.forms.append(Form(attributes["action"], attributes.get("method", "get")))
        elif tag == "input" and "name" in attributes and self.forms:
            if attributes.get("type") not in {"checkbox", "file"} or "checked" in attributes:
                self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
        elif tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag in {"img", "image"}:
            self.images.append(attributes.get("src") or attributes.get("href", ""))
        if attributes.get("role") == "alert":
            self.alerts.append("")
            self._alert_tag = tag

    def handle_endtag(self, tag: str) -> None:
        self._is_code = False
        if tag == self._alert_tag:
            self._alert_tag = None

    def handle_data(self, data: str) -> None:
        if self._is_code:
            return
        self._words.append(data)
        if self._alert_tag:
            self.alerts[-1] = f"{self.alerts[-1]}{data}".strip()

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def path(self) -> str:
        return self.response.url.raw_path.decode()

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self._words))

    def form(self, action: str) -> Form:
        """Return the first form whose action ends with this text."""
        return next(form for form in self.forms if form.action.endswith(action))


class Walker:
    """A client that acts like a browser without scripts: it submits forms and keeps cookies."""

    def __init__(self, service: Service, role: str | None) -> None:
        self.client = httpx.Client(base_url=service.url, follow_redirects=True, timeout=60)
        if role is not None:
            form = self.get("/ui/login")
            page = self.submit(form, "/ui/login", token=service.tokens[role])
            assert page.status == 200, page.text

    def get(self, path: str) -> Page:
        return Page(self.client.get(path))

    def submit(self, page: Page, action: str, **values: Any) -> Page:
        """Submit a form of a page with these values for some fields."""
        form = page.form(action)
        files = values.pop("files", None)
        data = form.fields | values
        return Page(self.client.post(form.action, data=data, files=files))

    def __enter__(self) -> Walker:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[GlitchRecord]:
    """Provide a small catalogue stored in the service."""
    return fill_catalogue(service)


@pytest.fixture
def reviewer(service: Service, glitches: list[GlitchRecord]) -> Iterator[Walker]:
    """Provide a walker logged in as a reviewer."""
    with Walker(service, "reviewer") as walker:
        yield walker


@pytest.fixture
def reader(service: Service, glitches: list[GlitchRecord]) -> Iterator[Walker]:
    """Provide a walker logged in as a reader."""
    with Walker(service, "reader") as walker:
        yield walker


def fill_catalogue(service: Service, n_glitches: int = 60) -> list[GlitchRecord]:
    """Store glitches of two classes and two detectors, one in four simulated, some unlabelled."""
    rng = np.random.default_rng(7)
    made = []
    with make_session_factory(service.engine)() as session:
        author = verify_token(session, service.tokens["submitter"])
        for index in range(n_glitches):
            made.append(_insert(session, index, rng, author))
        session.flush()
        recalibrate(session, active_checkpoint(session).id)
        session.commit()
    return made


def _insert(
    session: Session, index: int, rng: np.random.Generator, author: Principal
) -> GlitchRecord:
    checkpoint = active_checkpoint(session)
    windows = (0.5, 1.0, 2.0, 4.0) if index % 3 else (0.5,)
    views = views_from_images({length: energy(index + 1) for length in windows})
    encoding = Encoding(
        mean=(rng.standard_normal(checkpoint.latent_size) + (index % 2)).astype(np.float32),
        log_variance=np.full(checkpoint.latent_size, -2, dtype=np.float32),
        reconstruction_error=10.0,
        kl=5.0,
        # a class with a probability that grows, and none for the oldest
        simulated_class=SimulatedClass("Tomte", index / 100) if index >= 50 else None,
    )
    metadata = GlitchMetadata(
        origin="simulated" if index % 4 == 0 else "upload",
        ifo=("H1", "L1")[index % 2],
        gps_time=Decimal(1_200_000_000 + 1000 * index) + Decimal("0.25"),
        snr=8.0 + index,
        peak_frequency=20.0 + 10 * index,
        gravityspy_id=f"walker{index:04d}",
    )
    glitch = insert_glitch(
        session, views=views, encoding=encoding, checkpoint=checkpoint, metadata=metadata
    ).glitch
    if index % 10:
        append_label(session, glitch.id, ("Blip", "Whistle")[index % 2], author=author)
    return glitch
