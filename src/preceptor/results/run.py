"""The result of a run, as in its `summary.json`."""

from typing import Literal

from pydantic import Field, JsonValue

from preceptor.core.numbers import percent
from preceptor.core.types import JsonObject, Rater
from preceptor.evaluation.checkpoints.choose import Bounds, OverOptimisation
from preceptor.evaluation.checkpoints.snapshot import Measures
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.agents import AgentComparison
from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.length_control import LengthControl
from preceptor.evaluation.policies.win_rate import WinRate
from preceptor.judging.reward import RewardKind
from preceptor.judging.warnings import Count, JudgeConduct, JudgeWarning, judge_warnings
from preceptor.results.base import Record
from preceptor.results.bias import BiasRecord
from preceptor.results.licence_record import LicenceRecord
from preceptor.results.reward_model_record import RewardModelRecord
from preceptor.results.rounds import RoundsRecord
from preceptor.store.calls import Calls
from preceptor.store.ledger import LedgerTotals

UNREADABLE_BOUND = 0.05
"""Share of unreadable responses above which the headline says so."""
_LEAST_AGREEMENT = 0.2
"""Spearman's correlation below which a ranking hardly agrees with another."""


class EvaluationRecord(Record):
    """What is read of a recipe's table `evaluation`."""

    bounds: Bounds
    samples_per_prompt: int


class JudgeRecord(Record):
    """What is read of a recipe's table `judge`."""

    variant: str = "scored"
    mode: str | None = None
    design: str | None = None


class NamedConstitution(Record):
    """A constitution by name, version and hash."""

    name: str
    version: str
    hash: str


class SummarisedConstitution(NamedConstitution):
    """A constitution by name, version and hash, with its summary."""

    summary: str


class ConstitutionRecord(SummarisedConstitution):
    """The constitution that a run was judged by."""

    principles: tuple[str, ...]


class UsablePrompts(Record):
    """The prompts that leave room for an answer in the policy's context window."""

    usable: tuple[str, ...]
    """Their ids."""


class FineTuningRecord(Record):
    """Result of supervised fine-tuning."""

    demonstrations: int
    updates: int
    first_loss: float | None
    """Loss of the first update; None if there was no update."""
    last_loss: float | None


class RevisionRecord(Record):
    """Result of critique and revision."""

    prompts: int
    revised: int
    unchanged: int
    """Revised answers that are the same as their drafts."""
    failed: int
    constitution: NamedConstitution
    hash: str
    """Hash of the file of revised answers."""


class LabelCounts(Record):
    """How many comparisons were labelled, and how the judge decided them."""

    preferences: int
    failures: int
    malformed: int
    failures_by_reason: dict[str, int]
    failed_steps: int
    mean_p_chosen: float | None
    """Mean probability of the chosen response; None if there is no preference."""
    mean_disagreement: float | None = None
    first_position_rate: float | None
    position_bias: float | None
    undecided: int = 0
    likeliest_ties: int = 0


class LabelRecord(Record):
    """Result of labelling preferences."""

    counts: LabelCounts
    judge_warnings: tuple[JudgeWarning, ...] = ()
    judges: tuple[str, ...]
    """Identities of the models that judged."""
    rater: Rater
    constitutions: tuple[SummarisedConstitution, ...] = ()
    ledger: LedgerTotals
    preferences_hash: str
    """Hash of the file of preferences."""


class PreferenceRecord(Record):
    """The preferences that were learnt."""

    pairs: int
    by_source: dict[Literal["ai", "human"], int]
    left_out: dict[str, int]
    """Pairs that were not used, by reason."""
    weights: dict[Literal["ai", "human"], float]
    mean_p_chosen: float
    labelled_before: int = Field(default=0, exclude_if=lambda pairs: not pairs)


class BestOfNRecord(Record):
    """Result of choosing the best of several responses."""

    prompts: int
    chosen: int
    """Prompts that have a best response."""
    mean_reward: float | None
    mean_reward_of_the_best: float | None


