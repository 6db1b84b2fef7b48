"""Refusal of unknown form fields and query parameters."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

from fastapi import Form
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request

from app.core.errors import InvalidRequestError

EnergyMax = Annotated[
    float | None,
    Form(description="Pictures: energy at the top of the colour scale, if it is not 25.5."),
]
FrequencyRange = Annotated[
    str | None,
    Form(
        description="Pictures: lowest and highest frequency in Hz, such as 10,4096, if not 10,2048."
    ),
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


class CheckQuery:
    """See that every parameter of an address is one that its route takes, as often as it does.

    ``also`` are parameters that all routes take.
    """

    def __init__(self, *also: str) -> None:
        self.also = dict.fromkeys(also, False)

    async def __call__(self, request: Request) -> None:
        route = request.scope.get("route")
        if not request.query_params or not isinstance(route, APIRoute):
            return
        takes = dict(_query_params(route.dependant))
        known = ", ".join(sorted(takes))
        takes |= self.also
        for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
            if name not in takes and _ANY not in takes:
                raise InvalidRequestError(
                    f"There is no parameter {name[:60]!r} in this address: "
                    + (f"the parameters are {known}." if known else "it takes none.")
                )
            if count > 1 and not takes.get(name):
                raise InvalidRequestError(
                    f"The parameter {name[:60]} was given {count} times: give it once."
                )


_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def takes_any(handler: _Handler) -> _Handler:
    """Mark a route, or what it depends on, that itself says what is wrong with the parameters of
    its address, or whose address others add to.
    """
    _TAKE_ANY.add(handler)
    return handler


def parameters_of(route: APIRoute) -> list[str]:
    """The parameters of an address that a route takes."""
    return [name for name, _ in _query_params(route.dependant) if name != _ANY]


_ANY = "*"
_TAKE_ANY: set[Callable[..., Any]] = set()


def _query_params(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Each parameter of the query that a route takes, and whether it takes several of it."""
    if dependant.call in _TAKE_ANY:
        yield _ANY, False
    for one in dependant.dependencies:
        yield from _query_params(one)
    for param in dependant.query_params:
        model = param.field_info.annotation
        fields = getattr(model, "model_fields", {param.alias: param.field_info})
        for name, field in fields.items():
            yield field.alias or name, "list[" in str(field.annotation)
