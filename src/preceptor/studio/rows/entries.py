"""What the index holds of a row: its place, a few columns to filter and sort by, and its words."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from preceptor.core.hashing import text_hash
from preceptor.core.types import Message
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse
from preceptor.judging.position import same_position_wins
from preceptor.store.best_of_n_rows import BestOfNRow
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.store.rows import Row

Kind = Literal["judgement", "failure", "score"]
ScoredRow = MeasuredResponse | BestOfNRow
"""A row of a run: a response that was measured, or the best of several."""
AnyRow = PreferenceRow | FailureRow | ScoredRow
AGREES, DIFFERS, UNDECIDED = 1, 0, 2
MOST_CHARACTERS = 50_000
"""Characters of a row's prompt, of its responses and of its rationales that are indexed, from their beginning."""


@dataclass(frozen=True)
class Entry:
    """The columns and words of one row."""

    row_id: str
    kind: Kind
    cohort: str | None = None
    judge: str | None = None
    reason: str | None = None
    """Why there is no verdict."""
    p: float | None = None
    """Probability of the chosen response."""
    disagreement: float | None = None
    length: int | None = None
    """Characters of all responses."""
    difference: int | None = None
    """Characters of the chosen minus those of the rejected response."""
    flip: bool | None = None
    """Whether the same position wins in both orders; None if only one was shown."""
    people: int | None = None
    """`AGREES`, `DIFFERS` or `UNDECIDED`; None where no person was asked."""
    score: float | None = None
    steps: int = 0
    """Messages of the longer trajectory; 0 for plain answers."""
    compared: int | None = None
    """`comparison_key` of what was judged."""
    prompt: str = ""
    responses: str = ""
    reasons: str = ""


def read_row(raw: Row, place: str) -> PreferenceRow | FailureRow:
    """A preference or a failure, as `label`, `audit` and `evaluate` write them.

    Raises: UsageError beginning with `place` if it is neither.
    """
    failed = "reason" in raw and "chosen" not in raw
    return FailureRow.read(raw, place) if failed else PreferenceRow.read(raw, place)


def entry_of(row: AnyRow, raw: Row) -> Entry:
    """What the index holds of a row. `raw` has columns that only audits write; empty for a row of a run."""
    if isinstance(row, MeasuredResponse):
        return _measured(row)
    if isinstance(row, BestOfNRow):
        return _best_of_n(row)
    if isinstance(row, FailureRow):
        return _failed(row, raw)
    return _judged(row, raw)


def row_name(row: AnyRow) -> str:
    """The id of a row; of a malformed one, its place in the input."""
    if isinstance(row, ScoredRow):
        return row.prompt_id
    return row.id or (row.place if isinstance(row, FailureRow) else "")


def judge_name(raw: Row, constitution: str, settings: str) -> str:
    """Who judged a row: model, constitution, and the way of asking."""
    asked = raw.get("variant") or way(settings)
    return ", ".join(str(part) for part in (raw.get("judge"), raw.get("constitution") or constitution, asked) if part)


@lru_cache(maxsize=256)
def way(settings: str) -> str:
    """The way of asking as a variant's short name, from the settings of a rater; empty if they cannot be read."""
    try:
        asked: Any = json.loads(settings)
        return _way(asked)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ""


def texts(messages: Iterable[Message]) -> str:
    """Everything that messages say, tool calls included."""
    return "\n".join(
        part
        for message in messages
        for part in (message.content, *(f"{c.function.name} {c.function.arguments}" for c in message.tool_calls))
        if part
    )


def all_texts(response: MeasuredResponse) -> str:
    """The thought, if there is one, and what was said: an agent's turns, or the answer."""
    said = texts(response.trajectory) if response.trajectory else response.text
    return f"{response.thought}\n{said}" if response.thought else said


