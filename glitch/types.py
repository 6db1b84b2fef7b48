"""The array types: every signature with an array uses one of these names.

Tensor types are created on first use: importing torch takes seconds and memory, and code that
handles only arrays (the database, the command line) does not need it.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

ViewsArray = Float32[np.ndarray, "view freq time"]
ObservedArray = Bool[np.ndarray, "view freq"]
ViewArray = Float32[np.ndarray, "freq time"]
LatentArray = Float32[np.ndarray, "batch latent"]
StrainArray = Float64[np.ndarray, " sample"]  # dimensionless strain

if TYPE_CHECKING:
    from torch import Tensor

    ViewsTensor = Float[Tensor, "batch view freq time"]  # normalised energy / 25.5, in [0, 1]
    ObservedTensor = Bool[Tensor, "batch view freq"]  # whether that row of that view was measured
    LatentTensor = Float[Tensor, "batch latent"]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    from torch import Tensor

    tensors = {
        "ViewsTensor": Float[Tensor, "batch view freq time"],
        "ObservedTensor": Bool[Tensor, "batch view freq"],
        "LatentTensor": Float[Tensor, "batch latent"],
    }
    if name not in tensors:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update(tensors)
    return tensors[name]
