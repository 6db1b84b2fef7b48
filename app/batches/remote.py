"""Data that a batch fetches: strain from a frame server or GWOSC, and pictures.

A frame server (GWDataFind) returns the location of frames on this machine, if the operator has set
``GLITCH_DATAFIND_URL`` and ``GLITCH_FRAME_TYPES``. Files from GWOSC (``GLITCH_GWOSC_URL``) are
fetched once and kept under their own names, which describe their content, so that triggers in one
file need only one transfer.
"""

import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit

import httpx

from app.batches.storage import FOLDER
from app.batches.strain_index import LISTED, Place, StrainFiles, StrainIndex, frame_span
from app.core.errors import NotReadyError
from app.core.fetching import (
    UNREACHED,
    AnswerTooLongError,
    Fetcher,
    Taker,
    check_unpacked,
    is_temporary_failure,
)
from app.core.storage import arriving_file
from glitch.errors import FormatError, StrainError, TooLargeError
from glitch.files.archives import MAX_MEMBER_BYTES
from glitch.strain import StrainFile

_REACH_S = 32
_FRAME_SERVER_S, _GWOSC_S = 30.0, 60.0  # timeouts for a response or its next part
_FILE_S = 1800.0  # for a complete file of at most 0.5 GB


class DataFind:
    """The frames that a GWDataFind server knows.

    ``frame_types`` maps detectors to frame types, such as ``{"H1": "H1_HOFT_C00"}``.
    """

    def __init__(self, url: str, frame_types: Mapping[str, str]) -> None:
        self._url = url
        self._types = frame_types

    def files(self, ifo: str, gps_time: Decimal) -> StrainFiles:
        """The files around a time.

        Raises:
            StrainError: if the server knows none.
            NotReadyError: if it does not respond.
        """
        frame_type = self._types.get(ifo)
        if frame_type is None:
            listed = ", ".join(sorted(self._types)) or "no detector"
            raise StrainError(
                f"No frame type is set for {ifo} (set for: {listed}): ask the operator to "
                "add it to GLITCH_FRAME_TYPES."
            )
        index = StrainIndex()
        for url in self._urls(ifo[0], frame_type, gps_time):
            path = Path(unquote(urlsplit(url).path))
            if (span := frame_span(path.name)) is not None:
                index.add(ifo, *span, Place(LISTED, str(path), path.name))
        files = index.find(ifo, gps_time)
        if files is None:
            raise StrainError(f"The frame server has no {frame_type} at GPS time {gps_time}.")
        return files

    def file(self, path: str, name: str) -> StrainFile:
        """A file that ``files`` returned; StrainError if it is not on this machine."""
        if not Path(path).is_file():
            raise StrainError(
                f"The frame server says that {name} is at {path}, which does not exist on this "
                "machine: ask the operator to mount it."
            )
        return StrainFile(Path(path), name)

    def _urls(self, site: str, frame_type: str, gps_time: Decimal) -> list[str]:
        from gwdatafind import find_urls
        from requests import RequestException

        first, last = math.floor(gps_time) - _REACH_S, math.ceil(gps_time) + _REACH_S
        try:
            urls: list[str] = find_urls(
                site,
                frame_type,
                first,
                last,
                on_gaps="ignore",
                host=self._url,
                timeout=_FRAME_SERVER_S,
                cert=False,  # certificates are retired; the machine's SciToken is sent
            )
        # JSON errors are errors of requests too, so catch them first.
        except (ValueError, KeyError, TypeError) as error:
            raise NotReadyError(
                f"{self._url} does not respond like a GWDataFind server: check GLITCH_DATAFIND_URL."
            ) from error
        except (RequestException, OSError) as error:
            raise NotReadyError(
                f"The frame server at {self._url} cannot be reached ({type(error).__name__}): "
                "retry once it responds."
            ) from error
        return urls


RATES_HZ = (4096, 16384)  # what GWOSC offers
_NAME = re.compile(r"[A-Z]-[A-Z][0-9]_[A-Za-z0-9_]+-\d{9,10}-\d{1,6}\.hdf5", re.ASCII)


def open_data_folder(data_dir: Path) -> Path:
    """Folder in which files from GWOSC are kept."""
    return data_dir / FOLDER / "gwosc"


