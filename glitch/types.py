"""The shape vocabulary. Every signature that takes or gives an array uses one of these names."""

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

ViewsTensor = Float[Tensor, "batch view freq time"]  # normalised energy / 25.5, in [0, 1]
ObservedTensor = Bool[Tensor, "batch view freq"]  # whether that row of that view was measured
LatentTensor = Float[Tensor, "batch latent"]

ViewsArray = Float32[np.ndarray, "view freq time"]
ObservedArray = Bool[np.ndarray, "view freq"]
ViewArray = Float32[np.ndarray, "freq time"]
LatentArray = Float32[np.ndarray, "batch latent"]
StrainArray = Float64[np.ndarray, " sample"]  # dimensionless strain
