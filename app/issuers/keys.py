"""An issuer of signed tokens: its published keys, fetched within limits, and signature checks.

Keys are fetched when a token needs them. They are kept for an hour, or for four days while the
issuer cannot be reached. However many tokens arrive, an issuer is contacted at most once in half a
minute, by one thread, and never at an address given in a token.
"""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt

from app.core.errors import IssuerUnreachableError, UnauthenticatedError
from app.core.fetching import UNREACHED, as_json, fetch
from app.core.settings import is_safe_address

ALGORITHMS = ("RS256", "ES256")  # those of SciTokens
SKEW_S = 60  # tolerated difference between an issuer's clock and ours
FRESH_S = 3600.0  # a key withdrawn by the issuer is accepted for this long
KEPT_S = 4 * 86400.0  # as long as in the SciTokens library
PAUSE_S = 30.0
LONGEST_TOKEN = 8192  # characters
_MIN_RSA_BITS = 2048
_PATIENCE_S = 3.0
_MAX_BYTES = 1_000_000
_WELL_KNOWN = ".well-known/openid-configuration"
_log = logging.getLogger("app.issuers")


@dataclass(frozen=True)
class _Published:
    document: dict[str, Any]
    keys: tuple[jwt.PyJWK, ...]
    at_s: float  # monotonic time


class Issuer:
    """One issuer; may be used by any number of threads.

    ``url`` is its address, exactly as in the claim ``iss`` of its tokens.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._published: _Published | None = None
        self._next_fetch_s = float("-inf")
        self._fetch_lock = threading.Lock()

    @property
    def label(self) -> str:
        """The address without its scheme, appended to the names of its users."""
        return self.url.partition("://")[2].rstrip("/")

    def document(self) -> dict[str, Any]:
        """Return the issuer's metadata (OpenID Connect Discovery).

        Raises:
            IssuerUnreachableError: if it cannot be fetched.
        """
        return self._current_keys(None).document

    def verified(self, token: str, required: tuple[str, ...]) -> dict[str, Any]:
        """Return the claims of a token after checking its signature and times.

        ``required`` are claims that it must have.

        Raises:
            UnauthenticatedError: if this issuer did not sign it, or it is not valid now; the
            message says why.
            IssuerUnreachableError: if the issuer's keys cannot be fetched.
        """
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            raise UnauthenticatedError("The token is damaged: get a new one.") from None
        key = self._key(key_id)
        options: Any = {"require": ["exp", "iss", *required], "verify_aud": False}
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.url,
                leeway=SKEW_S,
                options=options,
            )
        except jwt.ExpiredSignatureError:
            raise UnauthenticatedError("The token has expired: get a new one.") from None
        except jwt.ImmatureSignatureError:
            raise UnauthenticatedError(
                "The token is not valid yet: check that the clocks of issuer and service agree."
            ) from None
        except jwt.InvalidTokenError as error:
            raise UnauthenticatedError(
                f"The token is not one that {self.url} has signed for this use ({error}): get a "
                "new one."
            ) from None
        return claims

    def _key(self, key_id: object) -> jwt.PyJWK:
        keys = self._current_keys(key_id).keys
        matching = [key for key in keys if key_id is None or key.key_id == key_id]
        if len(matching) != 1:
            raise UnauthenticatedError(
                f"The token was signed with a key that {self.url} does not publish: get a new one."
            )
        return matching[0]

    def _current_keys(self, key_id: object) -> _Published:
        """Return the known keys; fetch them if old or lacking this one, unless just fetched."""
        if self._is_due(key_id) and self._fetch_lock.acquire(blocking=self._published is None):
            try:
                if self._is_due(key_id):  # another thread may just have fetched them
                    self._next_fetch_s = time.monotonic() + PAUSE_S
                    self._published = self._fetch()
            except (*UNREACHED, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
                _log.warning("%s: %s: %.200s", self.url, type(error).__name__, error)
            finally:
                self._fetch_lock.release()
        published = self._published
        if published is None or time.monotonic() - published.at_s > KEPT_S:
            raise IssuerUnreachableError(
                f"The keys of {self.url} cannot be fetched, so its tokens cannot be checked: try "
                f"again in {PAUSE_S:g} s, or use a token of this service."
            )
        return published

    def _is_due(self, key_id: object) -> bool:
        now, published = time.monotonic(), self._published
        if now < self._next_fetch_s:
            return False
        if published is None or now - published.at_s > FRESH_S:
            return True
        return key_id is not None and all(key.key_id != key_id for key in published.keys)

    def _fetch(self) -> _Published:
        document = _json_at(f"{self.url.rstrip('/')}/{_WELL_KNOWN}")
        if document["issuer"] != self.url:
            raise ValueError(f"it calls itself {document['issuer']!r}")
        # An issuer with an https address must not name addresses without encryption.
        is_plain = urlsplit(self.url).scheme == "http"
        for name, value in document.items():
            if name.endswith(("_uri", "_endpoint")) and not is_safe_address(value, is_plain):
                raise ValueError(f"its {name} is not https")
        keys = jwt.PyJWKSet.from_dict(_json_at(document["jwks_uri"])).keys
        return _Published(document, tuple(key for key in keys if _is_good(key)), time.monotonic())


def _is_good(key: jwt.PyJWK) -> bool:
    if key.algorithm_name not in ALGORITHMS or key.public_key_use not in (None, "sig"):
        return False
    return key.key_type != "RSA" or key.key.key_size >= _MIN_RSA_BITS


def _json_at(url: str) -> dict[str, Any]:
    """Fetch a small JSON object within seconds; redirects are not followed."""
    answer = fetch(url, max_bytes=_MAX_BYTES, patience_s=_PATIENCE_S)
    content = as_json(answer.raise_for_status())
    if not isinstance(content, dict):
        raise TypeError("its answer is no JSON object")
    return content
