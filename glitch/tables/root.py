"""Read triggers from ROOT trees, as Omicron writes them, or newer RNTuples, with uproot.

gwpy's reader also uses uproot for the same trees, but reads every branch of a file completely.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glitch.errors import FormatError, GlitchError
from glitch.tables.columns import has_times, is_time
from glitch.tables.hdf5 import TRIGGERS, TriggerTable
from glitch.tables.times import is_coarse, why_coarse

MAGIC = b"root"
_MAX_TREES = 100
_CLASSES = ("TTree", "ROOT::RNTuple")
_NUMBERS = re.compile(r"double|float|(std::)?u?int(8|16|32|64)_t")  # types of fields in an RNTuple
_MAX_BRANCHES = 1000


def is_root(path: Path) -> bool:
    """Return whether a file is a ROOT file, as written by Omicron and cWB."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def root_table(path: Path, name: str) -> TriggerTable:
    """Return the metadata of a file of triggers; its columns have one number per trigger.

    Args:
        path: the file.
        name: its original name, for messages.

    Raises:
        FormatError: if the file is damaged or holds no triggers.
    """
    with _tree(path, name) as (tree, columns):
        return TriggerTable(int(tree.num_entries), columns, None)


def root_rows(
    path: Path, name: str, columns: Sequence[str], start: int, count: int
) -> list[list[Any]]:
    """Return plain values of some columns in rows ``start`` to before ``start + count``.

    Raises:
        FormatError: as ``root_table``.
    """
    with _tree(path, name) as (tree, _):
        stop = min(start + count, int(tree.num_entries))
        found = [
            tree[column].array(entry_start=start, entry_stop=stop, library="np").tolist()
            for column in columns
        ]
        return [list(row) for row in zip(*found, strict=True)]


@contextmanager
def _tree(path: Path, name: str) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Open the tree that holds triggers, with the names of its columns."""
    import uproot

    try:
        with uproot.open(path, handler=uproot.MultithreadedFileSource, num_workers=1) as file:
            names = file.keys(recursive=True, cycle=False, filter_classname=_CLASSES)
            trees = {one: file[one] for one in list(dict.fromkeys(names))[:_MAX_TREES]}
            yield _chosen({one: (tree, _columns(tree, name)) for one, tree in trees.items()}, name)
    except (GlitchError, MemoryError):
        raise
    except Exception as error:  # uproot's errors have no common base class
        raise FormatError(f"{name} is truncated or damaged: send it again.") from error


def _chosen(
    trees: dict[str, tuple[Any, tuple[str, ...]]], name: str
) -> tuple[Any, tuple[str, ...]]:
    timed = {
        one: tree
        for one, tree in trees.items()
        if has_times(tree[1]) and not all(map(is_time, tree[1]))  # segments have only times
    }
    named = {one: tree for one, tree in timed.items() if one.rpartition("/")[2] == TRIGGERS}
    for candidates in (named, timed):
        if len(candidates) == 1:
            return next(iter(candidates.values()))
    if timed:
        listed = ", ".join(map(repr, list(timed)[:10]))
        raise FormatError(
            f"{name} holds several tables of triggers ({listed}): send each as a file of its own."
        )
    raise FormatError(
        f"{name} has no tree of triggers with one time each, such as Omicron's {TRIGGERS!r}. From "
        "cWB, send EVENTS.txt."
    )


def _columns(tree: Any, name: str) -> tuple[str, ...]:
    """Return the branches or fields that hold one number per row.

    Raises:
        FormatError: if the triggers' times are stored only as 32-bit floats.
    """
    types = _types(tree)
    fine = tuple(one for one, dtype in types.items() if not is_coarse(one, dtype))
    if has_times(types) and not has_times(fine) and not all(map(is_time, types)):
        raise FormatError(f"{name}: {why_coarse(next(one for one in types if one not in fine))}")
    return fine


def _types(tree: Any) -> dict[str, np.dtype]:
    if not hasattr(tree, "branches"):
        fields = tree.fields[:_MAX_BRANCHES]
        return {
            one.name: np.dtype("f4" if str(one.typename) == "float" else "f8")
            for one in fields
            if _NUMBERS.fullmatch(str(one.typename))
        }
    return {
        branch.name: dtype
        for branch in tree.branches[:_MAX_BRANCHES]
        if (dtype := getattr(branch.interpretation, "to_dtype", None)) is not None
        and dtype.kind in "fiu"
        and not getattr(branch.interpretation, "inner_shape", ())
    }
