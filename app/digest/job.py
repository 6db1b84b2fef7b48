"""The job of kind ``digest``: the digest as JSON, sent to the operator's webhook and by mail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import httpx
from sqlalchemy.orm import Session

from app.digest.mail import send_mail
from app.digest.service import unsent
from app.jobs.records import JobRecord
from app.jobs.registry import JobContext, OneTransaction

TIMEOUT_S = 10.0  # from the name to the status of the answer
_log = logging.getLogger("digest")


class DigestHandler(OneTransaction):
    """Sends what is new. A receiver that fails is noted, and keeps nobody from anything."""

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """The digest, and whether it was taken."""
        settings = context.settings
        made = unsent(session)
        result = {**made.model_dump(mode="json"), "sentences": made.sentences}
        sent = []
        if settings.digest_webhook is not None:
            page = f"{settings.base_url}/ui/digest"
            message = {"text": "\n".join([*made.message, page]), "digest": result}
            sent.append(_send(settings.digest_webhook.get_secret_value(), message))
        if settings.digest_mail:
            sent.append(send_mail(settings, made, str(job.id)))
        nowhere = (
            "Neither GLITCH_DIGEST_WEBHOOK nor GLITCH_DIGEST_MAIL is set: it was sent nowhere."
        )
        return {**result, "sent": " ".join(sent) or nowhere}


def _send(address: str, message: Mapping[str, Any]) -> str:
    """Post it; what became of it in a sentence. The address may be a secret: nobody is shown it."""
    try:
        status = asyncio.run(_post(address, message))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        said = f"The webhook could not be reached ({type(error).__name__})."
    else:
        if 200 <= status < 300:
            return f"The webhook took it (status {status})."
        said = f"The webhook answered with status {status}."
    _log.warning("digest: %s", said)
    return said


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
