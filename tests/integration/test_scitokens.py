"""SciTokens from an issuer on this machine, sent to the running service."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from api_fixtures import Service, assert_problem, running_service
from cryptography.hazmat.primitives.asymmetric import rsa
from local_issuer import AUDIENCE, WELL_KNOWN, LocalIssuer, as_jwk, local_issuer
from pydantic import ValidationError
from sqlalchemy import text
from waiting import eventually

from app.core.access import Role
from app.core.embedded import EmbeddedServer
from app.core.errors import IssuerUnreachableError, UnauthenticatedError
from app.core.settings import Settings
from app.issuers import keys
from app.issuers.bearer import SciTokens

WHO = "albert.einstein@ligo.org"


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def service(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path, issuer: LocalIssuer
) -> Iterator[Service]:
    with running_service(
        postgres_server,
        migrated_template,
        data_folder,
        scitoken_issuers=(issuer.url,),
        scitoken_audience=(AUDIENCE,),
    ) as running:
        yield running


@pytest.fixture
def checker(issuer: LocalIssuer) -> Iterator[SciTokens]:
    """A token checker without a service, which has fetched no keys yet."""
    pages = dict(issuer.pages)
    issuer.requested.clear()
    yield SciTokens((issuer.url,), (AUDIENCE,), {"glitch-discovery.read": Role.READER})
    issuer.pages = pages
    issuer.is_down = False


def ask(
    service: Service, token: str, method: str = "GET", path: str = "/classes"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    name = f"Ours_{time.time_ns()}"
    body = {"name": name, "description": "x"} if method == "POST" else None
    return httpx.request(method, f"{service.url}{path}", headers=headers, json=body, timeout=60)


def test_a_scitoken_reads_beside_local_tokens(service: Service, issuer: LocalIssuer) -> None:
    assert ask(service, issuer.token()).status_code == 200
    assert ask(service, service.tokens["reader"]).status_code == 200
    on_curve = jwt.encode(issuer.claims(), issuer.curve_key, "ES256", headers={"kid": "two"})
    assert ask(service, on_curve).status_code == 200
    assert ask(service, issuer.token(aud=["https://else.where", AUDIENCE])).status_code == 200
    assert ask(service, issuer.token(aud="ANY")).status_code == 200


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ("glitch-discovery.read", 403),
        ("glitch-discovery.submit", 403),
        ("glitch-discovery.review:/", 201),
        ("storage.read:/ glitch-discovery.read glitch-discovery.admin", 201),
    ],
)
def test_scopes_give_roles(service: Service, issuer: LocalIssuer, scope: str, status: int) -> None:
    answer = ask(service, issuer.token(scope=scope), "POST")
    assert answer.status_code == status, answer.text


def test_actions_by_scitoken_name_subject_and_issuer(
    service: Service, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{WHO} ({issuer.url.removeprefix('http://')})"
    token = issuer.token(scope="glitch-discovery.review")
    logger = logging.getLogger("app.access")  # does not propagate once logging is set up
    logger.addHandler(caplog.handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        answer = ask(service, token, "POST")
        assert answer.status_code == 201, answer.text

        def authors_of_lines() -> list[object]:
            return [getattr(record, "who", None) for record in caplog.records]

        eventually(lambda: name in authors_of_lines(), message=lambda: caplog.text)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(before)
    assert token not in caplog.text
    with service.engine.connect() as connection:
        authors = (
            connection.execute(text("SELECT DISTINCT author FROM class_event")).scalars().all()
        )
    assert name in authors


def _signed(issuer: LocalIssuer, **header: Any) -> str:
    return jwt.encode(issuer.claims(), issuer.key, algorithm="RS256", headers=header)


BAD_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"exp": time.time() - 120}, "expired"),
    ({"nbf": time.time() + 3600}, "not valid yet"),
    ({"iat": time.time() + 3600}, "not valid yet"),
    ({"aud": "https://else.where"}, "not meant for this service"),
    ({"aud": None}, "aud"),
    ({"aud": [{}]}, "claim of the wrong type"),
    ({"exp": None}, "exp"),
    ({"sub": None}, "sub"),
    ({"sub": ""}, "subject"),
    ({"sub": "a\nb"}, "subject"),
    ({"sub": "x" * 101}, "subject"),
    ({"sub": 7}, "get a new one"),
    ({"iss": "https://evil.example"}, "are not accepted here"),
    ({"iss": ["x"]}, "are not accepted here"),
    ({"iss": None}, "are not accepted here"),
    ({"scope": None}, "scope"),
    ({"scope": ["glitch-discovery.read"]}, "space separated"),
    ({"scope": None, "scp": [1]}, "wrong type"),
    ({"scope": "glitch-discovery.read:x"}, "relative path"),
    ({"scope": "glitch-discovery.read:/a/../.."}, "path traversal"),
    ({"ver": "scitoken:9"}, "scitoken:9"),
    ({"exp": "soon"}, "get a new one"),
]


# Test processes collect tests separately, so their names must not contain times.
@pytest.mark.parametrize(("changed", "sentence"), BAD_CLAIMS, ids=range(len(BAD_CLAIMS)))
def test_bad_claims_are_refused(
    service: Service, issuer: LocalIssuer, changed: dict[str, Any], sentence: str
) -> None:
    if "iss" in changed or changed.get("sub") == 7:  # the library does not write these
        token = _encoded(issuer, changed)
    else:
        token = issuer.token(**changed)
    assert sentence in assert_problem(ask(service, token), 401)


def _encoded(issuer: LocalIssuer, changed: dict[str, Any]) -> str:
    import json

    payload = json.dumps(issuer.claims(**changed)).encode()
    return jwt.PyJWS().encode(payload, issuer.key, algorithm="RS256", headers={"kid": "one"})


@pytest.mark.parametrize("scope", ["glitch-discovery.read:/x", "storage.read:/", "openid", ""])
def test_scopes_for_something_else_do_nothing(
    service: Service, issuer: LocalIssuer, scope: str
) -> None:
    detail = assert_problem(ask(service, issuer.token(scope=scope)), 403)
    assert "glitch-discovery.read" in detail


def test_signatures_by_others_are_refused(service: Service, issuer: LocalIssuer) -> None:
    other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kid = {"kid": "one"}
    forged = jwt.encode(issuer.claims(), other_key, algorithm="RS256", headers=kid)
    assert "signed" in assert_problem(ask(service, forged), 401)
    unsigned = jwt.encode(issuer.claims(), None, algorithm="none", headers=kid)
    assert "signed" in assert_problem(ask(service, unsigned), 401)
    other_hash = jwt.encode(issuer.claims(), issuer.key, algorithm="RS512", headers=kid)
    assert "signed" in assert_problem(ask(service, other_hash), 401)
    head, body, signature = issuer.token().split(".")
    assert_problem(ask(service, f"{head}.{body}."), 401)
    assert_problem(ask(service, f"{head}.{body}x.{signature}"), 401)
    assert_problem(ask(service, f"{head}..{signature}"), 401)
    assert_problem(ask(service, f"{issuer.token()}{'x' * 9000}"), 401)


def test_the_public_key_is_no_secret_to_sign_with(service: Service, issuer: LocalIssuer) -> None:
    """HS256 with the published key: a verifier that trusts the header would accept the token."""
    import base64
    import hashlib
    import hmac
    import json

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": "one", "typ": "JWT"}) + b"." + part(issuer.claims())
    mac = hmac.new(issuer.public_pem(), signed, hashlib.sha256).digest()
    token = (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()
    assert "signed" in assert_problem(ask(service, token), 401)


def test_unknown_keys_are_refused_and_looked_for_once(
    checker: SciTokens, issuer: LocalIssuer
) -> None:
    for number in range(20):
        with pytest.raises(UnauthenticatedError, match="does not publish"):
            checker.principal(_signed(issuer, kid=f"other{number}"))
    assert issuer.requested == [WELL_KNOWN, "/keys"]
    with pytest.raises(UnauthenticatedError, match="does not publish"):
        checker.principal(_signed(issuer))  # no key id, though there are two keys


def test_a_new_key_is_found(
    checker: SciTokens, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checker.principal(issuer.token()).role is Role.READER
    issuer.pages["/keys"] = {"keys": [issuer.public("next")]}
    with pytest.raises(UnauthenticatedError):
        checker.principal(_signed(issuer, kid="next"))  # the keys were fetched a moment ago
    later = time.monotonic() + keys.PAUSE_S + 1
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert checker.principal(_signed(issuer, kid="next")).name.startswith(WHO)
    with pytest.raises(UnauthenticatedError):
        checker.principal(issuer.token())  # its key was withdrawn


def test_an_issuer_that_is_away_is_not_asked_by_each_token(
    checker: SciTokens, issuer: LocalIssuer
) -> None:
    issuer.is_down = True
    for _ in range(5):
        with pytest.raises(IssuerUnreachableError, match="cannot be fetched"):
            checker.principal(issuer.token())
    assert issuer.requested == [WELL_KNOWN]


def test_known_keys_serve_while_the_issuer_is_away(
    checker: SciTokens, issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checker.principal(issuer.token())
    issuer.is_down = True
    began = time.monotonic()
    for age_s, is_served in ((keys.FRESH_S + 1, True), (keys.KEPT_S + 1, False)):
        monkeypatch.setattr(keys.time, "monotonic", lambda now=began + age_s: now)
        if is_served:
            assert checker.principal(issuer.token())
        else:
            with pytest.raises(IssuerUnreachableError):
                checker.principal(issuer.token())
    assert issuer.requested == [WELL_KNOWN, "/keys", WELL_KNOWN, WELL_KNOWN]


def test_an_absent_issuer_is_503_with_a_retry_time(
    service: Service, issuer: LocalIssuer, data_folder: Path
) -> None:
    from api_fixtures import listening

    gone = "http://127.0.0.1:9"
    settings = service.settings.model_copy(update={"scitoken_issuers": (gone,)})
    with listening(settings) as url:
        answer = httpx.get(
            f"{url}/classes", headers={"Authorization": f"Bearer {issuer.token(iss=gone)}"}
        )
        assert gone in assert_problem(answer, 503)
        assert answer.headers["retry-after"] == "30"
        own = {"Authorization": f"Bearer {service.tokens['reader']}"}
        assert httpx.get(f"{url}/classes", headers=own).status_code == 200


@pytest.mark.parametrize(
    "published",
    [
        {"issuer": "https://else.where"},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 7},
    ],
)
def test_invalid_documents_of_an_issuer_are_refused(
    checker: SciTokens, issuer: LocalIssuer, published: dict[str, Any]
) -> None:
    issuer.pages[WELL_KNOWN] = issuer.pages[WELL_KNOWN] | published
    with pytest.raises(IssuerUnreachableError):
        checker.principal(issuer.token())


def test_weak_keys_and_keys_for_encryption_are_not_used(
    checker: SciTokens, issuer: LocalIssuer
) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    published = as_jwk(jwt.algorithms.RSAAlgorithm, weak, "weak")
    secret = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "oct"}
    for key in (published, issuer.public("one") | {"use": "enc"}, secret):
        issuer.pages["/keys"] = {"keys": [key, issuer.public_curve("two")]}
        checked = SciTokens((issuer.url,), (AUDIENCE,), {})
        with pytest.raises(UnauthenticatedError, match="does not publish"):
            checked.principal(_signed(issuer, kid=key["kid"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scitoken_issuers": "http://cilogon.org/igwn", "public_url": "https://x.org"},
        {"scitoken_issuers": "cilogon.org", "public_url": "https://x.org"},
        {"scitoken_issuers": "https://cilogon.org/igwn"},
        {"scitoken_roles": {"glitch-discovery.read": "king"}},
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLITCH_SCITOKEN_ISSUERS", "https://a.org https://b.org/x")
    monkeypatch.setenv("GLITCH_PUBLIC_URL", "https://g.org")
    monkeypatch.setenv("GLITCH_SCITOKEN_ROLES", '{"dq.read": "reader"}')
    settings = Settings()
    assert settings.scitoken_issuers == ("https://a.org", "https://b.org/x")
    assert settings.audience_of_scitokens == ("https://g.org",)
    assert settings.scitoken_roles == {"dq.read": "reader"}
