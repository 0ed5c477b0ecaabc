"""The losses of preferences by the name that a recipe gives them."""

from collections.abc import Callable

from preceptor.objectives.preferences.dpo import Dpo, LengthNormalisedDpo
from preceptor.objectives.preferences.ipo import Ipo
from preceptor.objectives.preferences.kinds import PreferenceKind
from preceptor.objectives.preferences.kto import Kto
from preceptor.objectives.preferences.noisy_dpo import ConservativeDpo, RobustDpo
from preceptor.objectives.preferences.odpo import Odpo
from preceptor.objectives.preferences.orpo import Orpo
from preceptor.objectives.preferences.pairs import PairLoss
from preceptor.objectives.preferences.simpo import SimPo
from preceptor.training.dpo.settings import DpoSettings, given

_PAIR_LOSSES: dict[PreferenceKind, Callable[[DpoSettings], PairLoss]] = {
    "sigmoid": lambda settings: Dpo(settings.beta),
    "conservative": lambda settings: ConservativeDpo(settings.beta, settings.label_smoothing),
    "robust": lambda settings: RobustDpo(settings.beta, settings.label_smoothing),
    "sigmoid_norm": lambda settings: LengthNormalisedDpo(settings.beta),
    "ipo": lambda settings: Ipo(settings.beta),
    "odpo": lambda settings: Odpo(settings.beta, given(settings.offset_scale, 1.0)),
    "simpo": lambda settings: SimPo(settings.beta, given(settings.target_margin, settings.beta / 2.0)),
    "orpo": lambda settings: Orpo(settings.beta),
}


def pair_loss(settings: DpoSettings) -> PairLoss:
    """The loss of pairs that the settings name.

    Raises: ValueError for `kto`, which has no pairs.
    """
    if settings.kind not in _PAIR_LOSSES:
        raise ValueError(f"{settings.kind} is no loss of pairs")
    return _PAIR_LOSSES[settings.kind](settings)


def kto_loss(settings: DpoSettings) -> Kto:
    """KTO with the settings' numbers."""
    return Kto(settings.beta, given(settings.desirable_weight, 1.0), given(settings.undesirable_weight, 1.0))
