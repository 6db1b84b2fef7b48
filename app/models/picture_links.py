"""Links to pictures that work without a token, for clients that cannot send one.

``GravitySpyTable.download()`` requests the addresses in a search result without a token. Each
address contains an expiry time and an HMAC of glitch, window and expiry, and gives access only to
that picture until then.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from urllib.parse import urlencode

_DAY_S = 86400


class PictureLinks:
    """Makes and checks signed links.

    All replicas must use the same secret.
    """

    def __init__(
        self, secret: bytes, *, lifetime_days: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._secret = secret
        self._lifetime_s = lifetime_days * _DAY_S
        self._clock = clock

    def path(self, glitch_id: str, duration_s: float) -> str:
        """Path and query of the picture of one view, with Gravity Spy's axes."""
        # Whole days, so that links made on one day are equal and can be cached.
        expires = int(-(-(self._clock() + self._lifetime_s) // _DAY_S)) * _DAY_S
        query = urlencode(
            {"axes": "true", "expires": expires}
            | {"signature": self._signature(glitch_id, duration_s, expires)}
        )
        return f"/glitches/{glitch_id}/views/{duration_s:.1f}.png?{query}"

    def is_good(self, glitch_id: str, duration_s: float, expires: int, signature: str) -> bool:
        """Whether a link has a valid signature and has not expired."""
        expected = self._signature(glitch_id, duration_s, expires)
        is_ours = hmac.compare_digest(expected.encode(), signature.encode())
        return is_ours and self._clock() < expires

    def _signature(self, glitch_id: str, duration_s: float, expires: int) -> str:
        text = f"picture\n{glitch_id}\n{duration_s:.3f}\n{expires}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()
