"""Comparisons from a dataset of any size, in any of the usual formats.

A row's columns determine its format; null counts as absent, and unknown columns are ignored:

- `prompt`, `response_a`, `response_b`, and people's opinions: `label` ("a", "b", "tie", or the probability that a is
  better) or `ratings` (the opinions of several people, whose names may be in `raters`);
- `prompt`, `chosen`, `rejected` as in TRL, plain or conversational. Without `prompt`, the prompt
  is the common beginning of both conversations. `p_chosen` is the probability according to an AI judge. People chose,
  unless the row says that a judge did (`constitution_hash`) or that a model made the pair (`origin`);
- `prompt`, `responses`: two or more responses, which are compared in pairs.

The thought before a response is in `thought_a`, `thought_b`, `chosen_thought`, `rejected_thought`, or is the
`reasoning_content` of its message. Judges do not see it.

`tools` has the JSON schemas of the tools that responses could call; training shows them in the prompt.

Scores of both responses are in `score_a` and `score_b`, or `chosen_score` and `rejected_score`.

Every row may have `id`, `cohort`, `category`, `reference`, `metadata`, `rubric`, policies, `weight` (in training) and
`selection` (how the row was chosen from all rows). A prompt is a text or messages. A response is a text or the messages
after the prompt; several messages are a trajectory.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, count
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import (
    Comparison,
    HumanLabel,
    JudgeFailure,
    Message,
    Prompt,
    Response,
)
from preceptor.core.validation import first_problem
from preceptor.store.columns import WrongRowError, flag_in, kind_of, number_in, probability_in, text_in, weight_of
from preceptor.store.hub.columns import common_beginning, role_of_first
from preceptor.store.orientation import Orientation
from preceptor.store.prompts import parse_prompt, tidy_messages
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.rubrics import rubric_columns
from preceptor.store.selection import NOT_SAID, Selection, WrongSelectionError, read_selection
from preceptor.store.thoughts import WrongThoughtError, apart
from preceptor.store.tools import WrongToolsError, read_tools

__all__ = ["ComparisonRow", "Design", "Malformed", "read_comparisons"]

Design = Literal["all", "circular", "anchor"]
"""Which pairs of k responses are compared. `circular`: each with the next, and the last with the first; k pairs.
`anchor`: each with the first response; k - 1 pairs."""

REVISED, CONSTRUCTED = "critique and revision", "constructed"
"""What `origin` says of a pair that a model made, in which nobody judged."""
_MESSAGES = TypeAdapter(tuple[Message, ...])
_OPINIONS = ("a", "b", "tie")
_MAKERS = ("judge", "origin", "model")
_ABOUT = ("cohort", "reference", "metadata", "rubric")
_KNOWN = {
    *(
        "prompt",
        "response_a",
        "response_b",
        "responses",
        "chosen",
        "rejected",
        "id",
        "category",
        "label",
        "ratings",
        "weight",
    ),
    *(
        "policy_a",
        "policy_b",
        "thought_a",
        "thought_b",
        "chosen_thought",
        "rejected_thought",
        "tools",
        "policies",
        "p_chosen",
        "chosen_finished",
        "rejected_finished",
        "human_p_chosen",
        "score_a",
        "score_b",
        "chosen_score",
        "rejected_score",
        "selection",
        "selection_probability",
        *_ABOUT,
    ),
}


@dataclass(frozen=True)
class ComparisonRow:
    """A comparison from a dataset, with its position there and people's opinions."""

    number: int
    """Position in the stream, counted from 0; every comparison and every malformed row takes one."""
    place: str
    comparison: Comparison
    human: HumanLabel | None
    category: str | None
    ai_p_a: float | None = None
    """Probability that a is better according to an AI judge, if the row has one."""
    weight: float = 1.0
    """In training."""
    selection: Selection = NOT_SAID
    scores: tuple[float, float] | None = None
    """Of a and b, on any scale, if the row has both."""
    labelled_by: str | None = None
    """Who gave `ai_p_a`, if the row says it: a judge, or how a model made the pair."""

    @property
    def preferred(self) -> Literal["a", "b"] | None:
        """The response that people prefer; None where nobody was asked, and for a tie."""
        majority = "tie" if self.human is None else self.human.majority
        return None if majority == "tie" else majority


