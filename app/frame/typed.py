"""What people type into the fields of a form: read, or refused in words."""

from __future__ import annotations

import math

from app.core.errors import InvalidRequestError


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
