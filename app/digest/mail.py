"""What is new, by mail: one message through the operator's server, and what became of it."""

import logging
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from app.core.settings import MAIL_PORTS, Settings
from app.digest.service import Digest, Sent

TIMEOUT_S = 20.0  # for the whole of it
_log = logging.getLogger("digest")


def send_mail(settings: Settings, made: Digest, key: str) -> Sent:
    """Mail it; what became of it in a sentence, without addresses or secrets.

    ``key`` is the same for what is sent again, so that a mailbox can tell.
    """
    server = urlsplit(settings.smtp_url.get_secret_value() if settings.smtp_url else "")
    message = _message(settings, made, key)
    try:
        with _session(server) as session:
            refused = session.send_message(message, settings.mail_sender, settings.digest_mail)
    except smtplib.SMTPRecipientsRefused as error:
        return _failed(f"The mail server took none of the {len(error.recipients)} addresses.")
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        return _failed(_reason(error))
    number = len(settings.digest_mail)
    taken = f"The mail server took it for {number - len(refused)} of {number} addresses."
    if refused:  # not sent again: the others have it
        _log.warning("digest: %s", taken)
    return Sent(taken, is_taken=True)


def _message(settings: Settings, made: Digest, key: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = f"Glitch Discovery: {made.headline}"
    message["From"] = settings.mail_sender
    message["To"] = ", ".join(settings.digest_mail)
    message["Date"] = format_datetime(made.until)
    message["Message-ID"] = f"<digest-{key}@{settings.mail_sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # nobody's holiday notice need answer it
    page = f"{settings.base_url}/ui/digest"
    message.set_content("\n".join([*made.message, "", page, ""]))
    return message


class _Bounded(smtplib.SMTP):
    """A session that is over after TIMEOUT_S, whatever the server does.

    smtplib's timeout is of one read alone, and a server may send its greeting letter by letter.
    """

    def connect(  # type: ignore[override]  # of typeshed's names
        self, host: str, port: int, source_address: tuple[str, int] | None = None
    ) -> tuple[int, bytes]:
        self._end = threading.Timer(TIMEOUT_S, self._cut)
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
    """The same, encrypted from the start."""


def _session(server: SplitResult) -> smtplib.SMTP:
    """A session with the server, encrypted and logged in as its address says."""
    host, port = server.hostname or "", server.port or MAIL_PORTS[server.scheme]
    # Named, because smtplib would ask the name server for the rest of the name.
    options: dict[str, Any] = {"local_hostname": socket.gethostname(), "timeout": TIMEOUT_S}
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
            "The mail server did not take the user and password of GLITCH_SMTP_URL "
            f"({error.smtp_code})."
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return (
            "The mail server does not offer what GLITCH_SMTP_URL asks of it (STARTTLS, or a "
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


def _failed(said: str) -> Sent:
    _log.warning("digest: %s", said)
    return Sent(said, is_taken=False)
