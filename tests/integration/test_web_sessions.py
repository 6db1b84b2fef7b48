"""Login, logout, tokens, forged and expired sessions, forged forms, and an empty catalogue."""

from __future__ import annotations

import re
import time
from http.cookies import SimpleCookie

import httpx
import pytest
from api_fixtures import KEY, Service, listening
from fastapi.routing import APIRoute
from sqlalchemy import text
from web_fixtures import Page, Walker, service

from app.core.access import Principal, list_tokens, revoke_token
from app.core.engine import make_session_factory
from app.core.sign_on import create_login_code, open_session
from app.frame.deps import CsrfChecked
from app.frame.render import environment
from app.frame.sessions import COOKIE_NAME, VISITOR_COOKIE_NAME, SessionSigner
from app.page_routes import create_web_router

__all__ = ["service"]

PRIVATE = (
    *("/ui/jobs", "/ui/jobs/x", "/ui/jobs/x/events", "/ui/batch", "/ui/tokens", "/ui/label-audit"),
    *("/ui/glitches", "/ui/search?q=1", "/ui/upload", "/ui/classes", "/ui/checkpoints"),
    *("/ui/glitches/x", "/ui/glitches/x/views/1.png", "/ui/glitches/x/cards/1.png"),
    *("/ui/glitches/x/scans/1.png", "/ui/glitches/x/record.json"),
)


@pytest.mark.parametrize("path", PRIVATE)
def test_without_a_session_one_is_led_to_the_login_and_nothing_is_shown(
    service: Service, path: str
) -> None:
    answer = httpx.get(f"{service.url}{path}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/ui/login?next=%2Fui%2F")
    assert not answer.content


def test_every_form_checks_its_token() -> None:
    for route in _pages():
        if "POST" in route.methods:
            assert CsrfChecked.dependency in _calls(route), route.path


def _pages() -> list[APIRoute]:
    """Return every route under /ui, except the one that reports a missing page."""
    parts = [getattr(part, "original_router", None) for part in create_web_router().routes]
    routes = [route for part in parts if part is not None for route in part.routes]
    shown = [route for route in routes if route.path != "/{path:path}"]
    assert len(shown) > 30
    assert all(isinstance(route, APIRoute) for route in shown)
    return shown


def _calls(route: APIRoute) -> list:
    found, waiting = [], [route.dependant]
    while waiting:
        dependant = waiting.pop()
        found.append(dependant.call)
        waiting.extend(dependant.dependencies)
    return found


def code_of(service: Service, name: str = "admin") -> str:
    """Return the code of a new login link."""
    with make_session_factory(service.engine)() as db:
        token = next(token for token in list_tokens(db) if token.name == name)
        code = create_login_code(db, token.id)
        db.commit()
    return code


def test_a_login_link_is_confirmed_and_good_once(service: Service) -> None:
    code = code_of(service)
    with Walker(service, None) as walker:
        page = walker.get(f"/ui/login?code={code}")
        assert "This link logs you in as admin, once." in page.text
        assert page.response.headers["cache-control"] == "no-store"
        assert page.response.headers["referrer-policy"] == "no-referrer"
        assert COOKIE_NAME not in walker.client.cookies
        page = walker.submit(page, "/ui/login")
        assert page.path == "/ui/clusters"
        assert "admin" in page.text
    with Walker(service, None) as walker:
        page = walker.get(f"/ui/login?code={code}")
        assert page.status == 401
        assert "has been used or has expired" in page.alerts[0]
        form = walker.get("/ui/login")
        page = Page(
            walker.client.post("/ui/login", data=form.form("/ui/login").fields | {"code": code})
        )
        assert page.status == 401


def test_a_login_link_grows_old(service: Service) -> None:
    code = code_of(service)
    with service.engine.begin() as connection:
        connection.execute(text("UPDATE login_code SET expires_at = now() - interval '1 second'"))
    with Walker(service, None) as walker:
        assert walker.get(f"/ui/login?code={code}").status == 401


