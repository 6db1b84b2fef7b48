"""The members and rows of a batch, sorted in a temporary database table.

Images of one glitch may be anywhere in an archive, and triggers in any order in a table. PostgreSQL
sorts them without holding a million of them in the memory of this process.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from sqlalchemy import Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from app.batches.table_files import read_table
from app.classes.naming import plain_class_name, usable_class_names
from glitch.errors import TooLargeError
from glitch.files.archives import Refused, shown
from glitch.images import parse_file_name
from glitch.tables import Facts, TableRow

MAX_ENTRIES = 10_000_000
_BLOCK = 1000
_LONGEST_KEY = 200
_MAX_ENTRIES_PER_KEY = 12  # entries considered under one key
_CREATE = """
CREATE TEMPORARY TABLE batch_entry (
    ordinal bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    key text COLLATE "C" NOT NULL,
    content jsonb NOT NULL,
    is_used boolean NOT NULL DEFAULT false
) ON COMMIT DROP
"""
_TEXTS = ARRAY(Text)
_INSERT = text(
    "INSERT INTO batch_entry (kind, key, content) SELECT kind, key, CAST(content AS jsonb)"
    " FROM unnest(:kinds, :keys, :contents) AS new (kind, key, content)"
).bindparams(*(bindparam(name, type_=_TEXTS) for name in ("kinds", "keys", "contents")))
_NEXT = text(
    "SELECT key, ordinal, content FROM batch_entry"
    " WHERE kind = :kind AND (key, ordinal) > (:key, :ordinal)"
    " ORDER BY key, ordinal LIMIT :block"
)
_FIND = text(
    "SELECT wanted.key, found.content FROM unnest(:keys) AS wanted (key) CROSS JOIN LATERAL ("
    "SELECT content, ordinal FROM batch_entry WHERE kind = :kind AND key = wanted.key"
    " ORDER BY ordinal LIMIT :most) AS found ORDER BY found.ordinal"
).bindparams(bindparam("keys", type_=_TEXTS))
_MARK = text(
    "UPDATE batch_entry SET is_used = true WHERE kind = :kind AND key = ANY(:keys) AND NOT is_used"
).bindparams(bindparam("keys", type_=_TEXTS))
_UNMARKED = text(
    "SELECT count(*) OVER () AS n, content FROM batch_entry WHERE kind = :kind AND NOT is_used"
    " ORDER BY ordinal LIMIT 1"
)


class BatchIndex:
    """Entries of several kinds, each under a key; dropped at the end of the transaction.

    ``heartbeat`` is called after each block written or read.
    """

    def __init__(self, session: Session, heartbeat: Callable[[], None]) -> None:
        self._session = session
        self._heartbeat = heartbeat
        self._is_sorted = False
        self._waiting: list[tuple[str, str, str]] = []
        self._count = 0
        session.execute(text("DROP TABLE IF EXISTS pg_temp.batch_entry"))
        session.execute(text(_CREATE))

    @property
    def n_entries(self) -> int:
        """Number of entries added."""
        return self._count

    def add(self, kind: str, key: str, content: dict[str, Any]) -> None:
        """Add an entry; TooLargeError if there are too many."""
        self._waiting.append((kind, _bounded(key), json.dumps(content)))
        self._count += 1
        if self._count > MAX_ENTRIES:
            raise TooLargeError(
                f"The batch has over {MAX_ENTRIES:,} members and rows: send it in several parts."
            )
        if len(self._waiting) >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        """Write pending entries; the reading methods call it first."""
        if self._waiting:
            kinds, keys, contents = (list(column) for column in zip(*self._waiting, strict=True))
            self._session.execute(_INSERT, {"kinds": kinds, "keys": keys, "contents": contents})
            self._waiting = []
            self._heartbeat()

    def _sort(self) -> None:
        """Create the index at the first read, because inserts are twice as fast without it."""
        self.flush()
        if not self._is_sorted:
            self._session.execute(text("CREATE INDEX ON batch_entry (kind, key, ordinal)"))
            self._is_sorted = True

    def find(self, kind: str, keys: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The first entries of a kind under each of these keys that has any."""
        self._sort()
        originals = {_bounded(key): key for key in keys}
        entries: dict[str, list[dict[str, Any]]] = {}
        parameters = {"kind": kind, "keys": list(originals), "most": _MAX_ENTRIES_PER_KEY}
        for row in self._session.execute(_FIND, parameters):
            entries.setdefault(originals[row.key], []).append(row.content)
        return entries

    def mark(self, kind: str, keys: Sequence[str]) -> None:
        """Mark the entries of a kind under these keys as used."""
        if keys:
            self._session.execute(_MARK, {"kind": kind, "keys": [_bounded(key) for key in keys]})

    def unmarked(self, kind: str) -> tuple[int, dict[str, Any] | None]:
        """Number of unused entries of a kind, and the first of them."""
        self.flush()
        row = self._session.execute(_UNMARKED, {"kind": kind}).first()
        return (0, None) if row is None else (row.n, row.content)

    def ordered(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """All entries of a kind, ordered by key and then by when they were added."""
        self._sort()
        key, ordinal = "", 0
        while True:
            rows = self._session.execute(
                _NEXT, {"kind": kind, "key": key, "ordinal": ordinal, "block": _BLOCK}
            ).all()
            self._heartbeat()
            for row in rows:
                yield row.key, row.content
            if len(rows) < _BLOCK:
                return
            key, ordinal = rows[-1].key, rows[-1].ordinal


def _bounded(key: str) -> str:
    """The key itself, or its beginning and digest if it is too long for an index."""
    if len(key) <= _LONGEST_KEY:
        return key
    return key[:100] + hashlib.sha256(key.encode()).hexdigest()


_ROW, _ROW_OF_ID = "row by path", "row by Gravity Spy id"
_ROW_BY_END = "row by the end of its path"
_ROW_OF_OTHER = "row by another of its pictures"
_MAX_FOLDERS_NOTED = 1000
_MAX_FOLDERS = 4  # of a picture's path, with which the end of a row's path is compared
_NO_KEY = ""  # key of rows that name no glitch; never searched for


class Manifest:
    """Rows of tables, and optionally folders, that describe the members of an archive."""

    def __init__(self, index: BatchIndex, *, folders_are_labels: bool) -> None:
        self._index = index
        self._folders_are_labels = folders_are_labels
        self._unlabelled: set[str] = set()  # folders of members without a label
        self._name = ""
        self._n_rows = 0

    def read(self, path: Path, name: str) -> Iterator[TableRow]:
        """Store the rows of a table, and yield the rows that cannot be used.

        Raises:
            GlitchError: if the table is damaged or has no known columns.
        """
        self._name = self._name or name
        for row in read_table(path, name):
            if row.facts is None:
                yield row
                continue
            self._n_rows += 1
            facts = row.facts
            paths = [facts.path] if facts.path is not None else []
            if not paths and facts.gravityspy_id is None:
                paths = list(filter(None, facts.urls))
            for number, stated_path in enumerate(map(_plain_path, paths)):
                content = replace(facts, path=paths[0]).as_json()
                self._index.add(_ROW_OF_OTHER if number else _ROW, stated_path, content)
                for end in _ends(stated_path):
                    self._index.add(_ROW_BY_END, end, content)
            if not paths:
                kind = _ROW if facts.gravityspy_id is None else _ROW_OF_ID
                self._index.add(kind, facts.gravityspy_id or _NO_KEY, facts.as_json())

    def about(self, names: list[str]) -> dict[str, Facts]:
        """Manifest rows about these members, combined.

        A row is found by the path of a member, by its bare name, by the end of a path from
        elsewhere ("/home/me/set/H1_….png"), and by the Gravity Spy id.
        """
        places: dict[str, tuple[str, ...]] = {}
        for name in names:
            path = _plain_path(name)
            places[name] = (path, path.partition("/")[2] or path, path.rpartition("/")[2])
        by_path = self._index.find(_ROW, [one for forms in places.values() for one in forms])
        unmatched = [forms for forms in places.values() if by_path.keys().isdisjoint(forms)]
        of_other = self._index.find(_ROW_OF_OTHER, [one for forms in unmatched for one in forms])
        by_end = self._index.find(_ROW_BY_END, [one for forms in unmatched for one in forms[:2]])
        rows: dict[str, list[dict[str, Any]]] = {}
        ids: dict[str, str] = {}
        for name, forms in places.items():
            matches = (*map(by_path.get, forms), *map(of_other.get, forms))
            matches += tuple(map(by_end.get, forms[:2]))
            rows[name] = next(filter(None, matches), [])
            stated_ids = [Facts.from_json(row).gravityspy_id for row in rows[name]]
            for one in filter(None, [*stated_ids, parse_file_name(name).gravityspy_id]):
                ids.setdefault(name, one)
        by_id = self._index.find(_ROW_OF_ID, sorted(set(ids.values())))
        found = (*by_end.values(), *of_other.values())
        used = (_plain_path(row["path"]) for matches in found for row in matches)
        self._index.mark(_ROW, [*by_path, *used])
        self._index.mark(_ROW_OF_ID, list(by_id))
        stated: dict[str, Facts] = {}
        for name, about in rows.items():
            matched = map(Facts.from_json, [*about, *by_id.get(ids.get(name, ""), [])])
            facts = reduce(Facts.over, matched, Facts())
            folder = _plain_path(name).rpartition("/")[0].rpartition("/")[2]
            if folder and self._folders_are_labels:
                facts = facts.over(Facts(label=folder))
            if facts.label is None and len(self._unlabelled) < _MAX_FOLDERS_NOTED:
                self._unlabelled.add(folder)
            stated[name] = facts
        return stated

    def notes(self, session: Session) -> Iterator[Refused]:
        """Refusals for rows that match no member, and notes on folders that give no label."""
        if (rows := self._unused()) is not None:
            yield rows
        classes = {plain_class_name(name) for name in usable_class_names(session)}
        named = sorted(one for one in self._unlabelled if plain_class_name(one) in classes)
        reason = None
        if named:
            reason = (
                f"Some are named as classes ({', '.join(named[:3])}) and gave no labels: to label "
                "by folder, send it again with labels_from_folders (--labels-from-folders)."
            )
        elif self._folders_are_labels and "" in self._unlabelled:
            reason = "Some pictures lie in no folder of a class: send the folder that holds it."
        if reason is not None:
            yield Refused("(the folders)", reason, is_harmless=True)

    def _unused(self) -> Refused | None:
        """Refusal for the manifest rows that match no member; None if there are none.

        Such rows are harmless if others matched: the table may cover a whole run.
        """
        (n_paths, by_path), (n_ids, by_id) = (
            self._index.unmarked(kind) for kind in (_ROW, _ROW_OF_ID)
        )
        n_unused = n_paths + n_ids
        if not n_unused:
            return None
        row = Facts.from_json(by_path or by_id or {})
        example = shown(str(row.path or row.gravityspy_id or row.gps_time))
        is_harmless = n_unused < self._n_rows
        subject = (
            f"{n_unused:,} of its {self._n_rows:,} rows match no"
            if is_harmless
            else "None of its rows matches a"
        )
        return Refused(
            self._name,
            f"{subject} glitch in this batch (the first: {example}). A row is matched by the path "
            "of a picture in the archive, or by the Gravity Spy id in its name, ten "
            "letters and digits as in H1_zIqdhE1nbX_spectrogram_0.5.png."
            + ("" if is_harmless else " Correct it and send the batch again."),
            is_harmless,
        )


def _plain_path(path: str) -> str:
    """A path as it is compared: a suffix may be in capitals on disk and not in a table."""
    path = path.replace("\\", "/").removeprefix("./")
    return re.sub(r"\.\w+\Z", lambda suffix: suffix[0].lower(), path)


def _ends(path: str) -> list[str]:
    """What may be the path within an archive of a file that a manifest names by a longer one."""
    parts = path.split("/")
    return ["/".join(parts[-count:]) for count in range(1, min(len(parts), _MAX_FOLDERS + 2))]
