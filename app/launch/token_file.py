"""The first-run admin token in the data directory: mode 0600, never half written."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from app.launch.errors import LaunchError

TOKEN_FILE = "admin-token"  # noqa: S105 - a file name
# What a token may look like: visible ASCII without spaces, long enough for 256 random bits.
_TOKEN = re.compile(r"[\x21-\x7e]{32,200}")
_MAX_BYTES = 1024


def read_token(folder: Path) -> str | None:
    """The token in the folder's file, or None if there is no file.

    Raises:
        LaunchError: if the file cannot be read or does not hold a token.
    """
    path = folder / TOKEN_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LaunchError(
            f"The admin token in {path} cannot be read ({error.strerror}): mend its permissions, "
            "or remove it and start again to get a new one."
        ) from error
    text = content.decode("ascii", errors="replace").strip()
    if not _TOKEN.fullmatch(text):
        raise LaunchError(
            f"The admin token in {path} is damaged: remove the file and start again to get a new "
            "one, then revoke the old one with `glitch-discovery token revoke`."
        )
    return text


def write_token(folder: Path, token: str) -> Path:
    """Write the file whole or not at all, readable by its owner only.

    Raises:
        LaunchError: if it cannot be written.
    """
    path = folder / TOKEN_FILE
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{TOKEN_FILE}-", dir=folder)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(token + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LaunchError(
            f"The admin token cannot be written to {path} ({error.strerror})."
        ) from error
    return path
