"""Our renderer against published frames of the real dSprites data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.dsprites.source import render_pose

LARGEST = 5
SQUARE_FIRST_FRAME, ELLIPSE_FIRST_FRAME, HEART_FIRST_FRAME = 274, 210, 18  # orientation 0 of each


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("shape", "first_frame"),
    [(0, SQUARE_FIRST_FRAME), (1, ELLIPSE_FIRST_FRAME), (2, HEART_FIRST_FRAME)],
)
def test_forty_orientations_match_the_published_frames(
    shape: int, first_frame: int, shared_data: Path
) -> None:
    with Image.open(shared_data / "dsprites_samples" / "dsprites.gif") as frames:
        overlaps = []
        for orientation in range(40):
            frames.seek(first_frame + orientation)
            published = np.asarray(frames.convert("L")) > 127
            ours = render_pose(shape, LARGEST, orientation)[0, 0]
            overlaps.append((published & ours).sum() / (published | ours).sum())
    assert np.mean(overlaps) > 0.99
    assert min(overlaps) > 0.95
