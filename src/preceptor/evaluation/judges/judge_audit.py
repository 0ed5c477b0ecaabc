"""The audit of judges against people: every judge's measures, and whether two judges differ beyond chance.

Failures count only in `failure_rate` and `failures`. A measure that cannot be computed is None.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, Frozen, HumanLabel, JudgeFailure, Preference, Rater, Usage, likeliest
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges import agreement
from preceptor.evaluation.judges.agreement import ReliabilityBin, Side
from preceptor.evaluation.judges.attack_rates import Attacked, SearchResult
from preceptor.evaluation.judges.benchmarks.result import Benchmark
from preceptor.evaluation.judges.cascade_result import CascadeAudit
from preceptor.evaluation.judges.excess_bias import BiasEffect, excess_bias
from preceptor.evaluation.judges.paired import JudgeOutcomes, PairedComparison, compare_all
from preceptor.evaluation.judges.replacement import Replacement, may_replace
from preceptor.judging.calibration import Method, cross_validated, fit
from preceptor.judging.combine import Combine
from preceptor.judging.conduct import conduct_of
from preceptor.judging.drift import DriftCheck
from preceptor.judging.specs import JudgeSpec
from preceptor.judging.warnings import JudgeConduct, JudgeWarning, judge_warnings
from preceptor.store.selection import Selection

UNCATEGORISED = "none"
_WITH_INTERVAL = ("alignment", "single_order_alignment", "above_longer")


@dataclass(frozen=True)
class Judged:
    """One row of people's data with one judge's result."""

    comparison: Comparison
    human: HumanLabel
    outcome: Preference | JudgeFailure
    category: str | None = None


@dataclass(frozen=True)
class JudgeRun:
    """All results of one judge, and their cost."""

    judge: str
    """Identity of the judge's model."""
    constitution: str
    rows: Sequence[Judged]
    seconds: float
    asked: int = 0
    """Number of calls that the model answered in these seconds."""
    ledger_hits: int = 0
    """Number of calls answered from the ledger, which takes no time."""
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    """Dollars; None if the price is unknown."""
    variant: str = ""
    """How the judge was asked, if that distinguishes two rows of the report."""
    combine: Combine = "mean"
    """How its presentations are combined, for the calibrated preferences."""
    spec: JudgeSpec | None = None
    """The judge's specification; None for an ensemble."""
    rater: Rater | None = None
    """Who the judge is, for a cascade."""
    drift: DriftCheck | None = None
    """Whether its model has changed; None if that was not asked for."""
    attacked: Sequence[Attacked] = ()
    """Attacks on it; empty if none were asked for."""
    search: SearchResult | None = None
    """The search for edits that fool it."""
    won: Sequence[Attacked] = ()
    """The responses that the search edited until it preferred them."""
    learnt: int = 0
    """Rows on whose prompts its model was taught to judge."""


class Calibrated(Frozen):
    """The gain from calibration on people's labels, measured on labels on which the calibration was not fitted."""

    method: Method
    slope: float
    """Parameter of a fit on all labels; see `preceptor.judging.calibration`."""
    position_bias: float
    alignment: float
    ece: float
    brier: float
    reliability: tuple[ReliabilityBin, ...]


