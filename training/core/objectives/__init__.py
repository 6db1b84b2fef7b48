"""Published objectives for training, with a common interface."""

from training.core.objectives.aggregate import BetaTCVAE, DipVAEOne, DipVAETwo
from training.core.objectives.beta import BetaAnnealed, BetaVAE
from training.core.objectives.bottleneck import Bottleneck
from training.core.objectives.factor import Discriminator, FactorVAE
from training.core.objectives.outcome import Objective, Outcome

AnyObjective = BetaVAE | BetaAnnealed | Bottleneck | FactorVAE | BetaTCVAE | DipVAEOne | DipVAETwo

OBJECTIVES: dict[str, type[AnyObjective]] = {
    "beta_vae": BetaVAE,
    "beta_annealed": BetaAnnealed,
    "bottleneck": Bottleneck,
    "factor_vae": FactorVAE,
    "beta_tcvae": BetaTCVAE,
    "dip_vae_1": DipVAEOne,
    "dip_vae_2": DipVAETwo,
}

__all__ = [
    "OBJECTIVES",
    "BetaAnnealed",
    "BetaTCVAE",
    "BetaVAE",
    "Bottleneck",
    "DipVAEOne",
    "DipVAETwo",
    "Discriminator",
    "FactorVAE",
    "Objective",
    "Outcome",
]
