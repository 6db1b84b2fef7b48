"""The training task of the shipped model: scattering features, guided by simulated glitches.

The loss in nats is that of the objective (distortion of the features + beta times the rate), plus
the guidance by simulated glitches: linear heads on the posterior mean predict their class and their
parameters. The labels of real glitches are not used.

The picture decoder is fitted to the encoder in closed form whenever the model is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from glitch.model import ScatteringVAE, sample_posterior
from glitch.simulate import UNNAMED
from glitch.types import LatentTensor
from training.core.devices import device_of, on_host
from training.core.objectives import Outcome
from training.data.pack import PARAMETERS, Pack, PackError
from training.data.sampling import StratifiedSampler, single_view
from training.evaluation.encoding import evaluate_model
from training.views.augmented import (
    AugmentedFeatures,
    RawFeatures,
    drawn,
    fit_axes,
    project_copies,
    scattering_features,
    trunk_features,
    views_present,
)
from training.views.guided_config import GuidedConfig
from training.views.painting import fit_painter
from training.views.trunk import train_trunk

MEMORY = 0.95  # fraction of the running mean of variances that remains after a step
HEADS_FILE = "heads.json"  # in a run's folder: the classes and parameters predicted by the heads
AXIS_VIEWS = 3_000  # number of views of real and of simulated glitches for the principal axes


@dataclass(frozen=True, eq=False)
class _Part:
    """The members of a batch from one pack."""

    seen: Float[Tensor, "member view axis"]
    input_views: Bool[Tensor, "member view"]
    target: Float[Tensor, "member axis"]
    target_view: Int[Tensor, " member"]  # view of the target
    chosen: Int[np.ndarray, " member"]
    looks: AugmentedFeatures


class GuidedTask:
    """The scattering model, its batches, and its evaluation data."""

    def __init__(
        self,
        config: GuidedConfig,
        real_train: Pack | None,
        validation: Pack | None,
        simulated: Pack | None,
        *,
        folder: Path,
        seen: Mapping[str, RawFeatures] | None = None,
    ) -> None:
        """Check that the packs have what the configuration needs.

        Args:
            config: of the run.
            real_train: real glitches for training; also the labelled reference of the probes.
            validation: held-out real glitches.
            simulated: a pack made by simulate-pack.
            folder: of the run, where the heads are recorded.
            seen: precomputed looks of the complete packs "real" and "simulated", which several runs
                can share; computed here if missing.

        Raises:
            PackError: if the simulated pack lacks what the guidance needs.
        """
        self._config = config
        hidden = config.hidden_class
        self._real, self._simulated = _without(real_train, hidden), _without(simulated, hidden)
        all_packs = {"real": real_train, "simulated": simulated}
        self._whole = {name: pack for name, pack in all_packs.items() if pack is not None}
        self._raw = {} if seen is None else self._without_hidden_class(seen)
        self._real_train, self._validation = real_train, validation
        classes = self._check_guidance()
        names = PARAMETERS if config.is_parametric else ()
        self.model = ScatteringVAE(replace(config.architecture, classes=classes, parameters=names))
        heads = json.dumps({"classes": classes, "parameters": names})
        (folder / HEADS_FILE).write_text(heads, encoding="utf-8")
        self.n_latent = config.architecture.latent
        self._samplers = {
            "real": None if self._real is None else StratifiedSampler(self._real.groups),
            "named": _sampler(self._simulated, is_named=True),
            "unnamed": _sampler(self._simulated, is_named=False),
        }
        self._looks: dict[str, AugmentedFeatures] = {}

    def _check_guidance(self) -> tuple[str, ...]:
        """Return the classes that the model predicts.

        Raises:
            PackError: if the simulated pack lacks what the guidance needs.
        """
        guidance, pack = self._config.guidance, self._simulated
        if pack is None:
            return ()
        if self._config.is_parametric and pack.parameters is None:
            raise PackError(
                "The simulated pack has no parameters, but guidance.parameters is above 0: make "
                "the pack again with simulate-pack, or set guidance.parameters to 0."
            )
        if guidance.is_twin_the_target and pack.twins is None:
            raise PackError(
                "The simulated pack has no twins in other noise, but "
                "guidance.is_twin_the_target is true: make the pack again with simulate-pack, or "
                "set it to false."
            )
        if guidance.unnamed_share and UNNAMED not in pack.labels:
            raise PackError(
                f"The simulated pack has no {UNNAMED} shapes, but guidance.unnamed_share is above "
                "0: make the pack again with simulate-pack, or set guidance.unnamed_share to 0."
            )
        return tuple(sorted(set(pack.labels) - {UNNAMED})) if guidance.classes else ()

    def start(self) -> None:
        """Train the trunk, and compute the principal axes of the training glitches."""
        if self._simulated is not None:
            config = self._config
            train_trunk(
                self.model,
                self._simulated,
                self._real,
                steps=config.guidance.trunk_steps,
                real_steps=config.guidance.trunk_real_steps,
                seed=config.seed,
            )
        self._make_features()
        parts = [(self._raw[name], views_present(pack)) for name, pack in self.packs.items()]
        fit_axes(self.model, parts, AXIS_VIEWS, self._config.seed)

    def outcome(
        self,
        step: int,
        generator: torch.Generator,
        *,
        is_half_precision: bool,  # noqa: ARG002 - small layers gain nothing from it
    ) -> Outcome:
        """Encode the batch of a step, sample, and decode its features."""
        self._make_features()
        self._project()
        config, rng = self._config, np.random.default_rng([self._config.seed, step])
        device = device_of(self.model)
        parts = self._parts(rng)
        seen = torch.cat([part.seen for part in parts])
        input_views = torch.cat([part.input_views for part in parts])
        target = torch.cat([part.target for part in parts]).to(device)
        target_view = torch.cat([part.target_view for part in parts]).to(device)
        member, view = input_views.nonzero(as_tuple=True)
        noise = torch.randn(seen.shape, generator=generator) * config.looks.feature_noise
        shown = (seen + noise)[member, view].to(device)
        # Dropout uses the global generator: seeded by the step, a resumed run repeats it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((config.seed << 32) + step)
            posterior = self.model.encode_projected(
                shown, member.to(device), view.to(device), len(seen)
            )
        draw = sample_posterior(posterior, generator)
        explained = self.model.explain(draw, torch.arange(len(seen), device=device), target_view)
        distortion = self._distortion(target, explained, target_view, step)
        n_real = sum(len(part.chosen) for part in parts if part.looks is self._looks.get("real"))
        guidance = self._guidance_loss(posterior.mean[n_real:], parts)
        return Outcome(distortion, posterior, draw, guidance=guidance)

    def details(self, outcome: Outcome) -> dict[str, float]:
        """Return the loss of the guidance, in nats."""
        guidance = outcome.guidance
        return {} if guidance is None else {"guidance": guidance.item()}

    def evaluate(self) -> dict[str, float]:
        """Fit the picture decoder, and evaluate the vectors of held-out real glitches."""
        if self._config.is_painted:
            was_training = self.model.training
            self.model.eval()
            self._make_features()
            self._project()
            fit_painter(self.model, self._looks, self._config.seed)
            self.model.train(was_training)
        if self._validation is None or self._real_train is None:
            return {}
        return evaluate_model(self.model, self._real_train, self._validation)

    @property
    def packs(self) -> dict[str, Pack]:
        """The training packs, without a hidden class."""
        packs = {"real": self._real, "simulated": self._simulated}
        return {name: pack for name, pack in packs.items() if pack is not None}

    def _make_features(self) -> None:
        """Compute the features of every look once; a pure function of the packs and the seed."""
        if self._raw or self._looks:
            return
        config = self._config
        with on_host(self.model):
            self._raw = self._without_hidden_class(
                scattering_features(self.model, self._whole, config.looks, config.seed)
            )

    def _without_hidden_class(self, seen: Mapping[str, RawFeatures]) -> dict[str, RawFeatures]:
        """Select the looks of the complete packs that are used in training."""
        hidden = self._config.hidden_class
        return {
            name: seen[name] if hidden is None else seen[name][_positions_without(pack, hidden)]
            for name, pack in self._whole.items()
        }

    def _project(self) -> None:
        if self._looks:
            return
        config = self._config
        with on_host(self.model):
            by_trunk = self._without_hidden_class(
                trunk_features(self.model, self._whole, config.looks, config.seed)
            )
            for name, pack in self.packs.items():
                looks = project_copies(self.model, self._raw[name], by_trunk[name], pack)
                self._looks[name] = looks
        self._raw = {}

    def _parts(self, rng: np.random.Generator) -> list[_Part]:
        config = self._config
        size, sampler = config.optimiser.batch_size, self._samplers["real"]
        share = config.data.real_share if self._samplers["named"] is not None else 1.0
        n_real = 0 if sampler is None else round(share * size)
        parts: list[_Part] = []
        if sampler is not None and n_real:
            chosen = sampler.draw(n_real, rng)
            look = rng.integers(self._looks["real"].features.shape[1], size=n_real)
            parts.append(self._part(self._looks["real"], chosen, look, look, rng))
        named, unnamed = self._samplers["named"], self._samplers["unnamed"]
        if named is not None and n_real < size:
            n_unnamed = round(config.guidance.unnamed_share * (size - n_real)) if unnamed else 0
            chosen = named.draw(size - n_real - n_unnamed, rng)
            if unnamed is not None and n_unnamed:
                chosen = np.concatenate([chosen, unnamed.draw(n_unnamed, rng)])
            looks = self._looks["simulated"]
            n_looks = looks.features.shape[1]
            look = rng.integers(n_looks, size=len(chosen))
            other = n_looks - 1 - look if config.guidance.is_twin_the_target else look
            parts.append(self._part(looks, chosen, look, other, rng))
        return parts

    def _part(
        self,
        looks: AugmentedFeatures,
        chosen: Int[np.ndarray, " member"],
        look: Int[np.ndarray, " member"],
        target_look: Int[np.ndarray, " member"],
        rng: np.random.Generator,
    ) -> _Part:
        present, how = looks.present[chosen], self._config.looks
        lone = single_view(present, rng)
        input_views = np.zeros_like(present)
        input_views[np.arange(len(chosen)), lone] = True
        several = rng.random(len(chosen)) < how.several_views_share
        input_views |= present & (rng.random(present.shape) < 0.6) & several[:, None]
        again = single_view(present, rng)
        target_view = np.where(rng.random(len(chosen)) < how.other_view_share, again, lone)
        n_explained = self.model.architecture.axes + 1  # the trunk's features are input only
        target = drawn(looks, chosen, target_look)[torch.arange(len(chosen)), target_view]
        return _Part(
            drawn(looks, chosen, look),
            torch.from_numpy(input_views),
            target[:, :n_explained],
            torch.from_numpy(target_view),
            chosen,
            looks,
        )

    def _distortion(
        self, target: Tensor, explained: Tensor, target_view: Tensor, step: int
    ) -> Float[Tensor, " member"]:
        """Return nats of the features, with optimal variances by window (Rybkin et al. 2021)."""
        squares = (target - explained).square()  # (B, axis)
        with torch.no_grad():
            window = torch.nn.functional.one_hot(
                target_view, self.model.architecture.n_views
            ).float()
            count = window.sum(dim=0)
            variance = (window.T @ squares.mean(dim=1)) / count.clamp_min(1)
            previous = self.model.axis_log_variance.exp()
            share = max(1 - MEMORY, 1 / (step + 1))
            new_variance = torch.where(count > 0, torch.lerp(previous, variance, share), previous)
            self.model.axis_log_variance.copy_(new_variance.clamp_min(1e-6).log())
        log_variance = self.model.axis_log_variance[target_view][:, None]
        nats = 0.5 * (squares * (-log_variance).exp() + log_variance + np.log(2 * np.pi))
        summed: Tensor = nats.sum(dim=1)
        return summed

    def _guidance_loss(self, means: LatentTensor, parts: list[_Part]) -> Float[Tensor, ""]:
        """Return the weighted loss of the heads on the simulated members."""
        pack, guidance, model = self._simulated, self._config.guidance, self.model
        loss = means.new_zeros(())
        if pack is None or len(means) == 0:
            return loss
        chosen = parts[-1].chosen
        if model.namer is not None:
            index_of = {name: index for index, name in enumerate(model.architecture.classes)}
            numbers = [index_of.get(pack.labels[index], -1) for index in chosen]
            is_named = [place for place, number in enumerate(numbers) if number >= 0]
            named = torch.tensor(numbers, device=means.device)[is_named]
            loss = loss + guidance.classes * cross_entropy(model.namer(means[is_named]), named)
        if model.describer is not None and pack.parameters is not None:
            everything = np.asarray(pack.parameters)
            target = (everything[chosen] - everything.mean(axis=0)) / everything.std(axis=0)
            error = (
                (model.describer(means) - torch.from_numpy(target).to(means.device)).square().mean()
            )
            loss = loss + guidance.parameters * error
        return loss


def _positions_without(pack: Pack, hidden: str) -> Int[np.ndarray, " glitch"]:
    """Return the positions of glitches that are not of the hidden class."""
    return np.nonzero(np.asarray(pack.labels) != hidden)[0]


def _without(pack: Pack | None, hidden: str | None) -> Pack | None:
    """Remove the hidden class from a pack."""
    return pack if pack is None or hidden is None else pack.subset(_positions_without(pack, hidden))


class _Positions:
    """A sampler of some positions of a pack, uniform over labels."""

    def __init__(self, positions: Int[np.ndarray, " glitch"], labels: tuple[str, ...]) -> None:
        self._positions = positions
        self._sampler = StratifiedSampler(tuple(labels[index] for index in positions))

    def draw(self, n_draws: int, rng: np.random.Generator) -> Int[np.ndarray, " draw"]:
        return np.asarray(self._positions[self._sampler.draw(n_draws, rng)])


def _sampler(pack: Pack | None, *, is_named: bool) -> _Positions | None:
    if pack is None:
        return None
    chosen = [index for index, name in enumerate(pack.labels) if (name != UNNAMED) == is_named]
    return _Positions(np.asarray(chosen, dtype=np.int64), pack.labels) if chosen else None
