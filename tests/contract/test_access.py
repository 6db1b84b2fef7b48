"""How tokens are sent, checked, stored and revoked; ``test_access_matrix`` tests every route."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import pytest
from api_fixtures import Service, assert_problem, picture
from sqlalchemy import text

SOME = str(UUID(int=7))
READER_ROUTES = [
    ("GET", "/glitches"),
    ("GET", f"/glitches/{SOME}"),
    ("GET", f"/glitches/{SOME}/neighbours"),
    ("GET", f"/glitches/{SOME}/views/0.5.png"),
    ("GET", f"/glitches/{SOME}/labels"),
    ("GET", "/classes"),
    ("GET", "/checkpoints"),
    ("GET", "/jobs"),
    ("GET", f"/jobs/{SOME}"),
    ("GET", f"/jobs/{SOME}/items"),
    ("GET", f"/jobs/{SOME}/events"),
    ("POST", "/neighbours"),
]
SUBMITTER_ROUTES = [
    ("POST", "/embed"),
    ("POST", f"/glitches/{SOME}/labels"),
    ("DELETE", f"/glitches/{SOME}/labels/{SOME}"),
    ("POST", f"/jobs/{SOME}/cancel"),
    ("POST", f"/jobs/{SOME}/retry"),
]
OPEN_ROUTES = ["/healthz", "/readyz", "/status.json", "/metrics"]


def call(client: httpx.Client, method: str, path: str) -> httpx.Response:
    if method == "POST" and path in {"/embed", "/neighbours"}:
        file = {"file": ("a.png", picture())}
        return client.post(path, files=file, data={"view_duration_s": "1"})
    if method == "POST":
        body = {"label": "Blip"} if path.endswith("labels") else {"name": "New", "description": "x"}
        return client.post(path, json=body)
    return client.request(method, path)


@pytest.fixture
def anonymous(service: Service) -> Iterator[httpx.Client]:
    with service.client(None) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [("GET", "/glitches"), ("POST", "/embed")])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer gd_" + "A" * 43,
        "Bearer " + "x" * 8000,
        "Bearer a\tb",
        "Basic !!!",
        "Basic " + base64.b64encode(b"user").decode(),
        "Token abc",
    ],
)
def test_callers_without_a_token_are_asked_who_they_are(
    anonymous: httpx.Client, method: str, path: str, authorization: str | None
) -> None:
    if authorization is not None:
        anonymous.headers["Authorization"] = authorization
    answer = call(anonymous, method, path)
    assert "token" in assert_problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", ["reviewer", "admin"])
def test_higher_roles_may_do_what_lower_ones_may(service: Service, role: str) -> None:
    with service.client(role) as client:
        for method, path in READER_ROUTES + SUBMITTER_ROUTES:
            assert call(client, method, path).status_code in {200, 201, 404}
        name = f"Ours-{role}"
        made = client.post("/classes", json={"name": name, "description": "Seen in tests."})
        assert made.status_code == 201
        assert made.json()["origin"] == "ours"
        assert_problem(client.post("/classes", json={"name": name, "description": "x"}), 409)


def test_readers_may_query_by_upload(service: Service) -> None:
    file = {"file": ("a.png", picture(5))}
    with service.client("reader") as client:
        fields = {"view_duration_s": "1", "store": "false"}
        assert client.post("/embed", files=file, data=fields).status_code == 200
        answer = client.post("/neighbours", files=file, data={"view_duration_s": "1"})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", OPEN_ROUTES)
def test_supervisors_need_no_token(anonymous: httpx.Client, path: str) -> None:
    assert anonymous.get(path).status_code == 200


def test_token_may_come_as_the_password_of_an_address(service: Service) -> None:
    with service.client(None) as client:
        answer = client.get("/classes", auth=("token", service.tokens["reader"]))
        assert answer.status_code == 200


def test_revoked_token_is_dead_at_once(service: Service) -> None:
    from app.core.access import Role, create_token, revoke_token
    from app.core.engine import make_session_factory

    sessions = make_session_factory(service.engine)
    with sessions() as session:
        made = create_token(session, f"brief {uuid4()}", Role.READER)
        session.commit()
    with service.client(None) as client:
        client.headers["Authorization"] = f"Bearer {made.secret}"
        assert client.get("/classes").status_code == 200
        with sessions() as session:
            revoke_token(session, made.record.id)
            session.commit()
        assert_problem(client.get("/classes"), 401)


def test_tokens_are_kept_hashed(service: Service) -> None:
    with service.engine.connect() as connection:
        rows = connection.execute(text("SELECT api_token::text FROM api_token")).scalars().all()
    assert rows
    for secret in service.tokens.values():
        assert not any(secret in row or secret.encode().hex() in row for row in rows)


def test_body_of_a_caller_without_a_token_is_not_read(anonymous: httpx.Client) -> None:
    class CountedBody:
        sent = 0

        def __iter__(self) -> Iterator[bytes]:
            for _ in range(200):
                CountedBody.sent += 1
                yield b"x" * 100_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        answer = anonymous.post("/embed", content=iter(CountedBody()), headers=headers)
    except httpx.TransportError:  # the service closed the connection before we had sent all
        pass
    else:
        assert_problem(answer, 401)