class PromptCounts(Record):
    """How a run split its prompts."""

    training: int
    held_out: int
    validation: int | None = None
    """None, like `test`, in runs of early versions, which had no separate test prompts."""
    test: int | None = None
    skipped: int
    """Prompts that do not fit the policy's context window."""

    @property
    def measured(self) -> int:
        """Prompts that the results rest on: the test prompts, or all held-out prompts if there are no separate test
        prompts.
        """
        return self.held_out if self.test is None else self.test


class SamplingRecord(Record):
    """How measured responses were sampled."""

    max_new_tokens: int
    temperature: float


class BeforeAndAfter(Record):
    """What was measured before training and at the checkpoint that was kept."""

    before: Measures
    after: Measures

    @property
    def perplexity_ratio(self) -> float | None:
        """Perplexity on reference answers after training, divided by that before; None if it was not measured."""
        before, after = self.before.reference_perplexity.overall, self.after.reference_perplexity.overall
        return after.value / before.value if before is not None and after is not None else None


class Shares(Record):
    """A share of responses before and after training; None where there were no responses."""

    before: float | None
    after: float | None


class RunStatus(Record):
    """Content of `summary.json` while a run is under way, and after it was interrupted or failed."""

    status: Literal["running", "interrupted", "failed"]
    """`interrupted`: Ctrl-C, TERM or HUP. After `kill -9` it stays `running`."""
    error: str | None = None
    """Why the run failed."""
    recipe: JsonObject = Field(default_factory=dict[str, JsonValue])
    """Every setting that has a value."""


