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
_ONE_FILE_SENTENCE = (
    "Send one {name}, not {count}: pack several into one tar or zip, or send each as a request of "
    "its own."
)


async def check_form_fields(request: Request) -> None:
    """Refuse form fields that the route does not know, and repeated fields that it takes once.

    Raises:
        InvalidRequestError: naming the field, and the known ones.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    params = list(_body_params(route.dependant))
    form = await request.form()  # parsed already; Starlette caches it
    if any(param.field_info.is_required() and param.alias not in form for param in params):
        return  # the route itself reports the missing field
    known = {param.alias: "list[" in str(param.field_info.annotation) for param in params}
    for name, count in Counter(key for key, _ in form.multi_items()).items():
        if name not in known:
            raise InvalidRequestError(
                f"There is no field {name[:60]!r} here: the fields are {', '.join(sorted(known))}."
            )
        if count > 1 and not known[name]:
            raise InvalidRequestError(
                _ONE_FILE_SENTENCE.format(name=name, count=count)
                if name in ("file", "manifest")
                else f"The field {name} was given {count} times: give it once."
            )


def _body_params(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.body_params
    for dependency in dependant.dependencies:
        yield from _body_params(dependency)


class CheckQuery:
    """Dependency that refuses unknown query parameters, and repeated ones that are taken once.

    ``also`` are parameters that all routes accept.
    """

    def __init__(self, *also: str) -> None:
        self.also = dict.fromkeys(also, False)

    async def __call__(self, request: Request) -> None:
        route = request.scope.get("route")
        if not request.query_params or not isinstance(route, APIRoute):
            return
        takes = dict(_query_params(route.dependant))
        known_names = ", ".join(sorted(takes))
        takes |= self.also
        for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
            if name not in takes and _ANY not in takes:
                raise InvalidRequestError(
                    f"There is no parameter {name[:60]!r} in this address: "
                    + (f"the parameters are {known_names}." if known_names else "it takes none.")
                )
            if count > 1 and not takes.get(name):
                raise InvalidRequestError(
                    f"The parameter {name[:60]} was given {count} times: give it once."
                )


_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def takes_any(handler: _Handler) -> _Handler:
    """Exempt a route, or one of its dependencies, from ``CheckQuery``.

    For routes that check their parameters themselves, and for addresses to which others add some.
    """
    _TAKE_ANY.add(handler)
    return handler


def parameters_of(route: APIRoute) -> list[str]:
    """Return the names of the query parameters of a route."""
    return [name for name, _ in _query_params(route.dependant) if name != _ANY]


_ANY = "*"
_TAKE_ANY: set[Callable[..., Any]] = set()


def _query_params(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield each query parameter of a route, and whether it may be repeated."""
    if dependant.call in _TAKE_ANY:
        yield _ANY, False
    for dependency in dependant.dependencies:
        yield from _query_params(dependency)
    for param in dependant.query_params:
        model = param.field_info.annotation
        fields = getattr(model, "model_fields", {param.alias: param.field_info})
        for name, field in fields.items():
            yield field.alias or name, "list[" in str(field.annotation)
