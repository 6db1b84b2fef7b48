"""From one chunk's payload to glitches ready to be encoded; one bad glitch spoils no other."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from app.batches.datafind import DataFind
from app.batches.fetched import PictureHost
from app.batches.members import read_member, shown
from app.batches.open_data import OpenData
from app.batches.payload import OPEN_DATA, OfPictures, OfTable, OfTrigger, OfViews
from app.batches.strain_index import KNOWN, LISTED, is_readable
from app.core.errors import InvalidRequestError, NotReadyError, ServiceError
from app.decoding.files import open_stack_file, read_joined
from app.glitches.assumed import assumption
from app.glitches.facts import NUMBERS, measured
from app.glitches.upload import (
    ParsedUpload,
    SpooledFile,
    UploadDetails,
    clean_name,
    parse_details,
    parse_upload,
)
from glitch.detectors import detector_of_channel
from glitch.errors import FormatError, GlitchError, StrainError
from glitch.files.channels import is_strain_channel
from glitch.images import Scales, is_image, parse_file_name
from glitch.strain import (
    Strain,
    StrainFile,
    StrainViews,
    views_from_strain,
)
from glitch.tables import Facts, facts_of, wanted_columns
from glitch.views import VIEW_DURATIONS_S, Preprocessing

Picture = tuple[str, bytes, float]  # name, content, window in s
TRANSFORMED_AT_ONCE = 8  # 64 s of strain each: bounds memory


@dataclass(frozen=True, eq=False)
class ReadGlitch:
    """One glitch of a batch, read: what was found, or why nothing could be."""

    position: int
    upload: ParsedUpload | None = None
    label: str | None = None
    confidence: float | None = None  # of the label, 0 to 1
    data_quality: str | None = None  # flags that were active, with blanks between them
    origin: str | None = None  # that the table says
    note: str | None = None
    failure: str | None = None


def read_pictures(
    source: Path,
    glitches: Sequence[tuple[int, OfPictures]],
    preprocessing: Preprocessing,
    scales: Scales | None = None,
) -> Iterator[ReadGlitch]:
    """Glitches whose pictures lie in an archive, of these scales."""
    with source.open("rb") as archive:
        for position, glitch in glitches:
            with _told(position) as failed:
                yield _read_pictures(archive, position, glitch, preprocessing, scales)
            if failed:
                yield _with_pictures(failed[0], glitch)


def _with_pictures(failed: ReadGlitch, glitch: OfPictures) -> ReadGlitch:
    """Which picture it was; and all of them are stored or none, which is worth a word."""
    n_others = len(glitch.members) - 1
    if not n_others:
        name = shown(glitch.members[0].name)
        has_id = glitch.facts.gravityspy_id is not None  # then that is the item's name
        if has_id and name not in str(failed.failure):
            return replace(failed, failure=f"{name}: {failed.failure}")
        return failed
    others = "other picture was" if n_others == 1 else f"{n_others} other pictures were"
    return replace(failed, failure=f"{failed.failure} Its {others} not stored either.")


def _read_pictures(
    archive: BinaryIO,
    position: int,
    glitch: OfPictures,
    preprocessing: Preprocessing,
    scales: Scales | None,
) -> ReadGlitch:
    found: list[Picture] = []
    for picture in glitch.members:
        member = picture.member
        data = read_member(archive, member)
        if not is_image(data[:64]):
            raise FormatError(
                f"{shown(member.name)} is no PNG or JPG, whatever its name says: pack it again."
            )
        found.append((member.name, data, _window(member.name, picture.window_s)))
    return _of_pictures(position, found, glitch.facts, preprocessing, scales)


def _of_pictures(
    position: int,
    found: Sequence[Picture],
    facts: Facts,
    preprocessing: Preprocessing,
    scales: Scales | None,
) -> ReadGlitch:
    """The glitch that these pictures show."""
    pictures: dict[bytes, Picture] = {}
    for name, data, window in found:
        pictures.setdefault(hashlib.sha256(data).digest(), (name, data, window))
    repeated = len(found) - len(pictures)
    windows = tuple(window for *_, window in pictures.values())
    details = replace(_details(facts), view_durations_s=windows, scales=scales)
    with tempfile.TemporaryDirectory(prefix="glitch-batch-") as folder:
        files = []
        for number, (name, data, _) in enumerate(pictures.values()):
            path = Path(folder) / f"picture-{number}"
            path.write_bytes(data)
            files.append(SpooledFile(path, clean_name(name)))
        upload = parse_upload(
            files, details, preprocessing=preprocessing, strain_to_views=_no_strain
        )
    note = None if not repeated else f"{repeated} of its pictures came twice and count once."
    return _found(position, upload, facts, note)


def read_fetched(
    host: str, glitches: Sequence[tuple[int, OfTable]], preprocessing: Preprocessing
) -> Iterator[ReadGlitch]:
    """Glitches whose pictures a published table names, fetched from that host alone."""
    with PictureHost(host) as pictures:
        for position, glitch in glitches:
            with _told(position) as failed:
                facts = glitch.facts
                found = [
                    (url.rpartition("/")[2], pictures.fetch(url), window)
                    for url, window in zip(facts.urls, VIEW_DURATIONS_S, strict=True)
                    if url is not None
                ]
                if not found:
                    raise FormatError(
                        "Its row names no picture (url1 to url4), and a table holds none: load it "
                        "with --strain, which takes its views from strain at its time."
                    )
                facts = facts.of_glitch()
                yield _of_pictures(position, found, facts, preprocessing, None)
            if failed:
                yield failed[0]


def _window(name: str, said: float | None) -> float:
    """The window that a picture shows, in s: what the manifest says counts before its name."""
    window = parse_file_name(name).duration_s if said is None else said
    if window is None:
        raise InvalidRequestError(
            f"The window length of {shown(name)} is not in its name: name it as Gravity Spy does "
            "(…_spectrogram_1.0.png), or give duration_s in a manifest."
        )
    return float(window)


def read_arrays(
    folder: Path, glitches: Sequence[tuple[int, OfViews]], preprocessing: Preprocessing
) -> Iterator[ReadGlitch]:
    """Glitches that are a file of views each, unpacked into the job's folder."""
    for position, glitch in glitches:
        with _told(position) as failed:
            facts = glitch.facts
            file = SpooledFile(folder / glitch.file, clean_name(glitch.name))
            upload = parse_upload(
                [file], _details(facts), preprocessing=preprocessing, strain_to_views=_no_strain
            )
            yield _found(position, upload, facts)
        if failed:
            yield failed[0]


