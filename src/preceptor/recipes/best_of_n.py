"""The schema of best of n."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from preceptor.core.types import Frozen, Integer, Temperature, Tokens
from preceptor.recipes.base import Decoding, Recipe
from preceptor.recipes.judge_modes import check_mode
from preceptor.recipes.settings import ChoosingJudgeSettings, FileName, SftTable
from preceptor.training.rl.settings import RLSettings
from preceptor.training.sft.settings import SftSettings
from preceptor.training.trl.row_checks import check_sft

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary


class BestOfNSettings(Frozen):
    """How the best response is chosen."""

    samples: Integer = Field(default=8, ge=2, le=1_000)
    """Responses to each training prompt (n)."""
    temperature: Temperature = 0.9
    max_new_tokens: Tokens = 128
    prompts_at_once: Integer = Field(default=32, ge=1, le=65_536)
    """Prompts between two saves."""
    reward_model: FileName | None = None
    """Folder of a reward model that chooses in place of the judge."""


class BestOfNRecipe(Recipe):
    """Best of n: the policy learns the best of its own responses (Nakano et al. 2021; RAFT, Dong et al. 2023)."""

    title = "best of n"
    can_think = True
    can_iterate = True
    chooses_checkpoint = False

    sft: SftTable | None = None
    """The resulting model samples the responses, and the KL is measured to it."""
    judge: ChoosingJudgeSettings = ChoosingJudgeSettings()
    best_of_n: BestOfNSettings = BestOfNSettings()
    fine_tuning: SftSettings = SftSettings()
    """Fine-tuning of the policy on the best responses."""

    @property
    def training_judge(self) -> ChoosingJudgeSettings | None:
        """The judge, unless a reward model chooses."""
        return self.judge if self.best_of_n.reward_model is None else None

    @property
    def decoding(self) -> Decoding:
        """How the candidates to choose from are sampled."""
        return Decoding(self.best_of_n.max_new_tokens, self.best_of_n.temperature)

    @property
    def other_models(self) -> tuple[str, ...]:
        """The reward model that chooses, if there is one."""
        return () if self.best_of_n.reward_model is None else (self.best_of_n.reward_model,)

    def check(self) -> None:
        """Raises: UsageError when a design does not fit the judge's mode or variant, or as `Recipe.check`."""
        check_mode(self.judge)
        super().check()

    def check_trl(self, rl: RLSettings | None) -> None:
        """Raises: UsageError saying what the TRL engine cannot do."""
        check_sft(self.engine, "fine_tuning")

    def describe(self, summary: "RunSummary") -> Iterator[str]:
        """Describes sampling and choosing, then fine-tuning."""
        judge = f"the judge, by the design {self.judge.design}," if self.judge.compares else "the judge"
        judge = "the judge, by the rubric of the prompt," if self.judge.by_rubric else judge
        who = "a reward model" if self.best_of_n.reward_model else judge
        yield f"The policy answered each training prompt {self.best_of_n.samples} times; {who} chose the best answer."
        yield "The policy was fine-tuned on these. The KL is to the policy before."
