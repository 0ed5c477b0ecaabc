"""The schema of direct preference optimisation."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import model_validator

from preceptor.objectives.preferences.kinds import KINDS
from preceptor.recipes.base import Decoding, Recipe
from preceptor.recipes.settings import (
    ComparingJudgeSettings,
    PreferenceSettings,
    SftTable,
    with_judge_for_ai_preferences,
)
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.rl.settings import RLSettings
from preceptor.training.trl.row_checks import check_dpo

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class DpoRecipe(Recipe):
    """Direct preference optimisation: the policy learns preferences without a reward model (Rafailov et al. 2023)."""

    title = "DPO"
    can_think = True
    can_iterate = True

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

    @property
    def learns_unpaired(self) -> bool:
        """By KTO alone."""
        return self.dpo.kind == "kto"

    def check_trl(self, rl: RLSettings | None) -> None:
        """Raises: UsageError saying what the TRL engine cannot do."""
        table = self.preferences
        sources = ((table.ai or bool(table.unpaired), table.ai_weight), (bool(table.human), table.human_weight))
        weights = [weight for there, weight in sources if there]
        earlier = 0.0 if self.rounds is None else self.rounds.earlier_labels
        check_dpo(self.engine, self.dpo, [*weights, *table.weights_of_labelled], earlier)

    def results(self, summary: "RunSummary") -> dict[str, str]:
        """The responses that were learnt by themselves."""
        stage = summary.own_stages.get("unpaired")
        if stage is None:
            return {}
        return {"Responses by themselves": f"{stage['responses']} responses, {stage['desirable']} of them desirable"}

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes the preferences and how the policy learnt them."""
        yield from self.preferences.describe()
        dpo = self.dpo
        how = f"with β = {dpo.beta} and {dpo.labels} labels, in batches of {dpo.batch_size}"
        loss = self.engine.loss_type
        name = KINDS[dpo.kind].title if loss is None else f"the loss {loss}"
        given = [key for key in KINDS[dpo.kind].settings if getattr(dpo, key) is not None]
        yield f"The policy learnt them by {name} {how}{''.join(f', {key} = {getattr(dpo, key)}' for key in given)}."
        if self.engine.is_trl:
            others = "".join(f", with {name} = {value}" for name, value in self.engine.trl.items())
            yield f"TRL's trainer took the steps{others}."