def read_stack(
    path: Path,
    start: int,
    positions: Sequence[int],
    ifo: str | None,
    preprocessing: Preprocessing,
) -> Iterator[ReadGlitch]:
    """Glitches of one HDF5 file of many."""
    stack = open_stack_file(path, path.name)
    columns = wanted_columns(stack.columns)
    indices = [start + position for position in positions]
    found = stack.glitches(indices, columns, preprocessing)
    for position, one in zip(positions, found, strict=True):
        with _told(position) as failed:
            if isinstance(one, GlitchError):
                raise one
            cells, views = one
            facts = facts_of(cells, ifo=ifo)
            upload = ParsedUpload(views=views)
            yield _found(position, upload, facts)
        if failed:
            yield failed[0]


@dataclass(frozen=True)
class StrainRoots:
    """Where strain files lie, and what is said about them."""

    uploaded: Path
    known: Path | None
    remote: Sequence[DataFind | OpenData]  # asked in this order for what is not at hand
    channel: str | None
    sample_rate_hz: float | None
    device: str
    centre: bool = True  # views on the loudest tile, else on the trigger's time

    def files(self, glitch: OfTrigger) -> tuple[list[StrainFile], str | None]:
        """A trigger's files, and where they end if that is too soon.

        Raises:
            FormatError: if one is not below its root, or gone.
            StrainError: if frame server and GWOSC have none.
            NotReadyError: if they cannot be reached.
        """
        facts = glitch.facts
        if glitch.strain == OPEN_DATA:
            return self._remote_files(str(facts.ifo), Decimal(str(facts.gps_time)))
        files = [StrainFile(self._path(root, path), name) for root, path, name in glitch.strain]
        return files, glitch.gap

    def _remote_files(self, ifo: str, gps_time: Decimal) -> tuple[list[StrainFile], str | None]:
        if not self.remote:
            raise FormatError(
                "The strain was to come from a frame server or GWOSC, which GLITCH_DATAFIND_URL "
                "and GLITCH_GWOSC_URL do not name any more: send the batch again with its strain."
            )
        reasons: list[str] = []
        for source in self.remote:
            try:
                stretch = source.files(ifo, gps_time)
                files = [source.file(place.path, place.name) for place in stretch.places]
            except StrainError as error:
                reasons.append(str(error))
            else:
                return files, stretch.gap
        raise StrainError(" ".join(reasons))

    def _path(self, root: str, path: str) -> Path:
        if root in (KNOWN, LISTED):  # the operator's, where links may lead anywhere
            found = Path(path) if self.known is None or root == LISTED else self.known / path
            if is_readable(found):
                return found
            raise FormatError(
                f"The strain file {path} cannot be read, which the server's strain folder, a cache "
                "file or the frame server names: ask the operator to correct that, or send the "
                "strain with the table."
            )
        found = self.uploaded / path
        if found.resolve().is_relative_to(self.uploaded.resolve()) and found.is_file():
            return found
        raise FormatError(f"The strain file {path} is no longer there: send the batch again.")

    def read(self, glitch: OfTrigger) -> tuple[Strain, str | None]:
        """The strain around a trigger, and where it ends if that is within 32 s.

        Raises:
            GlitchError: if it cannot be read, or holds too little; says where it ends.
            NotReadyError: if frame server or GWOSC cannot be reached.
        """
        files, gap = self.files(glitch)
        facts = glitch.facts
        try:
            strain = read_joined(
                files,
                gps_time=Decimal(str(facts.gps_time)),
                # What GWOSC sends says its rate; the option chose among its files.
                sample_rate_hz=None if glitch.strain == OPEN_DATA else self.sample_rate_hz,
                channel=self.channel,
                ifo=facts.ifo,
                preferred_channel=_own_channel(facts),
            )
        except StrainError as error:
            raise StrainError(_with_gap(str(error), gap)) from error
        return strain, gap


