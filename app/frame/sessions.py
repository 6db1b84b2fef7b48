"""Browser sessions: a signed cookie with the id of a session, and CSRF tokens derived from it.

The cookie holds only the id of the session's row, never the bearer token. So revoking the token or
logging out ends the session at the next request, for every copy of the cookie, and a stolen cookie
cannot be used with the API.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer

COOKIE_NAME = "glitch_session"
VISITOR_COOKIE_NAME = "glitch_visitor"  # holds the nonce for the login form's CSRF token
SESSION_LIFETIME_S = 12 * 3600  # a working day
KEY_BYTES = 32
MAX_COOKIE_CHARACTERS = 1024
_SIGNED_BY: dict[str, Any] = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}


@dataclass(frozen=True)
class WebSession:
    """The content of a valid session cookie."""

    session_id: str  # id of the session's database row
    expires_at: int  # seconds since the Unix epoch
    nonce: str  # gives each session a different CSRF token


class SessionSigner:
    """Issues and reads session cookies, signed with HMAC-SHA-256.

    The key is the service's signing secret, the same on every replica. It is salted with the
    purpose, so that no other signature made with that key is valid for a session.
    """

    def __init__(self, key: bytes, lifetime_s: int = SESSION_LIFETIME_S) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"A session key needs at least {KEY_BYTES} bytes.")
        self._key = key
        self.lifetime_s = lifetime_s

    def issue(self, session_id: str, now_s: float) -> tuple[str, WebSession]:
        """Return cookie value and content of a new session that starts at ``now_s`` (Unix time)."""
        session = WebSession(session_id, int(now_s) + self.lifetime_s, secrets.token_urlsafe(16))
        return self.seal("session", session.session_id, session.expires_at, session.nonce), session

    def read(self, cookie: str | None, now_s: float) -> WebSession | None:
        """Return the session; None if the cookie is absent, forged, damaged or expired."""
        try:
            session_id, expires_at, nonce = self.unseal("session", cookie)
            session = WebSession(str(session_id), int(expires_at), str(nonce))
        except (ValueError, TypeError):
            return None
        return session if now_s < session.expires_at else None

    def seal(self, purpose: str, *values: str | int) -> str:
        """Return values as a signed cookie, valid only for this purpose."""
        return str(self._serializer(purpose).dumps(values))

    def unseal(self, purpose: str, cookie: str | None) -> list[Any]:
        """Return the values in a sealed cookie; empty if it is absent, forged or damaged."""
        if not cookie or len(cookie) > MAX_COOKIE_CHARACTERS:
            return []
        try:
            values = self._serializer(purpose).loads(cookie)
        except BadData:
            return []
        return values if isinstance(values, list) else []

    def csrf_token(self, nonce: str) -> str:
        """Return the token that each form of this session (or visitor) must carry."""
        return self._csrf().get_signature(nonce).decode()

    def is_csrf_token(self, nonce: str, token: str | None) -> bool:
        """Return whether a submitted form carries the token of this session (or visitor)."""
        return bool(nonce) and self._csrf().verify_signature(nonce, token or "")

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._key, f"web {purpose}", signer_kwargs=_SIGNED_BY)

    def _csrf(self) -> Signer:
        return Signer(self._key, "web csrf", **_SIGNED_BY)