def test_a_login_link_never_replaces_a_session_by_itself(service: Service) -> None:
    """Another site could use such a link to make somebody upload in another user's session."""
    with Walker(service, "reader") as walker:
        page = walker.get(f"/ui/login?code={code_of(service)}")
        assert "You are logged in as reader. This link logs you in as admin instead." in page.text
        assert "reader" in walker.get("/ui/classes").text
        fields = page.form("/ui/login").fields | {"csrf": "0" * 64}
        assert walker.client.post("/ui/login", data=fields).status_code == 403
        old = walker.client.cookies[COOKIE_NAME]
        walker.submit(page, "/ui/login")
        with httpx.Client(base_url=service.url, cookies={COOKIE_NAME: old}) as other:
            assert other.get("/ui/classes").status_code == 303  # the old session has ended


def test_the_address_never_takes_a_token(service: Service) -> None:
    answer = httpx.get(f"{service.url}/ui/login?token={service.tokens['admin']}")
    assert answer.status_code == 200
    assert COOKIE_NAME not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("is_public", [False, True])
def test_the_cookie_is_for_pages_alone_and_secure_behind_https(
    service: Service, is_public: bool
) -> None:
    address = "https://glitches.example.org" if is_public else None
    settings = service.settings.model_copy(update={"public_url": address})
    with listening(settings) as url, httpx.Client(base_url=url, timeout=60) as client:
        first = client.get(f"/ui/login?code={code_of(service)}")
        # A client does not send a secure cookie over http, so it is added here.
        visitor = SimpleCookie(first.headers["set-cookie"])[VISITOR_COOKIE_NAME]
        assert bool(visitor["secure"]) == is_public
        answer = client.post(
            "/ui/login",
            data=Page(first).form("/ui/login").fields,
            headers={"Cookie": f"{VISITOR_COOKIE_NAME}={visitor.value}"},
        )
        assert answer.status_code == 303
        cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE_NAME]
        assert bool(cookie["secure"]) == is_public
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"]) == ("lax", "/ui")
        assert service.tokens["admin"] not in cookie.value


def test_logging_out_ends_the_session_everywhere(service: Service) -> None:
    with Walker(service, "reader") as walker:
        copied = walker.client.cookies[COOKIE_NAME]
        walker.submit(walker.get("/ui/classes"), "/ui/logout")
    with httpx.Client(base_url=service.url, cookies={COOKIE_NAME: copied}) as thief:
        assert thief.get("/ui/classes").status_code == 303


def test_logins_are_kept_in_the_audit(service: Service) -> None:
    with Walker(service, "reviewer") as walker:
        walker.submit(walker.get("/ui/classes"), "/ui/logout")
    with Walker(service, None) as walker:
        walker.submit(walker.get("/ui/login"), "/ui/login", token="wrong")
    with service.engine.connect() as connection:
        acts = connection.execute(
            text("SELECT action, actor, subject_id FROM audit_event ORDER BY id DESC LIMIT 3")
        ).all()
    assert [(act.action, act.actor) for act in acts] == [
        ("log in refused", "unknown"),
        ("log out", "reviewer"),
        ("log in", "reviewer"),
    ]
    assert acts[0].subject_id == "127.0.0.1"


def test_login_form_and_logout(service: Service) -> None:
    with Walker(service, None) as walker:
        page = walker.get("/ui/glitches?ifo=H1")
        assert page.path == "/ui/login?next=%2Fui%2Fglitches%3Fifo%3DH1"
        page = walker.submit(page, "/ui/login", token=f" {service.tokens['reader']}\n")
        assert page.path == "/ui/glitches?ifo=H1"
        assert "reader" in page.text
        assert walker.get("/ui/login").path == "/ui/clusters"
        page = walker.submit(page, "/ui/logout")
        assert "You are logged out." in page.text
        assert walker.get("/ui/").path.startswith("/ui/login")


