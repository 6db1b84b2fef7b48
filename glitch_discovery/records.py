"""Responses of the service as typed records. Unknown values are None, never a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Glitch:
    """A glitch of the catalogue.

    Attributes:
        id: None where nothing was stored.
        gravityspy_id: such as ``0Sug0tqkoL``.
        ifo: detector, such as ``H1``.
        gps_time: exact seconds, as given.
        snr: signal-to-noise ratio of the loudest tile.
        peak_frequency: Hz.
        duration: s.
        label: its current class.
        data_quality: flags that were active then, of those that batches gave.
        ml_confidence: that a classifier gave the label, 0 to 1; None for a person's.
        views: window lengths that it has, in s.
        origin: ``upload``, ``gravityspy``, ``omicron`` or ``simulated``: never in a detector.
        page: address of its web page.
        bandwidth: Hz.
        q: quality factor of the loudest tile.
        peak_gps_time: of the loudest tile, in s; None for pictures.
        centre_gps_time: in the middle of the views, in s; None for pictures.
        centring: where the views are centred, where that is more than 10 ms off ``gps_time``.
    """

    id: str | None
    gravityspy_id: str | None
    ifo: str | None
    gps_time: Decimal | None
    snr: float | None
    peak_frequency: float | None
    duration: float | None
    label: str | None
    views: tuple[float, ...]
    origin: str
    page: str | None
    channel: str | None = None
    bandwidth: float | None = None
    q: float | None = None
    peak_gps_time: Decimal | None = None
    centre_gps_time: Decimal | None = None
    centring: str | None = None
    ml_confidence: float | None = None
    data_quality: tuple[str, ...] = ()

    @property
    def is_simulated(self) -> bool:
        """Whether it was made by a simulation."""
        return self.origin == "simulated"

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Glitch:
        """From the service's JSON."""
        return cls(
            **{name: said[name] for name in _GLITCH},
            gps_time=_decimal(said["gps_time"]),
            views=tuple(said["views"]),
            page=said["links"].get("page"),
            channel=said.get("channel"),
            bandwidth=said.get("bandwidth"),
            q=said.get("q"),
            peak_gps_time=_decimal(said.get("peak_gps_time")),
            centre_gps_time=_decimal(said.get("centre_gps_time")),
            centring=said.get("centring"),
            ml_confidence=said.get("ml_confidence"),
            data_quality=tuple(said.get("data_quality", ())),
        )


_GLITCH = (
    *("id", "gravityspy_id", "ifo", "snr", "peak_frequency"),
    *("duration", "label", "origin"),
)


@dataclass(frozen=True)
class Embedding:
    """The diagonal Gaussian posterior of one glitch.

    Attributes:
        checkpoint: the name of the model. Vectors of two models cannot be compared.
        mean: one number a latent, in units of the prior's standard deviation.
        log_variance: natural logarithm of the posterior's variance.
        reconstruction_error: lower is better reconstructed.
        simulated_class: the most probable of the classes that the model learnt from simulated
            glitches, without human labels; None if it knows none.
        simulated_probability: its probability, 0 to 1.
    """

    checkpoint: str
    mean: tuple[float, ...]
    log_variance: tuple[float, ...]
    reconstruction_error: float
    simulated_class: str | None = None
    simulated_probability: float | None = None

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Embedding:
        """From the service's JSON."""
        simulated = said.get("simulated_class") or {}
        return cls(
            said["checkpoint"],
            tuple(said["mean"]),
            tuple(said["log_variance"]),
            said["reconstruction_error"],
            simulated.get("label"),
            simulated.get("probability"),
        )


