"""The job of kind ``digest``: the digest as JSON, sent to the operator's webhook and by mail."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx
from sqlalchemy.orm import Session

from app.digest.mail import send_mail
from app.digest.service import Digest, Sent, digest, unsent
from app.jobs.records import JobContext, JobRecord, OneTransaction

TIMEOUT_S = 10.0  # from the name to the status of the answer
_log = logging.getLogger("digest")


class DigestHandler(OneTransaction):
    """Sends what is new. A receiver that fails is noted, and keeps nobody from anything.

    The result says who took it and who did not: those are sent it again (``request_due``).
    """

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """The digest, and what became of it."""
        settings = context.settings
        known: dict[str, Callable[[Digest], Sent]] = {}
        if settings.digest_webhook is not None:
            address = settings.digest_webhook.get_secret_value()
            known["webhook"] = partial(_send, address, f"{settings.base_url}/ui/digest")
        if settings.digest_mail:
            known["mail"] = partial(send_mail, settings, key=str(job.id))
        wanted = job.parameters.get("receivers", known)
        # All before the first is sent: a receiver takes its time, and what comes meanwhile is new.
        digests = {name: unsent(session, name) for name in known if name in wanted}
        sent = {name: known[name](made) for name, made in digests.items()}
        nowhere = (
            "Neither GLITCH_DIGEST_WEBHOOK nor GLITCH_DIGEST_MAIL is set: it was sent nowhere."
        )
        first = next(iter(digests.values()), None) or digest(session)
        return {
            **_as_json(first),
            "sent": " ".join(one.told for one in sent.values()) or nowhere,
            "taken": [name for name, one in sent.items() if one.is_taken],
            "refused": [name for name, one in sent.items() if not one.is_taken],
        }


def _as_json(made: Digest) -> dict[str, Any]:
    return {**made.model_dump(mode="json"), "sentences": made.sentences}


def _send(address: str, page: str, made: Digest) -> Sent:
    """Post it to the webhook. The address may be a secret: nobody is shown it."""
    message = {"text": "\n".join([*made.message, page]), "digest": _as_json(made)}
    try:
        status = asyncio.run(_post(address, message))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        said = f"The webhook could not be reached ({type(error).__name__})."
    else:
        if 200 <= status < 300:
            return Sent(f"The webhook took it (status {status}).", is_taken=True)
        said = f"The webhook answered with status {status}."
    _log.warning("digest: %s", said)
    return Sent(said, is_taken=False)


async def _post(address: str, message: Mapping[str, Any]) -> int:
    """The status of the answer. Its body is not read: it might have no end."""
    # httpx bounds each step alone, and a receiver may send its answer byte by byte.
    async with (
        asyncio.timeout(TIMEOUT_S),
        httpx.AsyncClient(timeout=TIMEOUT_S) as client,
        client.stream("POST", address, json=message) as answer,
    ):
        return answer.status_code


HANDLER = DigestHandler()