@dataclass(frozen=True)
class Unanswered:
    """A comparison without responses, because the policy gave none."""

    number: int
    """As in `ComparisonRow`."""
    place: str
    id: str
    failure: JudgeFailure


def read_comparisons(path: Path, *, design: Design = "all") -> Iterator[ComparisonRow | Malformed]:
    """Streams the comparisons of a dataset in any format that `read_raw_rows` reads. A malformed row is yielded in its
    place.

    Whether `chosen` or `rejected` becomes a depends only on a hash of the prompt and the pair, so the position does not
    reveal the answer, and a changed label does not move a response.

    Args:
        design: which pairs of a row with several responses are compared.

    Raises: UsageError when the dataset cannot be read.
    """
    return _numbered(read_raw_rows(path), design)


def comparisons_in(place: str, row: Row) -> list[ComparisonRow | Malformed]:
    """The comparisons of one row, numbered from 0."""
    return list(_numbered([(place, row)], "all"))


def has_responses(row: Row) -> bool:
    """Whether a row is a comparison, and not a prompt alone."""
    return any(row.get(key) is not None for key in ("response_a", "response_b", "responses", "chosen", "rejected"))


def pairs_of(count: int, design: Design) -> list[tuple[int, int]]:
    """Positions of the responses to compare, for `count` responses to one prompt."""
    if design == "circular" and count > 2:
        return [(i, (i + 1) % count) for i in range(count)]
    if design == "anchor":
        return [(0, i) for i in range(1, count)]
    return list(combinations(range(count), 2))


def _numbered(rows: Iterable[tuple[str, Row | Malformed]], design: Design) -> Iterator[ComparisonRow | Malformed]:
    numbers = count()
    for place, row in rows:
        if isinstance(row, Malformed):
            yield Malformed(next(numbers), place, row.reason)
            continue
        present = {key: value for key, value in rubric_columns(row).items() if value is not None}
        try:
            category, weight, selection = text_in(present, "category"), weight_of(present), read_selection(present)
            for comparison, human, ai_p_a, scores in _comparisons(present, design):
                by = None if ai_p_a is None else _labelled_by(present)
                yield ComparisonRow(
                    next(numbers), place, comparison, human, category, ai_p_a, weight, selection, scores, by
                )
        except (WrongRowError, WrongSelectionError) as error:
            yield Malformed(next(numbers), place, str(error))


_Labelled = tuple[Comparison, HumanLabel | None, float | None, tuple[float, float] | None]
"""A comparison, what people think of it, the probability of a by an AI judge, and the scores of a and b."""


def _comparisons(row: Row, design: Design) -> Iterator[_Labelled]:
    if row.keys() & {"response_a", "response_b"}:
        yield _pair(row)
    elif "responses" in row:
        for comparison in _several(row, design):
            yield comparison, None, None, None
    elif row.keys() & {"chosen", "rejected"}:
        yield _preference(row)
    else:
        columns = ", ".join(f'"{name}"' for name in list(row)[:12]) or "none"
        raise WrongRowError(
            'expected "prompt" with "response_a" and "response_b", "chosen" and "rejected", or "responses"; '
            + (_hint(row, "response_a", "responses", "chosen") or f"the columns are {columns}")
        )


def _pair(row: Row) -> _Labelled:
    _need(row, "prompt", "response_a", "response_b")
    prompt = prompt_of(row, row["prompt"])
    a = parse_response(row["response_a"], "response_a", prompt, text_in(row, "policy_a"), row.get("thought_a"))
    b = parse_response(row["response_b"], "response_b", prompt, text_in(row, "policy_b"), row.get("thought_b"))
    return (
        Comparison(id=_id(row, prompt, a, b), prompt=prompt, a=a, b=b),
        _human(row),
        None,
        _scores(row, "score_a", "score_b"),
    )