@pytest.mark.parametrize(
    "token", ["", "wrong", "x" * 9000, "<script>alert(1)</script>", "é", "a\x00"]
)
def test_a_wrong_token_is_refused_and_not_echoed(service: Service, token: str) -> None:
    with Walker(service, None) as walker:
        page = walker.submit(walker.get("/ui/login"), "/ui/login", token=token)
        assert page.status == 401
        assert "unknown or revoked" in page.alerts[0]
        assert "<script>alert" not in page.response.text
        page = Page(walker.client.get("/ui/login", params={"code": token}))
        assert page.status == 401
        assert "login link" in page.alerts[0]


def test_login_never_leads_off_the_site(service: Service) -> None:
    for target in ("https://evil.example", "//evil.example", "/ui/../../x\\y", "javascript:1"):
        with Walker(service, None) as walker:
            form = walker.get("/ui/login").form("/ui/login")
            data = form.fields | {"token": service.tokens["reader"], "next": target}
            answer = walker.client.post("/ui/login", data=data, follow_redirects=False)
            assert answer.headers["location"] == "/ui/"


def test_a_forged_or_expired_session_is_rejected(service: Service) -> None:
    with make_session_factory(service.engine)() as db:
        admin = next(token for token in list_tokens(db) if token.name == "admin")
        holder = Principal(admin.id, admin.name, admin.role)
        own = str(open_session(db, holder, 3600, "token"))
        db.commit()
    good, _ = SessionSigner(KEY.encode()).issue(own, time.time())
    old, _ = SessionSigner(KEY.encode()).issue(own, time.time() - 13 * 3600)
    forged, _ = SessionSigner(b"another key of 32 bytes or more.").issue(own, time.time())
    invalid, _ = SessionSigner(KEY.encode()).issue("not-a-uuid", time.time())
    unknown, _ = SessionSigner(KEY.encode()).issue(str(admin.id), time.time())
    cookies = ((good, 200), (old, 303), (forged, 303), (invalid, 303), (unknown, 303), ("x", 303))
    for cookie, status in cookies:
        with httpx.Client(base_url=service.url, cookies={COOKIE_NAME: cookie}) as client:
            assert client.get("/ui/glitches").status_code == status


def test_an_ended_session_leads_to_the_login_and_back(service: Service) -> None:
    cookies = {COOKIE_NAME: "ended"}
    answer = httpx.get(f"{service.url}/ui/jobs?state=failed", cookies=cookies)
    assert answer.headers["location"] == (
        "/ui/login?next=%2Fui%2Fjobs%3Fstate%3Dfailed&done=session-ended"
    )
    page = httpx.get(f"{service.url}{answer.headers['location']}")
    assert "Your session has ended: log in again" in page.text
    assert 'name="next" value="/ui/jobs?state=failed"' in page.text


def test_a_refusal_leads_back_to_the_page_that_led_there(service: Service) -> None:
    nothing = f"{service.url}/ui/jobs/00000000-0000-0000-0000-000000000000"
    with Walker(service, "admin") as walker:
        for referer, back in (
            (f"{service.url}/ui/jobs?state=failed", "/ui/jobs?state=failed"),
            ("https://elsewhere.example/ui/jobs", "/ui/jobs"),  # another site: the list of jobs
            (f"{service.url}/ui/login?next=%2Fui%2Fjobs", "/ui/jobs"),
            (nothing, "/ui/jobs"),  # the missing page itself
        ):
            answer = walker.client.get(nothing, headers={"Referer": referer})
            assert answer.status_code == 404
            assert f'<a class="button" href="{back}">' in answer.text, referer


