"""Six disentanglement metrics over a cached encoding of a full factor grid.

Definitions follow the reference study (Locatello et al. 2019, ``disentanglement_lib``); every
metric is tested against values of that implementation. All scores are higher for a more
disentangled representation.
"""

from training.evaluation.disentanglement.dci import DciTrees, dci_disentanglement
from training.evaluation.disentanglement.grid import EncodedGrid
from training.evaluation.disentanglement.information import (
    ModularityScore,
    modularity,
    mutual_information_gap,
)
from training.evaluation.disentanglement.intervention import (
    FactorVaeScore,
    beta_vae_score,
    factor_vae_score,
)
from training.evaluation.disentanglement.sap import separated_attribute_predictability

__all__ = [
    "DciTrees",
    "EncodedGrid",
    "FactorVaeScore",
    "ModularityScore",
    "beta_vae_score",
    "dci_disentanglement",
    "factor_vae_score",
    "modularity",
    "mutual_information_gap",
    "separated_attribute_predictability",
]
