"""The data-quality flags of one batch, from files and from a segment database (DQSEGDB).

The database is used only if ``GLITCH_SEGMENT_SERVER`` is set.
"""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import httpx

from app.core.errors import InvalidRequestError, NotReadyError
from app.core.fetching import UNREACHED, AnswerTooLongError, as_json, fetch
from app.decoding.files import segments_in
from glitch.errors import FormatError, TooLargeError
from glitch.tables.facts import LONGEST_FLAG, MAX_FLAGS, flag_name
from glitch.tables.segments import Segments, is_text_of_segments, segments_of, text_segments

MAX_NAMED = 20
_NAME = re.compile(r"[A-Z][0-9]:[A-Za-z0-9_.+-]+:[0-9]{1,5}", re.ASCII)
_PATIENCE_S = 60.0  # for a complete response
_MAX_BYTES = 1 << 25  # of a response; a flag of a whole run has a few 100 kB


def flags_named(text: str | None) -> tuple[str, ...]:
    """Flag names in a text, separated by commas or blanks; InvalidRequestError for a bad name."""
    names = tuple(dict.fromkeys((text or "").replace(",", " ").split()))
    for name in names:
        if not _NAME.fullmatch(name) or len(name) > LONGEST_FLAG:
            raise InvalidRequestError(
                f"{name[:60]!r} is not a data-quality flag: give detector, name and version, such "
                "as H1:DMT-ANALYSIS_READY:1.",
                field="flags",
            )
    if len(names) > MAX_NAMED:
        raise InvalidRequestError(f"Give at most {MAX_NAMED} flags.", field="flags")
    return names


class SegmentDatabase:
    """Client of a segment server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def flag(self, name: str, first: Decimal, last: Decimal) -> Segments:
        """The segments of a flag between two times.

        Raises:
            FormatError: if the flag does not exist.
            TooLargeError: if it has too many segments or the response is too long.
            NotReadyError: if the server does not respond or its response is invalid.
        """
        response = self._request(name, math.floor(first), math.floor(last) + 1)
        try:
            content = as_json(response)
            spans = [(Decimal(str(start)), Decimal(str(end))) for start, end in content["active"]]
            is_bad = bool(content.get("metadata", {}).get("active_indicates_ifo_badness", False))
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise NotReadyError(
                f"{self._url} does not respond like a segment database: check "
                "GLITCH_SEGMENT_SERVER."
            ) from error
        return segments_of(name, spans, is_good=not is_bad)

    def _request(self, name: str, start: int, end: int) -> httpx.Response:
        """The server's response.

        ``dqsegdb2.query.query_segments`` sends the same request, but looks for a (retired)
        certificate, discards whether the flag marks good data, and has no size limit.
        """
        from dqsegdb2.api import resources_path

        ifo, tag, version = name.split(":")
        path = resources_path(ifo, tag, int(version))
        try:
            response = fetch(
                f"{self._url}{path}?s={start}&e={end}&include=active,known,metadata",
                max_bytes=_MAX_BYTES,
                patience_s=_PATIENCE_S,
                headers=_credentials(self._url),
                follow_redirects=True,
            )
        except AnswerTooLongError:
            raise TooLargeError(
                f"The segment database's response has over {_MAX_BYTES:,} bytes: send triggers of "
                "a shorter time."
            ) from None
        except UNREACHED as error:
            raise self._unreachable(name, type(error).__name__) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise FormatError(
                f"The segment database has no flag {name}: correct its name or version."
            )
        if not response.is_success:
            raise self._unreachable(name, f"it answers {response.status_code}")
        return response

    def _unreachable(self, name: str, why: str) -> NotReadyError:
        return NotReadyError(
            f"The segment database at {self._url} cannot be queried for {name} ({why}): retry once "
            "it responds."
        )


def _credentials(url: str) -> dict[str, str]:
    """Authorization header with the machine's SciToken, if there is one."""
    from igwn_auth_utils import IgwnAuthError
    from igwn_auth_utils.scitokens import find_token, target_audience, token_authorization_header

    try:
        token = find_token(target_audience(url), "dqsegdb.read")
    except IgwnAuthError:
        return {}
    return {"Authorization": token_authorization_header(token)}


FILTER, MARK = "filter", "mark"  # triggers that flags exclude are skipped, or kept


class Flags:
    """Data-quality flags from files, and those ``named`` from a segment database.

    The database is queried once per flag, for the times passed to ``reach``. ``mode`` is ``FILTER``
    or ``MARK``.
    """

    def __init__(
        self, mode: str, database: SegmentDatabase | None = None, named: Sequence[str] = ()
    ) -> None:
        self._mode = mode
        self._database = database
        self._named = list(named)
        self._flags: list[Segments] = []
        self._spans: dict[str, tuple[Decimal, Decimal]] = {}

    def add(self, path: Path, name: str, *, is_hdf5_table: bool) -> bool:
        """Add the flags of a file; False if it contains none.

        Raises:
            GlitchError: if it contains flags but cannot be read.
        """
        if is_hdf5_table:
            segments = segments_in(path, name)
        else:
            segments = text_segments(path, name) if is_text_of_segments(path) else []
        self._flags += segments
        return bool(segments)

    def reach(self, ifo: str | None, gps_time: str | None) -> None:
        """Record a time of the batch, before the first query."""
        if self._named and ifo is not None and gps_time is not None:
            at = Decimal(gps_time)
            first, last = self._spans.get(ifo, (at, at))
            self._spans[ifo] = min(first, at), max(last, at)

    def why_not(self, ifo: str, gps_time: Decimal) -> str | None:
        """Reason why the flags of its detector exclude a trigger; None if they do not.

        Raises:
            GlitchError: if the segment database does not know a flag.
            NotReadyError: if the database does not respond.
        """
        if self._mode == MARK:
            return None
        return " ".join(filter(None, (one.why_not(gps_time) for one in self._of(ifo)))) or None

    def active(self, ifo: str | None, gps_time: str | None) -> str | None:
        """Names of the flags active at a time, separated by blanks; None if there are none.

        Raises:
            GlitchError: if the segment database does not know a flag.
            NotReadyError: if the database does not respond.
        """
        if gps_time is None or ifo is None:
            return None
        at = Decimal(gps_time)
        names = {flag_name(one.name) for one in self._of(ifo) if one.is_active(at)}
        return " ".join(sorted(names)[:MAX_FLAGS]) or None

    def _of(self, ifo: str) -> list[Segments]:
        if self._database is not None and ifo in self._spans:
            for name in [one for one in self._named if one.startswith(f"{ifo}:")]:
                self._named.remove(name)
                self._flags.append(self._database.flag(name, *self._spans[ifo]))
        return [flag for flag in self._flags if flag.ifo in (None, ifo)]
