"""The settings that every recipe has, and the questions that a run and its report ask of any recipe.

The schema of a method is a subclass of `Recipe` in its own file. It is composed of tables, mostly those of
`settings.py`: a method that trains by RL has a field of type `RLSettings`, one that learns preferences has a field of
type `PreferenceSettings`. `Recipe` answers most questions from the tables that a schema has (`Recipe.table`); a schema
overrides only the answers that differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pydantic import BaseModel, Field

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen, Integer, Seed
from preceptor.recipes.licence import LicenceSettings
from preceptor.recipes.rounds import RoundsSettings, check_rounds
from preceptor.recipes.settings import (
    EvaluationSettings,
    FileName,
    JudgeSettings,
    PreferenceSettings,
    RewardFunctionSettings,
    RewardModelTable,
    RowsName,
    SftTable,
    TrackingSettings,
)
from preceptor.training.rl.settings import RLSettings, check_algorithm
from preceptor.training.thinking_settings import PolicyThinking
from preceptor.training.trl.checks import check_engine, check_rl
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

if TYPE_CHECKING:
    from preceptor.results.run import RunSummary

Table = TypeVar("Table", bound=BaseModel)


@dataclass(frozen=True)
class Decoding:
    """How responses are sampled from a policy."""

    max_new_tokens: int = 128
    temperature: float = 0.9


class Recipe(Frozen):
    """The settings of a run. The settings that every method has are here."""

    title: ClassVar[str]
    """The method's name in sentences and titles."""
    chooses_checkpoint: ClassVar[bool] = True
    """Whether training leaves checkpoints, of which the best is kept. If not, its result is one whole model."""
    can_think: ClassVar[bool] = False
    """Whether the method can train a policy that thinks before it answers."""
    can_iterate: ClassVar[bool] = False
    """Whether the method can be run in rounds."""

    description: str = ""
    """One line for `preceptor recipes`."""
    policy: FileName = "embedded"
    """A model string; the model that is trained."""
    prompts: RowsName = "package:everyday_prompts"
    """A JSON-lines file of prompts, or a packaged set."""
    limit: Integer | None = Field(default=None, ge=1, le=10**9)
    """How many prompts to use, chosen by a stable hash; all when absent."""
    seed: Seed = 0
    """The seed of everything random."""
    tuning: TuningSettings = TuningSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    tracking: TrackingSettings = TrackingSettings()
    thinking: PolicyThinking | None = Field(default=None, exclude_if=lambda thinking: thinking is None)
    """Whether the policy thinks before it answers; when absent, that is left to its chat template, and all that it says
    is the answer."""
    licence: LicenceSettings | None = Field(default=None, exclude_if=lambda licence: licence is None)
    """The licence that the training judge needs; none when absent."""
    engine: EngineSettings = Field(default=EngineSettings(), exclude_if=lambda engine: engine == EngineSettings())
    begin: FileName | None = Field(default=None, exclude_if=lambda begin: begin is None)
    """Folder of a checkpoint of this policy, with which training begins: adapters, or with `tuning.method = "full"` a
    whole model. The policy itself stays the reference. A run with rounds writes it into its rounds' recipes."""
    rounds: RoundsSettings | None = Field(default=None, exclude_if=lambda rounds: rounds is None)
    """Training in several rounds, each from the newest policy; one run when absent."""
    method: FileName
    """Name of a method that ships with preceptor; or a class of your own, as `path/file.py:ClassName` or
    `package.module:ClassName`."""

    def table(self, kind: type[Table]) -> Table | None:
        """The recipe's table of this kind; None if its method has no such table, or the recipe leaves it out."""
        return next((value for _, value in self if isinstance(value, kind)), None)

    def describe(self, summary: "RunSummary") -> Iterable[str]:
        """What the method did in a finished run, in sentences, step by step. Leaves out the fine-tuning before it
        ([sft]) and how the model was chosen.
        """
        return ()

    def results(self, summary: "RunSummary") -> dict[str, str]:
        """The results of stages that only this method has, in words, by title; those of shipped stages are known."""
        return {}

    def check(self) -> None:
        """Checks that the tables are consistent with each other. Each table has been validated before.

        Raises: UsageError saying what does not fit.
        """
        check_engine(self.engine, self.tuning)
        if self.thinking is not None and not self.can_think:
            raise UsageError(f"[thinking] is for policies that think, which {self.title} cannot train; leave it out")
        if self.unpaired_responses and not self.learns_unpaired:
            raise UsageError(
                'preferences.unpaired has responses by themselves, which only method = "dpo" with dpo.kind = "kto" '
                "learns; leave it out, or set that"
            )
        if self.rounds is not None:
            check_rounds(self, self.rounds)
        if self.begin is not None and not (self.can_iterate and self.chooses_checkpoint):
            raise UsageError(f"begin: {self.title} cannot begin with a checkpoint; leave it out")
        rl = self.table(RLSettings)
        if self.engine.is_trl:
            self.check_trl(rl)
        if rl is None:
            return
        check_algorithm(rl)
        rewards = self.table(RewardFunctionSettings)
        if rewards is not None and rewards.aggregation == "normalize_then_sum" and rl.group_size < 2:
            raise UsageError(
                f'rl.group_size is {rl.group_size}; rewards.aggregation = "normalize_then_sum" normalises in groups '
                "and needs at least 2"
            )

    def check_trl(self, rl: RLSettings | None) -> None:
        """Checks that the TRL engine can take this method's steps.

        Raises: UsageError saying what it cannot do.
        """
        if rl is None:
            raise UsageError(f'engine.name = "trl": {self.title} runs on the native engine only')
        check_rl(self.engine, rl)

    @property
    def training_judge(self) -> JudgeSettings | None:
        """The judge whose opinion the policy learns from; None if no judge takes part in training."""
        return self.table(JudgeSettings)

    @property
    def licence_asked_for(self) -> LicenceSettings | None:
        """The licence that a run of this recipe asks for; None if its judge trains nothing, or the policy is the
        embedded model and no licence is named or waived.
        """
        licence, preferences, rewards = self.licence, self.table(PreferenceSettings), self.table(RewardFunctionSettings)
        labels = preferences is None or preferences.ai or bool(preferences.labelled)
        asked = rewards is None or rewards.feedback_weight > 0
        if licence is None or self.training_judge is None or not (labels and asked):
            return None
        return licence if licence.file or licence.waived or self.policy != "embedded" else None

    @property
    def held_out_judge(self) -> JudgeSettings | None:
        """The held-out judge, if the recipe names one, with its own constitution or else the training judge's.

        Raises: UsageError when there is no constitution that it could use.
        """
        judge, training = self.evaluation.judge, self.training_judge
        if judge is None:
            return None
        of_training = None if training is None or training.by_rubric is not None else training.constitution
        name = judge.constitution or of_training
        if name is None:
            raise UsageError(
                "evaluation.judge: there is no training judge whose constitution it could use; name one by "
                "evaluation.judge.constitution"
            )
        return judge.by(name)

    @property
    def decoding(self) -> Decoding:
        """How responses are sampled in training."""
        rl = self.table(RLSettings)
        return Decoding() if rl is None else Decoding(rl.max_new_tokens, rl.temperature)

    @property
    def heldout_decoding(self) -> Decoding:
        """How responses to held-out prompts are sampled: as in training, unless [evaluation] says otherwise."""
        settings, training = self.evaluation, self.decoding
        return Decoding(
            settings.max_new_tokens or training.max_new_tokens, settings.temperature or training.temperature
        )

    @property
    def sft_first(self) -> SftTable | None:
        """The fine-tuning on demonstrations that comes before the method itself; None if there is none."""
        return self.table(SftTable)

    @property
    def base_stage(self) -> str | None:
        """The run's folder with the model that the method starts from; None if that is the policy itself."""
        return None if self.sft_first is None else "sft"

    @property
    def human_preferences(self) -> tuple[str, ...]:
        """Datasets of comparisons labelled by people, from which the policy or a reward model learns."""
        table = self.table(PreferenceSettings)
        return () if table is None else table.human

    @property
    def labelled_preferences(self) -> tuple[str, ...]:
        """Datasets of comparisons that a judge labelled before the run."""
        table = self.table(PreferenceSettings)
        return () if table is None else table.labelled

    @property
    def unpaired_responses(self) -> tuple[str, ...]:
        """Datasets of responses by themselves, from which the policy learns."""
        table = self.table(PreferenceSettings)
        return () if table is None else table.unpaired

    @property
    def learns_unpaired(self) -> bool:
        """Whether the method learns from responses by themselves."""
        return False

    @property
    def reward_functions(self) -> tuple[str, ...]:
        """Functions that add to the reward."""
        table = self.table(RewardFunctionSettings)
        return () if table is None else table.functions

    @property
    def other_models(self) -> tuple[str, ...]:
        """Models that the run reads besides its policy and its judges."""
        table = self.table(RewardModelTable)
        return () if table is None or table.model is None else (table.model,)

    @property
    def other_constitutions(self) -> tuple[str, ...]:
        """Constitutions that the run reads besides those of its judges."""
        return ()
