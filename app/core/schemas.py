"""The JSON that all rooms share."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field


def decimal_string(value: Decimal | None) -> str | None:
    """Plain digits, no exponent, no trailing zeros: ``1126259462.4``."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


Item = TypeVar("Item")


ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Model(BaseModel):
    """Root of the schemas: no field that is not known comes in; records fill those that go out."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class ListOf(Model, Generic[Item]):
    """One page of a list; ``next`` is the cursor of the page after it."""

    items: list[Item]
    next: str | None = None


class Problem(BaseModel):
    """RFC 9457. Every error of the API has this form."""

    type: str
    title: str
    status: int
    detail: str = Field(description="A sentence that says what to do next.")
    request_id: str | None = None
