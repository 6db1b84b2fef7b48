"""Metrics logged by a run: rate, distortion, active units, and quality of the vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from glitch.model import ViewsModel, kl_to_standard_normal
from training.data.pack import Pack
from training.evaluation.measures.rates import measure_rates
from training.evaluation.probe import PREDICTORS, classes_with_groups, score

BATCH = 64


@dataclass(frozen=True, eq=False)
class Encoded:
    """A pack encoded by a model, without sampling."""

    mean: Float32[np.ndarray, "glitch latent"]
    rate_of_latents: Float[np.ndarray, "glitch latent"]  # nats
    distortion: Float[np.ndarray, " glitch"]  # nats, of the decoded posterior mean

    @property
    def rate(self) -> Float[np.ndarray, " glitch"]:
        """KL of each glitch's posterior from the prior, nats."""
        return np.asarray(self.rate_of_latents.sum(axis=1))


@torch.inference_mode()
def encode_pack(
    model: ViewsModel, pack: Pack, input_views: Bool[np.ndarray, "glitch view"] | None = None
) -> Encoded:
    """Compute posterior means, rates, and distortions over all observed pixels of a pack.

    Args:
        model: in evaluation mode.
        pack: the glitches.
        input_views: views given to the encoder; by default all that are present.
    """
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, len(pack), BATCH):
        chosen = np.arange(start, min(start + BATCH, len(pack)))
        values, observed = pack.tensors(chosen)
        target, target_rows = model.prepare(values, observed)
        visible = observed
        if input_views is not None:
            visible = observed & torch.from_numpy(input_views[chosen])[..., None]
        pixels, visible_rows = model.prepare(values * visible[..., None], visible)
        posterior = model.encode(pixels, visible_rows)
        prediction = model.decode(posterior.mean, target_rows.any(dim=2))
        distortion = model.likelihood.distortion(target, prediction.float(), target_rows)
        rate = kl_to_standard_normal(posterior)
        parts.append((posterior.mean.numpy(), rate.numpy(), distortion.numpy()))
    mean, rates, distortions = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Encoded(mean, rates, distortions)


def single_views(pack: Pack) -> tuple[Pack, Bool[np.ndarray, "glitch view"], np.ndarray]:
    """Turn every view of a pack into a glitch of its own.

    Returns:
        The pack with one entry for each view present, which view is the input of that entry, and
        its position in ``pack``.
    """
    origin, view = np.nonzero(np.asarray(pack.observed).any(axis=2))
    input_views = np.zeros((len(origin), pack.observed.shape[1]), dtype=np.bool_)
    input_views[np.arange(len(origin)), view] = True
    return pack.subset(origin), input_views, origin


def lone_view_agreement(model: ViewsModel, pack: Pack) -> dict[str, float]:
    """Compare the vector of a lone view with the vector of all views of its glitch.

    Only glitches with at least two views count. ``distance`` is the median distance between lone
    and full vectors divided by the median distance between different glitches (lower is better);
    ``retrieval`` is the fraction of lone views whose nearest full vector is their own (higher is
    better).
    """
    several = np.nonzero(np.asarray(pack.observed).any(axis=2).sum(axis=1) >= 2)[0]
    if len(several) < 2:
        return {}
    chosen = pack.subset(several)
    full = encode_pack(model, chosen).mean
    singles, input_views, origin = single_views(chosen)
    lone = encode_pack(model, singles, input_views).mean
    distances = np.linalg.norm(lone[:, None] - full[None], axis=2)
    between = np.linalg.norm(full[:, None] - full[None], axis=2)
    other_distances = between[~np.eye(len(full), dtype=bool)]
    own_distances = distances[np.arange(len(origin)), origin]
    return {
        "distance": float(np.median(own_distances) / max(np.median(other_distances), 1e-12)),
        "retrieval": float((distances.argmin(axis=1) == origin).mean()),
    }


def evaluate_model(model: ViewsModel, train: Pack, validation: Pack) -> dict[str, float]:
    """Compute the metrics of one evaluation, by dotted name.

    Probes learn from the labels of the training groups and predict those of the validation groups,
    once with all views of each glitch and once with every view alone (``lone.``); only labels that
    occur on both sides count. Rate, distortion and ELBO are of samples from the posterior, as in
    ``measures.json``. ``selection``, the mean of accuracy and balanced accuracy of all probes, is
    used to select checkpoints.
    """
    was_training = model.training
    model.eval()
    known, held_out = encode_pack(model, train), encode_pack(model, validation)
    rates = measure_rates(model, validation, n_draws=1)  # of samples, so that the result is an ELBO
    metrics = {
        "rate": rates.rate,
        "distortion": rates.distortion,
        "elbo": rates.elbo,
        "active_units": float(rates.active_units),
        **{
            f"kl.{latent}": float(rate)
            for latent, rate in enumerate(held_out.rate_of_latents.mean(axis=0))
        },
    }
    if len(set(train.labels)) >= 2:
        lone_train, train_shown, _ = single_views(train)
        lone_validation, validation_shown, _ = single_views(validation)
        marks = _probe(metrics, "", train, known.mean, validation, held_out.mean)
        marks += _probe(
            metrics,
            "lone.",
            lone_train,
            encode_pack(model, lone_train, train_shown).mean,
            lone_validation,
            encode_pack(model, lone_validation, validation_shown).mean,
        )
        metrics["selection"] = float(np.mean(marks))
    agreement = lone_view_agreement(model, validation)
    metrics |= {f"single_view.{name}": value for name, value in agreement.items()}
    model.train(was_training)
    return metrics


def _probe(  # noqa: PLR0917 - two sides, each a pack and its vectors
    metrics: dict[str, float],
    prefix: str,
    train: Pack,
    train_vectors: Float32[np.ndarray, "train latent"],
    test: Pack,
    vectors: Float32[np.ndarray, "query latent"],
) -> list[float]:
    """Add both probes' scores to ``metrics``, and return them as a list."""
    labels = classes_with_groups(train.labels, train.groups, 1)
    marks: list[float] = []
    for name, predict in PREDICTORS.items():
        predicted = predict(train_vectors, train.labels, vectors).tolist()
        result = score(test.labels, predicted, labels)
        metrics[f"{prefix}{name}.accuracy"] = result.accuracy
        metrics[f"{prefix}{name}.balanced_accuracy"] = result.balanced_accuracy
        marks += [result.accuracy, result.balanced_accuracy]
    return marks
