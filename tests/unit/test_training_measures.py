"""Measures of a representation in cases with known values."""

import math

import numpy as np
import pytest
import torch

from glitch.errors import GlitchError
from glitch.model import Architecture, ViewsVAE, kl_to_standard_normal
from training.data.pack import Pack
from training.evaluation.encoding import encode_pack, evaluate_model
from training.evaluation.measures.by_class import by_class
from training.evaluation.measures.clustering import cluster_agreement
from training.evaluation.measures.novelty import leave_one_class_out
from training.evaluation.measures.rates import CurvePoint, in_order, measure_rates
from training.evaluation.measures.retrieval import retrieve


def clouds(n: int, centres: list[float], spread: float = 0.1) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    points = [rng.normal(centre, spread, size=(n, 2)) for centre in centres]
    return np.concatenate(points), [f"c{i}" for i in range(len(centres)) for _ in range(n)]


def test_average_precision_of_a_hand_worked_ranking() -> None:
    # On a line: the query at 0 (a) sees a, b, a, b at 1, 2, 3, 4.
    vectors = np.asarray([[0.0], [1.0], [2.0], [3.0], [4.0]])
    labels, groups = ["a", "a", "b", "a", "b"], list("vwxyz")
    found = retrieve(vectors, labels, groups, depth=3)
    # a at 0: a b a -> (1 + 2/3) / 2.  a at 1: tie of 0 (a) and 2 (b), first wins -> a b a.
    # b at 2: tie of a at 1 and 3, then a tie of 0 and 4: a a a -> 0.  a at 3: b b a: 2, 4, 1.
    # b at 4: a b a -> 1/2.
    first = (1 + 2 / 3) / 2
    expected = [first, first, 0.0, (1 / 3) / 2, (1 / 2) / 1]
    assert found.mean_average_precision == pytest.approx(np.mean(expected))
    by_class_mean = (np.mean([first, first, 1 / 6]) + np.mean([0, 1 / 2])) / 2
    assert found.balanced_mean_average_precision == pytest.approx(by_class_mean)
    assert found.nearest_accuracy == pytest.approx(2 / 5)
    assert found.n_queries == 5


