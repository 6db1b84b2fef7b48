"""Convert uploaded files and the accompanying fields to the views of one glitch.

The name of a file is data (Gravity Spy names contain the detector, the id and the window), never a
path: uploads are spooled under generated names.
"""

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, TypeVar

from app.core.errors import InvalidRequestError, UnsupportedFileError
from app.decoding.files import ReadUpload, read_upload
from app.decoding.operations import ARRAY, STRAIN
from app.glitches.assumed import START
from app.glitches.facts import GlitchFacts, measured
from glitch.detectors import DETECTORS, detector_of_channel, parse_detector
from glitch.errors import FormatError, TooLargeError
from glitch.gps import LATEST_GPS_TIME
from glitch.images import (
    Scales,
    SpectrogramImage,
    SpectrogramName,
    is_image,
    read_spectrogram,
    views_from_spectrograms,
)
from glitch.strain import Strain, StrainViews
from glitch.tables import refuse_unread
from glitch.views import Preprocessing, Views

MAX_FILES = 4  # Gravity Spy's windows
MAX_PICTURE_BYTES = 32_000_000  # a Gravity Spy picture has 0.1 to 0.4 MB

_GPS_TIME = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)
# Channels, and names of series in HDF5 files, which may contain blanks, brackets and commas.
_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 :/_.,()\[\]{}+@#%*=~\-]{0,199}", re.ASCII)
_HERTZ = r"(\d{1,6}(?:\.\d{1,6})?)"
# No two parts may match the same blanks: 4,000 took 0.1 s, and a field may contain 64,000.
_RANGE = re.compile(rf"{_HERTZ}(?:\s*+(?:,|-|to)\s*+|\s++){_HERTZ}", re.ASCII)
_NOT_IN_NAMES = re.compile(r"[^\w .,()+@=~\-]")

_Value = TypeVar("_Value")
StrainToViews = Callable[..., StrainViews]  # as ``app.models.inference.StrainTransform`` is called


@dataclass(frozen=True)
class SpooledFile:
    """An uploaded file on disk."""

    path: Path  # generated name
    name: str  # cleaned name from the client, for messages and Gravity Spy's conventions


@dataclass(frozen=True)
class UploadDetails:
    """Parsed details that the client sent with the files. ``None`` means not given."""

    gps_time: Decimal | None = None  # s
    ifo: str | None = None
    channel: str | None = None
    sample_rate_hz: float | None = None
    view_durations_s: tuple[float, ...] = ()  # in the order of the files
    scales: Scales | None = None  # of pictures with other axes than Gravity Spy's
    is_centred: bool = True  # strain: centre on the loudest tile, otherwise on the GPS time


@dataclass(frozen=True, kw_only=True)
class UploadFields:
    """Details that the client sent with the files, as received."""

    gps_time: str | None = None  # s, a decimal number
    ifo: str | None = None
    channel: str | None = None
    sample_rate_hz: float | None = None
    view_durations_s: Sequence[float] = ()  # in the order of the files
    energy_max: float | None = None  # of pictures; see ``parse_scales``
    frequency_range: str | None = None
    is_centred: bool = True  # strain: centre on the loudest tile, otherwise on gps_time

    def parsed(self) -> UploadDetails:
        """Check and parse each field; InvalidRequestError or ImageError names a bad one."""
        channel = (self.channel or "").strip() or None
        if channel is not None and not _CHANNEL.fullmatch(channel):
            raise InvalidRequestError(
                f"channel {_shown(channel)} is not a channel name: give one such as "
                "H1:GDS-CALIB_STRAIN.",
                field="channel",
            )
        rate_hz = self.sample_rate_hz
        if rate_hz is not None and not (math.isfinite(rate_hz) and rate_hz > 0):
            raise InvalidRequestError(
                "sample_rate_hz must be a positive number of samples a second.",
                field="sample_rate_hz",
            )
        detector = parse_ifo(self.ifo)
        of_channel = detector_of_channel(channel)
        if detector and of_channel and of_channel != detector:
            raise InvalidRequestError(
                f"channel {channel} belongs to {of_channel}, but ifo says {detector}: correct one.",
                field="ifo",
            )
        return UploadDetails(
            gps_time=parse_gps_time(self.gps_time),
            ifo=detector or of_channel,
            channel=channel,
            sample_rate_hz=rate_hz,
            view_durations_s=tuple(self.view_durations_s),
            scales=parse_scales(self.energy_max, self.frequency_range),
            is_centred=self.is_centred,
        )


@dataclass(frozen=True, eq=False)
class ParsedUpload(GlitchFacts):
    """One uploaded glitch: its views and known properties."""

    views: Views
    assumed: tuple[str, ...] = ()  # names of assumed values; see ``app.glitches.assumed``


