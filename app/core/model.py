"""The base class of records, and field types that all folders share."""

from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, model_validator

Item = TypeVar("Item")
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


def _kinds(annotation: Any) -> set[Any]:
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for argument in get_args(annotation) for kind in _kinds(argument)}
    return {annotation}


class Model(BaseModel):
    """Root of the schemas: no field that is not known comes in; records fill those that go out."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans(cls, values: Any) -> Any:
        """Refuse ``true`` and ``false`` for numbers; pydantic would convert them to 1 and 0."""
        if isinstance(values, dict):
            for name, value in values.items():
                field = cls.model_fields.get(name)
                kinds = _kinds(field.annotation) if isinstance(value, bool) and field else set()
                if kinds & {int, float} and bool not in kinds:
                    raise ValueError(f"{name} must be a number, not true or false.")
        return values


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
