"""Describes an audit in sentences: which judge to use, what to compare its agreement with, and why to doubt it."""

import re
from collections.abc import Sequence

from preceptor.core.numbers import listed, number, p_equals, percent, points
from preceptor.evaluation.judges.judge_audit import Audit, JudgeAudit
from preceptor.evaluation.judges.paired import PairedComparison
from preceptor.judging.warnings import judge_warnings

_HASH = re.compile(r"([0-9a-f]{8})[0-9a-f]{4,}")
ECE_BOUND = 0.1
FEW_ROWS = 100
AS_WELL = 0.05  # two shares of agreement that differ by no more are said to be about the same


def with_short_labels(audit: Audit) -> Audit:
    """The audit with shorter labels: hashes have 8 digits, and the model is left out if all judges have the same.

    Labels stay unchanged if two would become equal.
    """
    labels = [judge.label for judge in audit.judges]
    short = [_HASH.sub(r"\1", label) for label in labels]
    if len({label.partition(" · ")[0] for label in short}) == 1 and all(" · " in label for label in short[1:]):
        short = [label.partition(" · ")[2] or label for label in short]
    if len(set(short)) < len(short):
        return audit
    name = dict(zip(labels, short, strict=True))
    return Audit(
        judges=tuple(judge.model_copy(update={"label": name[judge.label]}) for judge in audit.judges),
        comparisons=tuple(
            pair.model_copy(update={"judge_1": name[pair.judge_1], "judge_2": name[pair.judge_2]})
            for pair in audit.comparisons
        ),
        usable=tuple(name[label] for label in audit.usable),
        chosen=audit.chosen,
        unequal=audit.unequal,
        cascade=audit.cascade
        and audit.cascade.model_copy(update={"judges": tuple(name[label] for label in audit.cascade.judges)}),
        benchmark=audit.benchmark and audit.benchmark.named(name),
    )


def ranked(audit: Audit) -> list[JudgeAudit]:
    """The judges in descending order of agreement with people; those without an answer last."""
    return sorted(audit.judges, key=lambda judge: judge.alignment.value if judge.alignment else -1.0, reverse=True)


def sample(audit: Audit) -> list[str]:
    """Warnings about the rows, which may not represent others; shown before any number."""
    sentences: list[str] = []
    if disputed := audit.chosen.get("disputed"):
        rows = max((judge.rows for judge in audit.judges), default=disputed)
        sentences.append(
            f"{disputed} of {rows} rows were chosen because judges dispute them. Judges do worst on such rows, and "
            "these numbers say nothing about other rows: audit a random sample, as the plan of an estimate draws it."
        )
    if within := audit.chosen.get("cohort"):
        rows = max((judge.rows for judge in audit.judges), default=within)
        sentences.append(
            f"{within} of {rows} rows were drawn within cohorts. These numbers say nothing about other cohorts, and "
            "a cohort counts by how many of its rows were drawn."
        )
    if audit.unequal:
        sentences.append(
            "The rows were drawn with unequal probabilities, and every row counts the same here, so rows that "
            "were more likely to be drawn count too much."
        )
    return sentences


def headline(audit: Audit) -> str:
    """The result in a sentence or two: which judge to use, and whether it beats the next beyond chance; or why none."""
    judges = [judge for judge in ranked(audit) if judge.alignment is not None]
    if not judges:
        return "Use none of these judges: none gave an answer on a pair on which people have a majority."
    fit = [judge for judge in judges if judge.unfit is None]
    if not fit:
        return _use_none(judges)
    best, *others = fit
    if len(judges) == 1:
        return f"{best.label} prefers what most people prefer on {_agrees(best)}."
    apart = "".join(f" {judge.label} does not count: {_unfit(judge)}." for judge in judges if judge.unfit is not None)
    if not others:
        return f"{best.label} is the only one to use: it agrees with people on {_agrees(best)}.{apart}"
    following = others[0]
    differ = {other.label: _between(audit.comparisons, best, other) for other in others}
    close = [other for other in others if not ((pair := differ[other.label]) and pair.significant)]
    if following not in close:
        return (
            f"{best.label} agrees most with people: on {_agrees(best)}. {following.label} follows with "
            f"{percent(_aligned(following))}; {_difference(differ[following.label])}.{apart}"
        )
    names = [f"{judge.label} ({percent(_aligned(judge))})" for judge in (best, *close)]
    return (
        f"{listed(names)} cannot be told apart: {_difference(differ[following.label])}. The first of them agrees with "
        f"people on {_agrees(best)}.{apart}"
    )


