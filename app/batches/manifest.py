"""What tables tell of the pictures beside them: rows found by path or by Gravity Spy id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from app.batches.index import BatchIndex
from app.batches.members import Refused, shown
from app.batches.table_files import read_table
from glitch.images import parse_file_name
from glitch.tables import Facts, TableRow

_ROW, _ROW_OF_ID = "row by path", "row by Gravity Spy id"
_NOWHERE = ""  # the key of a row that names no glitch: nothing is ever looked for there


class Manifest:
    """The rows of one or several tables, kept in the planning's index."""

    def __init__(self, index: BatchIndex) -> None:
        self._index = index
        self._name = ""
        self._n_rows = 0

    def read(self, path: Path, name: str) -> Iterator[TableRow]:
        """Take the rows of a table; those that cannot be used come back.

        Raises:
            GlitchError: if it is damaged, or has no columns known here.
        """
        self._name = self._name or name
        for row in read_table(path, name):
            if row.facts is None:
                yield row
                continue
            self._n_rows += 1
            facts = row.facts
            if facts.path is not None:
                self._index.add(_ROW, _plain_path(facts.path), facts.as_json())
            elif facts.gravityspy_id is not None:
                self._index.add(_ROW_OF_ID, facts.gravityspy_id, facts.as_json())
            else:
                self._index.add(_ROW, _NOWHERE, facts.as_json())

    def about(self, names: list[str]) -> dict[str, Facts]:
        """What is said of these members: by path, by bare name, by Gravity Spy id."""
        plain = {name: _plain_path(name) for name in names}
        bare = {name: path.rpartition("/")[2] for name, path in plain.items()}
        inner = {name: path.partition("/")[2] or path for name, path in plain.items()}
        by_path = self._index.find(_ROW, [*plain.values(), *bare.values(), *inner.values()])
        said: dict[str, Facts] = {}
        ids: dict[str, str] = {}
        for name in names:
            row = by_path.get(plain[name]) or by_path.get(inner[name]) or by_path.get(bare[name])
            said[name] = Facts.from_json(row or {})
            found = said[name].gravityspy_id or parse_file_name(name).gravityspy_id
            if found is not None:
                ids[name] = found
        by_id = self._index.find(_ROW_OF_ID, sorted(set(ids.values()))) if ids else {}
        for name, found in ids.items():
            if found in by_id:
                said[name] = said[name].over(Facts.from_json(by_id[found]))
        self._index.mark(_ROW, list(by_path))
        self._index.mark(_ROW_OF_ID, list(by_id))
        return said

    def unheard(self) -> Refused | None:
        """Rows that tell of no member asked about: a slip of the pen, or a table of a whole run.

        They do no harm unless no row at all was of use. None where there are no such rows.
        """
        (n_paths, by_path), (n_ids, by_id) = (
            self._index.unmarked(kind) for kind in (_ROW, _ROW_OF_ID)
        )
        idle = n_paths + n_ids
        if not idle:
            return None
        first = Facts.from_json(by_path or by_id or {})
        example = shown(str(first.path or first.gravityspy_id or first.gps_time))
        is_harmless = idle < self._n_rows
        how_many = (
            f"{idle:,} of its {self._n_rows:,} rows tell of no"
            if is_harmless
            else "None of its rows tells of a"
        )
        return Refused(
            self._name,
            f"{how_many} glitch in this batch (the first: {example}). A row is found by the path "
            "that a picture has within the archive, or by its Gravity Spy id.",
            is_harmless,
        )


def _plain_path(path: str) -> str:
    return path.replace("\\", "/").removeprefix("./")
