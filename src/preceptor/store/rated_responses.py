"""Responses by themselves with a label or a score, for losses that need no pairs.

A row has `prompt` (a text or messages), `response` or, as in TRL, `completion` (a text, or the messages after the
prompt), and `label` (true where the response is desirable, false where it is not, or the probability that it is) or
`score` (any number, to be compared with a threshold). It may have `id`, `cohort`, `thought`, `tools`, `metadata` and
`weight`; null counts as absent, and unknown columns are ignored.
"""

from dataclasses import dataclass
from pathlib import Path

from preceptor.core.types import Prompt, Response
from preceptor.store.columns import WrongRowError, number_in, weight_of
from preceptor.store.comparisons import comparison_id, parse_response, prompt_of
from preceptor.store.rows import Malformed, Row, read_raw_rows

_RESPONSES = ("response", "completion")
_LABELS = "true, false or a probability in [0, 1]"


@dataclass(frozen=True)
class RatedResponse:
    """A response and how likely it is desirable."""

    id: str
    prompt: Prompt
    response: Response
    desirable: float
    """Probability that the response is desirable, in [0, 1]; 0 and 1 are hard labels."""
    weight: float = 1.0
    """Weight of the response in the loss, > 0."""


def read_rated_responses(
    path: Path, *, threshold: float | None = None, weight: float = 1.0
) -> tuple[list[RatedResponse], list[Malformed]]:
    """Reads rated responses.

    Args:
        threshold: a response whose score is at least this is desirable; None where rows have labels.
        weight: weight of every response in the loss; multiplied by the row's own weight.

    Returns: the responses, and each row that was left out, with its place and the reason.
    Raises: UsageError when the dataset cannot be read.
    """
    rated: list[RatedResponse] = []
    left_out: list[Malformed] = []
    for number, (place, row) in enumerate(read_raw_rows(path)):
        if isinstance(row, Malformed):
            left_out.append(row)
            continue
        try:
            rated.append(_rated({name: value for name, value in row.items() if value is not None}, threshold, weight))
        except WrongRowError as error:
            left_out.append(Malformed(number, place, str(error)))
    return rated, left_out


def _rated(row: Row, threshold: float | None, weight: float) -> RatedResponse:
    if "prompt" not in row:
        raise WrongRowError('no "prompt"')
    column = next((name for name in _RESPONSES if name in row), None)
    if column is None:
        raise WrongRowError('no "response" or "completion"')
    prompt = prompt_of(row, row["prompt"])
    response = parse_response(row[column], column, prompt, None, row.get("thought"))
    named = str(row["id"]) if "id" in row else comparison_id(prompt, response)
    return RatedResponse(named, prompt, response, _desirable(row, threshold), weight * weight_of(row))


def _desirable(row: Row, threshold: float | None) -> float:
    """The probability that the row's response is desirable."""
    if threshold is not None:
        if "score" not in row:
            raise WrongRowError('no "score", which the threshold is for')
        return float(number_in(row, "score", "a number") >= threshold)
    if "label" not in row:
        scored = "; scores need a threshold" if "score" in row else ""
        raise WrongRowError(f'no "label"; expected true, false, or the probability that it is desirable{scored}')
    if isinstance(row["label"], bool):
        return float(row["label"])
    probability = number_in(row, "label", _LABELS)
    if not 0.0 <= probability <= 1.0:
        raise WrongRowError(f"label: expected {_LABELS}, got {probability:g}")
    return probability
