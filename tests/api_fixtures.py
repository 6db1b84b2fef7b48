"""A live service on a real database with a small untrained model, and inputs to send to it."""

from __future__ import annotations

import io
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import httpx
import numpy as np
import torch
from postgres_fixtures import execute
from sqlalchemy import Engine, text

from app.classes.naming import seed_classes
from app.core.access import Role, create_token
from app.core.embedded import EmbeddedServer
from app.core.engine import make_engine, make_session_factory
from app.core.settings import Settings
from app.main import create_app
from app.models.checkpoints import publish_checkpoint
from app.server.http_protocol import http_server
from glitch.checkpoint import load_checkpoint, save_checkpoint
from glitch.images import render_omega_scan, render_view
from glitch.model import Architecture, ViewsVAE
from glitch.types import ViewArray
from glitch.views import Preprocessing

GPS_START = 1187008860
GPS_TIME = Decimal("1187008876.0625")
SAMPLE_RATE_HZ = 4096
KEY = "a-signing-key-for-tests-of-32-bytes"
TABLES = ("glitch", "view", "embedding", "label")


@dataclass(frozen=True)
class Service:
    """A live service: its address, a token of each role, and its database."""

    url: str
    tokens: dict[str, str]
    engine: Engine
    settings: Settings

    def client(self, role: str | None = "submitter", **options: Any) -> httpx.Client:
        """Return a client with the token of a role, or without a token if the role is None."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)

    def counts(self) -> dict[str, int]:
        """Return the number of rows in each table that an upload writes to."""
        with self.engine.connect() as connection:
            return {
                table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
                for table in TABLES
            }


@contextmanager
def tiny_data_folder() -> Iterator[Path]:
    """Provide a data directory with one small checkpoint of random weights."""
    with tempfile.TemporaryDirectory(prefix="glitch-api-") as name:
        folder = Path(name)
        torch.manual_seed(20190401)
        model = ViewsVAE(
            Architecture(
                pooling=1, channels=(4, 4, 8, 8), painter_channels=(4, 4, 8, 8), hidden=16, latent=8
            )
        )
        for weights in model.parameters():
            if not weights.any():  # layers that start at zero would encode every input alike
                torch.nn.init.normal_(weights, std=0.3)
        save_checkpoint(
            folder / "checkpoints" / "tiny",
            model,
            name="tiny",
            preprocessing=Preprocessing(),
            training={"data": "none"},
            schedule={},
            metrics={},
            licence="GPL-3.0-or-later",
        )
        yield folder


@contextmanager
def running_service(
    server: EmbeddedServer, template: str, data_folder: Path, **settings: Any
) -> Iterator[Service]:
    """Run a service on a fresh database; ``settings`` override the defaults for tests."""
    name = f"test_{uuid4().hex}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    url = server.url(name)
    engine = make_engine(url)
    try:
        tokens = _prepare(engine, data_folder / "checkpoints" / "tiny")
        chosen = Settings(
            **{
                "data_dir": data_folder,
                "database_url": url,
                "signing_key": KEY,
                "log_level": "error",
                "torch_threads": 1,
            }
            | settings
        )
        with listening(chosen) as address:
            yield Service(address, tokens, engine, chosen)
    finally:
        engine.dispose()
        execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def listening(settings: Settings) -> Iterator[str]:
    """Run the application and its server in a thread on a free port; yield its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = http_server(create_app(settings))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not running.started:
            assert thread.is_alive(), "the service did not start"
            assert time.monotonic() < deadline, "the service took too long to start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "the service did not stop"


def _prepare(engine: Engine, checkpoint_folder: Path) -> dict[str, str]:
    checkpoint = load_checkpoint(checkpoint_folder)
    with make_session_factory(engine)() as session:
        seed_classes(session)
        publish_checkpoint(
            session,
            name=checkpoint.manifest.name,
            digest=checkpoint.digest,
            preprocessing_digest=checkpoint.manifest.preprocessing.digest(),
            latent_size=checkpoint.manifest.architecture.latent,
            manifest={"name": "tiny"},
        )
        tokens = {role.label: create_token(session, role.label, role).secret for role in Role}
        session.commit()
    return tokens


# --- inputs ---------------------------------------------------------------------------------------


def strain_values(seed: int = 1, seconds: float = 32, rate: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Return coloured noise with one loud burst at ``GPS_TIME``, as dimensionless strain."""
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * rate)
    white = np.fft.rfft(rng.standard_normal(n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1 / rate)
    noise = np.fft.irfft(white / (1 + (50 / np.maximum(frequency, 5)) ** 2), n_samples)
    time_s = np.arange(n_samples) / rate - float(GPS_TIME - GPS_START)
    pitch_hz = 60 + 20 * (seed % 10)
    burst = 12 * np.exp(-((time_s / 0.02) ** 2)) * np.sin(2 * np.pi * pitch_hz * time_s)
    return 1e-21 * (noise + burst)


def gwosc_hdf5(
    values: np.ndarray, *, rate: float = SAMPLE_RATE_HZ, ifo: str = "H1", start: int = GPS_START
) -> bytes:
    """Return an HDF5 file in GWOSC's layout."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        dataset = file.create_dataset("strain/Strain", data=values)
        dataset.attrs["Xstart"] = start
        dataset.attrs["Xspacing"] = 1 / rate
        dataset.attrs["Npoints"] = len(values)
        file["meta/GPSstart"] = start
        file["meta/Detector"] = ifo
        file["meta/Duration"] = round(len(values) / rate)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """Return an npy file of the array."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def energy(seed: int = 1) -> ViewArray:
    """Return a blob of energy on faint noise, shape (128, 128), values in [0, 1]."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[0:128, 0:128]
    centre, width = 30 + seed % 60, 4 + seed % 7
    blob = np.exp(-(((row - centre) / 12) ** 2) - ((column - 64) / width) ** 2)
    return np.clip(blob + 0.05 * rng.random((128, 128)), 0, 1).astype(np.float32)


def picture(seed: int = 1, *, duration_s: float | None = None) -> bytes:
    """Return a PNG without axes, or with Gravity Spy's axes if a window length is given."""
    if duration_s is None:
        return render_view(energy(seed))
    return render_omega_scan(energy(seed), duration_s)


def assert_problem(response: httpx.Response, *statuses: int) -> str:
    """Assert that the response is a complete problem document; return its ``detail``."""
    assert response.status_code in statuses, (response.status_code, response.text[:300])
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert body["status"] == response.status_code
    assert body["type"].startswith("urn:glitch-discovery:problem:")
    detail = body["detail"]
    assert isinstance(detail, str)
    assert detail.rstrip()[-1] in ".?", detail
    assert "Traceback" not in response.text
    assert response.headers["x-request-id"] == body["request_id"]
    return detail


def assert_same_embedding(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Assert that two embeddings agree within the float32 rounding of different batches."""
    assert one["checkpoint"] == other["checkpoint"]
    for key in ("mean", "log_variance", "reconstruction_error"):
        np.testing.assert_allclose(one[key], other[key], rtol=1e-5, atol=1e-5)
