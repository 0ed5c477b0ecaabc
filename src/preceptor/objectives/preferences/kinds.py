"""What each loss of preferences needs. Needs no torch, so that recipes are checked before torch is loaded."""

from dataclasses import dataclass
from typing import Literal

PairKind = Literal["sigmoid", "conservative", "robust", "sigmoid_norm", "ipo", "odpo", "simpo", "orpo"]
"""Losses of pairs."""
PreferenceKind = PairKind | Literal["kto"]
"""All losses; `kto` learns each response by itself."""


@dataclass(frozen=True)
class KindNeeds:
    """What a loss needs, and which settings it has besides β."""

    title: str
    """What it is called in sentences."""
    reference: bool = True
    """Whether it compares the policy with the reference. If not, the reference's log-probabilities are not computed."""
    per_token: bool = False
    """Whether its rewards are means over tokens: these are so small that β needs a value of its own."""
    settings: tuple[str, ...] = ()
    """The settings that only some losses have."""


KINDS: dict[PreferenceKind, KindNeeds] = {
    "sigmoid": KindNeeds("DPO"),
    "conservative": KindNeeds("conservative DPO", settings=("label_smoothing",)),
    "robust": KindNeeds("robust DPO", settings=("label_smoothing",)),
    "sigmoid_norm": KindNeeds("length-normalised DPO", per_token=True),
    "ipo": KindNeeds("IPO"),
    "odpo": KindNeeds("DPO with an offset", settings=("offset_scale", "offset_from")),
    "simpo": KindNeeds("SimPO", reference=False, per_token=True, settings=("target_margin",)),
    "orpo": KindNeeds("ORPO", reference=False),
    "kto": KindNeeds("KTO", settings=("desirable_weight", "undesirable_weight")),
}
"""The losses by name. Each takes labels that are probabilities."""
