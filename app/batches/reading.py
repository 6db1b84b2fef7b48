"""Read one chunk into glitches to be encoded. A bad glitch does not affect the others."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from io import BufferedIOBase
from pathlib import Path
from typing import Any, TypeVar

from app.batches.payload import OPEN_DATA, OfPictures, OfTable, OfTrigger, OfViews, Pictured
from app.batches.remote import DataFind, OpenData, PictureHost
from app.batches.strain_index import KNOWN, LISTED, is_readable
from app.core.errors import InvalidRequestError, NotReadyError, ServiceError
from app.decoding.files import StatedStrain, open_stack_file, piece_of, read_joined
from app.glitches.assumed import assumption
from app.glitches.facts import NUMBERS, measured
from app.glitches.upload import (
    ParsedUpload,
    SpooledFile,
    UploadDetails,
    UploadFields,
    clean_name,
    parse_upload,
)
from glitch.detectors import detector_of_channel
from glitch.errors import FormatError, GlitchError, StrainError
from glitch.files.archives import read_member, shown
from glitch.files.channels import is_strain_channel
from glitch.images import Scales, is_image, parse_file_name
from glitch.strain import Strain, StrainFile, StrainViews, views_from_strain
from glitch.strain.joining import other_of_same_time
from glitch.tables import Facts, facts_of, needed_columns
from glitch.views import VIEW_DURATIONS_S, Preprocessing, Views

GlitchT = TypeVar("GlitchT")
ResultT = TypeVar("ResultT")
Picture = tuple[str, bytes, float]  # name, content, window in s
TRANSFORMED_AT_ONCE = 8  # 64 s of strain each: bounds memory


@dataclass(frozen=True, eq=False)
class ReadGlitch:
    """One glitch read from a batch, with the properties in its table."""

    upload: ParsedUpload
    facts: Facts
    note: str | None


Read = Iterator[tuple[int, ReadGlitch | str]]  # position, and the glitch or an error text


def read_pictures(
    source: Path,
    glitches: Sequence[tuple[int, OfPictures]],
    preprocessing: Preprocessing,
    scales: Scales | None,
) -> Read:
    """Read glitches whose pictures are in an archive, with these scales."""
    with source.open("rb") as archive:

        def read(glitch: OfPictures) -> ReadGlitch:
            pictures = [_picture(archive, picture) for picture in glitch.members]
            return _of_pictures(pictures, glitch.facts, preprocessing, scales)

        for position, glitch, result in _read_each(glitches, read):
            yield position, _with_pictures(result, glitch) if isinstance(result, str) else result


def _with_pictures(failure: str, glitch: OfPictures) -> str:
    """Add the picture's name, or that the glitch's other pictures were not stored either."""
    n_others = len(glitch.members) - 1
    if not n_others:
        name = shown(glitch.members[0].name)
        has_id = glitch.facts.gravityspy_id is not None  # then the id is the item's name
        return f"{name}: {failure}" if has_id and name not in failure else failure
    others = "other picture was" if n_others == 1 else f"{n_others} other pictures were"
    return f"{failure} Its {others} not stored either."


def _picture(archive: BufferedIOBase, picture: Pictured) -> Picture:
    member = picture.member
    data = read_member(archive, member)
    if not is_image(data[:64]):
        raise FormatError(
            f"{shown(member.name)} is not a PNG or JPG, despite its name: pack it again."
        )
    return member.name, data, _window(member.name, picture.window_s)


def _of_pictures(
    members: Sequence[Picture], facts: Facts, preprocessing: Preprocessing, scales: Scales | None
) -> ReadGlitch:
    pictures: dict[bytes, Picture] = {}
    for name, data, window in members:
        pictures.setdefault(hashlib.sha256(data).digest(), (name, data, window))
    repeated = len(members) - len(pictures)
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
    note = None if not repeated else f"{repeated} of its pictures came twice and counted once."
    return _glitch_of(upload, facts, note)


def read_fetched(
    host: str, glitches: Sequence[tuple[int, OfTable]], preprocessing: Preprocessing
) -> Read:
    """Read glitches whose pictures a published table names; fetch only from this host."""
    with PictureHost(host) as pictures:

        def read(glitch: OfTable) -> ReadGlitch:
            fetched = [
                (url.rpartition("/")[2], pictures.fetch(url), window)
                for url, window in zip(glitch.facts.urls, VIEW_DURATIONS_S, strict=True)
                if url is not None
            ]
            if not fetched:
                raise FormatError(
                    "Its row names no picture (url1 to url4): load the table with --strain, which "
                    "makes the views from strain."
                )
            return _of_pictures(fetched, glitch.facts.of_glitch(), preprocessing, None)

        for position, _, result in _read_each(glitches, read):
            yield position, result


def _window(name: str, stated: float | None) -> float:
    """Window of a picture in s, from the manifest if given, otherwise from the file name."""
    window = parse_file_name(name).duration_s if stated is None else stated
    if window is None:
        raise InvalidRequestError(
            f"The window length of {shown(name)} is not in its name: name it as Gravity Spy does "
            "(…_spectrogram_1.0.png), or give duration_s in a manifest."
        )
    return float(window)


def read_arrays(
    folder: Path, glitches: Sequence[tuple[int, OfViews]], preprocessing: Preprocessing
) -> Read:
    """Read glitches that are one file of views each, unpacked into the job's folder."""

    def read(glitch: OfViews) -> ReadGlitch:
        file = SpooledFile(folder / glitch.file, clean_name(glitch.name))
        details = _details(glitch.facts)
        upload = parse_upload(
            [file], details, preprocessing=preprocessing, strain_to_views=_no_strain
        )
        return _glitch_of(upload, glitch.facts)

    for position, _, result in _read_each(glitches, read):
        yield position, result


