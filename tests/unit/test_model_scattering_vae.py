"""ScatteringVAE: absent views, independence of the batch, distance, refused configurations."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from glitch.checkpoint import load_checkpoint, save_checkpoint
from glitch.errors import CheckpointError, GlitchError
from glitch.model import ScatteringArchitecture, ScatteringVAE
from glitch.views import Preprocessing
from tests.unit.test_checkpoint import edit_manifest

SMALL = ScatteringArchitecture(
    n_frequency=32,
    n_time=32,
    scales=2,
    directions=2,
    axes=6,
    hidden=8,
    latent=5,
    painter_centres=4,
    painter_axes=3,
    classes=("Blip", "Whistle"),
    parameters=("snr",),
)


def stirred(seed: int = 0, trunk: int = 0) -> ScatteringVAE:
    """Build a model whose front end passes signals, as if it had been fitted."""
    torch.manual_seed(seed)
    model = ScatteringVAE(replace(SMALL, trunk=trunk))
    model.projection.normal_()
    return model.eval()


@pytest.fixture(scope="module", params=[0, 3], ids=["no trunk", "trunk"])
def model(request: pytest.FixtureRequest) -> ScatteringVAE:
    return stirred(trunk=request.param)


def batch(n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    observed = torch.ones(n, 4, 32, dtype=torch.bool)
    observed[0, 2] = False
    observed[1, :3] = False
    values = torch.rand(n, 4, 32, 32, generator=generator) * observed[..., None]
    return values, observed


def test_shapes_and_length(model: ScatteringVAE) -> None:
    pixels, rows = model.prepare(*batch())
    posterior = model.encode(pixels, rows)
    assert posterior.mean.shape == posterior.log_variance.shape == (3, 5)
    torch.testing.assert_close(posterior.mean.square().sum(dim=1), torch.full((3,), 5.0))
    painted = model.decode(posterior.mean, rows.any(dim=2))
    assert painted.shape == (3, 4, 16, 16)
    assert not painted[~rows.any(dim=2)].any()
    member, view = rows.any(dim=2).nonzero(as_tuple=True)
    assert model.explain(posterior.mean, member, view).shape == (len(member), 7)


def test_euclid_and_angle_order_neighbours_alike(model: ScatteringVAE) -> None:
    pixels, rows = model.prepare(*batch(9))
    means = model.encode(pixels, rows).mean
    directions = torch.nn.functional.normalize(means, dim=1)
    cosine = 1 - directions @ directions.T
    torch.testing.assert_close(torch.cdist(means, means).square(), 10 * cosine, atol=1e-3, rtol=0)


def test_a_subset_of_the_batch_gives_the_same_rows(model: ScatteringVAE) -> None:
    values, observed = batch(5)
    together = model.encode(*model.prepare(values, observed))
    apart = model.encode(*model.prepare(values[1:3], observed[1:3]))
    torch.testing.assert_close(apart.mean, together.mean[1:3])
    torch.testing.assert_close(apart.log_variance, together.log_variance[1:3])


def test_an_absent_view_says_nothing(model: ScatteringVAE) -> None:
    pixels, rows = model.prepare(*batch())
    other = pixels.clone()
    other[~rows.any(dim=2)] = 0.5
    assert torch.equal(model.encode(pixels, rows).mean, model.encode(other, rows).mean)


def test_the_window_is_known(model: ScatteringVAE) -> None:
    values, observed = (one[2:] for one in batch(3))
    shown = torch.zeros_like(observed)
    means = []
    for view in (0, 3):
        only = shown.clone()
        only[:, view] = True
        same = values[:, :1].expand(-1, 4, -1, -1) * only[..., None]
        means.append(model.encode(*model.prepare(same, only)).mean)
    assert not torch.allclose(*means)


def test_checkpoints_keep_it_and_an_unknown_front_end_is_a_sentence(
    model: ScatteringVAE, tmp_path: Path
) -> None:
    save_checkpoint(
        tmp_path,
        model,
        name="small",
        preprocessing=Preprocessing(n_frequency=32, n_time=32),
        training={},
        schedule={},
        metrics={},
        licence="GPL-3.0-or-later",
    )
    loaded = load_checkpoint(tmp_path)
    assert isinstance(loaded.model, ScatteringVAE)
    assert loaded.manifest.architecture == model.architecture
    pixels, rows = model.prepare(*batch())
    torch.testing.assert_close(
        loaded.model.encode(pixels, rows).mean, model.encode(pixels, rows).mean
    )
    edit_manifest(tmp_path, architecture=asdict(SMALL) | {"front_end": "curvelets"})
    with pytest.raises(CheckpointError, match=r"front end 'curvelets'.*Upgrade"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": 0}, "axes"),
        ({"trunk": -1}, "trunk"),
        ({"dropout": 1.0}, "dropout"),
        ({"independent_share": 0.0}, "independent_share"),
        ({"painter_axes": 0}, "painter_axes"),
        ({"n_time": 100}, "halved 3 times"),
    ],
)
def test_impossible_architectures_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(GlitchError, match=message):
        ScatteringArchitecture(**changes)  # type: ignore[arg-type]
