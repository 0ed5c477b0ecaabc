"""An evaluation's comparisons as rows for reading."""

from collections.abc import Iterator, Sequence

from preceptor.core.numbers import percent
from preceptor.evaluation.policies.result import Evaluation, Example
from preceptor.reports.evaluation.view import examples_by_kind
from preceptor.reports.responses import Row, Side


def picked(evaluation: Evaluation) -> list[tuple[str, list[Row]]]:
    """The chosen examples under their titles."""
    return [(title, [row_of(example) for example in group]) for title, group in examples_by_kind(evaluation)]


def rows_of(examples: Sequence[Example]) -> list[Row]:
    """A row for each comparison."""
    return [row_of(example) for example in examples]


def row_of(example: Example) -> Row:
    """A comparison with what the judges said of it."""
    p_b = None if example.p_a is None else 1 - example.p_a
    return Row(
        tag=example.cohort,
        prompt=example.prompt,
        sides=(
            _side(example.policy, example.response_a, example.thought_a, example.p_a),
            _side(example.against, example.response_b, example.thought_b, p_b),
        ),
        notes=tuple(_notes(example)),
        reasoning=example.rationale,
    )


def _side(policy: str, text: str, thought: str | None, p: float | None) -> Side:
    label = policy if p is None else f"{policy} · {percent(p)}"
    return Side(label, text, preferred=p is not None and p > 0.5, thought=thought or "")


def _notes(example: Example) -> Iterator[str]:
    if example.failure is not None:
        yield f"No verdict: {example.failure}."
    if example.training_p_a is not None:
        yield f"The training judge: {percent(example.training_p_a)} for {example.policy}."
    shown = [
        f"{verdict.judge}, {example.policy if verdict.order == 'ab' else example.against} shown first: "
        f"{percent(verdict.p_a)} for {example.policy}"
        for verdict in example.verdicts
    ]
    if shown:
        yield f"{'; '.join(shown)}."
