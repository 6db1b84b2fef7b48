"""Refusing fields of forms and parameters of addresses that would be dropped in silence."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Form
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request

from app.core.errors import InvalidRequestError

EnergyMax = Annotated[
    float | None,
    Form(description="Of pictures: energy at the top of the colour scale, where not 25.5."),
]
FrequencyRange = Annotated[
    str | None,
    Form(description="Of pictures: lowest and highest Hz, as 10,4096, where not 10,2048."),
]
_ONE_FILE = (
    "Send one {name}, not {count}: pack several into one tar or zip, or send each as a request of "
    "its own."
)


async def check_form_fields(request: Request) -> None:
    """See that every field of a request's form is one that its route takes, as often as it does."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    params = list(_body_params(route.dependant))
    form = await request.form()  # read already: Starlette keeps it
    if any(param.field_info.is_required() and param.alias not in form for param in params):
        return  # which the route itself tells
    known = {param.alias: "list[" in str(param.field_info.annotation) for param in params}
    for name, count in Counter(key for key, _ in form.multi_items()).items():
        if name not in known:
            raise InvalidRequestError(
                f"There is no field {name[:60]!r} here: the fields are {', '.join(sorted(known))}."
            )
        if count > 1 and not known[name]:
            raise InvalidRequestError(
                _ONE_FILE.format(name=name, count=count)
                if name in ("file", "manifest")
                else f"The field {name} was given {count} times: give it once."
            )


def _body_params(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.body_params
    for one in dependant.dependencies:
        yield from _body_params(one)


async def check_query(request: Request) -> None:
    """See that no parameter of an address is given more often than its route takes it."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    often = [name for name, count in given.items() if count > 1]
    route = request.scope.get("route")
    if not often or not isinstance(route, APIRoute):
        return
    takes = set(_lists(route.dependant))
    for name in often:
        if name not in takes:
            raise InvalidRequestError(
                f"The parameter {name[:60]} was given {given[name]} times: give it once."
            )


def _lists(dependant: Dependant) -> Iterator[str]:
    """Parameters of the query that a route takes several of."""
    for one in dependant.dependencies:
        yield from _lists(one)
    for param in dependant.query_params:
        model = param.field_info.annotation
        fields = getattr(model, "model_fields", {param.alias: param.field_info})
        for name, field in fields.items():
            if "list[" in str(field.annotation):
                yield field.alias or name
