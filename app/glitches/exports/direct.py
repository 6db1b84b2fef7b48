"""A small export as one file at once, for an answer rather than a job."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from sqlalchemy.orm import Session

from app.glitches.exports.formats import Format
from app.glitches.exports.rows import export_rows
from app.glitches.exports.service import refuse_large
from app.glitches.records import GlitchFilters


def write_export(session: Session, filters: GlitchFilters, wanted: Format, base: str) -> Path:
    """Write the glitches that pass the filters to a temporary file, which the caller removes.

    ``base`` is the address of the service, for the glitches' pages.

    Raises:
        ConflictError: too many for an answer; says how to ask for a job.
        InvalidRequestError: a filter without sense.
    """
    refuse_large(session, filters, wanted)
    with tempfile.TemporaryDirectory(prefix="glitch-export-") as folder:
        part = Path(folder) / "part"
        with closing(
            export_rows(session, filters, base=base, with_latents=wanted.has_latents)
        ) as rows:
            wanted.write_part(rows, part)
        with tempfile.NamedTemporaryFile(prefix="glitch-export-", delete=False) as file:
            path = Path(file.name)
        try:
            wanted.join([part], path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path