def read_stack(
    path: Path, start: int, positions: Sequence[int], ifo: str | None, preprocessing: Preprocessing
) -> Read:
    """Read glitches from one HDF5 file of many."""
    stack = open_stack_file(path, path.name)
    indices = [start + position for position in positions]
    content = stack.glitches(indices, needed_columns(stack.columns), preprocessing)

    def read(one: tuple[dict[str, Any], Views] | GlitchError) -> ReadGlitch:
        if isinstance(one, GlitchError):
            raise one
        cells, views = one
        return _glitch_of(ParsedUpload(views=views), facts_of(cells, ifo=ifo))

    for position, _, result in _read_each(zip(positions, content, strict=True), read):
        yield position, result


@dataclass(frozen=True)
class StrainRoots:
    """Folders and remote sources of strain files, and options for reading them."""

    uploaded: Path
    known: Path | None
    remote: Sequence[DataFind | OpenData]  # queried in this order
    channel: str | None
    sample_rate_hz: float | None
    device: str
    centre: bool = True  # centre on the loudest tile, otherwise on the trigger's time

    def files(self, glitch: OfTrigger) -> tuple[list[StrainFile], str | None]:
        """Strain files of a trigger, and a sentence on where they end if within the 64 s.

        Raises:
            FormatError: if a file is gone or outside its root folder.
            StrainError: if the frame server and GWOSC have none.
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
                "This trigger needs strain from a frame server or GWOSC, but GLITCH_DATAFIND_URL "
                "and GLITCH_GWOSC_URL are no longer set: send the batch again with its strain."
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
        if root in (KNOWN, LISTED):  # the operator's files, where links may lead anywhere
            file = Path(path) if self.known is None or root == LISTED else self.known / path
            if is_readable(file):
                return file
            raise FormatError(
                f"The strain file {path}, which the server's strain folder, a cache file or the "
                "frame server lists, cannot be read: ask the operator to correct that, or send "
                "the strain with the table."
            )
        file = self.uploaded / path
        if file.resolve().is_relative_to(self.uploaded.resolve()) and file.is_file():
            return file
        raise FormatError(f"The strain file {path} is no longer there: send the batch again.")

    def read(self, glitch: OfTrigger) -> tuple[Strain, str | None, str | None]:
        """The strain around a trigger, where it ends if within 32 s, and a note on other strain.

        Raises:
            GlitchError: if it cannot be read or is too short; the message says where it ends.
            NotReadyError: if the frame server or GWOSC cannot be reached.
        """
        files, gap = self.files(glitch)
        facts = glitch.facts
        stated: StatedStrain = {
            "gps_time": Decimal(str(facts.gps_time)),
            # GWOSC's files state their rate; the option selected among them.
            "sample_rate_hz": None if glitch.strain == OPEN_DATA else self.sample_rate_hz,
            "channel": self.channel,
            "ifo": facts.ifo,
            "preferred_channel": _own_channel(facts),
        }
        try:
            strain = read_joined(files, **stated)
        except StrainError as error:
            raise StrainError(_with_gap(str(error), gap)) from error
        notes = []
        for root, path, name in glitch.others:
            other = piece_of(StrainFile(self._path(root, path), name), **stated)
            if other is not None:
                notes.append(other_of_same_time(strain, other, files[0].name, name))
        return strain, gap, " ".join(filter(None, notes)) or None


def read_triggers(
    roots: StrainRoots, glitches: Sequence[tuple[int, OfTrigger]], preprocessing: Preprocessing
) -> Read:
    """Read glitches at triggers; several are transformed at once."""
    for start in range(0, len(glitches), TRANSFORMED_AT_ONCE):
        ready: list[tuple[int, OfTrigger, Strain, str | None, str | None]] = []
        some = glitches[start : start + TRANSFORMED_AT_ONCE]
        for position, glitch, result in _read_each(some, roots.read):
            if isinstance(result, str):
                yield position, result
            else:
                ready.append((position, glitch, *result))
        transformed = _transformed(
            [(strain, glitch.facts) for _, glitch, strain, *_ in ready], preprocessing, roots
        )
        for (position, glitch, strain, gap, other), one in zip(ready, transformed, strict=True):
            if isinstance(one, str):
                yield position, _with_gap(one, gap)
                continue
            facts = glitch.facts
            channel = strain.channel or _strain_channel(facts)
            upload = ParsedUpload(views=one.views, channel=channel, **measured(one))
            merged = glitch.n_merged
            loudest = None if merged == 1 else f"The loudest of {merged} triggers close in time."
            note = " ".join(filter(None, (loudest, other))) or None
            stated = replace(facts, channel=None)  # the channel read counts, not the trigger's
            yield position, _glitch_of(upload, stated, note)


def _with_gap(reason: str, gap: str | None) -> str:
    return f"{reason} {gap}" if gap else reason


def _transformed(
    ready: list[tuple[Strain, Facts]], preprocessing: Preprocessing, roots: StrainRoots
) -> list[StrainViews | str]:
    """Views of all triggers at once; if that fails, one by one, so that only bad ones fail."""

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
        results: list[StrainViews | str] = []
        for one in ready:
            try:
                results += transform([one])
            except StrainError as error:
                results.append(str(error))
        return results


def _read_each(
    glitches: Iterable[tuple[int, GlitchT]], read: Callable[[GlitchT], ResultT]
) -> Iterator[tuple[int, GlitchT, ResultT | str]]:
    """Yield the result or error text of each glitch; errors of disk or network are raised."""
    for position, glitch in glitches:
        result: ResultT | str
        try:
            result = read(glitch)
        except NotReadyError:
            raise  # not caused by the glitch; the chunk is retried
        except (GlitchError, ServiceError) as error:
            result = str(error)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            result = f"It cannot be read ({type(error).__name__}): send it in a supported format."
        yield position, glitch, result


def _own_channel(facts: Facts) -> str | None:
    """The trigger's channel, unless it belongs to another detector than the trigger."""
    return facts.channel if detector_of_channel(facts.channel) in (None, facts.ifo) else None


def _strain_channel(facts: Facts) -> str | None:
    """The trigger's channel if it is a strain channel; for strain that names none."""
    channel = _own_channel(facts)
    return channel if channel and is_strain_channel(channel) else None


def _details(facts: Facts) -> UploadDetails:
    return UploadFields(gps_time=facts.gps_time, ifo=facts.ifo, channel=facts.channel).parsed()


def _glitch_of(upload: ParsedUpload, facts: Facts, note: str | None = None) -> ReadGlitch:
    notes = " ".join(one for one in (note, assumption(upload.assumed)) if one) or None
    # the table's values replace measured ones and those from file names
    stated = {
        name: value
        for name in ("ifo", "channel", *NUMBERS)
        if (value := getattr(facts, name)) is not None
    }
    if facts.gravityspy_id is not None:
        stated["gravityspy_id"] = facts.gravityspy_id
    if facts.gps_time is not None:
        stated["gps_time"] = Decimal(facts.gps_time)
    return ReadGlitch(replace(upload, **stated), facts, notes)


def _no_strain(*_: object, **__: object) -> StrainViews:
    raise InvalidRequestError("Strain in a batch needs a table of triggers beside it.")