def parse_gps_time(text: str | None) -> Decimal | None:
    """Parse a GPS time exactly; ``None`` for no text, InvalidRequestError if it is not a time."""
    if text is None or not text.strip():
        return None
    text = text.strip()
    if not _GPS_TIME.fullmatch(text) or not 0 < Decimal(text) <= LATEST_GPS_TIME:
        raise InvalidRequestError(
            f"gps_time {_shown(text)} is not a GPS time: give seconds since 6 January 1980, up to "
            f"{LATEST_GPS_TIME:f}, as a plain decimal number with at most nine decimals, such as "
            "1126259462.4.",
            field="gps_time",
        )
    return Decimal(text)


def parse_ifo(text: str | None) -> str | None:
    """Parse a detector; ``None`` for no text, InvalidRequestError if it is unknown."""
    if text is None or not text.strip():
        return None
    if parse_detector(text) is None:
        raise InvalidRequestError(
            f"ifo {_shown(text)} is not a known detector: give one of {', '.join(DETECTORS)}.",
            field="ifo",
        )
    return parse_detector(text)


def parse_scales(energy_max: float | None, frequency_range: str | None) -> Scales | None:
    """Parse the scales of a picture; ``None`` if neither is given.

    ``energy_max`` is the normalised energy at the top of the colour scale; ``frequency_range`` is
    in Hz, for example ``10,4096``.

    Raises:
        InvalidRequestError, ImageError: if one is invalid; the error names the field.
    """
    text = (frequency_range or "").strip()
    if not text:
        return None if energy_max is None else Scales(energy_max=energy_max)
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidRequestError(
            f"frequency_range {_shown(text)} is not a range: give two frequencies in Hz, as "
            "10,4096.",
            field="frequency_range",
        )
    return Scales((float(match[1]), float(match[2])), energy_max)


def clean_name(name: str | None) -> str:
    """File name from a client without folders, control characters or excess length."""
    base = re.split(r"[/\\]", name or "")[-1]
    cleaned = _NOT_IN_NAMES.sub("_", base).strip()
    if len(cleaned) > 120:
        cleaned = cleaned[-120:]  # the suffix and Gravity Spy's window are at the end
    return cleaned or "unnamed"


@contextmanager
def spooled(files: Sequence[tuple[str | None, BinaryIO]]) -> Iterator[list[SpooledFile]]:
    """Write 1 to 4 uploads (name, stream) to temporary files with generated names."""
    if not 1 <= len(files) <= MAX_FILES:
        raise InvalidRequestError(
            f"Send one file, or up to {MAX_FILES} pictures of one glitch; these are {len(files)}."
        )
    with ExitStack() as stack:
        spooled_files = []
        for name, stream in files:
            target = stack.enter_context(tempfile.NamedTemporaryFile(prefix="glitch-upload-"))
            shutil.copyfileobj(stream, target, 1 << 20)
            target.flush()
            spooled_files.append(SpooledFile(Path(target.name), clean_name(name)))
        yield spooled_files


def parse_upload(
    files: Sequence[SpooledFile],
    details: UploadDetails,
    *,
    preprocessing: Preprocessing,
    strain_to_views: StrainToViews,
) -> ParsedUpload:
    """Make the views of the one glitch in these files.

    The content determines the kind of a file. The files are one strain file, one array of views, or
    one to four pictures with different windows; InvalidRequestError or GlitchError otherwise.
    """
    read = [_read(file, details, preprocessing) for file in files]
    kinds = {kind for kind, _ in read}
    if len(kinds) > 1:
        raise InvalidRequestError(
            f"These files are of different kinds ({' and '.join(sorted(kinds))}): send one strain "
            "file, one array of views, or up to four pictures of one glitch."
        )
    kind = kinds.pop()
    if kind != _PICTURE and len(files) > 1:
        raise InvalidRequestError(
            f"Send one {kind} per request: only pictures of one glitch can be sent together."
        )
    if kind == _STRAIN:
        return _from_strain(files[0], read[0][1].strain, details, preprocessing, strain_to_views)
    if kind == _ARRAY:
        return _from_array(read[0][1].views, details)
    return _from_pictures(files, details, preprocessing)


_STRAIN, _ARRAY, _PICTURE = "strain file", "array of views", "picture"
_KINDS = {STRAIN: _STRAIN, ARRAY: _ARRAY}


def _read(
    file: SpooledFile, details: UploadDetails, preprocessing: Preprocessing
) -> tuple[str, ReadUpload]:
    """Kind of a file, and its content if requested and it is not a picture."""
    if not file.path.stat().st_size:
        raise FormatError(f"{file.name} is empty: send the file again.")
    with file.path.open("rb") as stream:
        head = stream.read(64)
    if is_image(head):
        return _PICTURE, ReadUpload(None)
    content = read_upload(
        file.path,
        file.name,
        preprocessing,
        is_array_wanted=not details.view_durations_s,
        is_strain_wanted=not details.view_durations_s and details.gps_time is not None,
        gps_time=details.gps_time,
        sample_rate_hz=details.sample_rate_hz,
        channel=details.channel,
        ifo=details.ifo,
    )
    if content.kind is not None:
        return _KINDS[content.kind], content
    try:
        refuse_unread(file.path, file.name)
    except FormatError as error:
        raise UnsupportedFileError(str(error)) from None
    raise UnsupportedFileError(
        f"{file.name} has no supported format: send strain (HDF5, GWF, CSV, text, npy, "
        "npz), an omega scan (PNG, JPG), or an array of views (npy, npz, HDF5). An "
        f"archive or a table of triggers is sent as a batch. {content.reason}".rstrip()
    )


