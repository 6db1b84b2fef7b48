"""Reconstruction, residual, traversals and planes over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from uuid import UUID

import httpx
import numpy as np
import pytest
from api_fixtures import Service, assert_problem
from cluster_helpers import store_cluster, store_run
from PIL import Image
from sqlalchemy import text
from web_fixtures import fill_catalogue, service

from app.core.engine import make_session_factory
from app.glitches.records import GlitchRecord

__all__ = ["service"]


@pytest.fixture(scope="module")
def glitches(service: Service) -> list[GlitchRecord]:
    return fill_catalogue(service)


@pytest.fixture(scope="module")
def cluster(service: Service, glitches: list[GlitchRecord]) -> UUID:
    members = [one.id for one in glitches[1:40:4]]  # none simulated, all of L1
    with make_session_factory(service.engine)() as session:
        made = store_cluster(session, store_run(session), members).id
        session.commit()
    return made


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client("reader") as client:
        yield client


def pixels(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(BytesIO(answer.content)).convert("RGB")).astype(int)


def test_a_view_is_painted_and_compared(client: httpx.Client, glitches: list[GlitchRecord]) -> None:
    own = f"/glitches/{glitches[1].id}"
    painted = pixels(client.get(f"{own}/reconstruction/1.png"))
    left = pixels(client.get(f"{own}/residual/1.png"))
    assert painted.shape == left.shape == (466, 570, 3)
    assert np.ptp(painted) > 0
    assert (painted != left).any()
    # The picture differs for another window and for another glitch.
    assert (pixels(client.get(f"{own}/residual/4.png")) != left).any()
    other = pixels(client.get(f"/glitches/{glitches[2].id}/reconstruction/1.png"))
    assert (other != painted).any()


def test_a_picture_that_is_known_is_not_sent_again(
    client: httpx.Client, glitches: list[GlitchRecord]
) -> None:
    for kind in ("reconstruction/0.5", "residual/0.5", "traversals/2"):
        path = f"/glitches/{glitches[1].id}/{kind}.png"
        first = client.get(path)
        assert first.headers["cache-control"] == "private, no-cache"
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert client.get(path).content == first.content
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("{lone}/reconstruction/4.png", 404, "it has views of 0.5 s"),
        ("{lone}/residual/3.png", 404, "no view of 3 s"),
        ("{lone}/residual/0.5.png?checkpoint=99", 404, "no embedding under checkpoint 99"),
        (f"{UUID(int=3)}/residual/1.png", 404, "no glitch"),
        (f"{UUID(int=3)}/traversals", 404, "no glitch"),
        ("{lone}/traversals/99.png", 400, "z0 to z7"),
        ("{lone}/traversals/0.png?low=2&high=1", 400, "low must be below high"),
        ("{lone}/traversals/0.png?low=nan", 400, "low must be below high"),
        ("{lone}/traversals/0.png?high=1e9", 400, "low must be below high"),
        ("{lone}/traversals/0.png?duration=3", 400, "no view of 3 s"),
    ],
)
def test_pictures_that_cannot_be_painted_are_problems(
    *, client: httpx.Client, glitches: list[GlitchRecord], path: str, status: int, sentence: str
) -> None:
    answer = client.get(f"/glitches/{path.format(lone=glitches[0].id)}")
    assert sentence in assert_problem(answer, status)


def test_the_latents_of_a_glitch_and_of_a_cluster(
    client: httpx.Client, glitches: list[GlitchRecord], cluster: UUID
) -> None:
    own = client.get(f"/glitches/{glitches[1].id}/traversals").json()
    assert own["dead"] == []
    assert own["n_active"] == 8
    nats = [unit["nats"] for unit in own["units"]]
    assert len(nats) == 4
    assert nats == sorted(nats, reverse=True)
    traversals = client.get(f"/clusters/{cluster}/traversals").json()
    assert traversals["n_others"] == 35  # 45 real glitches without the ten members
    differences = [abs(unit["difference"]) for unit in traversals["units"]]
    assert differences == sorted(differences, reverse=True)
    for unit in traversals["units"]:
        assert unit["steps"][0] == pytest.approx(min(unit["group"][0], unit["others"][0]))
        assert unit["steps"][-1] == pytest.approx(max(unit["group"][1], unit["others"][1]))
        strip = pixels(httpx.get(unit["picture"], headers=client.headers))
        assert strip.shape == (104, 7 * 132 - 4, 3)
    assert_problem(client.get(f"/clusters/{UUID(int=3)}/traversals"), 404)


def test_a_constant_latent_is_reported_as_dead(
    service: Service, client: httpx.Client, glitches: list[GlitchRecord]
) -> None:
    """A latent with the same value (z5) for all glitches is listed as dead and not traversed."""
    with service.engine.begin() as connection:
        kept = connection.execute(text("SELECT glitch_id, mean::text FROM embedding")).all()
        connection.execute(
            text(
                "UPDATE embedding SET mean = (SELECT array_agg(CASE WHEN place = 6 THEN 0.5 "
                "ELSE value END ORDER BY place) FROM unnest(mean::real[]) "
                "WITH ORDINALITY AS parts(value, place))::vector"
            )
        )
    try:
        traversals = client.get(f"/glitches/{glitches[1].id}/traversals").json()
        assert traversals["dead"] == [5]
        assert 5 not in [unit["unit"] for unit in traversals["units"]]
    finally:
        with service.engine.begin() as connection:
            connection.execute(
                text("UPDATE embedding SET mean = CAST(:mean AS vector) WHERE glitch_id = :id"),
                [{"id": row[0], "mean": row[1]} for row in kept],
            )


def test_the_plane_of_a_cluster(
    client: httpx.Client, glitches: list[GlitchRecord], cluster: UUID
) -> None:
    plane = client.get(f"/clusters/{cluster}/plane").json()
    assert plane["size"] == len(plane["points"]) == 10
    assert {UUID(point["id"]) for point in plane["points"]} == {one.id for one in glitches[1:40:4]}
    distances = [point["distance"] for point in plane["points"]]
    assert distances == sorted(distances)
    assert 0 < plane["shares"][1] <= plane["shares"][0] <= 1
    spread = np.array([(point["x"], point["y"]) for point in plane["points"]])
    np.testing.assert_allclose(spread.mean(axis=0), 0, atol=1e-6)
