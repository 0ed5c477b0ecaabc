"""Evaluations made by hand for the tests of reports: a whole one, one of several policies, one that is almost empty."""

from datetime import date
from typing import Any, Literal

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import ReliabilityBin
from preceptor.evaluation.judges.disagreement import Disagreement
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.evaluation.policies.cohorts import Change, Verdict
from preceptor.evaluation.policies.judged_comparisons import OrderVerdict
from preceptor.evaluation.policies.length_control import LengthControl
from preceptor.evaluation.policies.rates import Rate
from preceptor.evaluation.policies.ratings import Rating
from preceptor.evaluation.policies.result import (
    Cost,
    CostPart,
    Evaluation,
    Example,
    ExampleKind,
    JudgeFacts,
    PointOfLength,
    PolicyFacts,
)
from preceptor.evaluation.policies.win_rate import SignificantDifference, WinRate
from preceptor.evaluation.policies.windows import FailTrend, Window

SCRIPT = "<script>document.title = 'taken over'</script>"
HOSTILE = f"{SCRIPT}<img src=x onerror=\"document.title='taken over'\">\n\n````\n| a | b |\n# <b>x</b> $\\frac$ [x](http://evil)"


def about(value: float, reach: float = 0.06, n: int = 200) -> Estimate:
    """An estimate with an interval of that half width."""
    return Estimate(value=value, low=value - reach, high=value + reach, n=n)


def win(
    rate: Estimate, policy: str = "tuned", against: str = "base", cohort: str | None = None, **more: Any
) -> WinRate:
    """A win rate, with wins and losses of 200 pairs that fit it."""
    wins = round(200 * rate.value)
    known: dict[str, Any] = {
        "wins": wins,
        "ties": 0,
        "losses": 200 - wins,
        "soft": rate,
        "single_order": None,
        "orders_disagree": None,
    }
    return WinRate(policy=policy, against=against, cohort=cohort, rate=rate, p_value=0.001, **(known | more))


def differs(policy: str, against: str, rate: float, significant: bool) -> SignificantDifference:
    p = 0.001 if significant else 0.4
    return SignificantDifference(policy=policy, against=against, rate=rate, p_holm=p, significant=significant)


def judge(name: str, **more: Any) -> JudgeFacts:
    known: dict[str, Any] = {
        "identity": f"{name}@0123456789abcdef",
        "constitution": "helpful 2",
        "variant": "both orders",
        "compared": 400,
        "failures": {},
        "position_bias": 0.12,
        "first_position_rate": 0.54,
    }
    return JudgeFacts(name=name, **(known | more))


def policy(name: str, failed: int = 0) -> PolicyFacts:
    return PolicyFacts(
        name=name,
        source=f"runs/{name}",
        identity=f"model + {name}",
        responses=400,
        failed=failed,
        characters=about(310.0, 20.0),
        finished=about(0.93, 0.02),
    )


def change(cohort: str, measure: str, by: float, verdict: Verdict, policy: str = "tuned") -> Change:
    """A change from one half, or from 0.7 where it is no win rate."""
    before = 0.5 if measure == "win rate" else 0.7
    p = 0.4 if verdict == "unchanged" else 0.003
    return Change(
        cohort=cohort,
        measure=measure,
        policy=policy,
        against="base",
        before=about(before),
        after=about(before + by),
        change=about(by, 0.05),
        p_value=p / 2,
        p_holm=p,
        verdict=verdict,
    )


def control(raw: Estimate, controlled: Estimate | None, ratio: Estimate | None = None) -> LengthControl:
    return LengthControl(
        policy="tuned",
        against="base",
        raw=raw,
        by_ratio=ratio,
        by_difference=controlled,
        method=None if controlled is None else "difficulty",
        unknown="lengths differ too much" if controlled is None else None,
        length_effect=0.5,
        length_ratio=1.2,
        longer_preferred=0.61,
    )


def example(kind: ExampleKind, text: str, number: int = 0) -> Example:
    failed = kind == "failure"
    return Example(
        kind=kind,
        cohort="history",
        prompt=f"Prompt {number}: {text}",
        policy="tuned",
        against="base",
        response_a=f"Tuned {number}: {text}",
        response_b=f"Base {number}: {text}",
        p_a=None if failed else 0.83,
        training_p_a=0.91,
        rationale=f"Reasons: {text}",
        verdicts=() if failed else tuple(OrderVerdict(judge="J", order=order, p_a=p) for order, p in SHOWN),
        failure="the judge wrote an essay" if failed else None,
    )


def audit(**more: Any) -> JudgeAudit:
    """A good judge; hand-made, so its numbers need not fit each other."""
    bins = tuple(ReliabilityBin(low=p, high=p + 0.1, confidence=p, correct=p, n=50) for p in (0.55, 0.75, 0.95))
    known: dict[str, Any] = {
        "label": "J",
        "judge": "J",
        "constitution": "helpful 2",
        "variant": "",
        "n": 150,
        "rows": 160,
        "alignment": 0.74,
        "alignment_ci": (0.66, 0.81),
        "reliability": bins,
        "by_category": {},
        "human_ties": 10,
        "undecided": 0,
        "failure_rate": 0.0,
        "failures": {},
        "ece": 0.04,
        "longer_baseline": 0.6,
    }
    missing = {
        name: None for name, field in JudgeAudit.model_fields.items() if field.is_required() and name not in known
    }
    return JudgeAudit.model_validate(missing | known | more)


