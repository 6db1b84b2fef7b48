"""The job of kind ``digest``: send the summary to the operator's webhook and by mail."""

import logging
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from app.core.fetching import UNREACHED, Fetcher
from app.core.settings import MAIL_PORTS, Settings
from app.digest.service import Delivery, Digest, digest, unsent
from app.jobs.records import OneTransaction, Work

TIMEOUT_S = 10.0  # from the name lookup to the status of the response
MAIL_WITHIN_S = 20.0  # for the whole SMTP session
_log = logging.getLogger("digest")


class DigestHandler(OneTransaction):
    """Sends the summary. A receiver that fails is recorded and does not block others.

    The result says which receivers accepted it; it is sent again to the others (``request_due``).
    """

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Send the digest, and return it with the result for each receiver."""
        settings = work.settings
        receivers: dict[str, Callable[[Digest], Delivery]] = {}
        if settings.digest_webhook is not None:
            address = settings.digest_webhook.get_secret_value()
            receivers["webhook"] = partial(_send, address, f"{settings.base_url}/ui/digest")
        if settings.digest_mail:
            receivers["mail"] = partial(send_mail, settings, key=str(work.job.id))
        requested = work.job.parameters.get("receivers", receivers)
        # Make all digests before sending, because sending takes time in which more may happen.
        digests = {name: unsent(work.session, name) for name in receivers if name in requested}
        sent = {name: receivers[name](made) for name, made in digests.items()}
        failure = "Neither GLITCH_DIGEST_WEBHOOK nor GLITCH_DIGEST_MAIL is set, so it was not sent."
        first = next(iter(digests.values()), None) or digest(work.session)
        return {
            **_as_json(first),
            "sent": " ".join(one.sentence for one in sent.values()) or failure,
            "taken": [name for name, one in sent.items() if one.is_accepted],
            "refused": [name for name, one in sent.items() if not one.is_accepted],
        }


def _as_json(made: Digest) -> dict[str, Any]:
    return {**made.model_dump(mode="json"), "sentences": made.sentences}


def _send(address: str, page: str, made: Digest) -> Delivery:
    """Post the digest to the webhook. The address may be secret, so it is never shown."""
    message = {"text": "\n".join([*made.message, page]), "digest": _as_json(made)}
    statuses: list[int] = []

    def begin(answer: httpx.Response) -> None:  # do not read the body: it may be endless
        statuses.append(answer.status_code)

    try:
        with Fetcher(TIMEOUT_S) as fetcher:
            fetcher.read(address, begin, "POST", json=message)
    except UNREACHED as error:
        return _failed(f"The webhook could not be reached ({type(error).__name__}).")
    if 200 <= statuses[0] < 300:
        return Delivery(f"The webhook accepted it (status {statuses[0]}).", is_accepted=True)
    return _failed(f"The webhook answered with status {statuses[0]}.")


def send_mail(settings: Settings, made: Digest, key: str) -> Delivery:
    """Mail the digest; describe the result in a sentence without addresses or secrets.

    ``key`` is the same for a repeated message, so that a mail reader can recognise it.
    """
    server = urlsplit(settings.smtp_url.get_secret_value() if settings.smtp_url else "")
    message = _message(settings, made, key)
    try:
        with _session(server) as session:
            refused = session.send_message(message, settings.mail_sender, settings.digest_mail)
    except smtplib.SMTPRecipientsRefused as error:
        return _failed(f"The mail server accepted none of the {len(error.recipients)} addresses.")
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        return _failed(_reason(error))
    number = len(settings.digest_mail)
    taken = f"The mail server accepted it for {number - len(refused)} of {number} addresses."
    if refused:  # not sent again, because the other addresses have it
        _log.warning("digest: %s", taken)
    return Delivery(taken, is_accepted=True)


def _message(settings: Settings, made: Digest, key: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"Glitch Discovery: {made.headline}"
    message["From"] = settings.mail_sender
    message["To"] = ", ".join(settings.digest_mail)
    message["Date"] = format_datetime(made.until)
    message["Message-ID"] = f"<digest-{key}@{settings.mail_sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # no out-of-office reply, please (RFC 3834)
    page = f"{settings.base_url}/ui/digest"
    message.set_content("\n".join([*made.message, "", page, ""]))
    return message


class _Bounded(smtplib.SMTP):
    """An SMTP session that ends after MAIL_WITHIN_S, whatever the server does.

    The timeout of smtplib applies to single reads, and a server may send its greeting byte by byte.
    """

    def connect(  # type: ignore[override]  # typeshed has other parameter names
        self, host: str, port: int, source_address: tuple[str, int] | None = None
    ) -> tuple[int, bytes]:
        self._end = threading.Timer(MAIL_WITHIN_S, self._cut)
        self._end.daemon = True
        self._end.start()
        try:
            return super().connect(host, port, source_address)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._end.cancel()
        super().close()

    def _cut(self) -> None:
        if self.sock is not None:
            with suppress(OSError):  # closed meanwhile
                self.sock.shutdown(socket.SHUT_RDWR)


class _BoundedTls(_Bounded, smtplib.SMTP_SSL):
    """The same with TLS from the start."""


def _session(server: SplitResult) -> smtplib.SMTP:
    """Open a session, encrypted and logged in as the server's URL says."""
    host, port = server.hostname or "", server.port or MAIL_PORTS[server.scheme]
    # Given, because smtplib would otherwise query DNS for the full name.
    options: dict[str, Any] = {"local_hostname": socket.gethostname(), "timeout": MAIL_WITHIN_S}
    context = ssl.create_default_context()
    if server.scheme == "smtps":
        session: smtplib.SMTP = _BoundedTls(host, port, context=context, **options)
    else:
        session = _Bounded(host, port, **options)
    try:
        if server.scheme == "smtp":
            session.starttls(context=context)
        if server.username:
            session.login(unquote(server.username), unquote(server.password or ""))
    except OSError:
        session.close()
        raise
    return session


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return (
            "The mail server did not accept the user and password of GLITCH_SMTP_URL "
            f"({error.smtp_code})."
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return (
            "The mail server does not offer what GLITCH_SMTP_URL requires (STARTTLS, or a "
            "login): see whether it wants smtps://."
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "The mail server's certificate is not trusted here: name its authority in "
            "SSL_CERT_FILE, or the server by the name in its certificate."
        )
    if isinstance(error, smtplib.SMTPResponseException):
        return f"The mail server refused it ({error.smtp_code})."
    return f"The mail server could not be reached ({type(error).__name__})."


def _failed(sentence: str) -> Delivery:
    _log.warning("digest: %s", sentence)
    return Delivery(sentence, is_accepted=False)