class RunSummary(Record):
    """The result of a finished run: the whole of `summary.json`."""

    status: Literal["done"]
    judge_warnings: tuple[JudgeWarning, ...] | None = None
    """Reasons to doubt the judge of training. None in runs of early versions."""
    method: str
    """In words, such as "direct RLAIF"; `recipe["method"]` is its name in recipes."""
    wall_s: float
    """Seconds of the whole run, in all of its processes."""
    stages: dict[str, float]
    """Seconds of each part of the run."""
    steps: int
    stopped_early: str | None
    """Why training ended early; None if it did not."""
    policy: str
    """Identity of the model that training began with."""
    judge: str | None
    """Identity of the judge of training; None if there was none."""
    judge_is_policy: bool
    constitution: ConstitutionRecord | None
    judge_content_free_score: float | None
    """The reward of the text "N/A"; None if the judge failed on it, or scored nothing."""
    reward_kind: RewardKind | None = None
    ledger_hits: int
    judge_calls: int
    judge_failures: int
    judge_tokens: int
    calls: dict[str, Calls]
    """Calls on record by role: judge, policy, reviser, held-out judge."""
    heldout_score_is: str | None
    """Name of the held-out measure; None if nothing independent measured the run."""
    heldout_judge_trained: bool = False
    """Whether the held-out judge is the model that judged in training."""
    judge_score_is: str | None
    """What `judge_score` is, in words; None if there is none."""
    reward_processing: str | None
    licence: LicenceRecord | None = Field(default=None, exclude_if=lambda licence: licence is None)
    """Whether the judge had a licence to train. Left out of the file if the recipe asked for none."""
    sft: FineTuningRecord | None
    revision: RevisionRecord | None
    fine_tuning: FineTuningRecord | None
    labels: LabelRecord | None
    preferences: PreferenceRecord | None
    reward_model: RewardModelRecord | None
    best_of_n: BestOfNRecord | None
    own_stages: dict[str, JsonObject] = Field(default_factory=dict, exclude_if=lambda stages: not stages)
    """Results of the stages of a custom method, by name. Left out of the file if there are none."""
    seed: int
    prompts: PromptCounts
    answering: SamplingRecord
    evaluation: BeforeAndAfter
    unreadable: Shares | None = None
    heldout_change: Estimate | None
    """Mean change of the held-out score, paired by prompt."""
    curve: tuple[Measures, ...]
    """Before training and at each checkpoint, on validation prompts."""
    best_step: int
    chosen_on_validation: bool | None = None
    """Whether the checkpoint was chosen on validation prompts. None in runs of early versions."""
    kept_breaks_bound: str | None = None
    """The bound that the kept checkpoint breaks on the test prompts; None if it breaks none."""
    best_checkpoint: str
    """Folder of the kept checkpoint, relative to the run directory."""
    excluded_checkpoints: dict[str, str]
    """By step, the bound that a checkpoint broke."""
    over_optimisation: OverOptimisation
    seconds: dict[str, float]
    """Median seconds of each part of a training step."""
    environment: dict[str, str | int]
    """Versions and hardware."""
    recipe: JsonObject
    """Every setting, as in the recipe's file."""
    headline: str | None = None
    """The result in a few sentences."""
    win_rate: WinRate | None = None
    """How often the policy after training is preferred to the one before, by the held-out measure."""
    win_rate_at_equal_length: LengthControl | None = None
    changes: tuple[Change, ...] = ()
    bias_correction: BiasRecord | None = Field(default=None, exclude_if=lambda bias: bias is None)
    """What was taken off the judge's log-odds. Left out of the file if nothing was."""
    rounds: RoundsRecord | None = Field(default=None, exclude_if=lambda rounds: rounds is None)
    """Of a run with rounds, whose `steps`, `best_step` and `curve` count rounds; left out of the file of any other."""
    agents: AgentComparison | None = Field(default=None, exclude_if=lambda agents: agents is None)
    """An agent's episodes on the test tasks before and after training. Left out of the file if no agent acted."""

    @property
    def kept_untrained(self) -> bool:
        """Whether training kept the policy as it was before: no checkpoint was better within the bounds."""
        return self.best_step == 0 and self.steps > 0

    @property
    def method_name(self) -> str:
        """The method's name in recipes, such as "direct_rlaif"."""
        return str(self.recipe["method"])

    @property
    def kept(self) -> str:
        """Where the kept model comes from, such as "step 8" or "round 2"."""
        return f"{'step' if self.rounds is None else 'round'} {self.best_step}"

    @property
    def bounds(self) -> Bounds:
        """The bounds that a checkpoint had to stay within."""
        return EvaluationRecord.model_validate(self.recipe["evaluation"]).bounds

    @property
    def samples_per_prompt(self) -> int:
        """Responses to each test prompt."""
        return EvaluationRecord.model_validate(self.recipe["evaluation"]).samples_per_prompt

    @property
    def doubts(self) -> tuple[JudgeWarning, ...]:
        """Reasons to doubt the judge of training."""
        if self.judge_warnings is not None:
            return self.judge_warnings
        calls = Count(hits=self.judge_failures, n=self.judge_calls, prompts=self.judge_calls)  # of an early version
        return judge_warnings(JudgeConduct(unit="calls", failed=calls), "The judge")

    @property
    def unlicensed(self) -> str | None:
        """A sentence saying that the judge had no licence to train; None if it had one, or none was asked for."""
        return self.licence.sentence if self.licence is not None and self.licence.why else None

    @property
    def too_unreadable(self) -> str | None:
        """A sentence saying that too many responses after training are unreadable; None if few are."""
        share = self.unreadable and self.unreadable.after
        if share is None or share <= UNREADABLE_BOUND:
            return None
        return f"{percent(share)} of the responses after training are unreadable"

    @property
    def by_reward_model(self) -> bool:
        """Whether `judge_score` is a reward model's reward."""
        return self.judge_score_is is not None and "reward model" in self.judge_score_is

    @property
    def hardly_agree(self) -> float | None:
        """Rank correlation of the training score with the held-out score after training, if it is near or below 0; None
        if they agree or it is unknown.
        """
        agreement = self.evaluation.after.judge_agreement
        return agreement if agreement is not None and agreement < _LEAST_AGREEMENT else None

    @property
    def cost_usd(self) -> float | None:
        """Dollars of all calls; None if the price of some is not known."""
        known = all(not calls.unpriced for calls in self.calls.values())
        return float(sum(calls.cost_usd for calls in self.calls.values())) if known else None