class OpenData:
    """Strain from GWOSC at one sample rate."""

    def __init__(self, url: str, folder: Path, sample_rate_hz: float | None) -> None:
        self._url = url.rstrip("/")
        self._rate = round(sample_rate_hz or RATES_HZ[0])
        self._folder = folder / str(self._rate)

    def files(self, ifo: str, gps_time: Decimal) -> StrainFiles:
        """The files around a time, fetched if necessary; paths are relative to the folder.

        Raises:
            StrainError: if GWOSC has none.
            NotReadyError: if it does not respond or the transfer breaks off.
        """
        if self._rate not in RATES_HZ:
            raise StrainError(
                f"GWOSC offers strain of 4096 and 16384 Hz, not {self._rate}: give sample_rate_hz "
                "as one of these.",
                field="sample_rate_hz",
            )
        cached = self._cached().find(ifo, gps_time)
        if cached is not None and cached.is_whole:
            return cached
        for url in self._urls(ifo, gps_time):
            self._fetch(url)
        files = self._cached().find(ifo, gps_time)
        if files is None:
            raise StrainError(
                f"GWOSC has no open strain of {ifo} at GPS time {gps_time}: the detector did not "
                "observe then, or the data are not public."
            )
        return files

    def file(self, path: str, name: str) -> StrainFile:
        """A file that ``files`` returned; restarts the time for which it is kept."""
        with suppress(OSError):
            os.utime(self._folder / path)
        return StrainFile(self._folder / path, name)

    def _cached(self) -> StrainIndex:
        self._folder.mkdir(parents=True, exist_ok=True)
        index = StrainIndex()
        index.add_folder(self._folder)
        return index

    def _urls(self, ifo: str, gps_time: Decimal) -> list[str]:
        from gwosc.locate import get_run_urls
        from requests import RequestException
        from tenacity import RetryError

        try:
            urls: list[str] = get_run_urls(
                None,
                ifo,
                math.floor(gps_time) - _REACH_S,
                math.ceil(gps_time) + _REACH_S,
                sample_rate=self._rate,
                host=self._url,
            )
        except (RequestException, RetryError, OSError) as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, TypeError) as error:
            raise NotReadyError(
                f"{self._url} does not respond like GWOSC: check GLITCH_GWOSC_URL."
            ) from error
        for url in urls:
            if urlsplit(url).hostname != urlsplit(self._url).hostname:
                raise NotReadyError(
                    f"{self._url} lists strain on another host, which is not fetched: tell the "
                    "operator."
                )
        return urls

    def _fetch(self, url: str) -> None:
        name = urlsplit(url).path.rpartition("/")[2]
        if not _NAME.fullmatch(name):
            raise FormatError(
                f"GWOSC names a file {name[:80]!r}, which is not a known kind of file."
            )
        if (self._folder / name).is_file():
            return
        with arriving_file(self._folder) as (target, path):
            self._write(url, name, target)
            target.close()
            path.replace(self._folder / name)

    def _write(self, url: str, name: str, target: BinaryIO) -> None:
        def begin(answer: httpx.Response) -> Taker:
            check_unpacked(answer.raise_for_status())
            return take

        def take(piece: bytes) -> bool:
            target.write(piece)
            if target.tell() > MAX_MEMBER_BYTES:
                raise TooLargeError(f"{name} has over {MAX_MEMBER_BYTES:,} bytes.")
            return True

        try:
            with Fetcher(_FILE_S, timeout=_GWOSC_S) as fetcher:
                fetcher.read(url, begin)
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> NotReadyError:
        return NotReadyError(
            f"GWOSC at {self._url} cannot be reached ({type(error).__name__}): retry once the "
            "network allows, or put the files into the folder GLITCH_STRAIN_DIR."
        )


MAX_PICTURE_BYTES = 5_000_000  # pictures of Gravity Spy have some 100 kB
_PATIENCE_S = 60.0


class PictureHost:
    """Fetches pictures from one host only; redirects to other hosts are not followed."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self._fetcher = Fetcher(_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fetcher.close()

    def fetch(self, url: str) -> bytes:
        """The picture at an address.

        Raises:
            FormatError: if it is on another host or does not exist.
            TooLargeError: if it is larger than any spectrogram.
            NotReadyError: if the host cannot be reached or has a temporary failure; retry.
        """
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) != (self._address.scheme, self._address.netloc):
            raise FormatError(
                f"The table names a picture on {(parts.netloc or url)[:80]}, but pictures are "
                f"fetched only from {self._address.netloc}: give --picture-host if that is right."
            )
        try:
            answer = self._fetcher.get(url, MAX_PICTURE_BYTES)
        except AnswerTooLongError:
            raise TooLargeError(
                f"{url} has over {MAX_PICTURE_BYTES:,} bytes, more than any spectrogram."
            ) from None
        except UNREACHED as error:
            raise self._unreachable(type(error).__name__) from error
        if is_temporary_failure(answer.status_code):
            raise self._unreachable(f"it answers {answer.status_code}")
        if not answer.is_success:
            raise FormatError(f"Its picture does not exist ({url} returned {answer.status_code}).")
        return answer.content

    def _unreachable(self, why: str) -> NotReadyError:
        return NotReadyError(
            f"{self._address.netloc} cannot be reached for pictures ({why}): retry later; stored "
            "glitches are kept."
        )
