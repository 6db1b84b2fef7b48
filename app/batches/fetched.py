"""Pictures that a published table names by their addresses, fetched one by one from one host."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from app.core.errors import NotReadyError
from app.core.fetching import UNREACHED, AnswerTooLongError, Fetcher, is_trouble
from glitch.errors import FormatError, TooLargeError

MOST_PICTURE_BYTES = 5_000_000  # Gravity Spy's have some 100 kB
_PATIENCE_S = 60.0


class PictureHost:
    """One host of pictures; nothing is fetched from any other, nor followed to one."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self._fetcher = Fetcher(MOST_PICTURE_BYTES, _PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fetcher.close()

    def fetch(self, url: str) -> bytes:
        """The picture at an address.

        Raises:
            FormatError: if it is on another host, or not there.
            TooLargeError: if it is larger than any spectrogram.
            NotReadyError: if the host cannot be reached or has trouble: to be tried again.
        """
        found = urlsplit(url)
        if (found.scheme, found.netloc) != (self._address.scheme, self._address.netloc):
            raise FormatError(
                f"The table names a picture on {(found.netloc or url)[:80]}, and only those on "
                f"{self._address.netloc} are fetched: give --picture-host if that is right."
            )
        try:
            answer = self._fetcher.get(url)
        except AnswerTooLongError:
            raise TooLargeError(
                f"{url} has over {MOST_PICTURE_BYTES:,} bytes, as no spectrogram has."
            ) from None
        except UNREACHED as error:
            raise self._unreachable(type(error).__name__) from error
        if is_trouble(answer.status_code):
            raise self._unreachable(f"it answers {answer.status_code}")
        if not answer.is_success:
            raise FormatError(f"Its picture is not there ({url} answers {answer.status_code}).")
        return answer.content

    def _unreachable(self, why: str) -> NotReadyError:
        return NotReadyError(
            f"{self._address.netloc} cannot be asked for pictures ({why}): retry once it can; what "
            "is stored stays."
        )