@dataclass(frozen=True)
class Novelty:
    """How novel a glitch is.

    Attributes:
        score: higher is more novel.
        p_value: conformal p-value; lower is more novel. None where it could not be judged.
        is_judged: False never means "not novel"; ``reason`` says why it could not be judged.
        basis: which known glitches calibrated it.
    """

    score: float | None
    p_value: float | None
    is_judged: bool
    reason: str | None
    basis: str | None

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Novelty:
        """From the service's JSON."""
        return cls(**{name: said[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Neighbour:
    """A known glitch near the one asked about.

    Attributes:
        distance: in the latent space; lower is more alike.
        gps_time: exact seconds.
    """

    id: str
    gravityspy_id: str | None
    ifo: str | None
    gps_time: Decimal | None
    label: str | None
    origin: str
    distance: float
    page: str | None

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Neighbour:
        """From the service's JSON."""
        return cls(
            said["id"],
            said["gravityspy_id"],
            said["ifo"],
            _decimal(said["gps_time"]),
            said["label"],
            said["origin"],
            said["distance"],
            said["links"].get("page"),
        )


@dataclass(frozen=True)
class Answer:
    """What ``embed`` answers: the glitch, its vector, its novelty, its neighbours by distance.

    Attributes:
        assumed: ``energy_max`` and ``frequency_range`` of pictures, where neither the caller nor
            labels in the picture say so: 25.5 and 10 to 2048 Hz. ``gps_start`` of strain, where
            the file does not say when it starts: its middle is at the GPS time.
    """

    glitch: Glitch
    embedding: Embedding
    novelty: Novelty
    neighbours: tuple[Neighbour, ...]
    assumed: tuple[str, ...] = ()

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Answer:
        """From the service's JSON."""
        return cls(
            Glitch.parse(said["glitch"]),
            Embedding.parse(said["embedding"]),
            Novelty.parse(said["novelty"]),
            tuple(Neighbour.parse(one) for one in said["neighbours"]),
            tuple(said.get("assumed", ())),
        )


@dataclass(frozen=True)
class GlitchDetail:
    """A stored glitch; vector and novelty are None where the active model has not embedded it."""

    glitch: Glitch
    embedding: Embedding | None
    novelty: Novelty | None

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> GlitchDetail:
        """From the service's JSON."""
        embedding, novelty = said["embedding"], said["novelty"]
        return cls(
            Glitch.parse(said),
            None if embedding is None else Embedding.parse(embedding),
            None if novelty is None else Novelty.parse(novelty),
        )


@dataclass(frozen=True)
class Job:
    """Background work.

    Attributes:
        state: ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.
        total: inputs; 0 until the job is planned.
        skipped: inputs that were known already.
        detail: a sentence: why it failed, or what was left out.
        result: what it made; depends on its kind.
    """

    id: str
    kind: str
    state: str
    total: int
    done: int
    failed: int
    skipped: int
    detail: str | None
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("queued", "running")

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Job:
        """From the service's JSON."""
        progress = said["progress"]
        return cls(
            said["id"],
            said["kind"],
            said["state"],
            progress["total"],
            progress["done"],
            progress["failed"],
            progress["skipped"],
            said["detail"],
            said["result"] or {},
        )


@dataclass(frozen=True)
class Cluster:
    """Glitches that look alike.

    Attributes:
        identity: the same for the same cluster in every run; ``id`` is this run's.
        stability: 0 to 1; higher is found again more surely.
        significance: the chance that known glitches alone give as many; lower is rarer.
        fdr: the false-discovery rate at which its members were flagged; None where none was.
        trust: how alike the members really are, in a sentence.
        doubt: why that rate may not hold, if anything says so.
        state: ``flagged``, ``promoted``, ``merged``, ``dismissed`` or ``split``.
        summary: detectors, times, nearest classes, as ``GET /clusters/{id}`` documents them.
    """

    id: str
    identity: str
    run_id: str
    size: int
    stability: float
    significance: float | None
    fdr: float | None
    trust: str | None
    doubt: str | None
    state: str
    medoid_id: str | None
    summary: Mapping[str, Any]

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Cluster:
        """From the service's JSON."""
        return cls(**{name: said[name] for name in _CLUSTER})


_CLUSTER = (
    *("id", "identity", "run_id", "size", "stability"),
    *("significance", "fdr", "trust", "doubt", "state", "medoid_id", "summary"),
)


@dataclass(frozen=True)
class Member:
    """A glitch in a cluster.

    Attributes:
        probability: 0 to 1; higher belongs more surely.
        distance: to the medoid, 0 to 2.
    """

    glitch: Glitch
    probability: float
    distance: float
    is_exemplar: bool

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Member:
        """From the service's JSON."""
        return cls(
            Glitch.parse(said["glitch"]), said["probability"], said["distance"], said["is_exemplar"]
        )


@dataclass(frozen=True)
class Label:
    """One statement that a glitch is of a class. It is never changed, only revoked."""

    id: str
    glitch_id: str
    label: str
    author: str
    source: str
    created_at: str
    revoked_at: str | None
    revoked_by: str | None

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Label:
        """From the service's JSON."""
        return cls(**{name: said[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Reviewed:
    """What a review led to.

    Attributes:
        cluster_id: the cluster to look at now.
        suggestions: suggested labels that wait to be accepted.
        event_id: names the act, for ``undo``.
    """

    cluster_id: str
    state: str
    suggestions: int
    event_id: int

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Reviewed:
        """From the service's JSON."""
        return cls(said["cluster_id"], said["state"], said["suggestions"], said["event_id"])


def _decimal(said: str | None) -> Decimal | None:
    return None if said is None else Decimal(said)
