"""Strain from GWOSC, the open data of the detectors, file by file as triggers need it.

Files are fetched once and kept under their own names, which say what they hold, so that the
triggers of one stretch cost one transfer. Only where the operator has set ``GLITCH_GWOSC_URL``.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app.batches.bounds import MOST_MEMBER_BYTES
from app.batches.storage import FOLDER
from app.batches.strain_index import StrainIndex, Stretch
from app.core.errors import NotReadyError
from glitch.errors import FormatError, StrainError, TooLargeError
from glitch.strain import StrainFile

RATES_HZ = (4096, 16384)  # what GWOSC offers
_REACH_S = 32
_TIMEOUT_S = 60.0
_PIECE = 1 << 20
_NAME = re.compile(r"[A-Z]-[A-Z][0-9]_[A-Za-z0-9_]+-\d{9,10}-\d{1,6}\.hdf5", re.ASCII)


def open_data_folder(data_dir: Path) -> Path:
    """Where files of GWOSC are kept."""
    return data_dir / FOLDER / "gwosc"


class OpenData:
    """GWOSC's strain of one sample rate."""

    def __init__(self, url: str, folder: Path, sample_rate_hz: float | None) -> None:
        self._url = url.rstrip("/")
        self._rate = round(sample_rate_hz or RATES_HZ[0])
        self._folder = folder / str(self._rate)

    def files(self, ifo: str, gps_time: Decimal) -> Stretch:
        """The files around a time, fetched where they are not here; paths are within ``root``.

        Raises:
            StrainError: if GWOSC has none.
            NotReadyError: if it does not answer, or the transfer breaks off.
        """
        if self._rate not in RATES_HZ:
            raise StrainError(
                f"GWOSC offers strain of 4096 and 16384 Hz, not {self._rate}: give sample_rate_hz "
                "as one of these.",
                field="sample_rate_hz",
            )
        here = self._here().find(ifo, gps_time)
        if here is not None and here.is_whole:
            return here
        for url in self._urls(ifo, gps_time):
            self._fetch(url)
        found = self._here().find(ifo, gps_time)
        if found is None:
            raise StrainError(
                f"GWOSC has no open strain of {ifo} at GPS time {gps_time}: the detector did not "
                "observe then, or the data are not public."
            )
        return found

    def file(self, path: str, name: str) -> StrainFile:
        """A file that ``files`` named; it is kept from now on for as long as a new one."""
        with suppress(OSError):
            os.utime(self._folder / path)
        return StrainFile(self._folder / path, name)

    def _here(self) -> StrainIndex:
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
                f"{self._url} does not answer as GWOSC does: see that GLITCH_GWOSC_URL is right."
            ) from error
        for url in urls:
            if urlsplit(url).hostname != urlsplit(self._url).hostname:
                raise NotReadyError(
                    f"{self._url} names strain on another host, which is not fetched: tell the "
                    "operator."
                )
        return urls

    def _fetch(self, url: str) -> None:
        name = urlsplit(url).path.rpartition("/")[2]
        if not _NAME.fullmatch(name):
            raise FormatError(f"GWOSC names a file {name[:80]!r}, which is of no known kind.")
        if (self._folder / name).is_file():
            return
        handle, part = tempfile.mkstemp(prefix=".arriving-", dir=self._folder)
        path = Path(part)
        try:
            with os.fdopen(handle, "wb") as target:
                for piece in self._pieces(url):
                    target.write(piece)
                    if target.tell() > MOST_MEMBER_BYTES:
                        raise TooLargeError(f"{name} has over {MOST_MEMBER_BYTES:,} bytes.")
            path.replace(self._folder / name)
        finally:
            path.unlink(missing_ok=True)

    def _pieces(self, url: str) -> Iterator[bytes]:
        try:
            with httpx.stream("GET", url, timeout=_TIMEOUT_S) as answer:
                answer.raise_for_status()
                yield from answer.iter_bytes(_PIECE)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> NotReadyError:
        return NotReadyError(
            f"GWOSC at {self._url} cannot be reached ({type(error).__name__}): retry once the "
            "network allows, or put the files into the folder GLITCH_STRAIN_DIR."
        )
