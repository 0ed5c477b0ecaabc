"""The table [rounds]: training in several rounds, each with the policy that the one before it kept."""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen, Integer, Real
from preceptor.recipes.settings import (
    ComparingJudgeSettings,
    PreferenceSettings,
    RewardingJudgeSettings,
    RowsName,
)

if TYPE_CHECKING:
    from preceptor.recipes.base import Recipe


class RoundsSettings(Frozen):
    """Training in rounds: each samples from the newest policy, has the responses judged, learns, and is measured on the
    same held-out prompts. `rounds = 3` is short for `count = 3`.
    """

    count: Integer = Field(ge=2, le=100)
    """The most rounds. Training ends earlier if the lower bound of the gain no longer rises, a bound breaks, or a round
    keeps the policy that it began with, unless evaluation.stop_early is false."""
    reference: Literal["last", "first"] = "last"
    """What a round's KL and its DPO loss refer to: the policy that the round began with, or the first policy."""
    judge: Literal["fixed", "policy"] = "fixed"
    """Who judges: in every round the same judge, or the newest policy itself (self-rewarding, Yuan et al. 2024), which
    needs a held-out judge that is another model."""
    earlier_labels: Real = Field(default=0.0, ge=0, le=1)
    """How much the labels of earlier rounds count: with each round, their weight is multiplied by this. 0 drops them, 1
    keeps them as they are."""
    prompts: RowsName | None = Field(default=None, exclude_if=lambda name: name is None)
    """Prompts for the rounds after the first, such as a cohort that grows. It is read anew when a round begins, and the
    round trains on the prompts that no round before it trained on. When absent, every round has the same prompts."""
    prompts_each: Integer | None = Field(default=None, ge=1, le=10**9, exclude_if=lambda most: most is None)
    """The most new prompts of a round, chosen by a stable hash; all when absent."""

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_the_count(cls, values: Any) -> Any:
        return {"count": values} if isinstance(values, int) and not isinstance(values, bool) else values

    @model_validator(mode="after")
    def _each_needs_prompts(self) -> "RoundsSettings":
        if self.prompts_each is not None and self.prompts is None:
            raise ValueError("prompts_each limits the new prompts of a round, and prompts names none")
        return self


def check_rounds(recipe: "Recipe", rounds: RoundsSettings) -> None:
    """Checks that a recipe's method can be run in rounds as its table says.

    Raises: UsageError saying what does not fit.
    """
    if not recipe.can_iterate:
        raise UsageError(
            f"[rounds]: {recipe.title} runs once; methods with rounds are rlaif, dpo, direct_rlaif, best_of_n"
        )
    if recipe.begin is not None:
        raise UsageError(
            "begin is for a single run; leave it out, since each of the [rounds] begins with the one before"
        )
    if rounds.reference == "first" and not recipe.chooses_checkpoint:
        raise UsageError(
            f'rounds.reference = "first": {recipe.title} learns without a reference, and each round fine-tunes the '
            'model of the round before; set it to "last", or leave it out'
        )
    preferences = recipe.table(PreferenceSettings)
    if preferences is None and rounds.earlier_labels:
        raise UsageError(
            f"rounds.earlier_labels = {rounds.earlier_labels:g}: {recipe.title} keeps no labels that a later round "
            "could learn; leave it out"
        )
    if preferences is not None and not preferences.ai:
        raise UsageError(
            "[rounds]: with preferences.ai = false nothing is labelled, so every round would learn the same; set it to "
            "true"
        )
    if rounds.judge == "policy":
        _check_self_rewarding(recipe)


def _check_self_rewarding(recipe: "Recipe") -> None:
    """Checks that a policy that judges itself is watched by another model."""
    judge, watching, says = recipe.training_judge, recipe.evaluation.judge, 'rounds.judge = "policy"'
    if judge is None:
        raise UsageError(f"{says}: no judge takes part in this training; leave it out")
    if watching is None:
        raise UsageError(
            f"{says}: a policy that judges itself learns to please itself, and only a judge from outside can see it "
            "drift; name another model with evaluation.judge.model"
        )
    if watching.model == recipe.policy:
        raise UsageError(
            f'{says}: evaluation.judge.model = "{watching.model}" is the policy before training, which is not from '
            "outside; name another model"
        )
    if judge.model != recipe.policy:
        raise UsageError(
            f'{says}: the judge is then the policy ("{recipe.policy}"), and judge.model says "{judge.model}"; set both '
            "to the same model, or leave rounds.judge out"
        )
    if recipe.sft_first is not None:
        raise UsageError(
            f"{says} with [sft]: run the fine-tuning first, by the recipe sft, and name its model as the policy and "
            "the judge"
        )
    if recipe.licence_asked_for is not None and not recipe.licence_asked_for.waived:
        raise UsageError(
            f"{says}: a licence is for one judge, and this one changes with each round; set licence.waived = true to "
            "go without, which the report says first"
        )
    cascade = judge.cascade if isinstance(judge, ComparingJudgeSettings) else None
    escalation = judge.escalation if isinstance(judge, RewardingJudgeSettings) else None
    if judge.bias is not None:
        raise UsageError(f"{says}: judge.bias corrects one judge, and this one changes with each round; leave it out")
    if cascade is not None or escalation is not None:
        raise UsageError(f"{says}: judge.cascade and judge.escalation bring in other judges; leave them out")