class JudgeAudit(Frozen):
    """Measures of one judge. The functions of `evaluation.judges.agreement` that compute them define them."""

    label: str
    """Names the judge among those audited: its model, and whatever else distinguishes it."""
    judge: str
    constitution: str
    variant: str
    n: int
    """Rows that alignment is computed on: people's majority is not a tie, and the judge gave an answer."""
    rows: int
    """All rows."""
    alignment: Estimate | None
    """Share of these n rows in which the judge prefers what most people prefer; the interval is over prompts."""
    single_order_alignment: Estimate | None
    """Alignment with only the presentations in which response a is first; equals alignment if there was one order."""
    both_orders_gain: Estimate | None = None
    """Alignment minus that in one order. None if only one order was asked, or no answer depends on it."""
    position_bias: float | None
    first_position_rate: float | None
    longer_preferred_rate: float | None
    longer_baseline: float | None
    above_longer: Estimate | None = None
    """Alignment minus that of always preferring the longer response, on the same rows; the interval is over prompts."""
    kappa: float | None
    ece: float | None
    brier: float | None
    reliability: tuple[ReliabilityBin, ...]
    calibrated: Calibrated | None
    """Results with calibration to people's majority. None with too few labels, and for an ensemble."""
    human_agreement: float | None
    one_person_agreement: float | None
    krippendorff_alpha: float | None
    """Krippendorff's alpha among people, over all rows that several rated."""
    krippendorff_alpha_with_judge: float | None
    """Krippendorff's alpha with the judge as a further rater, over those of these rows that it answered."""
    self_consistency: float | None
    by_category: dict[str, Estimate]
    """Alignment by category; empty if the data have no categories."""
    human_ties: int
    human_ties_leaning: int = 0
    """Of these, rows in which more people prefer one response than the other: a tie is the most frequent opinion."""
    undecided: int
    """Rows on which the judge's p_a is exactly 0.5."""
    failure_rate: float | None
    failures: dict[str, int]
    labels_per_s: float | None
    """Computed from the calls that the model answered; None if most answers came from the ledger."""
    tokens_per_label: float | None
    cost_per_1000: float | None
    """Dollars per 1,000 labels."""
    biases: tuple[BiasEffect, ...] = ()
    """What moves its preferences in excess of people's; empty in older files."""
    conduct: JudgeConduct = Field(default_factory=JudgeConduct)
    """How it answered, without regard to people's labels; the basis of the judge warnings."""
    warnings: tuple[JudgeWarning, ...] = ()
    """Reasons to doubt it that do not need people's labels; see `preceptor.judging.warnings`."""
    spec: JudgeSpec | None = None
    """The judge's specification. None for an ensemble, and in older files."""
    learnt_rows: int = Field(default=0, exclude_if=lambda rows: not rows)
    """Rows on whose prompts its model was taught to judge: what it says of them shows its memory."""
    replacement: Replacement | None = None
    """Whether it may replace the people, by the alternative annotator test. None if they rated too few rows together,
    and for a judge that was taught on some of the prompts."""

    @model_validator(mode="before")
    @classmethod
    def _from_the_file(cls, data: Any) -> Any:
        """In a file, a number and its interval are separate keys, `alignment` and `alignment_ci`."""
        if not isinstance(data, dict):
            return data
        fields: dict[str, Any] = dict(data)
        for name in _WITH_INTERVAL:
            low, high = fields.pop(f"{name}_ci", None) or (None, None)
            if isinstance(fields.get(name), int | float):
                fields[name] = {"value": fields[name], "low": low, "high": high, "n": fields.get("n")}
        return fields

    @model_serializer(mode="wrap")
    def _as_in_the_file(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in written(self).items():
            estimate = getattr(self, name) if name in _WITH_INTERVAL else None
            fields[name] = value if estimate is None else estimate.value
            if name in _WITH_INTERVAL:
                fields[f"{name}_ci"] = None if estimate is None else estimate.interval
        return fields

    @property
    def unfit(self) -> "Unfit | None":
        """Why the judge should not be used; None if it beats chance and always preferring the longer response, on
        prompts that it did not learn.
        """
        if self.alignment is None or self.alignment.interval is None:
            return "no_answer"
        if self.learnt_rows:
            return "learnt"
        low, high = self.alignment.interval
        if low <= 0.5:
            return "below_chance" if high < 0.5 else "chance"
        margin = None if self.above_longer is None else self.above_longer.low
        if margin is None and self.longer_baseline is not None:
            margin = low - self.longer_baseline
        return "longer" if margin is not None and margin <= 0.0 else None


Unfit = Literal["no_answer", "learnt", "below_chance", "chance", "longer"]
"""In this order: no answer to compare with people's; it was taught on some of these prompts; less agreement with people
than chance; not clearly more agreement than chance, or than always preferring the longer response.
"""


class Audit(Frozen):
    """The audit of judges on the same data, ready to be written as JSON."""

    judges: tuple[JudgeAudit, ...]
    comparisons: tuple[PairedComparison, ...]
    usable: tuple[str, ...] = ()
    """Labels of the judges that agree with people clearly more often than chance and than always preferring the longer
    response, the best first. If empty, no judge should be used."""
    chosen: dict[str, int] = Field(default_factory=dict[str, int])
    """Number of rows by how they were chosen, if known: "random", "cohort", "planned", "disputed"."""
    unequal: bool = False
    """Whether planned rows had different probabilities; the audit does not correct for this."""
    cascade: CascadeAudit | None = None
    """The judges as a cascade, in the order in which they were named; None if that was not asked for."""
    benchmark: Benchmark | None = None
    """What the judges score by the rule of the benchmark that the rows are; None if they were not read as one."""


@dataclass(frozen=True)
class _Scored:
    """A row on which alignment is computed."""

    number: int
    """Position among all rows, which are the same for every judge."""
    row: Judged
    preference: Preference
    majority: Side

    @property
    def prompt(self) -> str:
        return self.row.comparison.prompt.id


def audit(runs: Sequence[JudgeRun], chosen: Sequence[Selection] = ()) -> Audit:
    """Measures every judge, and compares every two of them on the rows that both answered.

    Args:
        chosen: how each row was chosen.
    """
    labels = _labels(runs)
    outcomes = [
        JudgeOutcomes(
            judge=label,
            correct={
                s.number: (s.prompt, agreement.correctness(s.preference.p_a, s.majority)) for s in _scored(run.rows)
            },
        )
        for label, run in zip(labels, runs, strict=True)
    ]
    judges = [_audit_one(label, run) for label, run in zip(labels, runs, strict=True)]
    fit = [judge for judge in judges if judge.unfit is None]
    chances = {selection.probability for selection in chosen if selection.probability is not None}
    return Audit(
        judges=tuple(judges),
        comparisons=compare_all(outcomes),
        usable=tuple(judge.label for judge in sorted(fit, key=_disagreement)),
        chosen=dict(Counter(selection.how for selection in chosen if selection.how)),
        unequal=bool(chances) and max(chances) > 1.05 * min(chances),
    )


def _disagreement(judge: JudgeAudit) -> float:
    return -(judge.alignment.value if judge.alignment else 0.0)


def _audit_one(label: str, run: JudgeRun) -> JudgeAudit:
    answered = [(row, row.outcome) for row in run.rows if isinstance(row.outcome, Preference)]
    failed = [row.outcome for row in run.rows if isinstance(row.outcome, JudgeFailure)]
    preferences = [preference for _, preference in answered]
    scored = _scored(run.rows)
    sides: list[tuple[float, Side]] = [(s.preference.p_a, s.majority) for s in scored]
    conduct = conduct_of((row.outcome, agreement.longer(row.comparison)) for row in run.rows)
    bins, tokens = agreement.reliability(sides), run.usage.prompt_tokens + run.usage.completion_tokens
    return JudgeAudit(
        label=label,
        judge=run.judge,
        constitution=run.constitution,
        variant=run.variant,
        n=len(scored),
        rows=len(run.rows),
        alignment=_alignment([(s.prompt, s.preference.p_a, s.majority) for s in scored]),
        single_order_alignment=_alignment(
            [(s.prompt, agreement.single_order(s.preference), s.majority) for s in scored]
        ),
        both_orders_gain=agreement.both_orders_gain([(s.prompt, s.preference, s.majority) for s in scored]),
        position_bias=agreement.position_bias(preferences),
        first_position_rate=agreement.first_position_rate(preferences),
        longer_preferred_rate=agreement.longer_preferred_rate(preferences),
        longer_baseline=agreement.longer_baseline([(s.row.comparison, s.majority) for s in scored]),
        above_longer=agreement.above_longer([(s.row.comparison, s.preference.p_a, s.majority) for s in scored]),
        kappa=agreement.kappa(sides),
        ece=agreement.calibration_error(bins),
        brier=agreement.brier_score(sides),
        reliability=bins,
        calibrated=_calibrated(scored, run.combine),
        human_agreement=agreement.human_agreement(row.human for row in run.rows),
        one_person_agreement=agreement.one_person_agreement((p.p_a, row.human) for row, p in answered),
        krippendorff_alpha=agreement.krippendorff_alpha(row.human.ratings for row in run.rows),
        krippendorff_alpha_with_judge=agreement.krippendorff_alpha(
            (*row.human.ratings, agreement.chosen(p.p_a)) for row, p in answered if len(row.human.ratings) > 1
        ),
        self_consistency=agreement.self_consistency(preferences),
        by_category=_by_category(scored),
        human_ties=sum(row.human.majority == "tie" for row in run.rows),
        human_ties_leaning=sum(row.human.majority == "tie" and row.human.p_a != 0.5 for row in run.rows),
        undecided=sum(p.p_a == 0.5 for p in preferences),
        failure_rate=len(failed) / len(run.rows) if run.rows else None,
        failures=dict(Counter(failure.reason for failure in failed)),
        labels_per_s=_labels_per_s(run, len(answered)),
        tokens_per_label=tokens / len(answered) if answered and tokens else None,
        cost_per_1000=1000 * run.cost / len(answered) if answered and run.cost is not None else None,
        biases=excess_bias([(preference, row.human) for row, preference in answered], run.judge),
        conduct=conduct,
        warnings=judge_warnings(conduct, label),
        spec=run.spec,
        learnt_rows=run.learnt,
        replacement=None
        if run.learnt
        else may_replace([(row.comparison.prompt.id, row.human, likeliest(p.p_a, p.p_tie)) for row, p in answered]),
    )


def _labels_per_s(run: JudgeRun, labels: int) -> float | None:
    if not labels or run.seconds <= 0 or run.asked <= run.ledger_hits:
        return None
    return labels * run.asked / (run.asked + run.ledger_hits) / run.seconds


def _scored(rows: Sequence[Judged]) -> list[_Scored]:
    return [
        _Scored(number, row, row.outcome, row.human.majority)
        for number, row in enumerate(rows)
        if isinstance(row.outcome, Preference) and row.human.majority != "tie"
    ]


def _alignment(rows: Sequence[tuple[str, float, Side]]) -> Estimate | None:
    """AI labeler alignment (Lee et al. 2023) from the prompt id, p_a and people's majority of each row."""
    return agreement.share_by_prompt([(prompt, agreement.correctness(p, side)) for prompt, p, side in rows])


def _by_category(scored: Sequence[_Scored]) -> dict[str, Estimate]:
    names = {s.row.category for s in scored}
    if names <= {None}:
        return {}
    shares: dict[str, Estimate] = {}
    for name in sorted(names, key=lambda n: (n is None, n or "")):
        share = _alignment([(s.prompt, s.preference.p_a, s.majority) for s in scored if s.row.category == name])
        assert share is not None  # a category has a row
        shares[UNCATEGORISED if name is None else name] = share
    return shares


def _calibrated(scored: Sequence[_Scored], how: Combine) -> Calibrated | None:
    """Calibration fitted to the majority, against which ECE and Brier score are measured."""
    pairs = [(s.preference, HumanLabel(p_a=float(s.majority == "a"))) for s in scored]
    method: Method = "platt"
    try:
        calibration, held_out = fit(pairs, method), cross_validated(pairs, method, how=how)
    except UsageError:  # too few labels or prompts, or an ensemble
        return None
    sides: list[tuple[float, Side]] = [(p.p_a, s.majority) for p, s in zip(held_out, scored, strict=True)]
    bins = agreement.reliability(sides)
    ece, brier = agreement.calibration_error(bins), agreement.brier_score(sides)
    if ece is None or brier is None:
        return None
    return Calibrated(
        method=method,
        slope=calibration.slope,
        position_bias=calibration.position_bias,
        alignment=sum(agreement.correctness(p, side) for p, side in sides) / len(sides),
        ece=ece,
        brier=brier,
        reliability=bins,
    )


def _labels(runs: Sequence[JudgeRun]) -> list[str]:
    """A name for each judge: its model, with constitution and variant if several judges have the same model."""
    names = [run.judge for run in runs]
    for part in ("constitution", "variant"):
        values = [str(getattr(run, part)) for run in runs]
        told_apart = {name for name in names if len({v for n, v in zip(names, values, strict=True) if n == name}) > 1}
        names = [f"{n} · {v}" if n in told_apart and v else n for n, v in zip(names, values, strict=True)]
    again, seen = Counter(names), Counter[str]()
    for i, name in enumerate(names):
        seen[name] += 1
        names[i] = f"{name} ({seen[name]})" if again[name] > 1 else name
    return names