def _from_strain(
    file: SpooledFile,
    strain: Strain | None,
    details: UploadDetails,
    preprocessing: Preprocessing,
    strain_to_views: StrainToViews,
) -> ParsedUpload:
    if details.view_durations_s:
        raise InvalidRequestError(
            "view_duration_s is for pictures; strain gives every window that fits. Leave it out.",
            field="view_duration_s",
        )
    if details.gps_time is None or strain is None:
        raise InvalidRequestError(
            f"{file.name} is strain: say where the glitch is with gps_time, in GPS seconds.",
            field="gps_time",
        )
    converted = strain_to_views(strain, details.gps_time, preprocessing, centre=details.is_centred)
    return ParsedUpload(
        views=converted.views,
        ifo=parse_ifo(_agreed("ifo", details.ifo, [strain.ifo], file.name)),
        channel=strain.channel,
        gps_time=details.gps_time,
        assumed=(START,) if strain.is_start_assumed else (),
        **measured(converted),
    )


def _from_array(views: Views | None, details: UploadDetails) -> ParsedUpload:
    if details.view_durations_s or views is None:
        raise InvalidRequestError(
            "view_duration_s is for pictures; an array states its windows. Leave it out.",
            field="view_duration_s",
        )
    return ParsedUpload(
        views=views, ifo=details.ifo, channel=details.channel, gps_time=details.gps_time
    )


def _from_pictures(
    files: Sequence[SpooledFile], details: UploadDetails, preprocessing: Preprocessing
) -> ParsedUpload:
    stated = details.view_durations_s
    if stated and len(stated) != len(files):
        raise InvalidRequestError(
            f"There are {len(files)} pictures but {len(stated)} values of view_duration_s: give "
            "one for each picture, in their order.",
            field="view_duration_s",
        )
    images: dict[float, SpectrogramImage] = {}
    names: list[SpectrogramName] = []
    for index, file in enumerate(files):
        if file.path.stat().st_size > MAX_PICTURE_BYTES:
            raise TooLargeError(
                f"{file.name} has over {MAX_PICTURE_BYTES / 1e6:g} MB, which is too large for an "
                "omega scan: send the picture as Gravity Spy publishes it."
            )
        try:
            picture = read_spectrogram(
                file.path.read_bytes(), file.name, preprocessing, details.scales
            )
        except FormatError as error:
            if len(files) == 1 or file.name in str(error):
                raise
            raise type(error)(f"{file.name}: {error}") from error  # name the file at fault
        names.append(picture.name)
        duration_s = stated[index] if stated else picture.name.duration_s
        if duration_s is None:
            raise InvalidRequestError(
                f"The window length of {file.name} is not in its name: give view_duration_s, in "
                "seconds, once for each picture and in their order.",
                field="view_duration_s",
            )
        window = preprocessing.durations_s[preprocessing.view_index(duration_s)]
        if window in images:
            raise InvalidRequestError(
                f"Two pictures have the window of {window:g} s: send each window once."
            )
        images[window] = picture
    return ParsedUpload(
        views=views_from_spectrograms(images, preprocessing),
        ifo=parse_ifo(_agreed("ifo", details.ifo, [name.ifo for name in names])),
        channel=details.channel,
        gps_time=_agreed("gps_time", details.gps_time, [name.gps_time for name in names]),
        gravityspy_id=_agreed("Gravity Spy id", None, [name.gravityspy_id for name in names]),
        assumed=tuple(sorted({field for one in images.values() for field in one.assumed})),
    )


def _agreed(
    field: str, stated: _Value | None, from_files: Sequence[_Value | None], name: str = ""
) -> _Value | None:
    """The value on which the client and the files agree; ``None`` if nobody gives one."""
    values = list(dict.fromkeys(value for value in from_files if value is not None))
    if len(values) > 1:
        raise InvalidRequestError(
            f"The files are of different glitches: their {field} is "
            f"{' and '.join(str(value) for value in values)}. Send the pictures of one glitch."
        )
    is_same = stated is None or not values or stated == values[0]
    if isinstance(stated, Decimal) and values and isinstance(values[0], Decimal):
        is_same = abs(stated - values[0]) < 1  # the client's time may be rounded or more precise
    if not is_same:
        raise InvalidRequestError(
            f"{field} {stated} was given, but {name or 'the file name'} says {values[0]}: correct "
            "one of them."
        )
    return stated if stated is not None else (values[0] if values else None)


def _shown(text: str) -> str:
    return f"“{''.join(one if one.isprintable() else '_' for one in text[:40])}”"
