"""GET requests with odd values to every route: each is answered or refused, never a server error.

The values are drawn with a fixed seed; the parameters come from the routes of the application.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
from api_fixtures import Service, assert_problem
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from schema_helpers import routes_in
from web_fixtures import Walker, fill_catalogue
from web_fixtures import service as service  # noqa: PLC0414  (one with the walkers' tokens)

from app.api_routes import router
from app.page_routes import PREFIX, create_web_router
from glitch.detectors import parse_detector

SEED = 20_261_128
TURNS = 6  # requests for each route, each with other values
ENDLESS = "events"  # event streams do not end
ODD = (
    *("", " ", "0", "-1", "1e308", "-1e309", "nan", "inf", "true", "null", "0x10", "1.5.2", "٣"),
    *(
        "H1\0",
        "H1'",
        "H1;--",
        "' OR 1=1 --",
        "%",
        "%00",
        "%ff",
        "\0",
        "\x7f",
        "\u202e",
        "\U0001f600",
    ),
    *(
        "../../etc/passwd",
        "..%2f..",
        "{x}",
        "${x}",
        "<script>",
        "a" * 600,
        "9" * 40,
        "-" + "9" * 25,
    ),
    *("2147483648", "9223372036854775808", "00000000-0000-0000-0000-000000000000", "[]", "{}"),
    *("ffffffff-ffff-7fff-bfff-ffffffffffff", "AQ" * 16, "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "="),
    *(
        "2017-08-17",
        "O3b",
        "1187008882.4",
        "1187008882.0000000001",
        "H1",
        "H1,L1",
        "Blip",
        "*",
        "csv",
    ),
)


@dataclass(frozen=True)
class Address:
    """The path template of a GET route and the names of its query parameters."""

    path: str
    names: tuple[str, ...]


def addresses() -> Iterator[Address]:
    for prefix, routes in (("", router.routes), (PREFIX, create_web_router().routes)):
        for route in routes_in(routes):
            if "GET" in route.methods and not route.path.endswith(ENDLESS):
                yield Address(prefix + route.path, tuple(_names(route.dependant)))


def _names(dependant: Dependant) -> Iterator[str]:
    for one in dependant.dependencies:
        yield from _names(one)
    for param in dependant.query_params:
        model = param.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield param.alias


def odd_address(address: Address, known: str, dice: random.Random) -> str:
    """Fill the path and query with odd values, or sometimes with the id of an existing glitch."""

    def value() -> str:
        return known if dice.random() < 0.3 else dice.choice(ODD)

    path = re.sub(r"\{[^}]*\}", lambda _: quote(value() or "x", safe=""), address.path)
    names = dice.sample(address.names, dice.randint(0, min(4, len(address.names))))
    pairs = [(name, value()) for name in names for _ in range(dice.choice((1, 1, 1, 2)))]
    return f"{path}?{urlencode(pairs)}" if pairs else path


@pytest.fixture(scope="module")
def known(service: Service) -> str:
    return str(fill_catalogue(service, 12)[0].id)


def test_no_odd_value_is_a_server_error(service: Service, known: str) -> None:
    dice = random.Random(SEED)  # noqa: S311  (no secret)
    n_requests = 0
    with Walker(service, "admin") as walker:
        walker.client.headers["Authorization"] = f"Bearer {service.tokens['admin']}"
        for address in addresses():
            for _ in range(TURNS):
                target = odd_address(address, known, dice)
                answer = walker.client.get(target, follow_redirects=False)
                n_requests += 1
                assert answer.status_code < 500, (target, answer.text[:300])
                if answer.status_code >= 400 and not target.startswith(PREFIX):
                    assert_problem(answer, answer.status_code)
    assert n_requests >= 300


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/glitches?ifo=H1&snr_min=5&ifo=L1", 200),
        ("/glitches?snr_min=5&snr_max=9&snr_min=50", 400),
        ("/clusters?state=flagged&state=merged", 400),
        ("/exports?label=Blip&label=Tomte", 200),
        ("/exports?format=csv&format=hdf5", 400),
        ("/ui/glitches?ifo=H1&ifo=L1&view=table&column=class&column=snr", 200),
        ("/ui/glitches?snr_min=5&snr_min=50", 400),
        ("/ui/exports?ifo=H1&format=csv&ifo=L1", 200),
        ("/ui/clusters?ifo=H1&ifo=L1", 400),
        ("/ui/classes/Blip?after=1&after=2", 400),
    ],
)
def test_no_value_of_several_is_dropped(service: Service, target: str, status: int) -> None:
    with Walker(service, "admin") as walker:
        if not target.startswith(PREFIX):
            walker.client.headers["Authorization"] = f"Bearer {service.tokens['admin']}"
        answer = walker.client.get(target)
    assert answer.status_code == status, answer.text[:300]
    if status == 400:
        assert "was given 2 times: give it once." in answer.text


@pytest.mark.parametrize(
    ("target", "known"),
    [
        ("/glitches?lable=Blip", "label"),
        ("/digest?day=3", "the parameters are days."),
        ("/classes?state=retired", "usable"),
        ("/clusters?ifos=H1", "ifo"),
        ("/map/state?x=1", "it takes none."),
        ("/ui/digest?day=3", "the parameters are days."),
        ("/ui/jobs?kinds=batch", "kind"),
        ("/ui/glitches/x/record.json?ifo=H1&ifo=L1", "it takes none."),
        ("/ui/clusters?ifos=H1", "There is no filter “ifos” on this page"),
        ("/ui/glitches?lable=Blip", "There is no filter “lable” on this page"),
    ],
)
def test_no_unknown_parameter_is_dropped(service: Service, target: str, known: str) -> None:
    with Walker(service, "admin") as walker:
        if not target.startswith(PREFIX):
            walker.client.headers["Authorization"] = f"Bearer {service.tokens['admin']}"
        answer = walker.client.get(target)
    assert answer.status_code == 400, answer.text[:300]
    assert known in answer.text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/healthz?_=1790000000", 200),
        ("/status.json?_=1790000000", 200),
        ("/ui/login?iss=https%3A%2F%2Flogin.example", 200),
        ("/ui/classes?done=undone", 200),
        ("/ui/nothing?x=1", 404),
    ],
)
def test_tracking_parameters_in_an_address_are_accepted(
    service: Service, target: str, status: int
) -> None:
    with Walker(service, "reader") as walker:
        assert walker.client.get(target).status_code == status


def test_a_form_field_in_the_address_is_reported(service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.tokens['admin']}"}
    with Walker(service, "admin") as walker:
        answer = walker.client.post(
            "/embed?gps_time=1126259462.4", files={"file": b"x"}, headers=headers
        )
    assert_problem(answer, 400)
    assert "no parameter 'gps_time' in this address" in answer.text


@pytest.mark.parametrize("text", ["H1\0", "H1'", "H1;", "H1/L1", "(H1)", "H1\u202e"])
def test_a_detector_name_followed_by_other_text_is_no_detector(text: str) -> None:
    assert parse_detector(text) is None
