"""What the catalogue is read against: classes and models."""

from __future__ import annotations

import json
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

_LONGEST_VALUE = 90


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
    cards = tuple(_checkpoint_card(record) for record in list_checkpoints(session))
    return render(request, CheckpointsPage(cards), visitor)


def _checkpoint_card(record: CheckpointRecord) -> CheckpointCard:
    facts = [
        Fact("Latent size", str(record.latent_size)),
        Fact("Digest", record.digest[:16], is_code=True),
        Fact("Preprocessing", record.preprocessing_digest[:16], is_code=True),
    ]
    tables = []
    for name, value in record.manifest.items():
        if isinstance(value, Mapping):
            rows = tuple(_leaves(value))
            if rows:
                tables.append(MetricTable(_title(name), rows))
        elif name not in {"name", "format", "preprocessing_digest", "latent_size"}:
            facts.append(Fact(_title(name), _shown(value)))
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


def _leaves(values: Mapping[str, Any], prefix: str = "") -> list[Fact]:
    rows = []
    for name, value in values.items():
        full = f"{prefix}{_title(name).lower() if prefix else _title(name)}"
        if isinstance(value, Mapping):
            rows.extend(_leaves(value, f"{full}, "))
        else:
            rows.append(Fact(full, _shown(value)))
    return rows


def _title(name: str) -> str:
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _shown(value: object) -> str:
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
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
