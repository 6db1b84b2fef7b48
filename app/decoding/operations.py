"""Operations of a child process on a file: a table of functions on plain values.

This module imports only readers, never torch, because the fork server must be small and fast.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from app.decoding.messages import Message, pack, unpack
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.images.arrays import holds_views, read_views
from glitch.images.stacks import holds_stack, is_npz_stack, open_stack
from glitch.strain.joining import read_piece
from glitch.strain.reading import is_strain_file, read_strain, strain_span, why_no_strain
from glitch.strain.source import Request
from glitch.tables.hdf5 import holds_triggers, trigger_rows, trigger_table
from glitch.tables.root import is_root, root_rows, root_table
from glitch.tables.segments import hdf5_segments
from glitch.views import Preprocessing, Views

ARRAY, STRAIN = "array", "strain"  # kinds of upload
_Arguments = Mapping[str, Any]
_Operation = Callable[[Path, _Arguments], Any]


def perform(name: str, file: Path, packed: _Arguments) -> Message:
    """Apply the operation ``name`` to a file; ``packed`` are arguments from ``messages.pack``.

    Errors are returned as messages, never raised.
    """
    arguments = unpack(Message(packed))
    try:
        return pack({"result": OPERATIONS[name](file, arguments)})
    except GlitchError as error:
        return pack(_reported(error))
    except MemoryError:
        detail = f"{_shown(arguments)} needs more memory to decode than any one file may take."
        return pack({"error": TooLargeError.__name__, "detail": detail})
    except Exception:  # noqa: BLE001 - unexpected damage, which the parent logs
        detail = f"{_shown(arguments)} is truncated or damaged: save it again and send that."
        trace = traceback.format_exc(limit=-4)[-2000:]
        return pack({"error": FormatError.__name__, "detail": detail, "unforeseen": trace})


def _shown(arguments: _Arguments) -> str:
    return repr(arguments["name"]) if "name" in arguments else "The file"


def _upload(file: Path, arguments: _Arguments) -> Any:
    """The kind of an upload, and its content if requested."""
    if holds_views(file):
        if not arguments["is_array_wanted"]:
            return {"kind": ARRAY}
        views = read_views(file, arguments["name"], _recipe(arguments))
        return {"kind": ARRAY, **_views(views)}
    if not is_strain_file(file, arguments["name"]):
        return {"kind": None, "reason": why_no_strain(file, arguments["name"])}
    if not arguments["is_strain_wanted"]:
        return {"kind": STRAIN}
    return {"kind": STRAIN, **_strain(file, arguments)}


def _kinds(file: Path, arguments: _Arguments) -> dict[str, bool]:
    return {
        "is_npz_stack": is_npz_stack(file),
        "is_stack": holds_stack(file),
        "holds_triggers": holds_triggers(file),
        "holds_views": holds_views(file),
        "is_strain": is_strain_file(file, arguments["name"]),
    }


def _strain(file: Path, arguments: _Arguments) -> dict[str, Any]:
    return _fields_of(read_strain(file, file_name=arguments["name"], **arguments["strain"]))


def _piece(file: Path, arguments: _Arguments) -> dict[str, Any] | None:
    piece = read_piece(file, Request(arguments["name"], **arguments["strain"]))
    return None if piece is None else _fields_of(piece)


def _span(file: Path, arguments: _Arguments) -> dict[str, Any] | None:
    span = strain_span(file, file_name=arguments["name"], **arguments["strain"])
    return None if span is None else _fields_of(span)


def _stack(file: Path, _: _Arguments) -> dict[str, Any]:
    with open_stack(file) as stack:
        return {"count": len(stack), "columns": stack.columns()}


def _stack_cells(file: Path, arguments: _Arguments) -> list[Any]:
    with open_stack(file) as stack:
        return [stack.cell(arguments["column"], index) for index in arguments["indices"]]


def _reported(error: GlitchError) -> dict[str, Any]:
    return {"error": type(error).__name__, "detail": str(error), "field": error.field}


def _stack_glitches(file: Path, arguments: _Arguments) -> list[Any]:
    """Cells and views of some glitches of a stack; for a damaged glitch, its error."""
    recipe = _recipe(arguments)
    results: list[Any] = []
    with open_stack(file) as stack:
        for index in arguments["indices"]:
            try:
                cells = {name: stack.cell(name, index) for name in arguments["columns"]}
                results.append({"cells": cells, **_views(stack.views(index, recipe))})
            except GlitchError as error:
                results.append(_reported(error))
            except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
                detail = f"Glitch {index} of the file is damaged ({type(error).__name__})."
                results.append({"error": FormatError.__name__, "detail": detail})
    return results


def _triggers(file: Path, arguments: _Arguments) -> dict[str, Any]:
    read = root_table if is_root(file) else trigger_table
    return _fields_of(read(file, arguments["name"]))


def _trigger_rows(file: Path, arguments: _Arguments) -> list[Any]:
    read = root_rows if is_root(file) else trigger_rows
    return read(
        file, arguments["name"], arguments["columns"], arguments["start"], arguments["count"]
    )


def _segments(file: Path, arguments: _Arguments) -> list[Any]:
    return [_fields_of(flag) for flag in hdf5_segments(file, arguments["name"])]


def _fields_of(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance)}


def _views(views: Views) -> dict[str, Any]:
    return {"values": views.values, "observed": views.observed}


def _recipe(arguments: _Arguments) -> Preprocessing:
    values = dict(arguments["recipe"])
    return Preprocessing(**{**values, "durations_s": tuple(values["durations_s"])})


OPERATIONS: dict[str, _Operation] = {
    "upload": _upload,
    "kinds": _kinds,
    "strain": _strain,
    "piece": _piece,
    "span": _span,
    "stack": _stack,
    "stack_cells": _stack_cells,
    "stack_glitches": _stack_glitches,
    "triggers": _triggers,
    "trigger_rows": _trigger_rows,
    "segments": _segments,
}
