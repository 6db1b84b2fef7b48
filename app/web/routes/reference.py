"""What the catalogue is read against: classes and models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from app.services.browsing import ClassTally, exemplars, tally_by_class
from app.services.checkpoints import list_checkpoints
from app.services.classes import list_classes
from app.services.records import CheckpointRecord
from app.web.contexts import (
    CheckpointCard,
    CheckpointsPage,
    ClassesPage,
    ClassRow,
    Fact,
    MetricTable,
)
from app.web.deps import ForReaders, PageRoute, SessionDep, VisitorDep
from app.web.pages import render
from app.web.query import UNLABELLED
from app.web.words import card, count, stamp

router = APIRouter(route_class=PageRoute)

LONGEST_VALUE = 90
ROWS_SHOWN = 14
DIGITS_SHOWN = 16  # of a digest
HIDDEN = frozenset({"name", "format_version", "latent_size", "preprocessing_digest"})
WORDS = {
    **{"elbo": "ELBO", "kl": "KL", "knn": "kNN", "sha256": "SHA-256", "hz": "(Hz)", "s": "(s)"},
    **{"asd": "ASD", "fft": "FFT", "q": "Q", "git": "Git"},
}
NAMES = {"n_time": "time cells", "n_frequency": "frequency cells", "n_views": "views"}
_DIGEST = re.compile(r"[0-9a-f]{32,}")


@router.get("/classes", dependencies=[ForReaders])
def classes(request: Request, session: SessionDep, visitor: VisitorDep) -> Response:
    """All classes with how often each occurs."""
    tallies = {tally.name: tally for tally in tally_by_class(session)}
    most = max((tally.total for name, tally in tallies.items() if name), default=0)
    shown = exemplars(session)
    rows = []
    for record in list_classes(session):
        tally = tallies.get(record.name, ClassTally(record.name, 0, 0))
        exemplar = shown.get(record.name)
        picture = card(exemplar).picture if exemplar else None
        rows.append(
            ClassRow(
                name=record.name,
                href=_selection(record.name),
                picture=picture,
                is_picture_simulated=exemplar is not None and exemplar.is_simulated,
                description=record.description,
                state=None if record.state == "active" else record.state,
                origin=None if record.origin == "gravityspy" else "named here",
                count=_class_count(tally),
                share=round(100 * tally.total / most, 1) if most else 0.0,
            )
        )
    unlabelled = tallies.get(None)
    page = ClassesPage(
        rows=tuple(rows),
        unlabelled=count(unlabelled.total if unlabelled else 0, "glitch", "glitches"),
        unlabelled_href=_selection(UNLABELLED),
    )
    return render(request, page, visitor)


def _class_count(tally: ClassTally) -> str:
    total = count(tally.total, "glitch", "glitches")
    if not tally.simulated:
        return total
    if not tally.measured:
        return f"{total}, simulated"
    return f"{total}, {tally.simulated:,} of them simulated"


def _selection(label: str) -> str:
    return f"/ui/glitches?{urlencode({'label': label})}"


@router.get("/checkpoints", dependencies=[ForReaders])
def checkpoints(request: Request, session: SessionDep, visitor: VisitorDep) -> Response:
    """The published models, latest first."""
    cards = tuple(checkpoint_card(record) for record in list_checkpoints(session))
    return render(request, CheckpointsPage(cards), visitor)


def checkpoint_card(record: CheckpointRecord) -> CheckpointCard:
    """A model as its manifest tells it, measures first."""
    facts = [
        Fact("Latent size", str(record.latent_size)),
        Fact("Digest", record.digest[:DIGITS_SHOWN], is_code=True),
        Fact("Preprocessing", record.preprocessing_digest[:DIGITS_SHOWN], is_code=True),
    ]
    tables = []
    for name, value in record.manifest.items():
        if isinstance(value, Mapping):
            if rows := _rows(value):
                tables.append(MetricTable(_title(name), rows))
        elif name not in HIDDEN:
            is_digest = isinstance(value, str) and _DIGEST.fullmatch(value) is not None
            text = value[:DIGITS_SHOWN] if is_digest else _shown(value)
            facts.append(Fact(_title(name), text, is_code=is_digest))
    # Measures are what a reader came for.
    tables.sort(key=lambda table: table.name != "Metrics")
    return CheckpointCard(
        name=record.name,
        is_active=record.is_active,
        published=stamp(record.created_at),
        facts=tuple(facts),
        tables=tuple(tables),
        manifest=json.dumps(record.manifest, indent=2, ensure_ascii=False, default=str),
    )


def _rows(values: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Plain values and those one level down; what lies deeper is in the manifest below."""
    rows = []
    for name, value in values.items():
        if not isinstance(value, Mapping):
            rows.append(Fact(_title(name), _shown(value)))
            continue
        rows.extend(
            Fact(f"{_title(name)}, {_words(inner)}", _shown(leaf))
            for inner, leaf in value.items()
            if not isinstance(leaf, Mapping)
        )
    if len(rows) > ROWS_SHOWN:
        left = len(rows) - ROWS_SHOWN + 1
        rows = [*rows[: ROWS_SHOWN - 1], Fact(f"and {left} more", "in the manifest")]
    return tuple(rows)


def _words(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    return " ".join(WORDS.get(word, word) for word in re.split(r"[_.\s]+", name.strip()) if word)


def _title(name: str) -> str:
    text = _words(name)
    return text if text.startswith("kNN") else text[:1].upper() + text[1:]


def _shown(value: object) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        text = ", ".join(_shown(item) for item in value)
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
