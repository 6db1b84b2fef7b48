"""Requests to every route by every role and without a login: each gets only what its role allows.

The list of routes comes from the application, so a new route that is missing in the table fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from api_fixtures import Service, assert_problem
from cluster_helpers import store_cluster, store_run
from schema_helpers import routes_in
from sqlalchemy import text
from web_fixtures import Walker, fill_catalogue
from web_fixtures import service as service  # noqa: PLC0414  (one with the walkers' tokens)

from app.api_routes import router
from app.core.access import Role, create_token, revoke_token
from app.core.engine import make_session_factory
from app.launch.backup import count_rows
from app.page_routes import PREFIX, create_web_router

OPEN = {
    *("/healthz", "/readyz", "/status.json", "/metrics", "/search/similarity_search_restful_API/"),
    *("/", "/ui", "/ui/", "/docs", "/ui/login", "/ui/login/provider", "/ui/login/callback"),
    *("/ui/logout", "/ui/logout/provider", "/ui/clock", "/ui/scheme", "/ui/{path:path}"),
    "/ui/static/{digest}/{name:path}",
}
# The least role of each route that may change something; GET routes need the reader's role.
CHANGES = {
    Role.READER: {
        *("POST /embed", "POST /neighbours", "POST /map/region"),  # nothing is stored
        *("POST /ui/upload", "POST /ui/map/region", "POST /ui/map/export"),
        *("POST /ui/glitches/chosen", "POST /ui/glitches/columns"),
    },
    Role.SUBMITTER: {
        *("POST /batches", "POST /exports", "POST /clusters/runs", "POST /label-audit"),
        *("POST /label-audit/glitches/{glitch_id}/keep", "POST /map"),
        *("POST /glitches/{glitch_id}/labels", "DELETE /glitches/{glitch_id}/labels/{label_id}"),
        *("POST /jobs/{job_id}/cancel", "POST /jobs/{job_id}/retry"),
        *("POST /ui/clusters/runs", "POST /ui/batch", "POST /ui/exports", "POST /ui/label-audit"),
        *("POST /ui/label-audit/label", "POST /ui/map/draw"),
        "POST /ui/glitches/{public_id}/labels",
        "POST /ui/labels/{label_id}/undo",
        *("POST /ui/jobs/{job_id}/cancel", "POST /ui/jobs/{job_id}/retry"),
    },
    Role.REVIEWER: {
        *("POST /classes", "POST /classes/{name}/changes", "POST /clusters/{cluster_id}/review"),
        *("POST /map/labels", "POST /map/clusters", "POST /map/labels/{bulk_id}/undo"),
        *("POST /ui/glitches/chosen/undo", "POST /ui/clusters/{cluster_id}/review"),
        *("POST /ui/classes", "POST /ui/classes/{class_id}/change", "POST /ui/map/selection"),
        *("POST /ui/map/labels/{bulk_id}/undo", "POST /ui/clusters/{cluster_id}/withdraw"),
    },
    Role.ADMIN: {
        *("POST /checkpoints/{name}/activate", "POST /ui/checkpoints/{checkpoint_id}/activate"),
        *("POST /demonstration", "DELETE /demonstration", "POST /ui/tokens"),
        *("POST /ui/demonstration", "POST /ui/demonstration/remove"),
        "POST /ui/tokens/{token_id}/revoke",
    },
}
ACTS = {  # forms for routes with many actions, whose services check the role themselves
    "/ui/clusters/{cluster_id}/review": {"act": "comment", "text": "x", "last_event_id": "0"},
    "/ui/classes/{class_id}/change": {"act": "retire", "last_event_id": "0"},
}
Endpoint = tuple[str, str, Role]  # method, path template of the route, least role


def declared_endpoints(prefix: str, parts: Iterable[Any]) -> list[Endpoint]:
    """Return the method, path and least role of each route that is not open to all."""
    found: list[Endpoint] = []
    for route in routes_in(parts):
        is_of_pages = prefix and route.path not in OPEN
        path = f"{prefix}{route.path}" if is_of_pages else route.path
        for method in sorted(route.methods) if path not in OPEN else ():
            what = f"{method} {path}"
            least = [role for role, changes in CHANGES.items() if what in changes]
            assert least or method == "GET", f"{what} changes something: say here who may"
            found.append((method, path, least[0] if least else Role.READER))
    return found


API = declared_endpoints("", router.routes)
PAGES = declared_endpoints(PREFIX, create_web_router().routes)


def test_the_table_names_no_route_that_there_is_not() -> None:
    declared = {f"{method} {path}" for method, path, _ in API + PAGES}
    assert set().union(*CHANGES.values()) - declared == set()
    assert (len(API), len(PAGES)) >= (55, 50)


@pytest.fixture(scope="module")
def known(service: Service) -> dict[str, str]:
    """Provide ids of existing objects for the paths, so that a 404 cannot hide missing checks."""
    glitches = fill_catalogue(service, 12)
    with make_session_factory(service.engine).begin() as session:
        cluster = store_cluster(session, store_run(session), [one.id for one in glitches[:5]])
        label = session.scalar(text("SELECT id FROM label ORDER BY id LIMIT 1"))
        victim = create_token(session, "a victim", Role.READER).record.id
    with service.client("reviewer") as client:  # our own class: only admins change Gravity Spy's
        client.post("/classes", json={"name": "Ours", "description": "x"}).raise_for_status()
    with Walker(service, "reader") as reader, service.client("submitter") as client:
        which = reader.get("/ui/classes/Ours").path.rpartition("/")[2]
        job = client.post("/exports", json={"format": "csv"}).json()["id"]
    given = {
        "glitch_id": glitches[1].id,
        "public_id": "walker0001",
        "label_id": label,
        "token_id": victim,
        "job_id": job,
    }
    named = {"name": "Blip", "which": which, "class_id": which, "checkpoint_id": "1", "unit": "0"}
    return {
        **{name: str(value) for name, value in given.items()},
        **named,
        "cluster_id": str(cluster.id),
        "bulk_id": str(UUID(int=7)),
        "duration": "0.5",
    }


def filled(path: str, known: dict[str, str]) -> str:
    names = known | ({"name": "tiny"} if "checkpoints" in path else {})
    return re.sub(r"\{(\w+)[^}]*\}", lambda one: names.get(one[1], str(UUID(int=7))), path)


def status_of(client: httpx.Client, method: str, path: str, **sent: Any) -> httpx.Response:
    with client.stream(method, path, follow_redirects=False, **sent) as answer:
        if not (answer.is_success and path.endswith("/events")):  # event streams do not end
            answer.read()
    caching = answer.headers.get("cache-control", "")
    assert "no-store" in caching or "private" in caching, (method, path, caching)
    return answer


def tokens_that_let_nobody_in(service: Service) -> Iterator[str]:
    with make_session_factory(service.engine).begin() as session:
        for name in ("revoked", "expired"):
            made = create_token(session, f"{name} admin", Role.ADMIN, lifetime=timedelta(days=1))
            yield f"Bearer {made.secret}"
            if name == "revoked":
                revoke_token(session, made.record.id)
        session.execute(
            text("UPDATE api_token SET expires_at = now() WHERE name = 'expired admin'")
        )
    good = service.tokens["admin"]
    yield from ("", "Bearer", f"Bearer {good}x", f"Bearer {good[:-1]}", f"Token {good}", good)
    yield f"Bearer {good.upper()}"


def rows(service: Service) -> dict[str, int]:
    with service.engine.connect() as connection:
        return count_rows(connection)


def test_no_route_of_the_api_lets_in_who_has_no_token_or_too_weak_a_role(
    service: Service, known: dict[str, str]
) -> None:
    bad = list(tokens_that_let_nobody_in(service))
    before = rows(service)
    with service.client(None) as anonymous:
        for number, (method, path, _) in enumerate(API):
            for authorization in (None, bad[number % len(bad)], bad[0], bad[1]):
                headers = {} if authorization is None else {"Authorization": authorization}
                answer = status_of(anonymous, method, filled(path, known), headers=headers)
                assert_problem(answer, 401)
    for role in Role:
        with service.client(role.label) as client:
            for method, path, least in API:
                if role < least:
                    assert_problem(status_of(client, method, filled(path, known)), 403)
    assert rows(service) == before


def test_no_page_lets_in_who_has_no_session_or_too_weak_a_role(
    service: Service, known: dict[str, str]
) -> None:
    before = rows(service)
    with Walker(service, None) as anonymous:
        csrf = anonymous.get("/ui/login").form("/ui/login").fields["csrf"]
        for method, path, _ in PAGES:
            sent = {"data": {"csrf": csrf} | ACTS.get(path, {})} if method == "POST" else {}
            answer = status_of(anonymous.client, method, filled(path, known), **sent)
            assert answer.headers.get("location", "").startswith("/ui/login?"), (path, answer)
    assert rows(service) == before
    for role in Role:
        with Walker(service, role.label) as walker:
            csrf = walker.get("/ui/classes").form("/ui/logout").fields["csrf"]
            before = rows(service)
            for method, path, least in PAGES:
                if method == "POST":
                    data = ACTS.get(path, {})
                    target = filled(path, known)
                    assert status_of(walker.client, method, target, data=data).status_code == 403
                    if role < least:
                        data = {"csrf": csrf} | data
                        answer = status_of(walker.client, method, target, data=data)
                        assert answer.status_code == 403, (role, path, answer.text[:500])
            assert rows(service) == before


def test_each_route_accepts_its_least_role(service: Service, known: dict[str, str]) -> None:
    """The least role of each route is accepted, so the refusals above are due to the role.

    This test is the last one because it changes data.
    """
    for role in Role:
        with service.client(role.label) as client, Walker(service, role.label) as walker:
            csrf = walker.get("/ui/classes").form("/ui/logout").fields["csrf"]
            for method, path, least in API:
                if role == least:
                    answer = status_of(client, method, filled(path, known))
                    assert answer.status_code not in {401, 403}, (role, method, path)
            for method, path, least in PAGES:
                if role == least:
                    data = {"csrf": csrf} | ACTS.get(path, {})
                    sent = {"data": data} if method == "POST" else {}
                    answer = status_of(walker.client, method, filled(path, known), **sent)
                    response = (role, method, path, answer.headers.get("location", ""))
                    assert answer.status_code not in {401, 403}, response
                    assert not response[-1].startswith("/ui/login"), response
