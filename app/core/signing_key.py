"""The key that signs cookies and picture links: the operator's, or one made at first need."""

from __future__ import annotations

import fcntl
import os
import secrets

from app.core.settings import Settings

_FILE = "signing-key"
_SHORTEST = 32  # characters


def signing_secret(settings: Settings) -> bytes:
    """The key, the same in every process that shares the data directory (a file of mode 0600).

    The file is locked while it is read or made, so that processes that start at once agree on
    one key; a file that a crash left short is written again.
    """
    if settings.signing_key is not None:
        return settings.signing_key.get_secret_value().encode()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.data_dir / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = file.read().strip()
        if len(kept) < _SHORTEST:
            kept = secrets.token_urlsafe(_SHORTEST)
            file.seek(0)
            file.truncate()
            file.write(kept + "\n")
        return kept.encode()
