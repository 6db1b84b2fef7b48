"""Strain by GWDataFind, which says where the frames of a detector's data lie on this machine.

Only where the operator has set ``GLITCH_DATAFIND_URL`` and ``GLITCH_FRAME_TYPES``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.batches.strain_index import LISTED, Place, StrainIndex, Stretch, frame_span
from app.core.errors import NotReadyError
from glitch.errors import StrainError
from glitch.strain import StrainFile

_REACH_S = 32
_TIMEOUT_S = 30.0


class DataFind:
    """The frames that a GWDataFind server knows.

    ``frame_types`` are by detector, such as ``{"H1": "H1_HOFT_C00"}``.
    """

    def __init__(self, url: str, frame_types: Mapping[str, str]) -> None:
        self._url = url
        self._types = frame_types

    def files(self, ifo: str, gps_time: Decimal) -> Stretch:
        """The files around a time.

        Raises:
            StrainError: if the server knows none.
            NotReadyError: if it does not answer.
        """
        frame_type = self._types.get(ifo)
        if frame_type is None:
            known = ", ".join(sorted(self._types)) or "no detector"
            raise StrainError(
                f"There is no type of frames of {ifo} (there are of {known}): ask the operator to "
                "add it to GLITCH_FRAME_TYPES."
            )
        index = StrainIndex()
        for url in self._urls(ifo[0], frame_type, gps_time):
            path = Path(unquote(urlsplit(url).path))
            if (span := frame_span(path.name)) is not None:
                index.add(ifo, *span, Place(LISTED, str(path), path.name))
        found = index.find(ifo, gps_time)
        if found is None:
            raise StrainError(f"The frame server has no {frame_type} at GPS time {gps_time}.")
        return found

    def file(self, path: str, name: str) -> StrainFile:
        """A file that ``files`` named.

        Raises:
            StrainError: if this machine does not have it.
        """
        if not Path(path).is_file():
            raise StrainError(
                f"The frame server says that {name} lies at {path}, which this machine does not "
                "have: tell the operator to mount it."
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
                timeout=_TIMEOUT_S,
                cert=False,  # retired; a SciToken of the machine's is found and sent
            )
        # An answer that is no JSON is an error of requests, too.
        except (ValueError, KeyError, TypeError) as error:
            raise NotReadyError(
                f"{self._url} does not answer as GWDataFind does: see that GLITCH_DATAFIND_URL is "
                "right."
            ) from error
        except (RequestException, OSError) as error:
            raise NotReadyError(
                f"The frame server at {self._url} cannot be reached ({type(error).__name__}): "
                "retry once it answers."
            ) from error
        return urls