def test_retrieval_is_one_for_clouds_far_apart_and_leaves_copies_out() -> None:
    vectors, labels = clouds(12, [0.0, 100.0, 200.0])
    groups = [str(index) for index in range(36)]
    perfect = retrieve(vectors, labels, groups)
    assert perfect.mean_average_precision == perfect.nearest_accuracy == 1.0
    # Each glitch of class c1 is near only to its own copies; without them its neighbours are far.
    pairs = [str(index // 2) for index in range(36)]
    rng = np.random.default_rng(1)
    copies = np.repeat(rng.normal(size=(18, 8)), 2, axis=0)
    mixed = [("x", "y")[index // 2 % 2] for index in range(36)]
    assert retrieve(copies, mixed, groups).nearest_accuracy == 1.0
    assert retrieve(copies, mixed, pairs).nearest_accuracy < 0.8


def test_a_class_of_one_group_does_not_ask() -> None:
    vectors, labels = clouds(4, [0.0, 50.0])
    groups = ["same"] * 4 + list("wxyz")
    assert retrieve(vectors, labels, groups).n_queries == 4
    with pytest.raises(GlitchError, match="nothing to retrieve"):
        retrieve(vectors[:4], labels[:4], groups[:4])


def test_clusters_agree_with_clouds_and_not_with_chance() -> None:
    vectors, labels = clouds(30, [0.0, 20.0, 40.0])
    perfect = cluster_agreement(vectors, labels)
    assert perfect.adjusted_rand_index == perfect.normalised_mutual_information == 1.0
    assert perfect.n_clusters == 3
    shuffled = np.random.default_rng(0).permutation(labels).tolist()
    assert abs(cluster_agreement(vectors, shuffled).adjusted_rand_index) < 0.05
    with pytest.raises(GlitchError, match="cannot make 200"):
        cluster_agreement(vectors, labels, n_clusters=200)


def test_a_hidden_class_in_another_direction_is_novel_and_one_among_others_is_not() -> None:
    rng = np.random.default_rng(0)
    axes = np.eye(4)
    parts = [axes[i] * 5 + rng.normal(0, 0.2, size=(30, 4)) for i in range(3)]
    # at the same place as the third class
    parts.append(axes[2] * 5 + rng.normal(0, 0.2, size=(30, 4)))
    vectors, labels = np.concatenate(parts), [name for name in "abcd" for _ in range(30)]
    groups = [str(index) for index in range(120)]
    is_reference = np.arange(120) % 2 == 0
    found = {one.label: one for one in leave_one_class_out(vectors, labels, groups, is_reference)}
    assert found["a"].auroc == found["b"].auroc == 1.0
    assert 0.2 < found["c"].auroc < 0.9  # hidden by the class at the same place
    assert (found["a"].n_novel, found["a"].n_known) == (15, 45)
    with pytest.raises(GlitchError, match="among the glitches to score"):
        leave_one_class_out(vectors, labels, ["same"] * 120, is_reference)
    with pytest.raises(GlitchError, match="none can be hidden"):
        leave_one_class_out(vectors, labels, groups, is_reference, min_groups=99)


def tiny_model() -> ViewsVAE:
    torch.manual_seed(0)
    architecture = Architecture(
        n_frequency=16, n_time=16, channels=(4,), painter_channels=(4,), hidden=8, latent=3
    )
    model = ViewsVAE(architecture)
    return model.eval()


def tiny_pack(n: int) -> Pack:
    values = np.random.default_rng(0).integers(0, 255, (n, 4, 16, 16)).astype(np.uint8)
    names = tuple(str(index) for index in range(n))
    return Pack(values, np.ones((n, 4, 16), dtype=np.bool_), names, names)


def test_a_run_logs_the_evidence_bound_that_its_examination_reports() -> None:
    model, drawn = tiny_model(), tiny_pack(24)
    # not at the initial weights, where a draw gives the same picture as its mean
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    labels = tuple("ab"[index % 2] for index in range(24))
    glitches = Pack(drawn.values, drawn.observed, labels, drawn.groups)
    logged = evaluate_model(model, glitches, glitches)
    measured = measure_rates(model, glitches, n_draws=1)
    assert abs(measured.distortion - encode_pack(model, glitches).distortion.mean()) > 1
    for name in ("rate", "distortion", "elbo", "active_units"):
        assert logged[name] == pytest.approx(getattr(measured, name))


def test_an_untrained_model_spends_nothing_and_its_elbo_is_the_likelihood() -> None:
    model, pack = tiny_model(), tiny_pack(5)
    found = measure_rates(model, pack)
    assert found.rate == pytest.approx(0, abs=1e-6)
    assert found.active_units == 0
    pixels, rows = model.prepare(*pack.tensors(np.arange(5)))
    nothing = torch.zeros_like(pixels)  # the output of an untrained model
    expected = float(model.likelihood.distortion(pixels, nothing, rows).mean().detach())
    assert found.distortion == pytest.approx(expected, rel=1e-5)
    assert found.elbo == pytest.approx(-expected, rel=1e-5)


def test_rates_are_the_sum_of_their_latents() -> None:
    model, pack = tiny_model(), tiny_pack(70)  # more than fit one chunk
    with torch.no_grad():
        model.correction.weight.normal_(0, 0.3)
        model.correction.bias.fill_(0.5)
    found = measure_rates(model, pack)
    pixels, rows = model.prepare(*pack.tensors(np.arange(70)))
    direct = kl_to_standard_normal(model.encode(pixels, rows)).detach().numpy()
    assert found.rate == pytest.approx(direct.sum(axis=1).mean(), rel=1e-5)
    assert found.rate_of_latents == pytest.approx(direct.mean(axis=0), rel=1e-5)


def test_each_class_has_its_recall_precision_and_commonest_mistake() -> None:
    vectors, labels = clouds(20, [0.0, 10.0])
    is_known = np.arange(40) % 2 == 0
    moved = vectors.copy()
    moved[1] += 10  # one held-out c0 looks like a c1
    rows = {
        row.label: row for row in by_class("all", moved, labels, is_known) if row.probe == "linear"
    }
    assert rows["c0"].recall == pytest.approx(9 / 10)
    assert rows["c0"].precision == 1.0
    assert rows["c0"].most_frequent_mistake == "c1"
    assert rows["c1"].recall == 1.0
    assert rows["c1"].precision == pytest.approx(10 / 11)
    assert rows["c1"].most_frequent_mistake == ""
    assert by_class("all", moved, ["c0"] * 40, is_known) == []


def test_points_of_a_curve_stand_in_order() -> None:
    points = [
        CurvePoint("r", kind, "beta", value, seed, 1.0, math.nan)
        for kind, value, seed in (("b", 4, 0), ("a", 16, 1), ("a", 1, 0), ("a", 16, 0))
    ]
    assert [(p.objective, p.value, p.seed) for p in in_order(points)] == [
        ("a", 1, 0),
        ("a", 16, 0),
        ("a", 16, 1),
        ("b", 4, 0),
    ]
