"""Pictures that a published table names by their addresses, fetched one by one from one host."""

from __future__ import annotations

from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from app.core.errors import NotReadyError
from glitch.errors import FormatError, TooLargeError

MOST_PICTURE_BYTES = 5_000_000  # Gravity Spy's have some 100 kB
_TIMEOUT_S = 30.0


def is_to_be_asked_again(answer: httpx.Response) -> bool:
    """Whether an answer speaks of the host's own trouble, which passes."""
    return answer.status_code in {408, 425, 429} or answer.is_server_error


class PictureHost:
    """One host of pictures; nothing is fetched from any other, nor followed to one.

    Args:
        address: With its scheme, such as ``https://panoptes-uploads.zooniverse.org``.
    """

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)
        self._client = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.close()

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
        data = bytearray()
        try:
            with self._client.stream("GET", url) as answer:
                if is_to_be_asked_again(answer):
                    raise self._unreachable(f"it answers {answer.status_code}")
                if not answer.is_success:
                    raise FormatError(
                        f"Its picture is not there ({url} answers {answer.status_code})."
                    )
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > MOST_PICTURE_BYTES:
                        raise TooLargeError(
                            f"{url} has over {MOST_PICTURE_BYTES:,} bytes, as no spectrogram has."
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(type(error).__name__) from error
        return bytes(data)

    def _unreachable(self, why: str) -> NotReadyError:
        return NotReadyError(
            f"{self._address.netloc} cannot be asked for pictures ({why}): retry once it can; what "
            "is stored stays."
        )
