"""The whole result of an evaluation: the content of `evaluation.json`, from which reports are made."""

from typing import Literal

from pydantic import Field, JsonValue

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.disagreement import Disagreement
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.evaluation.policies.cohorts import Change
from preceptor.evaluation.policies.judged_comparisons import OrderVerdict
from preceptor.evaluation.policies.length_control import LengthControl
from preceptor.evaluation.policies.rates import Rate
from preceptor.evaluation.policies.ratings import Rating
from preceptor.evaluation.policies.win_rate import SignificantDifference, WinRate
from preceptor.evaluation.policies.windows import FailTrend
from preceptor.judging.warnings import JudgeConduct


class PolicyFacts(Frozen):
    """An evaluated policy."""

    name: str
    """Name for tables and figures."""
    source: str
    """Where its responses come from: a model, a run, a checkpoint, a file of responses."""
    identity: str
    """Model and weights, or a file of responses with its hash."""
    responses: int
    failed: int
    """Requests that the policy gave no answer to."""
    characters: Estimate | None
    """Mean length of a response."""
    finished: Estimate | None
    """Share of responses that were not cut at the length limit; None if that is unknown."""
    unfinished_thoughts: int = Field(default=0, exclude_if=lambda count: not count)
    """Responses whose thought did not end. They are compared as the empty answers that they are."""


class JudgeFacts(Frozen):
    """A judge and its answers, in numbers."""

    name: str
    """Short name for sentences: "Qwen2.5-7B-Instruct", "VADER"."""
    identity: str
    constitution: str | None
    """None for a rule."""
    variant: str | None
    compared: int
    """Comparisons with a verdict."""
    failures: dict[str, int]
    """Comparisons without a verdict, by reason."""
    position_bias: float | None
    first_position_rate: float | None
    conduct: JudgeConduct | None = None
    """How the judge answered; None in evaluations by earlier versions."""


NOBODY = JudgeFacts(
    name="nothing independent",
    identity="none",
    constitution=None,
    variant=None,
    compared=0,
    failures={},
    position_bias=None,
    first_position_rate=None,
)
"""Placeholder for the judge if no independent judge was used."""


class PointOfLength(Frozen):
    """A comparison in the scatter of outcome against length."""

    length_difference: int
    """Characters of the policy's response minus those of the baseline's."""
    p: float
    """The judge's preference for the policy."""
    cohort: str


ExampleKind = Literal["win", "loss", "tie", "disagreement", "failure", "regression"]


class Example(Frozen):
    """A comparison that the report shows in full. All texts come from models, so pages must escape them."""

    kind: ExampleKind
    cohort: str
    prompt: str
    policy: str
    """The policy that gave response a."""
    against: str
    response_a: str
    response_b: str
    p_a: float | None
    """The held-out judge's preference for a; None if it failed."""
    training_p_a: float | None
    """The training judge's; None if it failed or was not asked."""
    rationale: str
    verdicts: tuple[OrderVerdict, ...]
    failure: str | None
    """Why there is no verdict."""
    thought_a: str | None = Field(default=None, exclude_if=lambda thought: thought is None)
    """What the policy thought before response a, which no judge saw."""
    thought_b: str | None = Field(default=None, exclude_if=lambda thought: thought is None)


class CostPart(Frozen):
    """What one part of the work cost."""

    part: str
    """"responses", "judging", "training judge", "rubrics", ..."""
    calls: int
    tokens: int
    """Of prompts and completions together."""
    seconds: float | None
    """None if not measured."""
    cost_usd: float | None
    """None if the price is unknown."""
    estimated: bool = False
    """Whether some of the tokens, and so the dollars, are estimates."""


class Cost(Frozen):
    """What judging cost, compared with human labels."""

    parts: tuple[CostPart, ...]
    labels: int
    """Comparisons with a verdict."""
    seconds_per_label: float | None
    usd_per_label: float | None
    tokens_per_label: float | None
    human_usd_per_label: float
    """The price of a human label."""

    @property
    def human_usd(self) -> float:
        """What the same number of human labels would have cost."""
        return self.labels * self.human_usd_per_label


class Evaluation(Frozen):
    """Policies against each other. The first is the baseline."""

    title: str
    policies: tuple[PolicyFacts, ...]
    judge: JudgeFacts
    """The judge whose preferences the win rates count."""
    training_judge: JudgeFacts | None
    """The judge that trained a policy, if it is known and was asked too."""
    judge_trained: bool
    """Whether the judge of the win rates trained one of the policies; then they cannot be trusted."""
    judge_is_policy: tuple[str, ...] = ()
    """Policies with the judge's own weights, which the judge tends to favour."""
    judge_related: dict[str, str] = Field(default_factory=dict)
    """By policy, how the judge is related to it in other ways, in words; see `preceptor.judging.relations`."""
    trained_on: dict[str, int] = Field(default_factory=dict)
    """By policy, how many of the prompts it was trained on; policies with none, or unknown, are left out."""
    chosen_on: dict[str, int] = Field(default_factory=dict)
    """By policy, on how many of the prompts its checkpoint may have been chosen, if its run kept none apart."""
    without_tools: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    """Policies that were trained to act with tools, and answered here without any."""
    prompts: int
    cohorts: tuple[str, ...]
    win_rates: tuple[WinRate, ...]
    """Every two policies that were compared, the later against the earlier; all cohorts together, then by cohort."""
    training_win_rates: tuple[WinRate, ...]
    """The same, by the training judge."""
    significance: tuple[SignificantDifference, ...]
    """Significance of the win rates over all cohorts, in the same order."""
    length_control: tuple[LengthControl, ...]
    """Win rates at equal length, for every two policies over all cohorts."""
    ratings: tuple[Rating, ...]
    """Empty for only two policies."""
    changes: tuple[Change, ...]
    """Changes by cohort and measure, each policy against the baseline."""
    rates: tuple[Rate, ...]
    disagreement: dict[str, Disagreement]
    """By policy, on the comparisons with the baseline; empty if no training judge was asked."""
    audit: JudgeAudit | None
    """How far the judge agrees with people; None if no audit was given."""
    trends: dict[str, tuple[FailTrend, ...]] = Field(default_factory=dict)
    """By policy, how often it lost to the baseline over the time at which prompts were asked; empty without times."""
    lengths: dict[str, tuple[PointOfLength, ...]]
    """By policy, a point for each comparison with the baseline."""
    examples: tuple[Example, ...]
    cost: Cost | None
    facts: dict[str, JsonValue]
    """Settings and versions, as the report lists them: texts, numbers, or a dict of them."""

    @property
    def is_judged(self) -> bool:
        """Whether an independent judge was used."""
        return self.judge != NOBODY
