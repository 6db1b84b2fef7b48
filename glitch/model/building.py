"""Construction of a model from a manifest or a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glitch.model.architecture import Architecture, ViewsVAE
from glitch.model.scattering_vae import ScatteringArchitecture, ScatteringVAE
from glitch.model.views_model import ViewsModel

AnyArchitecture = Architecture | ScatteringArchitecture


def architecture_kind(content: Mapping[str, Any]) -> type[AnyArchitecture]:
    """Return the architecture class of a parsed description.

    Descriptions of the first architecture, the convolutional one, have no ``front_end``.
    """
    return ScatteringArchitecture if "front_end" in content else Architecture


def build_model(architecture: AnyArchitecture) -> ViewsModel:
    """Build the model of an architecture, with initial weights from torch's global generator."""
    if isinstance(architecture, ScatteringArchitecture):
        return ScatteringVAE(architecture)
    return ViewsVAE(architecture)