def _several(row: Row, design: Design) -> Iterator[Comparison]:
    _need(row, "prompt", "responses")
    prompt = prompt_of(row, row["prompt"])
    listed: Any = row["responses"]
    if not isinstance(listed, list) or len(listed) < 2:
        raise WrongRowError("responses: expected a list of two or more")
    policies: Any = row.get("policies", [None] * len(listed))
    if not isinstance(policies, list) or len(policies) != len(listed):
        raise WrongRowError(f"policies: expected a list of {len(listed)}, one for each response")
    responses = [
        parse_response(value, f"responses.{i}", prompt, text_in({"policies": policy}, "policies"))
        for i, (value, policy) in enumerate(zip(listed, policies, strict=True))
    ]
    row_id = _id(row, prompt, *responses)
    for i, j in pairs_of(len(responses), design):
        yield Comparison(id=f"{row_id}-{i}-{j}", prompt=prompt, a=responses[i], b=responses[j])


def _preference(row: Row) -> _Labelled:
    _need(row, "chosen", "rejected")
    asked, chosen_value, rejected_value = _with_prompt(row)
    prompt = prompt_of(row, asked)
    chosen, rejected = (
        parse_response(value, name, prompt, None, row.get(f"{name}_thought")).model_copy(
            update={"finished": flag_in(row, f"{name}_finished")}
        )
        for name, value in (("chosen", chosen_value), ("rejected", rejected_value))
    )
    hashes = [content_hash(_content(response)) for response in (chosen, rejected)]
    orientation = Orientation((hashes[0] <= hashes[1]) == (unit_hash("place", prompt.id, *sorted(hashes)) < 0.5))
    a, b = orientation.pair(chosen, rejected)
    comparison = Comparison(id=_id(row, prompt, a, b), prompt=prompt, a=a, b=b)
    p_a = {
        name: orientation.probability(probability_in(row, name))
        for name in ("p_chosen", "human_p_chosen")
        if name in row
    }
    scores = _scores(row, "chosen_score", "rejected_score")
    oriented = None if scores is None else orientation.pair(*scores)
    if "constitution_hash" not in row and row.get("origin") not in (REVISED, CONSTRUCTED):
        return comparison, HumanLabel.of([orientation.chosen_is]), p_a.get("p_chosen"), oriented
    # Written by preceptor: a model chose or made the pair; people's opinions are in a column of their own.
    human = HumanLabel(p_a=p_a["human_p_chosen"]) if "human_p_chosen" in p_a else None
    return comparison, human, p_a.get("p_chosen", orientation.probability(1.0)), oriented


def _labelled_by(row: Row) -> str | None:
    """The judge that a row names, or else how a model made the pair: "a model (critique and revision: NAME)"."""
    judge, origin, model = (value if isinstance(value := row.get(name), str) else "" for name in _MAKERS)
    if judge or not origin:
        return judge or None
    return f"a model ({origin}: {model})" if model else f"a model ({origin})"


def _with_prompt(row: Row) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected. A prompt that both conversations begin with is removed from them."""
    chosen, rejected = tidy_messages(row["chosen"]), tidy_messages(row["rejected"])
    conversations = all(role_of_first(messages) in ("system", "user") for messages in (chosen, rejected))
    if "prompt" in row and not (conversations and isinstance(row["prompt"], str)):
        return row["prompt"], chosen, rejected
    if not conversations:
        _need(row, "prompt")
    common = common_beginning(chosen, rejected)
    if not common:
        raise WrongRowError("expected chosen and rejected to begin alike, up to a message of the user, or a prompt")
    return chosen[:common], chosen[common:], rejected[common:]


def prompt_of(row: Row, asked: Any) -> Prompt:
    """A row's prompt: what is asked, what the row says about it, and its tools. Raises: WrongRowError."""
    about = {key: row[key] for key in _ABOUT if key in row}
    try:
        prompt = parse_prompt({"prompt": asked, **about}, "")
        return prompt.model_copy(update={"tools": read_tools(row.get("tools"))})
    except (UsageError, WrongToolsError) as error:
        raise WrongRowError(str(error).removeprefix(": ")) from error