def trend(cohort: str | None, worse: bool | None = False) -> FailTrend:
    """Three weeks in each of which a third is lost."""
    share = Estimate(value=0.33, low=0.25, high=0.42, n=60)
    starts = (date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 16))
    windows = tuple(Window(start=start, failing=share, prompts=60) for start in starts)
    return FailTrend(cohort=cohort, windows=windows, change=0.0, p_value=0.01, p_holm=0.02, worse=worse)


def whole(text: str = "Lisbon.", **more: Any) -> Evaluation:
    """A tuned policy against its base, with every part there is: better by 64%, and nothing to doubt."""
    rate, single = about(0.64), about(0.7)
    lengths = tuple(
        PointOfLength(length_difference=7 * (i % 31) - 90, p=(i % 20) / 20, cohort="history") for i in range(90)
    )
    known: dict[str, Any] = {
        "title": "tuned against base",
        "policies": (policy("base"), policy("tuned")),
        "judge": judge("J"),
        "training_judge": judge("T"),
        "judge_trained": False,
        "prompts": 200,
        "cohorts": ("chat", "history"),
        "win_rates": (
            win(rate, single_order=single, orders_disagree=0.12),
            win(about(0.71), cohort="chat"),
            win(about(0.57), cohort="history"),
        ),
        "training_win_rates": (win(about(0.68)), win(about(0.73), cohort="chat")),
        "significance": (differs("tuned", "base", 0.64, True),),
        "length_control": (control(rate, about(0.59), about(0.6)),),
        "ratings": (),
        "changes": (change("chat", "win rate", 0.21, "improved"), change("history", "exact match", 0.01, "unchanged")),
        "rates": tuple(
            Rate(measure="refusal", policy=name, cohort=cohort, value=about(0.1, 0.03))
            for name in ("base", "tuned")
            for cohort in (None, "chat", "history")
        ),
        "disagreement": {
            "tuned": Disagreement(
                n=390,
                undecided=10,
                overall=Estimate(value=0.2, low=0.15, high=0.26, n=390),
                by_cohort={"chat": Estimate(value=0.1, low=0.05, high=0.2, n=190)},
                kappa=0.55,
            )
        },
        "audit": audit(),
        "trends": {"tuned": (trend(None), trend("history"))},
        "lengths": {"tuned": lengths},
        "examples": tuple(example(kind, text, i) for kind in KINDS for i in range(4)),
        "cost": Cost(
            parts=(CostPart(part="judging", calls=800, tokens=123_456, seconds=61.5, cost_usd=None),),
            labels=400,
            seconds_per_label=0.15,
            usd_per_label=None,
            tokens_per_label=309.0,
            human_usd_per_label=0.67,
        ),
        "facts": {"prompts": "everyday.jsonl", "sampling": {"temperature": 0.7}, "seed": 0},
    }
    return Evaluation(**(known | more))


SHOWN: tuple[tuple[Literal["ab", "ba"], float], ...] = (("ab", 0.86), ("ba", 0.8))
KINDS: tuple[ExampleKind, ...] = ("win", "loss", "disagreement", "failure", "regression")


def several() -> Evaluation:
    """Three policies: two that beat the base and cannot be told from each other."""
    pairs = (("dpo", "base", 0.6, True), ("rlaif", "base", 0.66, True), ("rlaif", "dpo", 0.54, False))
    strengths = (("base", 0.0), ("dpo", 0.4), ("rlaif", 0.65))
    return whole(
        policies=(policy("base"), policy("dpo"), policy("rlaif")),
        win_rates=tuple(win(about(rate), name, other) for name, other, rate, _ in pairs),
        training_win_rates=(),
        training_judge=None,
        significance=tuple(differs(*pair) for pair in pairs),
        length_control=(),
        ratings=tuple(Rating(policy=p, rating=about(r, 0.2), expected_win_rate=0.5 + r / 5) for p, r in strengths),
        changes=tuple(change("chat", "win rate", 0.1, "improved", name) for name in ("dpo", "rlaif")),
        disagreement={},
        trends={},
        lengths={},
        rates=(),
        examples=(),
    )


def minimal() -> Evaluation:
    """Two policies and a judge that failed on everything: almost all is empty or None."""
    nothing: dict[str, Any] = {"characters": None, "finished": None}
    unknown = ("position_bias", "first_position_rate", "constitution", "variant")
    return Evaluation(
        title="nothing",
        policies=tuple(policy(name).model_copy(update=nothing) for name in ("base", "tuned")),
        judge=judge("J", compared=0, failures={"no_answer": 7}, **dict.fromkeys(unknown)),
        training_judge=None,
        judge_trained=False,
        prompts=7,
        cohorts=(),
        win_rates=(),
        training_win_rates=(),
        significance=(),
        length_control=(),
        ratings=(),
        changes=(),
        rates=(),
        disagreement={},
        audit=None,
        lengths={},
        examples=(),
        cost=None,
        facts={},
    )


def hostile() -> Evaluation:
    """Markup wherever a name or a text can stand."""
    name = HOSTILE
    renamed = {
        "base": "base",
        "tuned": name,
        "chat": f"chat {name}",
        "history": f"| {name}",
        "J": f"J {name}",
        "T": name,
    }
    return Evaluation.model_validate(_renamed(whole(HOSTILE).model_dump(mode="json"), renamed))


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(each, names) for key, each in value.items()}  # pyright: ignore
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]  # pyright: ignore
    return names.get(value, value) if isinstance(value, str) else value
