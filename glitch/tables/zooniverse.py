"""Read manifests and exports of Zooniverse.

A manifest of Gravity Spy names four pictures of a subject; the cells of an export hold the metadata
of a subject as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from glitch.errors import FormatError
from glitch.files.text import unique_keys
from glitch.tables.columns import plain_name

_SUBJECTS = frozenset(("subject_id", "subject_ids"))
_CELLS = ("metadata", "subject_data")
_PICTURES = "filename1"
_ANSWERS = "annotations"
_HIDDEN = "#/!"  # prefixes of fields that are hidden from volunteers


def are_of_subjects(names: Iterable[str]) -> bool:
    """Return whether the columns are those of Zooniverse's subjects."""
    plain = {plain_name(name) for name in names}
    return bool(plain & _SUBJECTS and plain.intersection((*_CELLS, _PICTURES)))


def are_of_volunteers(names: Iterable[str]) -> bool:
    """Return whether the columns are those of volunteers' answers about subjects."""
    plain = {plain_name(name) for name in names}
    return _ANSWERS in plain and bool(plain & _SUBJECTS)


def with_metadata(row: dict[str, str]) -> dict[str, Any] | str:
    """Return a subject's row with the fields of its JSON cells, which replace equal columns.

    A cell that contradicts itself gives the sentence that says so.
    """
    metadata: dict[str, Any] = {}
    for name, cell in row.items():
        if plain_name(name) in _CELLS:
            try:
                metadata |= {key.lstrip(_HIDDEN): one for key, one in _object(cell).items()}
            except FormatError as error:
                return f"{name}: {error}"
    replaced = {plain_name(name) for name in metadata}
    return {name: cell for name, cell in row.items() if plain_name(name) not in replaced} | metadata


def _object(cell: str) -> dict[str, Any]:
    """Return the plain values of an object, or of the only object in it, as text."""
    try:
        content = json.loads(cell, parse_float=str, parse_int=str, object_pairs_hook=unique_keys)
    except FormatError:
        raise
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    inner = next(iter(content.values()), None)
    one_subject = inner if len(content) == 1 and isinstance(inner, dict) else content
    return {name: one for name, one in one_subject.items() if isinstance(one, str)}
