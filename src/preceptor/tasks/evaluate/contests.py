"""Policies' responses side by side: the comparisons of an evaluation, and what judges made of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import Comparison, Prompt, Response
from preceptor.evaluation.contests import Contest, Opinion, Showing
from preceptor.judging.trajectory import response_text
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.outcomes import Outcomes
from preceptor.store.rows import Row
from preceptor.tasks.evaluate.contestants import Answers


def comparisons(
    prompts: Sequence[Prompt], answers: Mapping[str, Answers], *, against_first: bool
) -> list[ComparisonRow]:
    """Every two policies on every prompt that both answered: the later policy's response is a.

    The i-th sample of one meets the i-th of the other; where one has fewer, its samples are met in turn. A sample that
    its policy failed on is in no comparison: that is the policy's failure, and no judge's.

    Args:
        answers: by policy's name, the baseline first.
        against_first: compare each policy with the baseline alone.
    """
    names = list(answers)
    pairs = [(names[0], name) for name in names[1:]] if against_first else list(combinations(names, 2))
    found: list[ComparisonRow] = []
    for prompt in prompts:
        for earlier, later in pairs:
            ours, theirs = (answers[name].responses.get(prompt.id, []) for name in (later, earlier))
            for sample in range(max(len(ours), len(theirs)) if ours and theirs else 0):
                a, b = ours[sample % len(ours)], theirs[sample % len(theirs)]
                if isinstance(a, Response) and isinstance(b, Response):
                    named = [r.model_copy(update={"policy": name}) for r, name in ((a, later), (b, earlier))]
                    name = content_hash([prompt.id, later, earlier, sample])[:16]
                    place = f"prompt {prompt.id}: {later} against {earlier}, sample {sample}"
                    comparison = Comparison(id=name, prompt=prompt, a=named[0], b=named[1])
                    found.append(ComparisonRow(len(found), place, comparison, None, None))
    return found


def contests(
    entries: Sequence[ComparisonRow],
    outcomes: Outcomes,
    training: Outcomes | None,
    principles: Mapping[str, Sequence[str]],
) -> list[Contest]:
    """The comparisons with what the judge said of them, and the training judge where it was asked.

    Args:
        principles: of the judges' constitutions, by their hashes.
    """
    judged = {str(row["id"]): _opinion(row, principles) for row in outcomes.kept()}
    failed = {str(row["id"]): f"{row['reason']}: {row['detail']}" for row in outcomes.failed()}
    by_training = {str(row["id"]): _opinion(row, {}) for row in training.kept()} if training else {}
    found: list[Contest] = []
    for comparison in (entry.comparison for entry in entries):
        if comparison.id not in judged.keys() | failed.keys():
            raise PreceptorError(f"{outcomes.preferences}: says nothing of {comparison.id}; choose another --out")
        opinions = judged.get(comparison.id), by_training.get(comparison.id)
        found.append(_contest(comparison, *opinions, failed.get(comparison.id)))
    return found


def _contest(comparison: Comparison, opinion: Opinion | None, training: Opinion | None, failure: str | None) -> Contest:
    return Contest(
        prompt_id=comparison.prompt.id,
        cohort=comparison.prompt.cohort,
        prompt=comparison.prompt.text,
        policy_a=comparison.a.policy,
        policy_b=comparison.b.policy,
        text_a=response_text(comparison.a),
        text_b=response_text(comparison.b),
        opinion=opinion,
        training=training,
        failure=failure,
        time=asked_at(comparison.prompt),
    )


def asked_at(prompt: Prompt) -> str | None:
    """When a prompt was asked in production, ISO 8601; None where it does not come from there.

    Raises: UsageError where its metadata has another kind of time.
    """
    origin: Any = prompt.metadata.get("origin")
    time: Any = origin.get("time") if isinstance(origin, dict) else None
    try:
        return None if time is None else datetime.fromisoformat(time).isoformat()
    except (TypeError, ValueError) as error:
        raise UsageError(f'prompt "{prompt.id}": metadata.origin.time = {time!r}; expected ISO 8601') from error


def _opinion(row: Row, principles: Mapping[str, Sequence[str]]) -> Opinion:
    """From a row of `preferences.jsonl`; verdicts of two judges in an ensemble stay apart by the judge's name."""
    p_a = row["p_chosen"] if row["chosen_is"] == "a" else 1.0 - row["p_chosen"]
    verdicts = row["verdicts"]
    showings = () if _shown_alone(row) else [Showing(_short(v["judge"]), v["order"], v["p_a"]) for v in verdicts]
    return Opinion(p_a, showings, _by_principle(verdicts, principles), row["rationale"])


def _shown_alone(row: Row) -> bool:
    """Whether responses were scored alone, so that there was no order to see them in."""
    return '"shown":"alone"' in row["settings"].replace(" ", "")


def _by_principle(verdicts: Sequence[dict[str, Any]], principles: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Mean p_a of the showings of one principle, where a judge was shown one at a time."""
    found: dict[str, list[float]] = {}
    for verdict in verdicts:
        shown: list[int] = verdict["principles"]
        if len(shown) == 1 and verdict["constitution_hash"] in principles:
            found.setdefault(principles[verdict["constitution_hash"]][shown[0]], []).append(verdict["p_a"])
    return {principle: sum(values) / len(values) for principle, values in found.items()}


def _short(identity: str) -> str:
    """A model's name without its hash."""
    return identity.partition("#")[0]


def responses_of(answers: Mapping[str, Answers], prompts: Sequence[Prompt]) -> Iterator[tuple[str, Prompt, Response]]:
    """Every policy's every response: name, prompt, response; failures left out."""
    for name, given in answers.items():
        for prompt in prompts:
            for response in given.responses.get(prompt.id, []):
                if isinstance(response, Response):
                    yield name, prompt, response
