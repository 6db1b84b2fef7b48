"""Concurrent requests: each gets the response it would get alone, and equal uploads share a row."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_fixtures import (
    GPS_TIME,
    Service,
    assert_same_embedding,
    gwosc_hdf5,
    picture,
    running_service,
    strain_values,
)

from app.core.embedded import EmbeddedServer

CLIENTS = 16


@pytest.fixture(scope="module")
def crowded(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path
) -> Iterator[Service]:
    """A service whose encoder waits 20 ms, so that concurrent requests share forward passes."""
    with running_service(
        postgres_server, migrated_template, data_folder, encoder_wait_ms=20
    ) as service:
        yield service


def send(service: Service, file: tuple[str, bytes], **fields: str) -> tuple[int, dict[str, Any]]:
    with service.client() as client:
        answer = client.post("/embed", files={"file": file}, data=fields)
    assert answer.status_code in {200, 201}, answer.text
    return answer.status_code, answer.json()


@pytest.mark.parametrize("kind", ["picture", "strain"])
def test_identical_uploads_become_one_row(crowded: Service, kind: str) -> None:
    if kind == "picture":
        file, fields = ("a.png", picture(401)), {"view_duration_s": "1", "ifo": "H1"}
    else:
        file = ("a.hdf5", gwosc_hdf5(strain_values(402, seconds=20)))
        fields = {"gps_time": str(GPS_TIME - 8), "ifo": "H1"}
    fields["label"] = "Blip"
    before = crowded.counts()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: send(crowded, file, **fields), range(CLIENTS)))
    assert sorted(status for status, _ in answers) == [200] * (CLIENTS - 1) + [201]
    assert len({body["glitch"]["id"] for _, body in answers}) == 1
    for _, body in answers:
        assert_same_embedding(body["embedding"], answers[0][1]["embedding"])
    after = crowded.counts()
    assert after["glitch"] == before["glitch"] + 1
    assert after["embedding"] == before["embedding"] + 1
    assert after["label"] == before["label"] + 1


def test_different_uploads_get_what_they_get_alone(crowded: Service) -> None:
    def ask(seed: int) -> dict[str, Any]:
        window = ("0.5", "1", "2", "4")[seed % 4]
        fields = {"view_duration_s": window, "ifo": "L1", "store": "false"}
        return send(crowded, ("a.png", picture(seed)), **fields)[1]

    seeds = range(420, 420 + CLIENTS)
    alone = [ask(seed) for seed in seeds]
    with ThreadPoolExecutor(CLIENTS) as pool:
        together = list(pool.map(ask, seeds))
    for one, other in zip(alone, together, strict=True):
        assert_same_embedding(one["embedding"], other["embedding"])
    means = {tuple(one["embedding"]["mean"]) for one in alone}
    assert len(means) == CLIENTS


def test_a_bad_upload_among_good_ones_hurts_itself_only(crowded: Service) -> None:
    def ask(index: int) -> int:
        content = picture(440 + index) if index % 2 else b"\x89PNG\r\n\x1a\nbroken"
        with crowded.client() as client:
            fields = {"view_duration_s": "1", "store": "false"}
            return client.post(
                "/embed", files={"file": ("a.png", content)}, data=fields
            ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [400, 200] * 4


def test_the_event_loop_stays_free_under_load(crowded: Service) -> None:
    file = ("a.hdf5", gwosc_hdf5(strain_values(450)))
    fields = {"gps_time": str(GPS_TIME), "store": "false"}
    with ThreadPoolExecutor(8) as pool, crowded.client() as client:
        busy = [pool.submit(send, crowded, file, **fields) for _ in range(8)]
        slowest = 0.0
        while not all(future.done() for future in busy):
            slowest = max(slowest, client.get("/healthz").elapsed.total_seconds())
        for future in busy:
            future.result()
    assert slowest < 2