def test_an_unforeseen_error_is_a_page(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("app.digest.pages.last_sending", fail)
    with Walker(service, "reader") as walker:
        page = walker.get("/ui/digest")
    assert page.status == 500
    assert page.response.headers["content-type"].startswith("text/html")
    assert "An unexpected error occurred" in page.alerts[0]
    assert page.response.headers["X-Request-ID"] in page.text
    assert "secret" not in page.response.text


def test_a_form_after_the_session_reports_that_nothing_was_done(service: Service) -> None:
    answer = httpx.post(
        f"{service.url}/ui/classes",
        data={"name": "Lost"},
        headers={"Referer": f"{service.url}/ui/classes"},
    )
    assert answer.headers["location"] == "/ui/login?next=%2Fui%2Fclasses&done=unsent"
    narrowed = httpx.post(  # returns to the same list, with its filters
        f"{service.url}/ui/glitches/chosen",
        headers={"Referer": f"{service.url}/ui/glitches?ifo=H1&view=table"},
    )
    assert narrowed.headers["location"] == (
        "/ui/login?next=%2Fui%2Fglitches%3Fifo%3DH1%26view%3Dtable&done=unsent"
    )
    page = httpx.get(f"{service.url}{answer.headers['location']}")
    assert "Nothing was done, because you are not logged in: log in" in page.text


def test_a_revoked_token_ends_its_sessions(service: Service) -> None:
    with make_session_factory(service.engine)() as db:
        from app.core.access import Role, create_token

        made = create_token(db, "soon gone", Role.READER)
        db.commit()
        with httpx.Client(base_url=service.url, follow_redirects=True) as client:
            fields = Page(client.get("/ui/login")).form("/ui/login").fields
            answer = client.post("/ui/login", data=fields | {"token": made.secret})
            assert answer.status_code == 200
            assert client.get("/ui/classes").url.path == "/ui/classes"
            revoke_token(db, made.record.id)
            db.commit()
            assert client.get("/ui/classes").url.path == "/ui/login"


@pytest.mark.parametrize(
    "path", ["/ui/logout", "/ui/clock", "/ui/scheme", "/ui/glitches/x/labels", "/ui/upload"]
)
@pytest.mark.parametrize("csrf", [None, "", "0" * 64, "x" * 9000])
def test_a_form_without_its_token_does_nothing(
    service: Service, path: str, csrf: str | None
) -> None:
    with Walker(service, "submitter") as walker:
        page = Page(walker.client.post(path, data={} if csrf is None else {"csrf": csrf}))
        assert page.status == (422 if csrf and len(csrf) > 200 else 403)
        assert page.alerts
        assert "not sufficient" not in page.text  # the role is not at fault
        assert page.response.headers["content-type"].startswith("text/html")
        assert walker.get("/ui/classes").path == "/ui/classes"  # still logged in


@pytest.mark.parametrize(
    ("site", "status"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 303), ("none", 303)],
)
def test_a_form_of_another_site_logs_nobody_in_with_a_cookie_that_it_gave(
    service: Service, site: str, status: int
) -> None:
    with httpx.Client(base_url=service.url) as theirs, httpx.Client(base_url=service.url) as ours:
        form = theirs.get("/ui/login").text.partition('name="csrf" value="')[2]
        ours.cookies.set("glitch_visitor", theirs.cookies["glitch_visitor"], path="/ui")
        answer = ours.post(
            "/ui/login",
            data={"csrf": form.partition('"')[0], "token": service.tokens["reader"]},
            headers={"Sec-Fetch-Site": site},
        )
    assert answer.status_code == status
    assert ("glitch_session" in answer.cookies) is (status == 303)


def test_the_token_of_another_session_is_refused(service: Service) -> None:
    with Walker(service, "reader") as one, Walker(service, "reader") as other:
        csrf = one.get("/ui/classes").form("/ui/logout").fields["csrf"]
        assert other.client.post("/ui/logout", data={"csrf": csrf}).status_code == 403


def test_an_upload_without_a_session_leads_to_the_login(service: Service) -> None:
    answer = httpx.post(f"{service.url}/ui/upload", files={"file": b"x" * 100_000})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui/login?next=%2Fui%2F&done=unsent"


def test_an_empty_catalogue_says_what_to_do(service: Service) -> None:
    with Walker(service, "submitter") as walker:
        page = walker.get("/ui/glitches")
        assert "The catalogue is empty" in page.text
        assert "/ui/upload" in page.links
    with Walker(service, "reader") as walker:
        for path in ("/ui/glitches", "/ui/clusters", "/ui/map"):
            page = walker.get(path)
            assert "Your role may look but not upload: ask a submitter" in page.text, path
            assert "/ui/batch" not in page.links
        assert "label one on its page" not in walker.get("/ui/classes/Koi_Fish").text


