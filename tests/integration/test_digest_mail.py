"""The digest by mail, through a real mail server: accepted or refused, its job succeeds."""

from __future__ import annotations

import email
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from api_fixtures import Service
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from map_helpers import work
from pydantic import SecretStr, ValidationError
from web_fixtures import Walker, service

import app.digest.job
from app.core.engine import make_session_factory
from app.core.settings import Settings
from app.jobs.service import create_job
from app.server.upkeep import UPKEEP

__all__ = ["service"]

PEOPLE = ("ada@example.org", "detchar@example.org")
PASSWORD = "p@ss/word"


class Box:
    """Keeps the mails that arrive, and refuses addresses in ``unknown``."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.unknown: set[str] = set()

    async def handle_RCPT(self, *given: Any) -> str:  # noqa: N802 - aiosmtpd calls this name
        _, _, envelope, address, _ = given
        if address in self.unknown:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, *given: Any) -> str:  # noqa: N802 - aiosmtpd calls this name
        content = given[-1].content
        self.mails.append(email.message_from_bytes(content, policy=default))
        return "250 OK"


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a private key and a self-signed certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + signed.public_bytes(Encoding.PEM))
    return path


def authenticate(*given: Any) -> AuthResult:
    sent = given[-1]
    is_good = (sent.login, sent.password) == (b"glitches", PASSWORD.encode())
    return AuthResult(success=is_good, handled=False)


@pytest.fixture
def serving(box: Box, certificate: Path) -> Iterator[Callable[..., int]]:
    """Return a function that starts a mail server and returns its port."""
    running: list[Controller] = []

    def serve(*, tls: str = "", asks_who: bool = False) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        options: dict[str, Any] = {}
        if tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if tls == "from the start":
            options |= {"ssl_context": context}
        if asks_who:  # aiosmtpd takes smtps for unencrypted: no login required
            options |= {"authenticator": authenticate, "auth_require_tls": tls == "starttls"}
            options |= {"auth_required": tls == "starttls"}
        one = Controller(box, hostname="127.0.0.1", port=free_port(), **options)
        one.start()
        running.append(one)
        return one.port

    yield serve
    for one in running:
        one.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mailed(service: Service, url: str, **settings: object) -> dict[str, Any]:
    """Work on a digest job, which succeeds whatever the server does; return its result."""
    chosen = service.settings.model_copy(
        update={
            "smtp_url": SecretStr(url),
            "digest_mail": PEOPLE,
            "mail_from": "glitches@example.org",
            "public_url": "https://g.example",
            **settings,
        }
    )
    with make_session_factory(service.engine).begin() as session:
        job_id = create_job(session, "digest", {}, "ada").id
    job = work(replace(service, settings=chosen), job_id)
    assert job.state == "succeeded", job
    assert job.result is not None
    assert not any(secret in json.dumps(dict(job.result)) for secret in (url, *PEOPLE, PASSWORD))
    return dict(job.result)


def test_a_mail_says_what_is_new(service: Service, box: Box, serving: Callable[..., int]) -> None:
    result = mailed(service, f"smtp+plain://127.0.0.1:{serving()}")
    assert result["sent"] == "The mail server accepted it for 2 of 2 addresses."
    (mail,) = box.mails
    assert mail["Subject"].startswith("Glitch Discovery: ")
    assert (mail["From"], mail["To"]) == ("glitches@example.org", ", ".join(PEOPLE))
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.org>")
    lines = mail.get_payload().split()  # type: ignore[union-attr]
    assert lines[-1] == "https://g.example/ui/digest"
    assert lines[0] == "Since"
    assert " ".join(result["sentences"]).split() == lines[4:-1]
    with Walker(service, "reader") as walker:
        page = walker.get("/ui/digest").text
    assert "The mail server accepted it for 2 of 2 addresses." in page


@pytest.mark.parametrize(
    ("scheme", "tls"), [("smtp", "starttls"), ("smtps", "from the start")], ids=str
)
def test_a_server_that_encrypts_and_asks_who(
    *,
    service: Service,
    box: Box,
    serving: Callable[..., int],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    tls: str,
) -> None:
    port = serving(tls=tls, asks_who=True)
    where = f"localhost:{port}"
    good = f"{scheme}://glitches:p%40ss%2Fword@{where}"
    assert "certificate is not trusted" in mailed(service, good)["sent"]
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert "2 of 2" in mailed(service, good)["sent"]
    assert (
        "did not accept the user and password"
        in (mailed(service, f"{scheme}://glitches:wrong@{where}")["sent"])
    )
    assert len(box.mails) == 1
    if scheme == "smtp":
        assert "refused it (530)" in mailed(service, f"{scheme}://{where}")["sent"]


def test_a_server_that_does_not_encrypt_is_sent_nothing(
    service: Service, box: Box, serving: Callable[..., int]
) -> None:
    outcome = mailed(service, f"smtp://a:b@localhost:{serving()}")["sent"]
    assert "does not offer what GLITCH_SMTP_URL requires" in outcome
    assert box.mails == []


def test_addresses_that_the_server_does_not_know(
    service: Service, box: Box, serving: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "digest")
    url = f"smtp+plain://127.0.0.1:{serving()}"
    box.unknown = {PEOPLE[0]}
    assert mailed(service, url)["sent"] == "The mail server accepted it for 1 of 2 addresses."
    box.unknown = set(PEOPLE)
    sentence = "The mail server accepted none of the 2 addresses."
    assert mailed(service, url)["sent"] == sentence
    assert f"digest: {sentence}" in caplog.messages
    with Walker(service, "reader") as walker:
        assert sentence in walker.get("/ui/digest").text


def test_a_server_that_is_not_there_or_never_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (f"smtp+plain://127.0.0.1:{free_port()}", "smtp+plain://no-such-host.invalid"):
        assert "could not be reached" in mailed(service, url)["sent"]
    monkeypatch.setattr(app.digest.job, "MAIL_WITHIN_S", 1.0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet_for_ever() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    while not over.wait(0.1):
                        connection.sendall(b"2")
                except OSError:
                    return

        server = threading.Thread(target=greet_for_ever)
        server.start()
        outcome = mailed(service, f"smtp+plain://127.0.0.1:{listener.getsockname()[1]}")["sent"]
        over.set()
        server.join()
    assert outcome.startswith("The mail server ")


def test_mail_alone_is_sent_daily(service: Service) -> None:
    chosen = service.settings.model_copy(
        update={"digest_mail": PEOPLE, "smtp_url": SecretStr("smtp+plain://localhost")}
    )
    with make_session_factory(service.engine).begin() as session:
        assert UPKEEP["daily digest"](session, chosen) == "asked for"
        session.rollback()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"GLITCH_DIGEST_MAIL": "ada@example.org"}, "needs GLITCH_SMTP_URL"),
        ({"GLITCH_SMTP_URL": "mail.example.org"}, "must look like"),
        ({"GLITCH_SMTP_URL": "https://mail.example.org"}, "must look like"),
        ({"GLITCH_SMTP_URL": "smtp://a:p/w@mail.example.org"}, "%2F"),
        ({"GLITCH_SMTP_URL": "smtp://mail.example.org:x"}, "must look like"),
        ({"GLITCH_SMTP_URL": "smtp+plain://a:hush@mail.example.org"}, "unencrypted"),
        (
            {"GLITCH_SMTP_URL": "smtp://mail.example.org", "GLITCH_DIGEST_MAIL": "ada, bea@x"},
            "addresses such as",
        ),
        (
            {
                "GLITCH_SMTP_URL": "smtp://mail.example.org",
                "GLITCH_DIGEST_MAIL": "ada@example.org",
                "GLITCH_MAIL_FROM": "a@x\r\nBcc:y@z",
            },
            "addresses such as",
        ),
    ],
    ids=str,
)
def test_settings_of_mail_that_cannot_work_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], sentence: str
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=sentence):
        Settings()
