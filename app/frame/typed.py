"""What people type into the fields of a form: read, or refused in words."""

import math
from collections.abc import Iterable
from typing import BinaryIO

from fastapi import UploadFile

from app.core.errors import InvalidRequestError

LONGEST_FIELD = 200


def check_typed(typed: object) -> None:
    """Refuse texts that no field of a form takes.

    Raises:
        InvalidRequestError: naming the field.
    """
    for name, value in vars(typed).items():
        if len(value) > LONGEST_FIELD or "\0" in value:
            raise InvalidRequestError(
                f"The field {name} may hold at most {LONGEST_FIELD} printable characters."
            )


def files_chosen(uploads: Iterable[UploadFile | str]) -> list[tuple[str, BinaryIO]]:
    """Names and streams; a file input left empty arrives as a text, or without a name."""
    real = [one for one in uploads if not isinstance(one, str)]
    return [(one.filename, one.file) for one in real if one.filename]


def number_typed(text: str, meaning: str) -> float | None:
    """A number; None where the field is empty.

    ``meaning`` begins the sentence about it, such as "The sample rate".

    Raises:
        InvalidRequestError: if it is no finite number.
    """
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequestError(f"{meaning}, “{text[:20]}”, is no number.")
    return number
