"""Evaluation of the runs of Table 1: a linear classifier on vectors, with single predictions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from glitch.model import Architecture, ViewsVAE
from training.core.state import STATE_FILE, load_state
from training.data.pack import Pack
from training.evaluation.encoding import Encoded, encode_pack, single_views
from training.evaluation.measures.bootstrap import Answers
from training.evaluation.measures.collapse import live_feature_share
from training.evaluation.measures.rates import ACTIVE_VARIANCE
from training.evaluation.probe import predict_linear, score
from training.evaluation.report import Vectors, pooled_pixels, reduce_by_pca, single_panels
from training.reproduction.table1.results import JudgedRun, Scored
from training.views.config import TrainingConfig

# Gravity Spy's 22 classes at the time of the paper; every one has at least three groups here.
# fmt: off
PAPER_CLASSES = (
    "1080Lines", "1400Ripples", "Air_Compressor", "Blip", "Chirp", "Extremely_Loud", "Helix",
    "Koi_Fish", "Light_Modulation", "Low_Frequency_Burst", "Low_Frequency_Lines", "No_Glitch",
    "None_of_the_Above", "Paired_Doves", "Power_Line", "Repeating_Blips", "Scattered_Light",
    "Scratchy", "Tomte", "Violin_Mode", "Wandering_Line", "Whistle",
)
NINE_CLASSES = (
    "Blip", "Fast_Scattering", "Koi_Fish", "None_of_the_Above", "Power_Line", "Scattered_Light",
    "Scratchy", "Violin_Mode", "Whistle",
)
# fmt: on
CLASS_SETS = {"22 classes": PAPER_CLASSES, "9 classes": NINE_CLASSES}
SAMPLES = ("all views", "any lone view")
PIXELS = "PCA of pixels"


def judge_run(
    config: TrainingConfig, run: Path, name: str, sides: tuple[Pack, Pack]
) -> list[JudgedRun]:
    """Evaluate the last weights of one run on its (training, held-out) glitches."""
    model = ViewsVAE(config.architecture)
    load_state(run / STATE_FILE, model, None)
    model.eval()
    judged: list[JudgedRun] = []
    live = live_feature_share(model, sides[1])
    for sample in SAMPLES:
        train, test = (_sampled(model, pack, sample) for pack in sides)
        results = {
            "rate": float(test[1].rate.mean()),
            "distortion": _distortion(config, test[1]),
            "active_units": float((test[1].mean.var(axis=0) > ACTIVE_VARIANCE).sum()),
            "live_features": live,
        }
        judged += _judge(
            name,
            seed=config.seed,
            sample=sample,
            train=(train[0], train[1].mean),
            test=(test[0], test[1].mean),
            results=results,
        )
    return judged


def _distortion(config: TrainingConfig, encoded: Encoded) -> float:
    """Return nats, of the decoded posterior mean; NaN if the decoder's output are not energies."""
    is_gaussian = config.variance.kind != "bernoulli"
    return float(encoded.distortion.mean()) if is_gaussian else math.nan


def _sampled(model: ViewsVAE, pack: Pack, sample: str) -> tuple[Pack, Encoded]:
    """Return glitches with all views, or each view as a glitch of its own, and their vectors."""
    if sample == "all views":
        return pack, encode_pack(model, pack)
    lone, input_views, _ = single_views(pack)
    return lone, encode_pack(model, lone, input_views)


def judge_pixels(
    architecture: Architecture, split: tuple[Pack, Pack], seed: int
) -> list[JudgedRun]:
    """Evaluate principal components of the pooled pixels, as many as latents, on the same split."""
    model = ViewsVAE(architecture)  # only its pooling is used
    reduce = reduce_by_pca(architecture.latent)
    judged: list[JudgedRun] = []
    for sample in SAMPLES:
        sides = (
            split if sample == "all views" else (single_panels(split[0]), single_panels(split[1]))
        )
        both = Pack(
            np.concatenate([side.values for side in sides]),
            np.concatenate([side.observed for side in sides]),
            sides[0].labels + sides[1].labels,
            sides[0].groups + sides[1].groups,
        )
        pixels = pooled_pixels(model, both, is_amplitude=False, is_filled=sample == "all views")
        train, test = reduce(pixels[: len(sides[0])], pixels[len(sides[0]) :])
        nothing = dict.fromkeys(("rate", "distortion", "active_units", "live_features"), math.nan)
        judged += _judge(
            PIXELS,
            seed=seed,
            sample=sample,
            train=(sides[0], train),
            test=(sides[1], test),
            results=nothing,
        )
    return judged


def _judge(
    name: str,
    *,
    seed: int,
    sample: str,
    train: tuple[Pack, Vectors],
    test: tuple[Pack, Vectors],
    results: dict[str, float],
) -> list[JudgedRun]:
    """Evaluate the linear classifier for every set of classes that both sides have."""
    judged: list[JudgedRun] = []
    for classes_name, classes in CLASS_SETS.items():
        labels = sorted(set(classes) & set(train[0].labels) & set(test[0].labels))
        learn = np.isin(np.asarray(train[0].labels), labels)
        answer = np.nonzero(np.isin(np.asarray(test[0].labels), labels))[0]
        if len(labels) < 2:
            continue
        truth = [test[0].labels[index] for index in answer]
        predicted = predict_linear(
            train[1][learn], np.asarray(train[0].labels)[learn].tolist(), test[1][answer]
        )
        mark = score(truth, predicted.tolist())
        row = Scored(
            name,
            seed,
            sample,
            classes_name,
            mark.accuracy,
            mark.balanced_accuracy,
            mark.n_glitches,
            mark.n_classes,
            **results,
        )
        groups = [test[0].groups[index] for index in answer]
        judged.append(JudgedRun(row, Answers(groups, truth, predicted == np.asarray(truth))))
    return judged
