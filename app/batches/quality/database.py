"""Data-quality flags from a segment database (DQSEGDB), which the operator names.

Only where ``GLITCH_SEGMENT_SERVER`` is set.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from app.core.errors import InvalidRequestError, NotReadyError
from glitch.errors import FormatError
from glitch.tables.facts import LONGEST_FLAG
from glitch.tables.segments import Segments, segments_of

MOST_NAMED = 20
_NAME = re.compile(r"[A-Z][0-9]:[A-Za-z0-9_.+-]+:[0-9]{1,5}", re.ASCII)
_TIMEOUT_S = 30.0


def flags_named(text: str | None) -> tuple[str, ...]:
    """The flags that a text names, with commas or blanks between them.

    Raises:
        InvalidRequestError: if one is none, or they are too many.
    """
    names = tuple(dict.fromkeys((text or "").replace(",", " ").split()))
    for name in names:
        if not _NAME.fullmatch(name) or len(name) > LONGEST_FLAG:
            raise InvalidRequestError(
                f"{name[:60]!r} is no data-quality flag: give detector, name and version, such as "
                "H1:DMT-ANALYSIS_READY:1.",
                field="flags",
            )
    if len(names) > MOST_NAMED:
        raise InvalidRequestError(f"Give at most {MOST_NAMED} flags.", field="flags")
    return names


class SegmentDatabase:
    """The flags that a server knows.

    Args:
        url: Such as ``https://segments.ligo.org``.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def flag(self, name: str, first: Decimal, last: Decimal) -> Segments:
        """A flag from the first time to the last.

        Raises:
            FormatError: if there is no such flag.
            TooLargeError: if it has more segments then than any flag has.
            NotReadyError: if the server does not answer, or not as one of its kind.
        """
        from requests import RequestException

        try:
            said = self._said(name, math.floor(first), math.floor(last) + 1)
            spans = [(Decimal(str(start)), Decimal(str(end))) for start, end in said["active"]]
            is_bad = bool(said.get("metadata", {}).get("active_indicates_ifo_badness", False))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise NotReadyError(
                f"{self._url} does not answer as a segment database does: see that "
                "GLITCH_SEGMENT_SERVER is right."
            ) from error
        except (RequestException, OSError) as error:
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                raise FormatError(
                    f"The segment database has no flag {name}: correct its name or version."
                ) from error
            raise NotReadyError(
                f"The segment database at {self._url} cannot be asked for {name} "
                f"({type(error).__name__}): retry once it answers."
            ) from error
        return segments_of(name, spans, is_good=not is_bad)

    def _said(self, name: str, start: int, end: int) -> Any:
        """What the server answers.

        As ``dqsegdb2.query.query_segments`` asks, which looks for a certificate, retired as they
        are, and leaves out what says whether a flag is of good data.
        """
        from dqsegdb2.api import resources_path
        from dqsegdb2.requests import Session, get_json
        from igwn_auth_utils.scitokens import target_audience

        ifo, tag, version = name.split(":")
        path = resources_path(ifo, tag, int(version))
        asked = f"s={start}&e={end}&include=active,known,metadata"
        with Session(cert=False) as session:  # a SciToken of the machine's is found and sent
            return get_json(
                f"{self._url}{path}?{asked}",
                session=session,
                timeout=_TIMEOUT_S,
                cert=False,
                token_audience=target_audience(self._url),
            )
