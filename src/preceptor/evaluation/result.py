"""The result of an evaluation, whole: what `evaluation.json` holds and what reports are made of."""

from typing import Any, Literal

from pydantic import Field

from preceptor.core.types import Frozen
from preceptor.evaluation.cohorts import Change
from preceptor.evaluation.disagreement import Disagreement
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judge_audit import JudgeAudit
from preceptor.evaluation.judged_comparisons import OrderVerdict
from preceptor.evaluation.length_control import LengthControl
from preceptor.evaluation.rates import Rate
from preceptor.evaluation.ratings import Rating
from preceptor.evaluation.win_rate import SignificantDifference, WinRate
from preceptor.evaluation.windows import FailTrend
from preceptor.judging.warnings import JudgeConduct


class PolicyFacts(Frozen):
    """One policy that was evaluated."""

    name: str
    """For tables and figures."""
    source: str
    """What it was named by: a model, a run, a checkpoint, a file of responses."""
    identity: str
    """Model and weights; of a file of responses its hash."""
    responses: int
    failed: int
    """Prompts' samples that the policy gave no answer to."""
    characters: Estimate | None
    """Mean length of a response."""
    finished: Estimate | None
    """Share of responses that end by themselves; None where that is not known."""


class JudgeFacts(Frozen):
    """Who judged."""

    name: str
    """For sentences: "Qwen2.5-7B-Instruct", "VADER"."""
    identity: str
    constitution: str | None
    """None of a rule."""
    variant: str | None
    compared: int
    """Comparisons with a verdict."""
    failures: dict[str, int]
    """Comparisons without, by reason."""
    position_bias: float | None
    first_position_rate: float | None
    conduct: JudgeConduct | None = None
    """How it answered; None in evaluations of earlier versions."""


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
"""In place of a judge, where nothing that trained no policy judged."""


class PointOfLength(Frozen):
    """A pair in the scatter of outcome against length."""

    length_difference: int
    """Characters of the first policy's response less the baseline's."""
    p: float
    """The judge's preference for the first of the two."""
    cohort: str


ExampleKind = Literal["win", "loss", "disagreement", "failure", "regression"]


class Example(Frozen):
    """One comparison to read. All texts are a model's and hostile to a page."""

    kind: ExampleKind
    cohort: str
    prompt: str
    policy: str
    """Who gave response a."""
    against: str
    response_a: str
    response_b: str
    p_a: float | None
    """The held-out judge's preference for a; None where it failed."""
    training_p_a: float | None
    """The training judge's, where it was asked."""
    rationale: str
    verdicts: tuple[OrderVerdict, ...]
    failure: str | None
    """Why there is no verdict."""


class CostPart(Frozen):
    """What one part of the work took."""

    part: str
    """"responses", "judging", "training judge", "rubrics", ..."""
    calls: int
    tokens: int
    """Read and written."""
    seconds: float | None
    """None where it was not measured."""
    cost_usd: float | None
    """None where the price is not known."""
    estimated: bool = False
    """Whether some of the tokens, and so of the dollars, are estimates."""


class Cost(Frozen):
    """What judging took, beside what people would have."""

    parts: tuple[CostPart, ...]
    labels: int
    """Comparisons with a verdict."""
    seconds_per_label: float | None
    usd_per_label: float | None
    tokens_per_label: float | None
    human_usd_per_label: float
    """The price that is compared with."""

    @property
    def human_usd(self) -> float:
        """What people would have been paid for as many labels."""
        return self.labels * self.human_usd_per_label


class Evaluation(Frozen):
    """Policies against each other. The first is the baseline, what the others are changes of."""

    title: str
    policies: tuple[PolicyFacts, ...]
    judge: JudgeFacts
    """Whose preferences the win rates are."""
    training_judge: JudgeFacts | None
    """The judge that trained a policy, where it is known and was asked too."""
    judge_trained: bool
    """Whether the judge of the win rates trained one of the policies: then they are not to be believed."""
    judge_is_policy: tuple[str, ...] = ()
    """Policies with the judge's own weights, which a judge favours."""
    trained_on: dict[str, int] = Field(default_factory=dict)
    """By policy, how many of the prompts it was trained on, where that is known and not none."""
    chosen_on: dict[str, int] = Field(default_factory=dict)
    """By policy, on how many of the prompts its checkpoint may have been chosen, since its run kept none apart."""
    prompts: int
    cohorts: tuple[str, ...]
    win_rates: tuple[WinRate, ...]
    """Every two policies that were compared, the later against the earlier; all cohorts together, then by cohort."""
    training_win_rates: tuple[WinRate, ...]
    """The same by the training judge."""
    significance: tuple[SignificantDifference, ...]
    """Of the win rates over all cohorts."""
    length_control: tuple[LengthControl, ...]
    """Of the same."""
    ratings: tuple[Rating, ...]
    """Empty where there are two policies only."""
    changes: tuple[Change, ...]
    """By cohort and measure, each policy against the baseline."""
    rates: tuple[Rate, ...]
    disagreement: dict[str, Disagreement]
    """By policy, on the comparisons with the baseline; empty where no training judge was asked."""
    audit: JudgeAudit | None
    """How far the judge agrees with people, where an audit of it was given."""
    trends: dict[str, tuple[FailTrend, ...]] = Field(default_factory=dict)
    """By policy, how often it loses to the baseline by when the prompt was asked in production; empty without times."""
    lengths: dict[str, tuple[PointOfLength, ...]]
    """By policy, its comparisons with the baseline."""
    examples: tuple[Example, ...]
    cost: Cost | None
    facts: dict[str, Any]
    """What else is worth knowing, as the report lists it: texts, numbers, or a dict of them."""

    @property
    def is_judged(self) -> bool:
        """Whether anything that trained no policy was to judge."""
        return self.judge != NOBODY
