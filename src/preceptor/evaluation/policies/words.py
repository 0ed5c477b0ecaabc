"""Describes an evaluation in sentences: the headline, and the reasons to doubt it."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from preceptor.core.numbers import estimate, listed, number, p_equals, percent, share
from preceptor.evaluation.policies.cohorts import MATTERS, SPREAD_MATTERS, Change, Verdict
from preceptor.evaluation.policies.length_control import LEAST_PROMPTS
from preceptor.evaluation.policies.result import Evaluation, JudgeFacts
from preceptor.evaluation.policies.standings import (
    PolicyPair,
    against_baseline,
    all_pairs,
    best_against_baseline,
    failures,
    is_capability,
    judges,
    regressions,
    standing,
)
from preceptor.judging.relations import LEAKAGE
from preceptor.judging.warnings import FAILURE_BOUND, NOTHING, Count, JudgeConduct, judge_warnings

FEW_PROMPTS = 30
UNDECIDED_BOUND = 0.3
Names: TypeAlias = Mapping[str, str]
"""Policies' names in sentences, by their own names."""
MEANING_OF: dict[Verdict, str] = {
    "improved": "beyond chance after correction for all tests, and better",
    "unchanged": (
        f"no change was found, and the interval excludes one of {percent(MATTERS)} or more (for measures that are no "
        f"shares: of {number(SPREAD_MATTERS, 1)} standard deviations over prompts)"
    ),
    "too few prompts": "no change was found, but the interval does not exclude one of that size",
    "regressed": "beyond chance after correction for all tests, and worse",
}
"""What each verdict on a change means, for readers."""
_SHOWN = 5
"""Regressions that get a sentence each."""


def headline(evaluation: Evaluation) -> str:
    """The result in a sentence or two, with its interval; regressions come first."""
    return " ".join(part for part in (_worse(evaluation), preference(evaluation)) if part)


def preference(evaluation: Evaluation, called: Names | None = None) -> str:
    """Which policy is preferred to the baseline, by which judge, and whether that holds at equal length.

    Args:
        called: names of the policies for sentences, if their own names do not read well.
    """
    best = best_against_baseline(evaluation)
    if best is None:
        return _nothing_compared(evaluation)
    names, candidates = called or _names(evaluation), len(against_baseline(evaluation))
    doubt = f"Do not trust this result: {evaluation.judge.name} judged it and also trained one of the policies. "
    parts = [_verdict(best, names, _by(evaluation), candidates), _at_equal_length(best), _capability(evaluation, best)]
    peers = _peers(evaluation, best) if candidates > 1 and best.standing == "better" else ""
    return (doubt if evaluation.judge_trained else "") + "; ".join(part for part in parts if part) + f".{peers}"


def judge_doubts(evaluation: Evaluation) -> list[str]:
    """Reasons to doubt the judges, which are shown before any of their numbers."""
    return [
        f"{warning.sentence}."
        for _, judge in judges(evaluation)
        for warning in judge_warnings(_conduct(judge), judge.name)
    ]


def warnings(evaluation: Evaluation, called: Names | None = None) -> list[str]:
    """Reasons to doubt the result: first those to doubt the judges, then the others, the gravest first.

    Args:
        called: as in `preference`.
    """
    names = called or _names(evaluation)
    found = [
        *judge_doubts(evaluation),
        *_of_training(evaluation, names),
        *_of_length(evaluation, names),
        *_of_judging(evaluation, names),
        *_of_regressions(evaluation),
        *_of_time(evaluation, names),
        *_of_numbers(evaluation, names),
    ]
    return [f"T{sentence[1:]}" if sentence.startswith("the ") else sentence for sentence in found]


def change_in_words(change: Change) -> str:
    """A change with its interval and p-value: "tuned, chat: exact match improved by +0.12 [...], p = 0.003 ..."."""
    p = "" if change.p_holm is None else f", {p_equals(change.p_holm)} after correction"
    by = f"{change.verdict} by {estimate(change.change, signed=True)}{p}"
    return f"{change.policy}, {change.cohort}: {change.measure} {by}"


def _names(evaluation: Evaluation) -> Names:
    return {policy.name: policy.name for policy in evaluation.policies}


def _worse(evaluation: Evaluation) -> str:
    """What regressed, the clearest first."""
    regressed = regressions(evaluation)
    if not regressed:
        return ""
    first, several = regressed[0], len(evaluation.policies) > 2
    what = f"{first.measure} {estimate(first.change, signed=True)}" + (f" for {first.policy}" if several else "")
    if len(regressed) == 1:
        return f"Worse in {first.cohort}: {what}."
    cohorts = listed(list(dict.fromkeys(change.cohort for change in regressed))[:3])
    return f"Worse on {len(regressed)} of {len(evaluation.changes)} counts, in {cohorts}; most clearly {what}."