def _use_none(judges: Sequence[JudgeAudit]) -> str:
    best = judges[0]
    if len(judges) == 1:
        return f"Do not use {best.label}: {_unfit(best)}. It prefers what most people prefer on {_agrees(best)}."
    return (
        f"Use none of these {len(judges)} judges. {best.label} agrees most with people, on {_agrees(best)}, but "
        f"{_unfit(best)}."
    )


def _agrees(judge: JudgeAudit) -> str:
    interval = judge.alignment and judge.alignment.interval
    reach = f" (95% interval {_range(interval)})" if interval else ""
    return f"{percent(_aligned(judge))} of {judge.n} pairs{reach}"


def _aligned(judge: JudgeAudit) -> float | None:
    return judge.alignment and judge.alignment.value


def _unfit(judge: JudgeAudit) -> str:
    """Why a judge should not be used."""
    interval = judge.alignment and judge.alignment.interval
    if judge.unfit == "learnt":
        return (
            f"it was taught on the prompts of {judge.learnt_rows} of these {judge.rows} rows, so its agreement here is "
            "partly memory; audit it on prompts that it never saw"
        )
    if judge.unfit == "below_chance":
        return "it agrees with people less than chance"
    if judge.unfit == "chance" and interval:
        return f"its agreement with people may be chance ({_range(interval)} includes 50%)"
    if judge.unfit == "longer" and judge.longer_baseline is not None:
        return _longer(judge)
    return "it gave no answer that could be compared with people's"


def _longer(judge: JudgeAudit) -> str:
    """How it compares with the rule that always prefers the longer response."""
    rule = f"always preferring the longer response{{}} ({percent(judge.longer_baseline)})"
    above = (_aligned(judge) or 0.0) - (judge.longer_baseline or 0.0)
    if above > AS_WELL:
        return "there are too few pairs to tell whether it beats " + rule.format("")
    return rule.format(" does better" if above < 0 else " does about as well")


def context(audit: Audit) -> list[str]:
    """What to compare the best judge's alignment with."""
    best = next(iter(ranked(audit)), None)
    if best is None or best.alignment is None or best.alignment.interval is None:
        return []
    sentences: list[str] = []
    if best.longer_baseline is not None:
        margin = best.above_longer and best.above_longer.interval
        low, high = margin or tuple(end - best.longer_baseline for end in best.alignment.interval)
        than = "less than" if high < 0 else "clearly more than" if low > 0 else "not clearly more than"
        sentences.append(
            f"Always preferring the longer response would agree on {percent(best.longer_baseline)} of the same pairs: "
            f"the best judge does {than} that."
        )
    if best.human_agreement is not None and best.one_person_agreement is not None:
        sentences.append(
            f"Two people agree with each other on {percent(best.human_agreement)} of pairs, and the best judge agrees "
            f"with one person on {percent(best.one_person_agreement)}."
        )
    elif best.human_agreement is None:
        sentences.append("No pair was rated by several people, so how much people agree with each other is not known.")
    return sentences


def doubts(judge: JudgeAudit) -> list[str]:
    """Reasons to doubt one judge, the gravest first."""
    warnings = [warning.sentence for warning in judge_warnings(judge.conduct, "it")]
    if judge.alignment is None or judge.alignment.interval is None:
        return [_unfit(judge), *warnings]
    reasons = [] if judge.unfit is None else [_unfit(judge)]
    if judge.unfit != "longer" and judge.longer_baseline is not None:
        reasons += [_longer(judge)] if judge.alignment.value < judge.longer_baseline else []
    reasons += warnings
    if judge.ece is not None and judge.ece > ECE_BOUND:
        reasons.append(f"its confidence is off by {points(judge.ece)} points on average (ECE {number(judge.ece)})")
    if judge.n < FEW_ROWS:
        reasons.append(f"only {judge.n} pairs are behind these numbers")
    return reasons


def _between(comparisons: Sequence[PairedComparison], one: JudgeAudit, other: JudgeAudit) -> PairedComparison | None:
    wanted = {one.label, other.label}
    return next((pair for pair in comparisons if {pair.judge_1, pair.judge_2} == wanted), None)


def _difference(comparison: PairedComparison | None) -> str:
    if comparison is None or comparison.p_holm is None:
        return "whether they differ is not known: too few pairs have an answer of both"
    beyond = "beyond chance" if comparison.significant else "within noise"
    return f"the difference is {beyond} ({p_equals(comparison.p_holm)})"


def _range(interval: tuple[float, float]) -> str:
    return f"{points(interval[0])} to {percent(interval[1])}"
