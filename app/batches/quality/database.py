"""Data-quality flags from a segment database (DQSEGDB), which the operator names.

Only where ``GLITCH_SEGMENT_SERVER`` is set.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from app.core.errors import InvalidRequestError, NotReadyError
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.tables.facts import LONGEST_FLAG
from glitch.tables.segments import Segments, segments_of

MOST_NAMED = 20
_NAME = re.compile(r"[A-Z][0-9]:[A-Za-z0-9_.+-]+:[0-9]{1,5}", re.ASCII)
_PATIENCE_S = 60.0  # for an answer whole, however slowly it comes
_MOST_BYTES = 1 << 25  # of it; a flag of a whole run has some hundred thousand
_PIECE = 1 << 12


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
            TooLargeError: if it has more segments then than any flag has, or a longer answer.
            NotReadyError: if the server does not answer, or not as one of its kind.
        """
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        try:
            said = self._said(name, math.floor(first), math.floor(last) + 1)
            spans = [(Decimal(str(start)), Decimal(str(end))) for start, end in said["active"]]
            is_bad = bool(said.get("metadata", {}).get("active_indicates_ifo_badness", False))
        except GlitchError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise NotReadyError(
                f"{self._url} does not answer as a segment database does: see that "
                "GLITCH_SEGMENT_SERVER is right."
            ) from error
        except (RequestException, HTTPError, OSError) as error:
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
        are, leaves out what says whether a flag is of good data, and reads an answer of any size.
        """
        from dqsegdb2.api import resources_path

        ifo, tag, version = name.split(":")
        path = resources_path(ifo, tag, int(version))
        asked = f"s={start}&e={end}&include=active,known,metadata"
        return json.loads(within(_PATIENCE_S, lambda: self._body(f"{self._url}{path}?{asked}")))

    def _body(self, url: str) -> bytes:
        from dqsegdb2.requests import Session
        from igwn_auth_utils.scitokens import target_audience

        deadline = time.monotonic() + _PATIENCE_S
        body = bytearray()
        # A SciToken of the machine's is found and sent.
        with (
            Session(cert=False) as session,
            session.get(
                url,
                stream=True,
                timeout=_PATIENCE_S,
                cert=False,
                token_audience=target_audience(self._url),
            ) as answer,
        ):
            for piece in answer.iter_content(_PIECE):
                body += piece
                if len(body) > _MOST_BYTES:
                    raise TooLargeError(
                        f"The segment database's answer has over {_MOST_BYTES:,} bytes: send "
                        "triggers of a shorter time."
                    )
                if time.monotonic() > deadline:
                    raise TimeoutError
            answer.raise_for_status()
        return bytes(body)


def within(patience_s: float, work: Callable[[], bytes]) -> bytes:
    """What work gives, or its error, within a time; it is left to itself after that.

    Clients bound each read of a socket, and an answer may come byte by byte, its head too.

    Raises:
        TimeoutError: if it is not done by then.
    """
    found: list[bytes] = []
    failed: list[Exception] = []

    def do() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001  (handed on to whoever waits)
            failed.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(patience_s)
    if failed:
        raise failed.pop()  # or it would hold itself by its traceback
    if not found:
        raise TimeoutError
    return found[0]
