"""One glitch as an HDF5 file: its views as uploads are read, and what is known of it."""

from __future__ import annotations

import io
from typing import Any

import h5py
import numpy as np
from sqlalchemy.orm import Session

from app.core.errors import NotFoundError, NotReadyError
from app.glitches.browsing import list_views
from app.glitches.records import EmbeddingRecord, GlitchRecord
from app.glitches.service import get_embedding
from glitch.codec import unpack_view
from glitch.views import Preprocessing


def glitch_hdf5(session: Session, glitch: GlitchRecord) -> bytes:
    """The file's bytes.

    ``views``, ``durations_s``, ``frequency_hz``, ``time_s`` and ``observed`` are as
    docs/science/images.md says; the attributes of the root tell of the glitch, and the group
    ``embedding`` of its place under the active checkpoint, where it has one.
    """
    views = list_views(session, glitch.id)
    recipe = Preprocessing()
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file["views"] = np.stack([unpack_view(one.packed, one.shape) for one in views])
        file["views"].attrs["unit"] = f"normalised energy / {recipe.energy_clip:g}"
        file["observed"] = np.stack([one.observed for one in views])
        file["durations_s"] = np.array([one.duration_s for one in views])
        file["frequency_hz"] = recipe.frequencies_hz()
        file["time_s"] = np.stack([recipe.times_s(one.duration_s) for one in views])
        for name, value in _facts(glitch).items():
            if value is not None:
                file.attrs[name] = value
        embedding = _embedding(session, glitch)
        if embedding is not None:
            group = file.create_group("embedding")
            group["mean"], group["log_variance"] = embedding.mean, embedding.log_variance
            group.attrs["checkpoint"] = embedding.checkpoint
            group.attrs["reconstruction_error"] = embedding.reconstruction_error
            if embedding.novelty.p_value is not None:
                group.attrs["p_value"] = embedding.novelty.p_value
    return out.getvalue()


def _facts(glitch: GlitchRecord) -> dict[str, Any]:
    return {
        "id": str(glitch.id),
        **glitch.plain(),
        "origin": glitch.origin,
        "label": glitch.label,
    }


def _embedding(session: Session, glitch: GlitchRecord) -> EmbeddingRecord | None:
    try:
        return get_embedding(session, glitch.id)
    except (NotFoundError, NotReadyError):
        return None