def test_the_pages_are_no_part_of_the_api(service: Service) -> None:
    with service.client("admin") as client:
        paths = client.get("/openapi.json").json()["paths"]
        assert not [path for path in paths if path.startswith("/ui")]
        # Bearer tokens are for the API: pages accept only cookies.
        assert client.get("/ui/glitches").status_code == 303


def test_templates_take_their_frame_and_their_page_alone() -> None:
    from jinja2 import meta

    made = environment()
    for name in made.list_templates():
        source = made.loader.get_source(made, name)[0]  # type: ignore[union-attr]
        names = meta.find_undeclared_variables(made.parse(source))
        # A block has its own scope, so macros defined outside it look undeclared.
        imported = set(re.findall(r'{% import "\w+\.html" as (\w+) %}', source))
        imported |= set(re.findall(r"{% (?:macro|set) (\w+)", source))
        assert names - imported <= {"frame", "page", "viridis"}, name
        assert not re.search(r"\|\s*safe|<style|\son\w+=|\sstyle=", source), name


# --- tokens ---------------------------------------------------------------------------------------


def test_a_token_is_made_shown_once_used_and_revoked(service: Service) -> None:
    with Walker(service, "admin") as admin:
        page = admin.submit(admin.get("/ui/tokens"), "/ui/tokens", name="Ada", role="reviewer")
        secret = page.response.text.split('id="secret" readonly value="')[1].split('"')[0]
        assert page.response.headers["cache-control"] == "no-store"
        assert secret not in admin.get("/ui/tokens").response.text
        with httpx.Client(base_url=service.url) as client:
            headers = {"Authorization": f"Bearer {secret}"}
            assert client.get("/glitches", headers=headers).status_code == 200
        taken = admin.submit(admin.get("/ui/tokens"), "/ui/tokens", name="Ada", role="reader")
        assert taken.status == 409
        assert "in use" in taken.alerts[0]
        assert taken.form("/ui/tokens").fields["name"] == "Ada"
        for name, role in (("", "reader"), ("x" * 200, "reader"), ("Bob", "emperor")):
            refused = admin.submit(admin.get("/ui/tokens"), "/ui/tokens", name=name, role=role)
            assert refused.status == 400, (name, role)
        listed = admin.get("/ui/tokens")
        revoke = listed.response.text.split("Revoke the token of Ada")[1].split('action="')[1]
        gone = admin.submit(listed, revoke.split('"')[0])
        assert "The token was revoked." in gone.text
        assert client_status(service, secret) == 401


def client_status(service: Service, secret: str) -> int:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.get(f"{service.url}/glitches", headers=headers).status_code


def test_others_see_and_revoke_their_own_token_alone(service: Service) -> None:
    with Walker(service, "admin") as admin:
        page = admin.submit(admin.get("/ui/tokens"), "/ui/tokens", name="Eve", role="reader")
        secret = page.response.text.split('id="secret" readonly value="')[1].split('"')[0]
        foreign = next(form.action for form in page.forms if form.action.endswith("/revoke"))
    with Walker(service, None) as eve:
        page = eve.submit(eve.get("/ui/login"), "/ui/login", token=secret)
        page = eve.get("/ui/tokens")
        assert "Eve" in page.text
        assert "submitter" not in page.text
        own = page.form("/revoke").action
        csrf = page.form("/ui/logout").fields["csrf"]
        assert eve.client.post("/ui/tokens", data={"csrf": csrf, "name": "x"}).status_code == 403
        if foreign != own:
            assert eve.client.post(foreign, data={"csrf": csrf}).status_code == 403
        assert eve.client.post("/ui/tokens/x/revoke", data={"csrf": csrf}).status_code == 404
        out = eve.submit(page, "/revoke")
        assert "Your token was revoked, so you are logged out." in out.text
        assert client_status(service, secret) == 401
