"""The page of published models: their metrics, and which of them is active."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from app.core.access import Principal, Role, require_role
from app.core.errors import ConflictError
from app.core.wording import count
from app.frame.contexts import Fact, PageContext
from app.frame.deps import PageRoute, ReaderVisit
from app.frame.failures import see_other
from app.jobs.pages.view import JobNote, job_href
from app.jobs.records import JobRecord
from app.jobs.service import latest_job
from app.models.checkpoints import CheckpointUsage, list_checkpoints, standings
from app.models.index import IndexAudit, latest_audit
from app.models.records import CheckpointRecord
from app.models.reembed import KIND, switch_checkpoint
from glitch.views import Preprocessing


@dataclass(frozen=True)
class CheckpointCard:
    """One published model, and its coverage of the catalogue."""

    record: CheckpointRecord
    usage: CheckpointUsage
    total: int  # glitches of the catalogue
    audit: IndexAudit | None = None

    @property
    def facts(self) -> list[Fact]:
        """Its properties, with the plain values of the manifest."""
        record = self.record
        facts = [
            Fact("Latent size", str(record.latent_size)),
            Fact("Digest", record.digest[:DIGITS_SHOWN], is_code=True),
            Fact("Preprocessing", record.preprocessing_digest[:DIGITS_SHOWN], is_code=True),
        ]
        for name, value in record.manifest.items():
            if not isinstance(value, Mapping) and name not in HIDDEN:
                is_digest = isinstance(value, str) and _DIGEST.fullmatch(value) is not None
                text = value[:DIGITS_SHOWN] if is_digest else _shown(value)
                facts.append(Fact(_title(name), text, is_code=is_digest))
        return facts

    @property
    def tables(self) -> dict[str, tuple[Fact, ...]]:
        """Metrics from the manifest, by group."""
        groups = {name: (self.record.manifest.get(name) or {}).items() for name in TABLES}
        tables = {
            _title(name): _rows(dict(sorted(one, key=_place))) for name, one in groups.items()
        }
        return {title: rows for title, rows in tables.items() if rows}

    @property
    def manifest(self) -> str:
        """The complete manifest, as indented JSON."""
        return json.dumps(self.record.manifest, indent=2, ensure_ascii=False, default=str)


class CheckpointsPage(PageContext, template="checkpoints.html", section="checkpoints"):
    """The published models."""

    checkpoints: tuple[CheckpointCard, ...]
    can_switch: bool
    job: JobNote | None
    error: str | None


LONGEST_VALUE = 90
ROWS_SHOWN = 14
MEASURES_SHOWN = 4  # per list of measurements
DIGITS_SHOWN = 16  # of a digest
TABLES = ("metrics", "preprocessing")  # the details of training are only in the manifest
HIDDEN = frozenset({"name", "format_version", "latent_size", "preprocessing_digest"})
WORDS = {
    **{"linear": "linear probe", "neighbours": "nearest neighbours"},
    **{"elbo": "ELBO", "kl": "KL", "knn": "kNN", "sha256": "SHA-256", "hz": "(Hz)", "s": "(s)"},
    **{"asd": "ASD", "fft": "FFT", "q": "Q", "git": "Git"},
}
NAMES = {"n_time": "time cells", "n_frequency": "frequency cells", "n_views": "views"}
_DIGEST = re.compile(r"[0-9a-f]{32,}")


def checkpoints_page_of(
    session: Session, principal: Principal, *, error: str | None = None
) -> CheckpointsPage:
    """The published models, latest first."""
    total, usage = standings(session)
    job = latest_job(session, KIND)
    return CheckpointsPage(
        checkpoints=tuple(
            CheckpointCard(
                one, usage.get(one.id, CheckpointUsage()), total, latest_audit(session, one.id)
            )
            for one in list_checkpoints(session)
        ),
        can_switch=principal.role >= Role.ADMIN,
        job=None if job is None else _switch_job(job),
        error=error,
    )


def _place(item: tuple[str, Any]) -> int:
    """Sort the preprocessing as its dataclass does; the database keeps no order."""
    names = [one.name for one in fields(Preprocessing)]
    return names.index(item[0]) if item[0] in names else len(names)


def _rows(values: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Plain values and values one level down; deeper ones are only in the manifest."""
    rows: list[Fact] = []
    for name, value in values.items():
        if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            rows.extend(_measured(one) for one in value[:MEASURES_SHOWN])
            if further := value[MEASURES_SHOWN:]:
                rows.append(Fact(f"{_title(name)}, {len(further)} more", "in the manifest"))
            continue
        if not isinstance(value, Mapping):
            rows.append(Fact(_title(name), _shown(value)))
            continue
        rows.extend(
            Fact(f"{_title(name)}, {_words(inner)}", _shown(leaf))
            for inner, leaf in value.items()
            if not isinstance(leaf, Mapping)
        )
    if len(rows) > ROWS_SHOWN:
        n_hidden = len(rows) - ROWS_SHOWN + 1
        rows = [*rows[: ROWS_SHOWN - 1], Fact(f"and {n_hidden} more", "in the manifest")]
    return tuple(rows)


def _measured(values: Mapping[str, Any]) -> Fact:
    """One of a list of measurements: texts describe it, floats are the results."""
    descriptions = [_words(value) for value in values.values() if isinstance(value, str)]
    figures = [
        f"{_words(name)} {_shown(value)}"
        for name, value in values.items()
        if isinstance(value, float) and not name.endswith("_spread")
    ]
    return Fact(_capitalised(", ".join(descriptions)), ", ".join(figures))


def _words(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    return " ".join(WORDS.get(word, word) for word in re.split(r"[_.\s]+", name.strip()) if word)


def _title(name: str) -> str:
    return _capitalised(_words(name))


def _capitalised(text: str) -> str:
    return text if text.startswith("kNN") else text[:1].upper() + text[1:]


def _shown(value: object) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if value in ("", []):
        return "\N{EN DASH}"
    if isinstance(value, list | tuple):
        text = ", ".join(_shown(item) for item in value)
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _switch_job(job: JobRecord) -> JobNote | None:
    """Message on the latest re-embedding, if it is open or failed."""
    if not job.is_open and job.state != "failed":
        return None
    name = job.parameters.get("checkpoint", "a model")
    if job.is_open:
        sentence = (
            f"{count(job.total, 'glitch', 'glitches')} are embedded with {name} "
            f"({job.done:,} done); the current model is used until all are."
            if job.total
            else f"A worker is finding the glitches that {name} has not embedded."
        )
    else:
        sentence = f"The switch to {name} failed: {job.detail or 'the job says why'}."
    return JobNote(
        href=job_href(job),
        sentence=sentence,
        done=round(100 * job.done / job.total, 1) if job.total else 0.0,
        is_open=job.is_open,
    )


router = APIRouter(route_class=PageRoute)


@router.get("/checkpoints")
def checkpoints(visit: ReaderVisit) -> Response:
    """The published models, latest first."""
    return visit.show(checkpoints_page_of(visit.session, visit.principal))


@router.post("/checkpoints/{checkpoint_id}/activate")
def activate(visit: ReaderVisit, checkpoint_id: int) -> Response:
    """Activate a model, immediately or after a job."""
    require_role(visit.principal, Role.ADMIN)
    try:
        _, job = switch_checkpoint(visit.session, checkpoint_id, visit.principal.name)
    except ConflictError as error:
        page = checkpoints_page_of(visit.session, visit.principal, error=str(error))
        return visit.show(page, status=409)
    return see_other(f"/ui/checkpoints?done={'switched' if job is None else 'switching'}")
