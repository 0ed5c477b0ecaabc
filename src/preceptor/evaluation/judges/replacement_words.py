"""Says in sentences whether judges may replace people."""

from collections.abc import Sequence

from preceptor.core.numbers import listed, number, percent, share
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.evaluation.judges.replacement import RECOMMENDED, Replacement, ReplacementAt


def in_words(judges: Sequence[JudgeAudit]) -> list[str]:
    """A sentence for each judge that was tested, and what limits the test. Empty if none was tested."""
    tested = [(judge.label, judge.replacement) for judge in judges if judge.replacement is not None]
    if not tested:
        return []
    return [*(verdict(label, test) for label, test in tested), *_limits([test for _, test in tested])]


def verdict(label: str, test: Replacement) -> str:
    """Whom the judge may replace, against how many annotators it wins, and how it compares with one of them."""
    yes = [_at(each, len(test.annotators)) for each in test.verdicts if each.replaces]
    no = [_at(each, len(test.annotators)) for each in test.verdicts if not each.replaces]
    parts = [*([f"may replace {listed(yes)}"] if yes else []), *([f"may not replace {_either(no)}"] if no else [])]
    return (
        f"{label} {' and '.join(parts)}. It agrees with the other annotators at least as well as one of them does on "
        f"{share(test.advantage)} of the rows."
    )


def _at(each: ReplacementAt, annotators: int) -> str:
    return f"{each.people} (ε {number(each.epsilon)}: it wins against {len(each.beaten)} of {annotators})"


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _limits(tests: Sequence[Replacement]) -> list[str]:
    """What the reader has to know of the annotators and the rows."""
    found: list[str] = []
    if not all(test.named for test in tests):
        found.append("The annotators have no names: this holds if the same person always stands at the same place.")
    if any(len(test.annotators) < RECOMMENDED for test in tests):
        found.append("There are two annotators; the test's authors ask for three or more.")
    if untested := max(len(test.untested) for test in tests):
        found.append(f"{untested} annotators have too few rows to be tested.")
    changed = [each for test in tests for each in test.verdicts if each.replaces != each.replaces_by_prompt]
    if changed:
        rates = listed([f"{percent(each.winning_rate_by_prompt)} at ε {number(each.epsilon)}" for each in changed])
        found.append(f"With prompts in place of rows as the sample, a verdict changes: wins against {rates}.")
    return found
