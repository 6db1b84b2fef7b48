"""Plan a batch: group the upload's content by glitch and divide it into chunks."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from app.batches import payload
from app.batches.index import MAX_ENTRIES, BatchIndex, Manifest
from app.batches.options import STRAIN, BatchOptions, Choice, key_at_random
from app.batches.quality import Flags, SegmentDatabase, flags_named
from app.batches.storage import upload_path
from app.batches.strain_index import UPLOADED, Place, StrainIndex, spans_of
from app.batches.table_files import is_of_triggers, is_table, known_glitches, read_table
from app.decoding.files import kinds_of, open_stack_file
from app.glitches.upload import parse_ifo
from app.jobs.records import ChunkPlan, Work
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.archives import Member, Refused, is_archive, list_members, read_member, shown
from glitch.files.compressed import CUT_SHORT, Unpacked, unpack_whole
from glitch.gps import why_in_future
from glitch.gravityspy import may_be_gravityspy_id
from glitch.images import is_image, npz_to_hdf5, parse_file_name
from glitch.tables import Facts
from glitch.tables.columns import plain_name

MAX_PICTURES = 16  # of one glitch, including duplicates
MAX_FILES = 20_000  # strain files and tables in one archive
GLITCHES = 32  # per chunk: seconds of work, which a killed worker loses
# Kinds of entries in the index, which orders the glitches.
PICTURES, VIEWS, TRIGGERS, REFUSED = "pictures", "views", "triggers", "refused"
FETCHED, KNOWN = "fetched", "known"
CONTENT, STACK_FILE = "content", "stack.h5"  # in the job's work folder
_PICTURE = re.compile(r"\.(png|jpe?g)\Z", re.IGNORECASE)
_WINDOW = re.compile(r"(_spectrogram_|__)[0-9.]{1,6}\.[A-Za-z]{3,4}\Z")
_BLOCK = 992  # a whole number of chunks of GLITCHES
GlitchT = TypeVar("GlitchT")
FactsT = TypeVar("FactsT", payload.OfPictures | payload.OfViews, payload.OfTable)
Found = tuple[str, GlitchT]  # an item's name and its entry in the chunk


class BatchPlanner:
    """Plans the chunks of one batch from its stored upload.

    Unpacked files go into ``folder``, which belongs to the job.
    """

    def __init__(self, work: Work, options: BatchOptions, folder: Path) -> None:
        self._options = options
        self._work = work
        self._folder = folder
        self._max_bytes = work.settings.max_batch_unpacked_bytes
        self._index = BatchIndex(work.session, work.heartbeat)
        self._manifest = Manifest(self._index, folders_are_labels=options.labels_from_folders)
        self._strain = StrainIndex()
        server = work.settings.segment_server
        self._flags = Flags(
            options.segments,
            None if server is None else SegmentDatabase(server),
            flags_named(options.flags),
        )
        self._has_strain = self._has_table = False
        self._n_found = self._n_refused = 0  # without documentation files
        self._is_unpacked = False
        self._misnamed: list[Member] = []  # pictures without the suffix of a picture
        self._without_strain: dict[str, list[Decimal]] = {}  # times by detector
        references = options.references
        self._choice = None if references is None else Choice(references)

    @property
    def progress(self) -> str:
        """Progress of the planning, as a sentence."""
        read, found = self._index.n_entries, self._n_found
        return f"{read:,} members and rows read, {found:,} glitches planned."

    def chunks(self) -> Iterator[ChunkPlan]:
        """Yield the chunks of the batch.

        Raises:
            GlitchError: if nothing in the upload can be used; the message says why.
        """
        source = upload_path(self._work.data_dir, self._options.upload)
        content = self._folder / CONTENT
        unpacked = unpack_whole(source, content, self._max_bytes, self._work.heartbeat)
        self._is_unpacked = unpacked is Unpacked.WHOLE or (
            unpacked is Unpacked.CUT and is_archive(content)
        )
        if self._is_unpacked:
            source = content
        elif unpacked is Unpacked.CUT and not is_table(source):  # tables are unpacked by rows
            raise FormatError(CUT_SHORT)
        if self._options.manifest is not None:
            manifest = upload_path(self._work.data_dir, self._options.manifest)
            self._add_rows(manifest, "the manifest")
        count = 0
        for plan in self._chunks_of(source):
            count += 1
            yield plan
        if not count and self._has_strain:
            raise FormatError(payload.NO_TRIGGER)
        if not count:
            raise FormatError(
                "The batch contains no glitch: send spectrograms in Gravity Spy's naming, views of "
                "many glitches, or a table of triggers."
            )

    def _chunks_of(self, source: Path) -> Iterator[ChunkPlan]:
        kinds = kinds_of(source, self._options.name)
        if kinds.is_npz_stack:
            npz_to_hdf5(source, self._folder / STACK_FILE, self._max_bytes, self._work.heartbeat)
            yield from self._stack(self._folder / STACK_FILE, STACK_FILE)
        elif kinds.is_stack:
            yield from self._stack(source, None)
        elif is_archive(source):  # before tables, because a tar begins with its first member
            yield from self._archive(source)
        elif is_table(source):
            if self._choice is None:
                self._add_triggers(source, self._options.name)
            else:
                yield from self._references(source, self._choice)
            yield from self._triggers()
        else:
            raise FormatError(
                f"{shown(self._options.name)} is not a supported batch: send a tar or zip, "
                "HDF5 or npz of many views, or a table of triggers that names its columns (CSV, "
                "ECSV, LIGO_LW, HDF5, ROOT). To send a single glitch, use POST /embed."
            )

    # --- views of many glitches in one file -------------------------------------------------------

    def _stack(self, path: Path, unpacked: str | None) -> Iterator[ChunkPlan]:
        if self._options.manifest is not None:
            raise FormatError(
                "A manifest describes the members of an archive: put the columns into the file of "
                "views itself, as arrays with one value per glitch."
            )
        stack = open_stack_file(path, self._options.name)
        if stack.count > MAX_ENTRIES:  # a small HDF5 file can declare any number
            raise TooLargeError(
                f"The file holds over {MAX_ENTRIES:,} glitches: send it in several parts."
            )
        columns = [name for name in stack.columns if plain_name(name) == "gravityspy_id"]
        for start in range(0, stack.count, _BLOCK):
            block = range(start, min(start + _BLOCK, stack.count))
            cells = stack.cells(columns[0], block) if columns else [""] * len(block)
            names = [
                shown(str(cell)) if may_be_gravityspy_id(str(cell)) else f"glitch {number}"
                for number, cell in zip(block, cells, strict=True)
            ]
            self._work.heartbeat()
            for at in range(0, len(names), GLITCHES):
                chunk = payload.StackChunk(
                    is_unpacked=self._is_unpacked, start=start + at, stack=unpacked
                )
                yield _plan(chunk, names[at : at + GLITCHES])

    # --- archives ---------------------------------------------------------------------------------

    def _archive(self, source: Path) -> Iterator[ChunkPlan]:
        tables, has_glitches = self._unpack_files(source)
        self._has_table = bool(tables)
        for path, name in tables:
            try:
                if has_glitches and not (self._may_read_strain and is_of_triggers(path, name)):
                    self._add_rows(path, name)
                else:
                    self._add_triggers(path, name)
            except GlitchError as error:  # rows read before the error are kept
                self._refuse(name, str(error))
        waiting, self._misnamed = self._misnamed, []
        for member in list_members(source, self._max_bytes):
            if isinstance(member, Member) and _PICTURE.search(member.name):
                waiting.append(member)
                if len(waiting) >= _BLOCK:
                    self._add_pictures(waiting)
                    self._work.heartbeat()
                    waiting = []
        self._add_pictures(waiting)
        yield from self._cut(payload.PicturesChunk, self._chosen(self._pictures()))
        for note in self._manifest.notes(self._work.session):
            self._refuse(note.name, note.reason, is_harmless=note.is_harmless)
        yield from self._triggers()

    def _unpack_files(self, source: Path) -> tuple[list[tuple[Path, str]], bool]:
        """Unpack members that are not pictures; return the tables, and if there are glitches."""
        tables: list[tuple[Path, str]] = []
        has_glitches = False
        count = 0
        with source.open("rb") as archive:
            for member in list_members(source, self._max_bytes):
                if isinstance(member, Refused):
                    self._refuse(member.name, member.reason, is_harmless=member.is_harmless)
                    continue
                if _PICTURE.search(member.name):
                    has_glitches = True
                    continue
                count += 1
                if count > MAX_FILES:
                    raise FormatError(
                        f"The archive has over {MAX_FILES:,} files besides pictures: send it in "
                        "several parts."
                    )
                name = shown(member.name)
                path = self._folder / f"file-{count}"
                try:
                    data = read_member(archive, member)
                    if is_image(data):  # regardless of its name
                        has_glitches = True
                        self._misnamed.append(member)
                        continue
                    path.write_bytes(data)
                    kinds = kinds_of(path, name)
                    if self._flags.add(path, name, is_hdf5_table=kinds.holds_triggers):
                        path.unlink()
                    elif is_table(path):
                        tables.append((path, name))
                    elif kinds.holds_views:
                        has_glitches = True
                        self._index.add(
                            VIEWS, member.name, {"file": path.name, "member": member.name}
                        )
                    elif kinds.is_strain:
                        self._add_strain(path, name)
                    else:
                        is_stack = kinds.is_stack or kinds.is_npz_stack
                        self._refuse(name, payload.STACK_WITHIN if is_stack else payload.NO_KIND)
                        path.unlink()
                except GlitchError as error:
                    self._refuse(name, str(error))
                self._work.heartbeat()
        return tables, has_glitches

    def _add_strain(self, path: Path, name: str) -> None:
        rate, channel = self._options.sample_rate_hz, self._options.channel
        for span in spans_of(path, name, sample_rate_hz=rate, channel=channel):
            ifo = self._options.ifo if span is None else span.ifo or self._options.ifo
            if span is None or ifo is None:
                missing = "when it starts: send HDF5 or GWF that does"
                if span is not None:
                    missing = "its detector: begin its name with it (H1_…), or give ifo for all"
                self._refuse(name, f"The strain does not say {missing}.")
                continue
            self._strain.add(ifo, span.gps_start, span.gps_end, Place(UPLOADED, path.name, name))
            self._has_strain = True

    @property
    def _may_read_strain(self) -> bool:
        settings = self._work.settings
        return self._has_strain or settings.strain_dir is not None or settings.has_remote_strain

    def _add_rows(self, path: Path, name: str) -> None:
        for row in self._manifest.read(path, name):
            self._refuse(row.name, row.reason)

    def _add_pictures(self, members: list[Member]) -> None:
        facts = self._manifest.about([member.name for member in members])
        for member in members:
            stated = facts.get(member.name, Facts())
            name = parse_file_name(member.name)
            gravityspy_id = stated.gravityspy_id or name.gravityspy_id
            ifo = stated.ifo or name.ifo
            if gravityspy_id is not None:
                key = f"id {gravityspy_id}"
            elif name.gps_time is not None:
                key = f"time {ifo} {name.gps_time}"
            else:
                key = f"name {_WINDOW.sub('', member.name)}"
            if stated.gps_time is None and name.gps_time is not None:
                stated = replace(stated, gps_time=str(name.gps_time))
            stated = replace(stated, ifo=ifo)
            self._flags.reach(ifo or self._options.ifo, stated.gps_time)
            content = {"member": member, "facts": stated.as_json()}
            self._index.add(PICTURES, key, content)

    def _pictures(self) -> Iterator[Found[payload.OfPictures | payload.OfViews]]:
        """The glitches given as pictures, then those given as arrays of views."""
        for key, entries in groupby(self._index.ordered(PICTURES), itemgetter(0)):
            members: list[payload.Pictured] = []
            facts = Facts()
            for _, content in entries:
                if len(members) >= MAX_PICTURES:
                    self._refuse(
                        shown(content["member"][0]),
                        f"The glitch has over {MAX_PICTURES} pictures in this batch already.",
                    )
                    continue
                stated = Facts.from_json(content["facts"])
                members.append(payload.Pictured._make([*content["member"], stated.window_s]))
                facts = facts.over(stated)
            kind, _, value = key.partition(" ")
            gravityspy_id = value if kind == "id" else None
            ifo = facts.ifo or self._options.ifo
            about = replace(facts.of_glitch(), ifo=ifo, gravityspy_id=gravityspy_id)
            pictured = payload.OfPictures(members=tuple(members), facts=self._marked(about))
            yield gravityspy_id or shown(members[0].name), pictured
        for _, content in self._index.ordered(VIEWS):
            facts = self._manifest.about([content["member"]])[content["member"]]
            facts = replace(facts.of_glitch(), ifo=facts.ifo or self._options.ifo)
            name = shown(content["member"])
            yield name, payload.OfViews(file=content["file"], name=name, facts=facts)

    def _chosen(self, entries: Iterator[Found[FactsT]]) -> Iterator[Found[FactsT]]:
        """The selected glitches of a published archive; all glitches of other batches."""
        for name, glitch in entries:
            if glitch.facts.clash is not None:
                self._refuse(name, glitch.facts.clash)
            elif self._choice is None or self._choice.takes(glitch.facts):
                yield name, glitch
        if self._choice is None:
            return
        note = self._choice.skipped_note
        if not self._choice.n_taken:
            raise FormatError(f"No glitch of {shown(self._options.name)} is loaded. {note or ''}")
        if note is not None:
            self._refuse("(the rest of the archive)", note, is_harmless=True)

    def _marked(self, facts: Facts) -> Facts:
        """Set the active data-quality flags; keep those of the table if none are known."""
        marks = self._flags.active(facts.ifo, facts.gps_time)
        return facts if marks is None else replace(facts, data_quality=marks)

    # --- published tables -------------------------------------------------------------------------

    def _references(self, path: Path, choice: Choice) -> Iterator[ChunkPlan]:
        """The selected rows of a published table, with the pictures they name or as triggers."""
        for row in read_table(path, self._options.name):
            if row.facts is None:
                self._refuse(row.name, row.reason)
            else:
                facts = replace(row.facts, ifo=row.facts.ifo or self._options.ifo)
                self._index.add(FETCHED, key_at_random(facts), facts.as_json())
        rows = self._chosen(
            (str(facts.gravityspy_id or facts.gps_time), payload.OfTable(facts=facts))
            for facts in (Facts.from_json(one) for _, one in self._index.ordered(FETCHED))
        )
        if choice.selection.rows_from == STRAIN:
            for name, entry in rows:
                self._add_trigger(name, entry.facts)
        else:
            yield from self._cut(payload.TableChunk, rows)

    # --- triggers ---------------------------------------------------------------------------------

    def _add_triggers(self, path: Path, name: str) -> None:
        rows = read_table(path, name)
        while block := list(islice(rows, _BLOCK)):
            stated = [row.facts or Facts() for row in block]
            stored_ids = known_glitches(self._work.session, stated)
            for position, row in enumerate(block):
                if row.facts is None:
                    self._refuse(row.name, row.reason)
                elif position in stored_ids:
                    self._flags.reach(row.facts.ifo, row.facts.gps_time)
                    stored = payload.StoredAlready.of_row(row.name, stored_ids[position], row.facts)
                    self._index.add(KNOWN, "", stored.model_dump(mode="json"))
                else:
                    self._add_trigger(row.name, row.facts)

    def _add_trigger(self, name: str, facts: Facts) -> None:
        ifo, gps_time = parse_ifo(facts.ifo or self._options.ifo), facts.gps_time
        if gps_time is None:
            self._refuse(name, "The trigger has no GPS time: give it in its row.")
        elif (why := why_in_future(Decimal(gps_time), datetime.now(UTC))) is not None:
            self._refuse(name, why)
        elif ifo is None:
            self._refuse(name, "The trigger has no detector: give it, or ifo for all.")
        else:
            self._flags.reach(ifo, gps_time)
            stated = replace(facts.of_glitch(), ifo=ifo)
            self._index.add(TRIGGERS, f"{ifo} {Decimal(gps_time):021.9f}", stated.as_json())

    def _triggers(self) -> Iterator[ChunkPlan]:
        folder = self._work.settings.strain_dir
        if folder is not None:
            self._strain.add_folder(folder)
        yield from self._cut(payload.TriggersChunk, self._merged())
        yield from self._cut(payload.StoredChunk, self._stored(), size=_BLOCK // 2)
        self._refuse_without_strain()
        is_alone = self._has_strain and not self._has_table  # a refused table has its own message
        if is_alone and self._n_refused and not self._n_found:
            self._refuse("(the strain)", payload.NO_TRIGGER)
        if self._n_found or self._n_refused:  # otherwise the whole batch is refused
            entries = ((one["name"], Refused(**one)) for _, one in self._index.ordered(REFUSED))
            yield from self._cut(payload.NotReadChunk, entries, size=_BLOCK // 2)

    def _stored(self) -> Iterator[Found[payload.StoredAlready]]:
        for _, content in self._index.ordered(KNOWN):
            one = payload.StoredAlready.model_validate(content)
            marks = self._flags.active(one.ifo, one.gps_time)
            yield one.name, one.model_copy(update={"data_quality": marks or one.data_quality})

    def _usable(self) -> Iterator[Facts]:
        """Triggers by detector and time, without those that data-quality flags exclude."""
        for _, content in self._index.ordered(TRIGGERS):
            facts = Facts.from_json(content)
            ifo, gps_time = str(facts.ifo), Decimal(str(facts.gps_time))
            if (why_not := self._flags.why_not(ifo, gps_time)) is None:
                yield facts
            else:
                self._refuse(f"{ifo} {facts.gps_time}", why_not, is_harmless=True)

    def _merged(self) -> Iterator[Found[payload.OfTrigger]]:
        """Merge triggers that follow one another within the window into the loudest of them."""
        loudest: Facts | None = None
        last = Decimal(0)
        n_merged = 0
        for facts in self._usable():
            time = Decimal(str(facts.gps_time))
            window = Decimal(str(self._options.merge_window_s))
            if loudest is not None and facts.ifo == loudest.ifo and time - last <= window:
                n_merged += 1
                if (facts.snr or 0) > (loudest.snr or 0):
                    loudest = facts
            else:
                if loudest is not None:
                    yield from self._trigger(loudest, n_merged)
                loudest, n_merged = facts, 1
            last = time
        if loudest is not None:
            yield from self._trigger(loudest, n_merged)

    def _trigger(self, facts: Facts, n_merged: int) -> Iterator[Found[payload.OfTrigger]]:
        ifo, gps_time = str(facts.ifo), Decimal(str(facts.gps_time))
        name = f"{ifo} {gps_time:f}"
        facts = self._marked(facts)
        stretch = self._strain.find(ifo, gps_time)
        if stretch is not None:
            yield (
                name,
                payload.OfTrigger(
                    facts=facts,
                    n_merged=n_merged,
                    strain=stretch.places,
                    gap=stretch.gap,
                    others=stretch.others,
                ),
            )
        elif self._work.settings.has_remote_strain:
            yield name, payload.OfTrigger(facts=facts, n_merged=n_merged, strain=payload.OPEN_DATA)
        elif self._strain.holds(ifo):
            self._refuse(name, self._strain.why_not(ifo, gps_time))
        else:
            self._without_strain.setdefault(ifo, []).append(gps_time)

    def _refuse_without_strain(self) -> None:
        """Report once for each detector that it has no strain, however long the table is."""
        for ifo, times in sorted(self._without_strain.items()):
            name = f"{ifo} {times[0]:f}" if len(times) == 1 else f"{len(times):,} triggers of {ifo}"
            self._refuse(name, self._strain.why_not(ifo, times[0]))

    # --- refused inputs ---------------------------------------------------------------------------

    def _refuse(self, name: str, reason: str, *, is_harmless: bool = False) -> None:
        if payload.DOCUMENT.search(name):
            is_harmless = True
        else:
            self._n_refused += 1
        self._index.add(REFUSED, "", asdict(Refused(name, reason, is_harmless)))

    # --- chunks -----------------------------------------------------------------------------------

    def _cut(
        self,
        make: Callable[..., payload.BatchChunk],
        entries: Iterator[Found[GlitchT]],
        *,
        size: int = GLITCHES,
    ) -> Iterator[ChunkPlan]:
        while block := list(islice(entries, size)):
            self._n_found += 0 if make is payload.NotReadChunk else len(block)
            glitches = tuple(glitch for _, glitch in block)
            chunk = make(is_unpacked=self._is_unpacked, glitches=glitches)
            yield _plan(chunk, [name for name, _ in block])


def _plan(chunk: payload.BatchChunk, names: Sequence[str]) -> ChunkPlan:
    return ChunkPlan(chunk.model_dump(mode="json", exclude_none=True), names)
