"""From records of classes to the JSON of the API."""

from __future__ import annotations

from app.classes import schemas as class_schemas
from app.classes.records import ClassRecord


def glitch_class(record: ClassRecord) -> class_schemas.GlitchClass:
    """One class."""
    return class_schemas.GlitchClass.model_validate(record)
