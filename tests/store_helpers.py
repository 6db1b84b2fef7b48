"""Small encodings, views and principals for the tests of the store and the services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from app.core.access import Principal, Role
from app.glitches.records import StoredGlitch
from glitch.taxonomy import SimulatedClass
from glitch.views import Preprocessing, Views, views_from_images

Store = Callable[..., StoredGlitch]
LATENT = 4
SMALL = Preprocessing(n_frequency=10, n_time=8)  # ten rows: not a multiple of 8


@dataclass(frozen=True, eq=False)
class PlainEncoding:
    """An encoding with values chosen by a test."""

    mean: np.ndarray
    log_variance: np.ndarray
    reconstruction_error: float = 1.5
    kl: float = 2.5
    simulated_class: SimulatedClass | None = None


def encoding(*mean: float) -> PlainEncoding:
    return PlainEncoding(np.array(mean, dtype=np.float32), np.zeros(len(mean), dtype=np.float32))


def make_views(rng: np.random.Generator, durations_s: tuple[float, ...] = (0.5, 4.0)) -> Views:
    shape = (SMALL.n_frequency, SMALL.n_time)
    images = {duration: rng.random(shape, dtype=np.float32) for duration in durations_s}
    return views_from_images(images, SMALL)


def person(role: Role, name: str | None = None) -> Principal:
    return Principal(uuid4(), name or role.label, role)


def ids(items: Any) -> list[UUID]:
    return [getattr(item, "glitch", item).id for item in items]
