"""Policies' responses side by side: the comparisons of an evaluation, and what judges made of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from preceptor.core.hashing import content_hash
from preceptor.core.types import Comparison, JudgeFailure, Prompt, Response
from preceptor.evaluation.contests import Contest, Opinion, Showing
from preceptor.judging.trajectory import response_text
from preceptor.recipes.contestants import Answers
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.outcomes import Outcomes
from preceptor.store.rows import Row

Entry = ComparisonRow | Unanswered


def comparisons(prompts: Sequence[Prompt], answers: Mapping[str, Answers], *, against_first: bool) -> list[Entry]:
    """Every two policies on every prompt that both have: the later policy's response is a.

    The i-th sample of one meets the i-th of the other; where one has fewer, its samples are met in turn.

    Args:
        answers: by policy's name, the baseline first.
        against_first: compare each policy with the baseline alone.
    """
    names = list(answers)
    pairs = [(names[0], name) for name in names[1:]] if against_first else list(combinations(names, 2))
    found: list[Entry] = []
    for prompt in prompts:
        for earlier, later in pairs:
            ours, theirs = (answers[name].responses.get(prompt.id, []) for name in (later, earlier))
            if not ours or not theirs:
                continue
            for sample in range(max(len(ours), len(theirs))):
                place = f"prompt {prompt.id}: {later} against {earlier}, sample {sample}"
                name = content_hash([prompt.id, later, earlier, sample])[:16]
                a, b = ours[sample % len(ours)], theirs[sample % len(theirs)]
                found.append(_entry(len(found), place, name, prompt, _named(a, later), _named(b, earlier)))
    return found


def _named(response: Response | JudgeFailure, policy: str) -> Response | JudgeFailure:
    return response if isinstance(response, JudgeFailure) else response.model_copy(update={"policy": policy})


def _entry(
    number: int, place: str, name: str, prompt: Prompt, a: Response | JudgeFailure, b: Response | JudgeFailure
) -> Entry:
    if isinstance(a, Response) and isinstance(b, Response):
        return ComparisonRow(number, place, Comparison(id=name, prompt=prompt, a=a, b=b), None, None)
    failure = next(each for each in (a, b) if isinstance(each, JudgeFailure))
    return Unanswered(number, place, name, failure.model_copy(update={"detail": f"policy: {failure.detail}"}))


def contests(
    entries: Sequence[Entry], outcomes: Outcomes, training: Outcomes | None, principles: Sequence[str]
) -> list[Contest]:
    """The comparisons with what the judge said of them, and the training judge where it was asked.

    Args:
        principles: of the judge's constitution, in its order.
    """
    judged = {str(row["id"]): row for row in outcomes.kept()}
    failed = {str(row["id"]): f"{row['reason']}: {row['detail']}" for row in outcomes.failed()}
    by_training = {str(row["id"]): row for row in training.kept()} if training else {}
    return [
        _contest(
            entry.comparison,
            _opinion(judged.get(entry.comparison.id), principles),
            _opinion(by_training.get(entry.comparison.id), ()),
            failed.get(entry.comparison.id),
        )
        for entry in entries
        if isinstance(entry, ComparisonRow)
    ]


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
    """When a prompt was asked in production, ISO 8601; None where it does not come from there."""
    origin: Any = prompt.metadata.get("origin")
    time: Any = origin.get("time") if isinstance(origin, dict) else None
    return time if isinstance(time, str) else None


def _opinion(row: Row | None, principles: Sequence[str]) -> Opinion | None:
    """From a row of `preferences.jsonl`; verdicts of two judges in an ensemble stay apart by the judge's name."""
    if row is None:
        return None
    p_a = row["p_chosen"] if row["chosen_is"] == "a" else 1.0 - row["p_chosen"]
    verdicts = row["verdicts"]
    alone = _shown_alone(row)
    showings = () if alone else [Showing(_short(v["judge"]), v["order"], v["p_a"]) for v in verdicts]
    return Opinion(p_a, showings, _by_principle(verdicts, principles), row["rationale"])


def _shown_alone(row: Row) -> bool:
    """Whether responses were scored alone, so that there was no order to see them in."""
    return '"shown":"alone"' in row["settings"].replace(" ", "")


def _by_principle(verdicts: Sequence[dict[str, Any]], principles: Sequence[str]) -> dict[str, float]:
    """Mean p_a of the showings of one principle, where a judge was shown one at a time."""
    found: dict[str, list[float]] = {}
    for verdict in verdicts:
        shown: list[int] = verdict["principles"]
        if len(shown) == 1 and shown[0] < len(principles):
            found.setdefault(principles[shown[0]], []).append(verdict["p_a"])
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
