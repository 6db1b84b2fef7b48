"""Adam as training uses it: the same numbers as PyTorch's, without importing its compiler."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from training.core.adam import Adam

# All methods that training calls, since any of them could import the compiler.
TRAINING = """
import sys, torch
from training.core.adam import Adam
weight = torch.ones(2, requires_grad=True)
optimiser = Adam([weight], fused=True)
optimiser.zero_grad(set_to_none=True)
weight.square().sum().backward()
optimiser.step()
optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_no_compiler_is_imported() -> None:
    found = subprocess.run([sys.executable, "-c", TRAINING], check=True, capture_output=True)
    assert found.stdout.split() == [b"False"]


@pytest.mark.parametrize(
    ("theirs", "changes"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.AdamW, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ],
)
def test_adam_agrees_with_pytorch(theirs: type, changes: dict[str, float]) -> None:
    def trained(kind: type, **settings: float) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1))
        optimiser = kind(model.parameters(), lr=0.01, fused=True, **settings)
        for _ in range(5):
            optimiser.zero_grad(set_to_none=True)
            model(torch.ones(3, 5)).square().mean().backward()
            optimiser.step()
        state = optimiser.state_dict()["state"].values()
        return [*model.parameters(), *(value for kept in state for value in kept.values())]

    settings = {name: value for name, value in changes.items() if name == "weight_decay"}
    for ours, other in zip(trained(Adam, **changes), trained(theirs, **settings), strict=True):
        assert not ours.requires_grad or ours.abs().sum() > 0
        assert torch.equal(ours, other)