def parse_response(value: Any, name: str, prompt: Prompt, policy: str | None, thought: Any = None) -> Response:
    """A response from a text, or from the messages after the prompt.

    Args:
        thought: of a column of the row; a message may have its own.

    Raises: WrongRowError whose message begins with `name`.
    """
    policy = policy or "unknown"
    try:
        value, thought = apart(value, name, thought)
    except WrongThoughtError as error:
        raise WrongRowError(str(error)) from error
    if isinstance(value, str):
        return Response(prompt_id=prompt.id, text=value, policy=policy, thought=thought)
    if not isinstance(value, list) or not value:
        raise WrongRowError(f"{name}: expected a text or a list of messages, got {kind_of(value)}")
    try:
        messages = _MESSAGES.validate_python(tidy_messages(value))
    except ValidationError as error:
        raise WrongRowError(first_problem(error, name)) from error
    if messages[0].role != "assistant":
        raise WrongRowError(
            f"{name}: expected the messages after the prompt, first one of the assistant, got {messages[0].role}"
        )
    text = [message.content for message in messages if message.role == "assistant"][-1]
    plain = len(messages) == 1 and not messages[0].tool_calls
    if thought is not None and not plain:
        raise WrongRowError(f"{name}: a trajectory of several messages cannot have one thought; leave it out")
    return Response(
        prompt_id=prompt.id, text=text, policy=policy, trajectory=() if plain else messages, thought=thought
    )


def _human(row: Row) -> HumanLabel | None:
    ratings: Any = row.get("ratings")
    if ratings is not None:
        if not isinstance(ratings, list) or not ratings or any(rating not in _OPINIONS for rating in ratings):
            raise WrongRowError('ratings: expected a list of "a", "b" and "tie"')
        return HumanLabel.of(ratings, _raters(row, len(ratings)))
    if "label" not in row:
        return None
    label = row["label"]
    return HumanLabel.of([label]) if label in _OPINIONS else HumanLabel(p_a=probability_in(row, "label"))


def _raters(row: Row, count: int) -> list[str]:
    """Who gave the ratings; empty where `raters` is anything but their names, since the column is also other data's."""
    listed: Any = row.get("raters")
    if not isinstance(listed, list) or len(listed) != count or not all(isinstance(name, str) for name in listed):
        return []
    return listed if len(set(listed)) == count else []


def _scores(row: Row, *names: str) -> tuple[float, float] | None:
    """Two scores on any scale; None unless the row has both."""
    if not all(name in row for name in names):
        return None
    first, second = (number_in(row, name, "a number") for name in names)
    return first, second


def _id(row: Row, prompt: Prompt, *responses: Response) -> str:
    return text_in(row, "id") or comparison_id(prompt, *responses)


def comparison_id(prompt: Prompt, *responses: Response) -> str:
    """The id of a comparison whose row has none: a hash of its content."""
    return content_hash([prompt.id, *map(_content, responses)])[:16]


def _content(response: Response) -> list[Any]:
    return [response.text, *(message.wire() for message in response.trajectory)]


def _need(row: Row, *names: str) -> None:
    for name in names:
        if name not in row:
            raise WrongRowError("; ".join(filter(None, (f'no "{name}"', _hint(row, name)))))


def _hint(row: Row, *names: str) -> str:
    """Names the unknown column that looks most like a misspelling of one of `names`; empty if none does."""
    unknown = [key for key in row if key not in _KNOWN]
    likeness = {(name, key): difflib.SequenceMatcher(None, name, key).ratio() for name in names for key in unknown}
    name, key = max(likeness, key=lambda pair: likeness[pair], default=("", ""))
    return f'did you mean "{name}" by the column "{key}"?' if likeness.get((name, key), 0.0) >= 0.6 else ""
