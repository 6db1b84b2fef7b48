"""Browser sessions: a signed cookie that names a session's row, and CSRF tokens derived from it.

The cookie never holds the bearer token itself, only the id of the session's row, so that a revoked
token or a logout ends the session at the next request, wherever the cookie is, and a stolen cookie
cannot be used with the API.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer

COOKIE_NAME = "glitch_session"
VISITOR_COOKIE_NAME = "glitch_visitor"  # carries the nonce behind the login form's CSRF token
SESSION_LIFETIME_S = 12 * 3600  # a working day
KEY_BYTES = 32
MAX_COOKIE_CHARACTERS = 1024
_SIGNED_BY: dict[str, Any] = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}


@dataclass(frozen=True)
class WebSession:
    """The content of a valid session cookie."""

    session_id: str  # id of the session's row
    expires_at: int  # seconds since the Unix epoch
    nonce: str  # makes the CSRF token of each session its own


class SessionSigner:
    """Issues and reads session cookies, signed with HMAC-SHA-256.

    The key is the service's signing secret, the same on every replica. It is salted with the
    purpose, so that no signature made elsewhere with that key can pass for a session.
    """

    def __init__(self, key: bytes, lifetime_s: int = SESSION_LIFETIME_S) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"A session key needs at least {KEY_BYTES} bytes.")
        self._key = key
        self.lifetime_s = lifetime_s

    def issue(self, session_id: str, now_s: float) -> tuple[str, WebSession]:
        """Cookie value and content of a fresh session that starts at ``now_s`` (Unix time)."""
        session = WebSession(session_id, int(now_s) + self.lifetime_s, secrets.token_urlsafe(16))
        return self.seal("session", session.session_id, session.expires_at, session.nonce), session

    def read(self, cookie: str | None, now_s: float) -> WebSession | None:
        """The session, or None where the cookie is absent, forged, damaged or expired."""
        try:
            session_id, expires_at, nonce = self.unseal("session", cookie)
            session = WebSession(str(session_id), int(expires_at), str(nonce))
        except (ValueError, TypeError):
            return None
        return session if now_s < session.expires_at else None

    def seal(self, purpose: str, *values: str | int) -> str:
        """Values as a cookie that nobody else can create, nor use for another purpose."""
        return str(self._serializer(purpose).dumps(values))

    def unseal(self, purpose: str, cookie: str | None) -> list[Any]:
        """What ``seal`` was given; nothing where the cookie is absent, forged or damaged."""
        if not cookie or len(cookie) > MAX_COOKIE_CHARACTERS:
            return []
        try:
            values = self._serializer(purpose).loads(cookie)
        except BadData:
            return []
        return values if isinstance(values, list) else []

    def csrf_token(self, nonce: str) -> str:
        """The token that each form of this session (or visitor) must carry."""
        return self._csrf().get_signature(nonce).decode()

    def is_csrf_token(self, nonce: str, token: str | None) -> bool:
        """Whether a submitted form carries the token of this session (or visitor)."""
        return bool(nonce) and self._csrf().verify_signature(nonce, token or "")

    def _serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(self._key, f"web {purpose}", signer_kwargs=_SIGNED_BY)

    def _csrf(self) -> Signer:
        return Signer(self._key, "web csrf", **_SIGNED_BY)