def _by(evaluation: Evaluation) -> str:
    """The judge, and whether it is independent."""
    if evaluation.judge_trained:
        return "it"
    apart = ", which took no part in training" if evaluation.training_judge is not None else ""
    return f"{evaluation.judge.name}{apart}"


def _verdict(pair: PolicyPair, names: Names, judge: str, candidates: int) -> str:
    policy, base, rate = names[pair.win.policy], names[pair.win.against], share(pair.win.rate)
    if pair.win.rate.low is None:
        prompts = "one prompt" if pair.win.rate.n == 1 else f"{pair.win.rate.n} prompts"
        return (
            f"{policy} is preferred to {base} {rate} of the time by {judge}, on {prompts}: too few to conclude anything"
        )
    if pair.standing == "better":
        first = f"Of {candidates + 1} policies, {policy} does best: it" if candidates > 1 else policy
        return f"{first} is preferred to {base} {rate} of the time by {judge}"
    if pair.standing == "worse":
        if candidates > 1:
            return f"{base} is preferred to every other policy; of those, {policy} does best, with {rate} by {judge}"
        return f"{base} is preferred to {policy}, which wins {rate} of the time by {judge}"
    if candidates > 1:
        return f"No policy was found to be better than {base}; {policy} comes closest, with {rate} by {judge}"
    return (
        f"No difference beyond chance was found between {policy} and {base}: {policy} is preferred {rate} of the time "
        f"by {judge}"
    )


def _at_equal_length(pair: PolicyPair) -> str:
    rate = pair.at_equal_length
    if rate is None:
        few = pair.length is None or pair.win.rate.n < LEAST_PROMPTS
        return "" if few else "how it would do at equal length cannot be estimated from these responses"
    if pair.changes_sign:
        return f"at equal length it wins {share(rate)}, on the other side of one half"
    if pair.standing != "open" and standing(rate) == "open":
        return f"at equal length {share(rate)}, which may be chance"
    return f"{share(rate)} at equal length"


def _capability(evaluation: Evaluation, pair: PolicyPair) -> str:
    """What happened to the policy's capabilities; empty if they regressed, which the headline already says."""
    measured = [change for change in evaluation.changes if is_capability(change) and change.policy == pair.win.policy]
    verdicts = {change.verdict for change in measured}
    if not measured or "regressed" in verdicts:
        return ""
    improved = list(dict.fromkeys(change.measure for change in measured if change.verdict == "improved"))
    if improved:
        return f"{listed(improved)} improved"
    few = "too few prompts" in verdicts
    return "too few prompts to exclude a change in capability" if few else "no change in capability was found"


def _peers(evaluation: Evaluation, best: PolicyPair) -> str:
    """Which other policies cannot be told apart from the best."""
    close = [
        pair.against if pair.policy == best.win.policy else pair.policy
        for pair in evaluation.significance
        if best.win.policy in (pair.policy, pair.against) and not pair.significant
    ]
    return f" It cannot be told apart from {listed(close)}." if close else " It is preferred to every other one, too."


def _nothing_compared(evaluation: Evaluation) -> str:
    failed, asked = failures(evaluation.judge)
    if failed:
        return f"There is no result: {evaluation.judge.name} failed on {failed} of {asked} comparisons."
    return "There is no result: no two policies were compared."


def _of_training(evaluation: Evaluation, names: Names) -> Iterator[str]:
    judge, training = evaluation.judge.name, evaluation.training_judge
    if evaluation.judge_trained:
        yield (
            f"{judge} trained one of the policies that it judges here. Training teaches a policy to please its own "
            "judge first: use a judge that took no part in it."
        )
    if evaluation.judge_is_policy:
        same = listed([names[policy] for policy in evaluation.judge_is_policy])
        yield f"{judge} has the same weights as {same}: a model tends to favour its own responses."
    for words in dict.fromkeys(evaluation.judge_related.values()):
        related = [names[policy] for policy, said in evaluation.judge_related.items() if said == words]
        yield f"{judge} {words.replace('{}', listed(related))}: {LEAKAGE}."
    for policy, count in evaluation.trained_on.items():
        yield f"{names[policy]} was trained on {count} of the {evaluation.prompts} prompts, which flatters it."
    for policy, count in evaluation.chosen_on.items():
        yield (
            f"An earlier version of preceptor trained {names[policy]} and set no test prompts aside: its checkpoint "
            f"may have been chosen on {count} of the {evaluation.prompts} prompts, which flatters it."
        )
    if evaluation.without_tools:
        agents = listed([names[policy] for policy in evaluation.without_tools])
        yield (
            f"{agents} learnt to act with tools and answered here without them, so this does not say how well tasks "
            "are done."
        )
    for pair in against_baseline(evaluation):
        if pair.inflated and pair.training is not None and training is not None:
            yield (
                f"The training judge ({training.name}) prefers {names[pair.win.policy]} to {names[pair.win.against]} "
                f"{share(pair.training.rate)} of the time, {judge} only {share(pair.win.rate)}: part of the gain "
                "pleases only the training judge."
            )


