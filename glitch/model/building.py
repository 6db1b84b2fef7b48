"""Construction of a model from a manifest or a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glitch.model.architecture import Architecture, ViewsVAE
from glitch.model.scattering_vae import ScatteringArchitecture, ScatteringVAE
from glitch.model.views_model import ViewsModel

AnyArchitecture = Architecture | ScatteringArchitecture


def architecture_kind(content: Mapping[str, Any]) -> type[AnyArchitecture]:
    """Which architecture a parsed description is of.

    The convolutional model of pooled pixels came first, and its descriptions name no front end.
    """
    return ScatteringArchitecture if "front_end" in content else Architecture


def build_model(architecture: AnyArchitecture) -> ViewsModel:
    """The model of an architecture, with its first weights from torch's global generator."""
    if isinstance(architecture, ScatteringArchitecture):
        return ScatteringVAE(architecture)
    return ViewsVAE(architecture)
