"""Login on the pages through an OpenID Connect provider on this machine."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import jwt
import pytest
from api_fixtures import Service, running_service
from local_issuer import WELL_KNOWN, LocalIssuer, local_issuer
from pace import is_within
from pydantic import ValidationError
from sqlalchemy import text
from web_fixtures import Page, Walker

from app.core.embedded import EmbeddedServer
from app.core.settings import Settings
from app.frame.login import LOGIN_COOKIE_NAME, PROVIDER_COOKIE_NAME
from app.frame.sessions import COOKIE_NAME
from app.issuers.login import LoginProvider

CLIENT = "glitches"
SECRET = "a secret with % and :"


class Provider(LocalIssuer):
    """A provider that logs everybody in, with the claims in ``person``."""

    def __init__(self, issuer: LocalIssuer) -> None:
        self.__dict__ = issuer.__dict__
        self.pages[WELL_KNOWN] |= {
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/end?tenant=1",
        }
        self.pages |= {"/authorize": self.authorize, "/token": self.exchange, "/end": self.end}
        self.ended: list[dict[str, str]] = []
        self.begun: dict[str, dict[str, str]] = {}
        self.reset()

    def reset(self) -> None:
        self.person: dict[str, Any] = {"groups": ["LSC", "DetChar"]}
        self.answer: dict[str, Any] = {}
        self.is_down = False

    def authorize(self, request: Any, _: str) -> tuple[int, dict[str, str], Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert "openid" in query["scope"].split()
        assert query["code_challenge_method"] == "S256"
        code = f"code-{len(self.begun)}"
        self.begun[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        return 302, {"Location": f"{query['redirect_uri']}?{back}"}, {}

    def end(self, request: Any, _: str) -> tuple[int, dict[str, str], Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
        self.ended.append(query)
        return 302, {"Location": query["post_logout_redirect_uri"]}, {}

    def exchange(self, request: Any, body: str) -> tuple[int, dict[str, str], Any]:
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        name, _, secret = (
            base64.b64decode(request.headers["Authorization"].split()[1]).decode().partition(":")
        )
        query = self.begun.pop(sent["code"], None)  # a code is valid once
        challenge = hashlib.sha256(sent["code_verifier"].encode()).digest()
        is_good = (
            query is not None
            and (name, secret) == (CLIENT, SECRET)
            and query["redirect_uri"] == sent["redirect_uri"]
            and query["code_challenge"] == base64.urlsafe_b64encode(challenge).decode().rstrip("=")
        )
        json = {"Content-Type": "application/json"}
        assert sent["grant_type"] == "authorization_code"
        if not is_good or query is None:
            return 400, json, {"error": "invalid_grant"}
        claims = {"aud": CLIENT, "nonce": query["nonce"], "scope": None, "ver": None}
        token = self.token(**(claims | self.person))
        good = {"access_token": "opaque", "token_type": "Bearer", "id_token": token}
        return 200, json, good | self.answer


@pytest.fixture(scope="module")
def running_provider() -> Iterator[Provider]:
    with local_issuer() as running:
        yield Provider(running)


@pytest.fixture
def provider(running_provider: Provider) -> Provider:
    running_provider.reset()
    return running_provider


@pytest.fixture(scope="module")
def service(
    postgres_server: EmbeddedServer,
    migrated_template: str,
    data_folder: Path,
    running_provider: Provider,
) -> Iterator[Service]:
    with running_service(
        postgres_server,
        migrated_template,
        data_folder,
        oidc_issuer=running_provider.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_roles={"LSC": "reader", "DetChar": "reviewer", "Operators": "admin"},
        oidc_label="the Collaboration",
    ) as running:
        yield running


@pytest.fixture
def walker(service: Service) -> Iterator[Walker]:
    with Walker(service, None) as walker:
        yield walker


def begin(walker: Walker) -> str:
    """Start a login; return the address to which the provider redirects, without opening it."""
    away = walker.client.get("/ui/login/provider", follow_redirects=False)
    assert away.headers["cache-control"] == "no-store"
    return httpx.get(away.headers["location"]).headers["location"]


def test_a_login_at_the_provider_returns_to_the_requested_page(
    service: Service, walker: Walker, provider: Provider
) -> None:
    page = walker.get("/ui/glitches?ifo=H1")
    assert "Log in with the Collaboration" in page.text
    link = next(link for link in page.links if "provider" in link)
    page = walker.get(link)
    assert page.path == "/ui/glitches?ifo=H1"
    name = f"albert.einstein@ligo.org ({provider.url.removeprefix('http://')})"
    assert name in page.text
    assert "reviewer" in page.text
    assert LOGIN_COOKIE_NAME not in walker.client.cookies
    copied = walker.client.cookies[COOKIE_NAME]
    assert walker.get("/ui/logout/provider").path == "/ui/clusters"  # not while logged in
    assert walker.get("/ui/tokens").status == 200
    assert "You are logged out here." in walker.submit(page, "/ui/logout").text
    with httpx.Client(base_url=service.url, cookies={COOKIE_NAME: copied}) as thief:
        assert thief.get("/ui/classes").status_code == 303
    with service.engine.connect() as connection:
        acts = connection.execute(
            text("SELECT action, actor, subject FROM audit_event ORDER BY id DESC LIMIT 2")
        ).all()
    assert acts == [("log out", name, "session"), ("log in", name, "session")]


def test_tokens_log_in_without_the_provider(service: Service) -> None:
    with Walker(service, "reader") as walker:
        assert walker.get("/ui/classes").status == 200


@pytest.mark.parametrize(
    ("person", "status", "sentence"),
    [
        ({"groups": ["Visitors"]}, 403, "in no group"),
        ({"groups": None}, 403, "in no group"),
        ({"groups": [{}, 7]}, 403, "in no group"),
        ({"groups": 7}, 403, "in no group"),
        ({"nonce": "another"}, 401, "did not confirm"),
        ({"nonce": None}, 401, "did not confirm"),
        ({"aud": "another"}, 401, "did not confirm"),
        ({"aud": [CLIENT, "another"]}, 401, "did not confirm"),  # without azp
        ({"azp": "another"}, 401, "did not confirm"),
        ({"exp": 1}, 401, "expired"),
        ({"iss": "https://evil.example"}, 401, "not one that"),
        ({"at_hash": "wrong"}, 401, "did not confirm"),
        ({"sub": "x" * 101}, 401, "gave no sub"),
    ],
    ids=str,
)
def test_claims_of_the_login_provider_are_checked(
    walker: Walker, provider: Provider, person: dict[str, Any], status: int, sentence: str
) -> None:
    provider.person |= person
    page = walker.get("/ui/login/provider")
    assert (page.status, sentence in page.alerts[0]) == (status, True), page.alerts
    assert COOKIE_NAME not in walker.client.cookies


def test_one_group_may_come_as_a_word(walker: Walker, provider: Provider) -> None:
    provider.person["groups"] = "LSC"
    assert "reader" in walker.get("/ui/login/provider?next=/ui/classes").text


@pytest.mark.parametrize("id_token", [None, 7, "x", "x" * 9000])
def test_a_provider_that_does_not_say_who_it_is(
    walker: Walker, provider: Provider, id_token: Any
) -> None:
    provider.answer = {"id_token": id_token}
    assert walker.get("/ui/login/provider").status == 401
    forged = jwt.encode(provider.claims(aud=CLIENT), "k" * 32, algorithm="HS256")
    provider.answer = {"id_token": forged}
    assert walker.get("/ui/login/provider").status == 401


def test_a_callback_of_another_browser_does_not_log_in(
    service: Service, walker: Walker, provider: Provider
) -> None:
    back = begin(walker)
    with Walker(service, None) as victim:
        page = Page(victim.client.get(back))
        assert (page.status, "another browser" in page.alerts[0]) == (401, True)
        begin(victim)  # who has a login in progress
        assert Page(victim.client.get(back)).status == 401
        assert COOKIE_NAME not in victim.client.cookies
    assert Page(walker.client.get(back)).status == 200
    assert Page(walker.client.get(back)).status == 401  # valid only once


@pytest.mark.parametrize("is_token_long", [False, True], ids=str)
def test_logging_out_goes_on_to_the_provider(
    service: Service, walker: Walker, provider: Provider, *, is_token_long: bool
) -> None:
    provider.person["groups"] = ["LSC", *["x" * 4000] * is_token_long]
    page = walker.submit(walker.get("/ui/login/provider"), "/ui/logout")
    assert (page.status, page.path) == (200, "/ui/logout/provider")
    assert page.response.headers["cache-control"] == "no-store"
    assert not {COOKIE_NAME, PROVIDER_COOKIE_NAME} & set(walker.client.cookies)
    (address,) = (link for link in page.links if link.startswith(provider.url))
    assert f'http-equiv="refresh" content="0; url={escape(address)}"' in page.response.text
    assert httpx.get(address).headers["location"] == f"{service.url}/ui/login"
    query = provider.ended.pop()
    assert (query["client_id"], query["tenant"]) == (CLIENT, "1")
    if is_token_long:
        assert "id_token_hint" not in query
    else:
        claims = jwt.decode(query["id_token_hint"], options={"verify_signature": False})
        assert claims["aud"] == CLIENT
    assert walker.get("/ui/logout/provider").path.startswith("/ui/login")  # only once


def test_a_token_login_does_not_log_out_at_the_provider(
    service: Service, walker: Walker, provider: Provider
) -> None:
    walker.get("/ui/login/provider")
    walker.client.cookies.delete(COOKIE_NAME)
    form = walker.get("/ui/login")
    page = walker.submit(form, "/ui/login", token=service.tokens["reader"])
    assert "You are logged out." in walker.submit(page, "/ui/logout").text


def test_a_provider_that_ends_no_sessions_or_is_away(service: Service, provider: Provider) -> None:
    known = provider.pages[WELL_KNOWN]
    for offered in (None, 7, "http://evil.example/end", "javascript:alert(1)"):
        provider.pages[WELL_KNOWN] = known | {"end_session_endpoint": offered}
        assert LoginProvider(service.settings).logout_address("https://g.example", "x") is None
    provider.pages[WELL_KNOWN] = known
    provider.is_down = True
    assert LoginProvider(service.settings).logout_address("https://g.example", "x") is None


@pytest.mark.parametrize("query", ["", "state=x&code=y", "state=%C3%A9", "error=access_denied"])
def test_a_login_that_does_not_end_well(walker: Walker, provider: Provider, query: str) -> None:
    begin(walker)
    page = walker.get(f"/ui/login/callback?{query}")
    assert page.status == 401
    assert page.forms


def test_a_login_that_was_declined(walker: Walker, provider: Provider) -> None:
    state = parse_qs(urlsplit(begin(walker)).query)["state"][0]
    page = walker.get(f"/ui/login/callback?error=access_denied&state={state}")
    assert (page.status, "not completed" in page.alerts[0]) == (401, True)


def test_a_login_never_leads_off_the_site(walker: Walker, provider: Provider) -> None:
    page = walker.get("/ui/login/provider?" + urlencode({"next": "https://evil.example"}))
    assert page.path == "/ui/clusters"
    page = walker.get("/ui/login/provider?" + urlencode({"next": "/ui/map?done=" + "x" * 3000}))
    assert page.status == 200


def test_a_provider_that_is_away_leaves_tokens(service: Service, provider: Provider) -> None:
    with Walker(service, None) as walker:
        back = begin(walker)
        provider.is_down = True
        page = Page(walker.client.get(back))
        assert page.status == 503
        assert page.response.headers["retry-after"]
    with Walker(service, "reader") as walker:
        assert walker.get("/ui/classes").status == 200


@pytest.mark.parametrize("is_endless", [False, True])
def test_a_provider_that_answers_without_end_holds_nobody(
    walker: Walker, provider: Provider, monkeypatch: pytest.MonkeyPatch, *, is_endless: bool
) -> None:
    """Each byte arrived within the timeout, and their number was unlimited."""
    monkeypatch.setattr("app.issuers.login._PATIENCE_S", 1.0)

    def drip(request: Any, _: str) -> tuple[int, dict[str, str], Any]:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):
            for _ in range(600):
                request.wfile.write(bytes(100_000) if is_endless else b" ")
                request.wfile.flush()
                time.sleep(0.05)
        return 200, {}, {}

    back = begin(walker)
    monkeypatch.setitem(provider.pages, "/token", drip)
    started = time.monotonic()
    page = Page(walker.client.get(back))
    assert page.status == 503
    assert is_within(time.monotonic() - started, 15)


@pytest.mark.parametrize(
    "wrong",
    [
        {"oidc_issuer": "http://cilogon.org"},
        {"oidc_issuer": "https://cilogon.org", "oidc_client_id": "x"},
        {"oidc_issuer": "https://cilogon.org", "oidc_roles": {"LSC": "reader"}},
        {"oidc_roles": {"LSC": "king"}},
    ],
)
def test_settings_that_say_half_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)