def _of_length(evaluation: Evaluation, names: Names) -> Iterator[str]:
    for pair in all_pairs(evaluation):
        if pair.length is not None and pair.changes_sign:
            rates = (pair.length.by_difference, pair.length.by_ratio)
            controlled = listed([share(rate) for rate in rates if rate is not None])
            yield (
                f"Length decides: {names[pair.win.policy]} is preferred to {names[pair.win.against]} "
                f"{share(pair.length.raw)} of the time as the responses are, and {controlled} at equal length."
            )
        elif pair.length is not None and pair.length.unknown is not None and pair.win.rate.n >= LEAST_PROMPTS:
            yield (
                f"How often {names[pair.win.policy]} would win against {names[pair.win.against]} at equal length is "
                f"unknown: {pair.length.unknown}."
            )


def _of_judging(evaluation: Evaluation, names: Names) -> Iterator[str]:
    audit = evaluation.audit
    if audit is not None and audit.unfit == "learnt":
        yield (
            f"How often {evaluation.judge.name} agrees with people cannot be known from its audit: it was taught on "
            f"the prompts of {audit.learnt_rows} of {audit.rows} rows."
        )
    elif audit is not None and audit.unfit is not None:
        agrees = "gave no answer that could be compared with people's"
        if audit.alignment is not None and audit.alignment.interval is not None:
            low, high = (percent(end) for end in audit.alignment.interval)
            agrees = f"agrees with people on {percent(audit.alignment.value)} of {audit.n} pairs ({low} to {high})"
        longer = f"always preferring the longer response ({percent(audit.longer_baseline)})"
        than = longer if audit.unfit == "longer" else "chance"
        yield f"{evaluation.judge.name} is no better than {than} at predicting what people prefer: it {agrees}."
    for pair in all_pairs(evaluation):
        judged = pair.win.wins + pair.win.ties + pair.win.losses
        if pair.win.ties > UNDECIDED_BOUND * judged:
            yield (
                f"{evaluation.judge.name} is undecided on {percent(pair.win.ties / judged)} of the comparisons of "
                f"{names[pair.win.policy]} with {names[pair.win.against]}; each of them counts as half a win."
            )


def _conduct(judge: JudgeFacts) -> JudgeConduct:
    """How a judge answered; for an evaluation of an early version, as far as its shares show."""
    if judge.conduct is not None:
        return judge.conduct
    failed, compared = sum(judge.failures.values()), judge.compared
    bias = judge.position_bias
    return JudgeConduct(
        failed=Count(hits=failed, n=compared + failed, prompts=compared + failed),
        failures=judge.failures,
        same_position=NOTHING if bias is None else Count(hits=bias * compared, n=compared, prompts=compared),
    )


def _of_regressions(evaluation: Evaluation) -> Iterator[str]:
    regressed = regressions(evaluation)
    for change in regressed[:_SHOWN]:
        who = f"{change.policy} regressed" if len(evaluation.policies) > 2 else "Regressed"
        yield f"{who} in {change.cohort}: {_fall(change)}."
    if len(regressed) > _SHOWN:
        yield f"{len(regressed) - _SHOWN} more regressions are in the table of changes."


def _of_time(evaluation: Evaluation, names: Names) -> Iterator[str]:
    for policy, trends in evaluation.trends.items():
        for trend in trends:
            if trend.worse:
                last, where = trend.windows[-1], "" if trend.cohort is None else f" in {trend.cohort}"
                yield (
                    f"Worse lately: on prompts asked since {last.start}, {names[policy]} lost {share(last.failing)} of "
                    f"comparisons{where}, more than before (corrected {p_equals(trend.p_holm)})."
                )


def _fall(change: Change) -> str:
    """Which measure fell, from what to what."""
    before, after = number(change.before.value), number(change.after.value)
    return (
        f"{change.measure} fell from {before} to {after} "
        f"({estimate(change.change, signed=True)}, corrected {p_equals(change.p_holm)})"
    )


def _of_numbers(evaluation: Evaluation, names: Names) -> Iterator[str]:
    for policy in evaluation.policies:
        asked = policy.responses + policy.failed
        if policy.failed > FAILURE_BOUND * asked:
            failed = percent(policy.failed / asked, 1)
            yield f"{names[policy.name]} gave no answer to {policy.failed} of {asked} requests ({failed})."
        if policy.unfinished_thoughts > FAILURE_BOUND * policy.responses:
            yield (
                f"In {policy.unfinished_thoughts} of {policy.responses} responses of {names[policy.name]}, the thought "
                "did not end within its limit; what is judged there is an empty answer."
            )
    if evaluation.prompts < FEW_PROMPTS:
        prompts = "one prompt" if evaluation.prompts == 1 else f"{evaluation.prompts} prompts"
        yield f"Only {prompts}: the result says little about other prompts."