def read_triggers(
    roots: StrainRoots, glitches: Sequence[tuple[int, OfTrigger]], preprocessing: Preprocessing
) -> Iterator[ReadGlitch]:
    """Glitches at triggers, transformed several at a time."""
    for start in range(0, len(glitches), TRANSFORMED_AT_ONCE):
        ready: list[tuple[int, OfTrigger, Strain, str | None]] = []
        for position, glitch in glitches[start : start + TRANSFORMED_AT_ONCE]:
            with _told(position) as failed:
                strain, gap = roots.read(glitch)
                ready.append((position, glitch, strain, gap))
            if failed:
                yield failed[0]
        made = _transformed(
            [(strain, glitch.facts) for _, glitch, strain, _ in ready], preprocessing, roots
        )
        for (position, glitch, strain, gap), one in zip(ready, made, strict=True):
            if isinstance(one, str):
                yield ReadGlitch(position, failure=_with_gap(one, gap))
                continue
            facts = glitch.facts
            upload = ParsedUpload(
                views=one.views,
                channel=strain.channel or _strain_channel(facts),
                **measured(one),
            )
            merged = glitch.n_merged
            note = None if merged == 1 else f"The loudest of {merged} triggers close in time."
            said = replace(facts, channel=None)  # what was read counts, not what was triggered on
            yield _found(position, upload, said, note)


def _with_gap(reason: str, gap: str | None) -> str:
    """What is wrong, and that the strain ends close by."""
    return f"{reason} {gap}" if gap else reason


def _transformed(
    ready: list[tuple[Strain, Facts]], preprocessing: Preprocessing, roots: StrainRoots
) -> list[StrainViews | str]:
    """Views of each, all at once; where one is bad, one by one, so that only that one fails."""

    def transform(part: list[tuple[Strain, Facts]]) -> list[StrainViews]:
        times = [Decimal(str(facts.gps_time)) for _, facts in part]
        strains = [strain for strain, _ in part]
        return views_from_strain(
            strains, times, preprocessing, device=roots.device, centre=roots.centre
        )

    if not ready:
        return []
    try:
        return list(transform(ready))
    except StrainError:
        made: list[StrainViews | str] = []
        for one in ready:
            try:
                made += transform([one])
            except StrainError as error:
                made.append(str(error))
        return made


@contextmanager
def _told(position: int) -> Iterator[list[ReadGlitch]]:
    """Turn what is wrong with one glitch into its failure; a full disk or a dead network is not."""
    failed: list[ReadGlitch] = []
    try:
        yield failed
    except NotReadyError:
        raise  # the network's or the operator's; the chunk is tried again
    except (GlitchError, ServiceError) as error:
        failed.append(ReadGlitch(position, failure=str(error)))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = f"It cannot be read ({type(error).__name__}): send it in one of the known forms."
        failed.append(ReadGlitch(position, failure=reason))


def _own_channel(facts: Facts) -> str | None:
    """The trigger's channel, unless it is of another detector than the trigger."""
    return facts.channel if detector_of_channel(facts.channel) in (None, facts.ifo) else None


def _strain_channel(facts: Facts) -> str | None:
    """The trigger's channel for strain that does not name its own, where it is one of strain."""
    channel = _own_channel(facts)
    return channel if channel and is_strain_channel(channel) else None


def _details(facts: Facts) -> UploadDetails:
    return parse_details(gps_time=facts.gps_time, ifo=facts.ifo, channel=facts.channel)


def _found(
    position: int, upload: ParsedUpload, facts: Facts, note: str | None = None
) -> ReadGlitch:
    """A glitch that was read, with what its table says."""
    notes = " ".join(one for one in (note, assumption(upload.assumed)) if one) or None
    upload = _with(upload, facts)
    return ReadGlitch(
        position,
        upload,
        facts.label,
        facts.confidence,
        facts.data_quality,
        facts.origin,
        notes,
    )


def _with(upload: ParsedUpload, facts: Facts) -> ParsedUpload:
    """What the table says counts before what was measured or read from a name."""
    said = {
        name: value
        for name in ("ifo", "channel", *NUMBERS)
        if (value := getattr(facts, name)) is not None
    }
    if facts.gravityspy_id is not None:
        said["gravityspy_id"] = facts.gravityspy_id
    if facts.gps_time is not None:
        said["gps_time"] = Decimal(facts.gps_time)
    return replace(upload, **said)


def _no_strain(*_: object, **__: object) -> StrainViews:
    raise InvalidRequestError("Strain in a batch needs a table of triggers beside it.")
