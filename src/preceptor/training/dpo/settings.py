"""Settings of direct preference optimisation and its relatives."""

from typing import Literal

from pydantic import Field, model_validator

from preceptor.core.types import Integer, Real, Tokens
from preceptor.objectives.preferences.kinds import KINDS, PreferenceKind
from preceptor.training.optimizer_settings import OptimizerSettings


def _absent(value: object) -> bool:
    return value is None


def given(value: float | None, otherwise: float) -> float:
    """The value of a setting that may be absent."""
    return otherwise if value is None else value


class DpoSettings(OptimizerSettings):
    """How a policy learns from pairs (Rafailov et al. 2023), or from responses by themselves."""

    learning_rate: Real = Field(default=1e-5, gt=0, le=10)
    """Peak learning rate, suited to adapters; for full tuning (`tuning.method = "full"`) a tenth of it is usual."""
    epochs: Integer = Field(default=1, ge=1, le=10_000)
    """Passes over the pairs."""
    batch_size: Integer = Field(default=32, ge=1, le=1_000_000)
    """Pairs per update, over all processes and parts; the last update of an epoch may have fewer. For `kto`, twice as
    many responses."""
    beta: Real = Field(default=0.1, gt=0, le=1e6)
    """β: the cost of moving away from the reference. For `simpo`, the scale of its rewards; for `orpo`, the weight of
    the odds; `simpo` and `sigmoid_norm` have no default."""
    labels: Literal["soft", "hard"] = "soft"
    """`soft` learns the label's probability; `hard` rounds it to 0 or 1 and leaves exact ties out."""
    kind: PreferenceKind = "sigmoid"
    """The loss. `sigmoid` is DPO and trusts the labels; `conservative` and `robust` assume that they are wrong with
    probability `label_smoothing`: the first mixes each label with its opposite, the other removes the expected effect
    of errors from the loss. `sigmoid_norm` is DPO with means over tokens, `ipo` draws the margin to a fixed number,
    `odpo` demands a margin for the difference between the responses. `simpo` and `orpo` need no reference, and `kto`
    needs no pairs."""
    label_smoothing: Real = Field(default=0.0, ge=0, lt=0.5)
    """ε: the probability that a label is wrong."""
    target_margin: Real | None = Field(default=None, ge=0, le=1e6, exclude_if=_absent)
    """For `simpo`: γ, by how much the better response must win; half of β when absent."""
    offset_scale: Real | None = Field(default=None, ge=0, le=1e6, exclude_if=_absent)
    """For `odpo`: α, the margin demanded for a difference of 1; 1 when absent."""
    offset_from: Literal["label", "scores"] | None = Field(default=None, exclude_if=_absent)
    """For `odpo`: what the difference is. `label`, also when absent: how much likelier the better response is better,
    before the label is rounded; `scores`: the difference of the scores in the row's columns."""
    desirable_weight: Real | None = Field(default=None, gt=0, le=1e6, exclude_if=_absent)
    """For `kto`: λ_D, the weight of desirable responses; 1 when absent."""
    undesirable_weight: Real | None = Field(default=None, gt=0, le=1e6, exclude_if=_absent)
    """For `kto`: λ_U, the weight of undesirable responses; 1 when absent."""
    max_length: Tokens = Field(default=1152, ge=2)
    """Most tokens of a prompt and one response; a pair with more is left out."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> "DpoSettings":
        for name in sorted({name for needs in KINDS.values() for name in needs.settings}):
            if getattr(self, name) != type(self).model_fields[name].default and name not in KINDS[self.kind].settings:
                kinds = " or ".join(f'"{kind}"' for kind, needs in KINDS.items() if name in needs.settings)
                raise ValueError(f'{name} has no effect with kind "{self.kind}"; it is for {kinds}')
        return self

    @model_validator(mode="after")
    def _beta_fits_means(self) -> "DpoSettings":
        if KINDS[self.kind].per_token and "beta" not in self.model_fields_set:
            raise ValueError(
                f'kind "{self.kind}" needs its own beta: its rewards are means over tokens, for which the default of '
                f"{self.beta} is far too small; 2 is usual"
            )
        return self
