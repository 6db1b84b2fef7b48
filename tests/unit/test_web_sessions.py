"""Session cookies: only signed ones are accepted."""

import base64
import json

import pytest

from app.frame.sessions import SessionSigner

KEY = b"0123456789abcdef0123456789abcdef"
NOW = 1_700_000_000.0


@pytest.fixture
def signer() -> SessionSigner:
    return SessionSigner(KEY, lifetime_s=100)


def test_a_session_comes_back_until_it_expires(signer: SessionSigner) -> None:
    cookie, session = signer.issue("token-id", NOW)
    assert signer.read(cookie, NOW) == session
    assert signer.read(cookie, NOW + 99) == session
    assert signer.read(cookie, NOW + 100) is None
    assert session.session_id == "token-id"


def test_two_sessions_of_one_token_have_forms_of_their_own(signer: SessionSigner) -> None:
    first, second = (signer.issue("token-id", NOW)[1] for _ in range(2))
    assert first.nonce != second.nonce
    assert not signer.is_csrf_token(first.nonce, signer.csrf_token(second.nonce))


def test_a_forged_or_damaged_cookie_is_no_session(signer: SessionSigner) -> None:
    cookie, session = signer.issue("token-id", NOW)
    body, signature = cookie.split(".")
    later = json.dumps([session.session_id, session.expires_at + 10**6, session.nonce]).encode()
    other, _ = SessionSigner(b"x" * 32).issue("token-id", NOW)
    forged = [
        *(None, "", ".", "a.b", body, f"{body}.", f"{body}.{signature[:-1]}", f"{cookie}0"),
        f"{base64.urlsafe_b64encode(later).decode()}.{signature}",
        *(other, f"é.{signature}", "x" * 5000, f"{body}.{signer.csrf_token(body)}"),
    ]
    for value in forged:
        assert signer.read(value, NOW) is None, value


def test_a_signed_cookie_of_another_shape_is_no_session(signer: SessionSigner) -> None:
    sign = signer._serializer("session").make_signer("web session").sign
    for payload in (b"not json", b'{"a": 1}', b"[1]", b'["a", "b", "c"]', b"[]"):
        body = base64.urlsafe_b64encode(payload).rstrip(b"=")
        assert signer.read(sign(body).decode(), NOW) is None
    whole = json.dumps(["id", int(NOW) + 100, "nonce"]).encode()
    good = signer.read(sign(base64.urlsafe_b64encode(whole).rstrip(b"=")).decode(), NOW)
    assert good is not None
    assert good.session_id == "id"


def test_csrf_tokens(signer: SessionSigner) -> None:
    assert signer.is_csrf_token("nonce", signer.csrf_token("nonce"))
    for token in (None, "", "nonce", signer.csrf_token("another"), "é"):
        assert not signer.is_csrf_token("nonce", token)
    assert not signer.is_csrf_token("", signer.csrf_token(""))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        SessionSigner(b"short")
