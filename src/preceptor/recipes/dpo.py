"""The schema of direct preference optimisation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import model_validator

from preceptor.recipes.base import Decoding, Recipe
from preceptor.recipes.settings import (
    ComparingJudgeSettings,
    PreferenceSettings,
    SftTable,
    with_judge_for_ai_preferences,
)
from preceptor.training.dpo.settings import DpoSettings

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class DpoRecipe(Recipe):
    """Direct preference optimisation: the policy learns preferences without a reward model (Rafailov et al. 2023)."""

    title = "DPO"

    sft: SftTable | None = None
    """Its result becomes the policy and its reference."""
    judge: ComparingJudgeSettings | None = None
    """Needed for AI preferences. With human preferences alone, it is used for measuring only."""
    preferences: PreferenceSettings = PreferenceSettings()
    dpo: DpoSettings = DpoSettings()

    _judge_for_ai_preferences = model_validator(mode="before")(with_judge_for_ai_preferences)

    @property
    def decoding(self) -> Decoding:
        """How the candidates are sampled."""
        default, settings = Decoding(), self.preferences
        return Decoding(settings.max_new_tokens or default.max_new_tokens, settings.temperature or default.temperature)

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes the preferences and how the policy learnt them."""
        yield from self.preferences.describe()
        dpo = self.dpo
        how = f"with β = {dpo.beta} and {dpo.labels} labels, in batches of {dpo.batch_size}"
        yield f"The policy learnt them by DPO {how}."
