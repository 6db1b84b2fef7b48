"""TensorBoard's own reader finds each reported value once, also after a run was continued."""

from pathlib import Path

import pytest
import torch

from training.core.logs import EVENTS_FOLDER, tensorboard_log
from training.core.state import STATE_FILE, save_state


def read(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / EVENTS_FOLDER))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_figures_are_sections_of_scalars_and_a_continued_run_replaces_its_tail(
    tmp_path: Path,
) -> None:
    with tensorboard_log(tmp_path) as report:
        for step in (50, 100, 150):
            report(step, {"loss": float(step), "validation.linear.accuracy": 0.5})
    weights = torch.nn.Linear(1, 1)
    save_state(tmp_path / STATE_FILE, weights, torch.optim.Adam(weights.parameters()), 100, 0.0)
    with tensorboard_log(tmp_path) as report:
        report(150, {"loss": -1.0, "rate": float("nan")})
    found = read(tmp_path)
    assert found["training/loss"] == [(50, 50.0), (100, 100.0), (150, -1.0)]
    assert found["validation/linear.accuracy"][0] == (50, pytest.approx(0.5))
    assert "training/rate" not in found  # NaN cannot be drawn
