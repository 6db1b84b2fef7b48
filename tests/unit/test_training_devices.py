"""Training on other devices, without a GPU: torch's "meta" device refuses tensors of the host.

It computes shapes and no values, so if a step succeeds on it, no tensor was left on the host.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.fx.experimental import _config as shapes
from typer.testing import CliRunner

from glitch.errors import GlitchError
from glitch.model import ViewsVAE
from tests.unit import test_training_guided as guided
from tests.unit import test_training_loop as loop
from training.cli import app
from training.core.budget import Budget
from training.core.devices import CPU, device_named, device_of, on_host
from training.core.loop import Task, TrainingError
from training.core.objectives import Discriminator
from training.data.sampling import BatchSource
from training.dsprites import PictureArchitecture, PictureVAE
from training.dsprites.task import picture_outcome
from training.reproduction.table1.command import tier_named, with_budget
from training.views.guided_task import GuidedTask
from training.views.task import ViewsTask
from training.views.train import train

META = torch.device("meta")


@pytest.fixture(autouse=True)
def _computes_shapes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace autocast, which the meta device lacks even if disabled, and assume masks of ones."""
    monkeypatch.setattr(torch, "autocast", lambda *_how, **_named: nullcontext())
    with shapes.patch(meta_nonzero_assume_all_nonzero=True):
        yield


def views_task(_folder: Path) -> ViewsTask:
    config = loop.toy_config()
    source = BatchSource(
        loop.toy_pack(),
        None,
        real_share=1.0,
        batch_size=8,
        augmentation=config.augmentation,
        seed=0,
    )
    return ViewsTask(config, ViewsVAE(config.architecture), source)


def guided_task(folder: Path) -> GuidedTask:
    return GuidedTask(guided.config(), guided.REAL, None, guided.SIMULATED, folder=folder)


@pytest.mark.parametrize("build", [views_task, guided_task])
def test_a_step_leaves_nothing_on_the_host(tmp_path: Path, build: Callable[[Path], Task]) -> None:
    task = build(tmp_path)
    task.start()
    task.outcome(0, torch.Generator(), is_half_precision=False)  # prepares features on the host
    task.model.to(META)
    outcome = task.outcome(1, torch.Generator().manual_seed(0), is_half_precision=False)
    loss = outcome.distortion.mean() + outcome.rate.mean()
    if outcome.guidance is not None:
        loss = loss + outcome.guidance
    loss.backward()
    assert {loss.device, outcome.draw.device, outcome.distortion.device} == {META}
    learnt = [weight for weight in task.model.parameters() if weight.grad is not None]
    assert len(learnt) > 4
    assert {weight.grad.device for weight in learnt} == {META}


def test_pictures_and_the_discriminator_leave_nothing_on_the_host() -> None:
    model = PictureVAE(PictureArchitecture("burgess", 32)).to(META)
    pictures, generator = torch.zeros(4, 1, 32, 32, device=META), torch.Generator()
    outcome = picture_outcome(model, pictures, generator, is_half_precision=False)
    ratio = Discriminator(10).to(META).log_ratio(outcome.draw)
    (outcome.distortion.mean() + ratio.mean()).backward()
    assert outcome.distortion.device == ratio.device == META


def test_a_tensor_left_on_the_host_would_be_seen(tmp_path: Path) -> None:
    task = views_task(tmp_path)
    task.model.to(META)
    with pytest.raises(RuntimeError, match="device"):
        task.model.encode(*task.model.prepare(torch.rand(2, 4, 16, 16), torch.ones(2, 4, 16) > 0))


def test_weights_are_the_same_objects_on_the_host_and_back() -> None:
    model = ViewsVAE(loop.toy_config().architecture)
    weights = list(model.parameters())
    with on_host(model):
        assert device_of(model) == CPU
    assert all(one is other for one, other in zip(model.parameters(), weights, strict=True))


def test_a_device_that_is_not_here_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(GlitchError, match=r"no device 'cuda:99' here.*leave --device out"):
        device_named("cuda:99")
    with pytest.raises(GlitchError, match="no device 'quantum' here"):
        Budget(device="quantum")
    outcome = CliRunner().invoke(app, ["train", str(tmp_path / "x.yaml"), "--device", "cuda:99"])
    assert outcome.exit_code == 1
    assert "There is no device 'cuda:99' here" in outcome.stderr.replace("\n", " ")


def test_a_tier_carries_its_device() -> None:
    assert with_budget(tier_named("smoke"), Budget(device="cpu")).device == "cpu"


def test_several_processes_share_a_run_on_processors_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.views.train.n_processes", lambda: 2)
    packs = {"real_train": loop.toy_pack(), "validation": None, "simulated": None}
    with pytest.raises(TrainingError, match="only train on CPUs"):
        train(loop.toy_config(), tmp_path, **packs, device=META)