def comparison_key(prompt: Sequence[Message], chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    """A number that the same comparison has in every file with the same response chosen, whatever its id there."""
    said = [
        [(m.role, m.content, [(c.function.name, c.function.arguments) for c in m.tool_calls]) for m in messages]
        for messages in (prompt, chosen, rejected)
    ]
    return int(text_hash(json.dumps(said, ensure_ascii=False))[:15], 16)


def _way(asked: dict[str, Any]) -> str:
    if "judges" in asked:
        return f"{len(asked['judges'])} judges"
    parts = ["scored" if asked.get("shown") == "alone" else str(asked.get("preamble", "detailed"))]
    samples, exemplars = asked.get("samples", 1), asked.get("exemplars", 0)
    if asked.get("rationale"):
        parts.append(f"sc-{samples}" if samples > 1 else "cot")
    if "thinking" in asked:
        parts.append(f"think-{asked['thinking']}" + (f", {samples} samples" if samples > 1 else ""))
    parts += [f"{exemplars}-shot"] if exemplars else []
    parts += [name for name in ("each", "sampled") if asked.get("principles") == name]
    parts += ["single"] if asked.get("order") == "single" else []
    parts += ["log-odds"] if asked.get("combine") == "log_odds" else []
    corrected = {"calibration": ", calibrated", "bias": ", bias-corrected"}
    return "+".join(parts) + "".join(words for name, words in corrected.items() if name in asked)


def _failed(row: FailureRow, raw: Row) -> Entry:
    said = [texts(messages) for messages in (row.response_a, row.response_b) if messages]
    return Entry(
        row_name(row),
        "failure",
        cohort=row.cohort,
        judge=judge_name(raw, "", "") if raw.get("judge") else None,
        reason=row.reason,
        length=sum(map(len, said)) if said else None,
        prompt=texts(row.prompt or ())[:MOST_CHARACTERS],
        responses="\n".join(said)[:MOST_CHARACTERS],
        reasons=f"{row.place}\n{row.detail}"[:MOST_CHARACTERS],
    )


def _judged(row: PreferenceRow, raw: Row) -> Entry:
    said = [texts(messages) for messages in (row.chosen, row.rejected)]
    thoughts = [thought for thought in row.thoughts if thought]
    rationales = dict.fromkeys([row.rationale, *(verdict.rationale for verdict in row.verdicts)])
    return Entry(
        row.id,
        "judgement",
        cohort=row.cohort,
        judge=judge_name(raw, row.constitution, row.settings) or None,
        p=row.p_chosen,
        disagreement=row.disagreement,
        length=sum(map(len, said)),
        difference=len(said[0]) - len(said[1]),
        flip=same_position_wins((verdict.order, verdict.p_a) for verdict in row.verdicts),
        people=against_people(row.p_a, row.human_p_a),
        score=row.chosen_score,
        steps=max(_steps(row.chosen), _steps(row.rejected)),
        compared=comparison_key(row.prompt, row.chosen, row.rejected),
        prompt=texts(row.prompt)[:MOST_CHARACTERS],
        responses="\n".join([*said, *thoughts])[:MOST_CHARACTERS],
        reasons="\n".join(filter(None, rationales))[:MOST_CHARACTERS],
    )


def _measured(row: MeasuredResponse) -> Entry:
    score = row.judge_score if row.judge_score is not None else row.heldout_score
    return Entry(
        row.prompt_id,
        "score",
        cohort=row.cohort,
        length=len(texts(row.trajectory) if row.trajectory else row.text),
        score=score,
        steps=_steps(row.trajectory) if row.trajectory else 0,
        prompt=row.prompt[:MOST_CHARACTERS],
        responses=all_texts(row)[:MOST_CHARACTERS],
    )


def _best_of_n(row: BestOfNRow) -> Entry:
    text = "" if row.best is None else row.best.text
    return Entry(
        row.prompt_id,
        "score",
        cohort=row.prompt and row.prompt.cohort,
        length=None if row.best is None else len(text),
        score=row.highest,
        prompt="" if row.prompt is None else row.prompt.text[:MOST_CHARACTERS],
        responses="\n".join(filter(None, (text, row.best and row.best.thought)))[:MOST_CHARACTERS],
    )


def against_people(p_a: float, human_p_a: float | None) -> int | None:
    """Whether people prefer the same response as the judge."""
    if human_p_a is None:
        return None
    if p_a == 0.5 or human_p_a == 0.5:
        return UNDECIDED
    return AGREES if (p_a > 0.5) == (human_p_a > 0.5) else DIFFERS


def _steps(messages: Sequence[Message]) -> int:
    return len(messages) if len(messages) > 1 or messages[0].tool_calls else 0
