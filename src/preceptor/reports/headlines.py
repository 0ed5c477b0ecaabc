"""The headline of each report: one line with its number, and a badge with the verdict on it.

`evaluation.verdict` decides every verdict from an interval; templates only show it.
"""

from dataclasses import dataclass

from preceptor.core.numbers import Interval, estimate, share
from preceptor.evaluation.judges.audit_words import ranked
from preceptor.evaluation.judges.judge_audit import Audit
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.policies.standings import best_against_baseline, regressions
from preceptor.evaluation.policies.trajectories import TrajectoryFindings
from preceptor.evaluation.verdict import Verdict, verdict_on
from preceptor.results.arms import ArmsResult
from preceptor.results.comparison import ComparisonResult
from preceptor.results.estimate import EstimateResult
from preceptor.results.run import RunSummary
from preceptor.results.sweep import SweepResult


@dataclass(frozen=True)
class Headline:
    """One line, and the verdict on it."""

    verdict: Verdict | None
    """None where nothing is compared."""
    line: str
    said: str = ""
    """The badge's text where it is more precise than the verdict: "better than chance"."""
    worse: tuple[str, ...] = ()
    """What speaks against the main number, a badge each: a bound that is broken, a measure that got worse."""

    @property
    def badge(self) -> str:
        """The text of the badge."""
        return self.said or self.verdict or ""


def of_run(summary: RunSummary, compared: Evaluation | None) -> Headline:
    """The change of the held-out score on the test prompts."""
    broken = ("breaks a bound",) if summary.kept_breaks_bound else ()
    unreadable = ("unreadable responses",) if summary.too_unreadable else ()
    worse = (*broken, *unreadable, *(() if compared is None else _regressed(compared)))
    gain = summary.heldout_change
    if summary.kept_untrained:
        return Headline("no difference shown", "The policy from before training was kept.", worse=worse)
    if summary.heldout_score_is is None or summary.heldout_judge_trained or gain is None:
        return Headline("not measured", "Nothing independent measured what changed.", worse=worse)
    line = f"Held-out score {estimate(gain, signed=True)} on {_prompts(gain.n)}"
    return _with_few(Headline(verdict_on(gain), line, worse=worse), gain)


def of_evaluation(evaluation: Evaluation) -> Headline:
    """How often the best policy is preferred to the baseline."""
    best, worse = best_against_baseline(evaluation), _regressed(evaluation)
    if best is None:
        return Headline("not measured", "No two policies were compared.", worse=worse)
    rate = best.win.rate
    line = f"{best.win.policy} preferred to {best.win.against} {share(rate)}, {_prompts(rate.n)}"
    if evaluation.judge_trained:
        return Headline("not measured", f"By the judge that trained it: {line}", worse=worse)
    significance = best.significance is None or best.significance.significant
    return _with_few(Headline(verdict_on(rate, 0.5, beyond_chance=significance), line, worse=worse), rate)


def of_audit(audit: Audit) -> Headline:
    """The agreement with people of the judge to use; if none is fit for use, of the one that agrees most."""
    judges = [judge for judge in ranked(audit) if judge.alignment is not None]
    best = next((judge for judge in judges if judge.unfit is None), judges[0] if judges else None)
    if best is None or best.alignment is None:
        return Headline("not measured", "No judge answered where people have a majority.")
    verdict = verdict_on(best.alignment, 0.5)
    line = f"{best.label} agrees with people on {share(best.alignment)} of {best.n} pairs"
    if best.unfit == "learnt":
        return Headline("not measured", line, "it was taught on some of these prompts")
    if best.unfit == "longer":
        return Headline("no difference shown", line, "not shown to beat the longer response")
    return Headline(verdict, line, _of_chance(verdict))


def of_sweep(sweep: SweepResult) -> Headline:
    """The change of the held-out score at the best checkpoint."""
    if sweep.held_out is None or sweep.heldout_judge_trained:
        return Headline("not measured", "Nothing independent measured these checkpoints.")
    best, gain = sweep.best, sweep.best.gain.overall
    if not best.step or gain is None:
        return Headline("no difference shown", "No checkpoint within the bounds beats the policy before training.")
    line = f"Step {best.step}: held-out score {estimate(gain, signed=True)} on {_prompts(gain.n)}"
    return _with_few(Headline(verdict_on(gain, beyond_chance=best.better or best.worse), line), gain)


def of_comparison(compared: ComparisonResult) -> Headline:
    """The first difference: of the first side from the second."""
    if not compared.differences:
        return Headline("not measured", "No two of them share measured prompts.")
    first = compared.differences[0]
    line = f"{first.name} against {first.against}: {first.measure} {estimate(first.difference, signed=True)}"
    verdict = verdict_on(first.difference, beyond_chance=first.significant)
    return _with_few(Headline(verdict, line), first.difference)


def of_arms(arms: ArmsResult, compared: Evaluation) -> Headline:
    """The gain of the best arm, and what got worse in any arm."""
    worse = _regressed(compared)
    best = arms.best_arm
    if best is None or best.gain is None or any(run.heldout_judge_trained for run in arms.runs.values()):
        return Headline("not measured", "Nothing independent measured these arms.", worse=worse)
    line = f"{best.name} gains most: held-out score {estimate(best.gain, signed=True)} on {_prompts(best.gain.n)}"
    return _with_few(Headline(verdict_on(best.gain), line, worse=worse), best.gain)


def of_estimate(result: EstimateResult) -> Headline:
    """How often people prefer the response that the estimate is about."""
    best = result.best
    if best is None:
        return Headline("not measured", f"Too few human labels to estimate how often people prefer {result.preferred}.")
    line = f"People prefer {result.preferred} {share(best)} of the time"
    return Headline(verdict_on(best, 0.5), line)


def of_trajectories(findings: TrajectoryFindings) -> Headline:
    """How often the judge prefers the trajectory that succeeded."""
    compared = next((rule.share for rule in findings.agreement if rule.by == "the comparison"), None)
    if compared is None:
        return Headline("not measured", f"{findings.pairs} pairs were judged, but which succeeded is not known.")
    verdict = verdict_on(compared, 0.5)
    line = f"The judge prefers what succeeded {share(compared)} of the time"
    return _with_few(Headline(verdict, line, _of_chance(verdict)), compared)


def _regressed(evaluation: Evaluation) -> tuple[str, ...]:
    regressed = regressions(evaluation)
    if not regressed:
        return ()
    who = f" for {regressed[0].policy}" if len(evaluation.policies) > 2 else ""
    more = f", and {len(regressed) - 1} more" if len(regressed) > 1 else ""
    return (f"worse: {regressed[0].measure} in {regressed[0].cohort}{who}{more}",)


def _with_few(headline: Headline, found: Interval) -> Headline:
    """The headline, whose badge says if there is no interval."""
    if found.low is None or found.high is None:
        return Headline(headline.verdict, headline.line, "too few prompts", headline.worse)
    return headline


def _of_chance(verdict: Verdict) -> str:
    than: dict[Verdict, str] = {
        "better": "better than chance",
        "worse": "worse than chance",
        "no difference shown": "no difference from chance shown",
    }
    return than.get(verdict, "")


def _prompts(n: int) -> str:
    return "one prompt" if n == 1 else f"{n} prompts"
