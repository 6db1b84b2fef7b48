"""A local token issuer that makes its own keys and publishes them on the loopback interface."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "https://glitches.example.org"
WELL_KNOWN = "/.well-known/openid-configuration"


class LocalIssuer:
    """A token issuer at ``url``.

    ``pages`` maps each path to the JSON of its response, or to a function that makes the response.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.curve_key = ec.generate_private_key(ec.SECP256R1())
        self.pages: dict[str, Any] = {
            WELL_KNOWN: {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [self.public("one"), self.public_curve("two")]},
        }
        self.requested: list[str] = []
        self.is_down = False

    def public(self, key_id: str) -> dict[str, Any]:
        return as_jwk(jwt.algorithms.RSAAlgorithm, self.key, key_id)

    def public_curve(self, key_id: str) -> dict[str, Any]:
        return as_jwk(jwt.algorithms.ECAlgorithm, self.curve_key, key_id)

    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return the claims of a valid SciToken for reading; a value of None omits a claim."""
        now = int(time.time())
        claims = {
            "ver": "scitoken:2.0",
            "iss": self.url,
            "sub": "albert.einstein@ligo.org",
            "aud": AUDIENCE,
            "scope": "glitch-discovery.read",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": uuid4().hex,
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changed: Any) -> str:
        return jwt.encode(
            self.claims(**changed), self.key, algorithm="RS256", headers={"kid": "one"}
        )


def as_jwk(kind: Any, key: Any, key_id: str) -> dict[str, Any]:
    return json.loads(kind.to_jwk(key.public_key())) | {"kid": key_id, "use": "sig"}


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """Run a token issuer until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self._answer(self.rfile.read(length).decode())

        def _answer(self, body: str) -> None:
            path = self.path.partition("?")[0]
            issuer.requested.append(path)
            page = issuer.pages.get(path)
            if issuer.is_down or page is None:
                self.send_error(503 if issuer.is_down else 404)
                return
            status, headers, sent = page(self, body) if callable(page) else (200, {}, page)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(sent).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = LocalIssuer(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
