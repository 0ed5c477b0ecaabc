"""The comparisons of an evaluation: policies' responses side by side, and the judges' verdicts on them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import Comparison, Prompt, Response
from preceptor.evaluation.policies.judged_comparisons import JudgedComparison, Opinion, OrderVerdict
from preceptor.judging.trajectory import response_text
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import PreferenceRow, VerdictRow
from preceptor.tasks.evaluate.responses import PolicyResponses


def pair_responses(
    prompts: Sequence[Prompt], responses: Mapping[str, PolicyResponses], *, against_first: bool
) -> list[ComparisonRow]:
    """Comparisons of every pair of policies on every prompt that both answered. Response a is the later policy's.

    The i-th sample of one policy is compared with the i-th of the other; if one has fewer, its samples are used in
    turn. Samples that a policy failed to give are not compared: they are failures of the policy, not of the judge.

    Args:
        responses: by policy name, the baseline first.
        against_first: compare each policy with the baseline only.
    """
    names = list(responses)
    pairs = [(names[0], name) for name in names[1:]] if against_first else list(combinations(names, 2))
    rows: list[ComparisonRow] = []
    for prompt in prompts:
        for earlier, later in pairs:
            of_a, of_b = (responses[name].by_prompt.get(prompt.id, []) for name in (later, earlier))
            for sample in range(max(len(of_a), len(of_b)) if of_a and of_b else 0):
                a, b = of_a[sample % len(of_a)], of_b[sample % len(of_b)]
                if isinstance(a, Response) and isinstance(b, Response):
                    a, b = a.model_copy(update={"policy": later}), b.model_copy(update={"policy": earlier})
                    name = content_hash([prompt.id, later, earlier, sample])[:16]
                    place = f"prompt {prompt.id}: {later} against {earlier}, sample {sample}"
                    comparison = Comparison(id=name, prompt=prompt, a=a, b=b)
                    rows.append(ComparisonRow(len(rows), place, comparison, None, None))
    return rows


def judged_comparisons(
    rows: Sequence[ComparisonRow],
    outcomes: Outcomes,
    training: Outcomes | None,
    principles: Mapping[str, Sequence[str]],
) -> list[JudgedComparison]:
    """The comparisons with the judge's verdicts, and the training judge's if it was asked.

    Args:
        principles: the principles of the judges' constitutions, by constitution hash.

    Raises: PreceptorError if the folder of outcomes lacks one of the comparisons.
    """
    judged = {row.id: _opinion(row, principles) for row in outcomes.preference_rows()}
    failed = {str(row.id): f"{row.reason}: {row.detail}" for row in outcomes.failure_rows()}
    by_training = {row.id: _opinion(row, {}) for row in training.preference_rows()} if training else {}
    comparisons: list[JudgedComparison] = []
    for comparison in (row.comparison for row in rows):
        if comparison.id not in judged.keys() | failed.keys():
            raise PreceptorError(
                f"{outcomes.preferences}: has no judgement of comparison {comparison.id}; choose another folder"
            )
        opinions = judged.get(comparison.id), by_training.get(comparison.id)
        comparisons.append(_judged(comparison, *opinions, failed.get(comparison.id)))
    return comparisons


def _judged(
    comparison: Comparison, opinion: Opinion | None, training: Opinion | None, failure: str | None
) -> JudgedComparison:
    return JudgedComparison(
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
        thought_a=comparison.a.thought,
        thought_b=comparison.b.thought,
    )


def asked_at(prompt: Prompt) -> str | None:
    """When a prompt was asked in production (ISO 8601); None for other prompts.

    Raises: UsageError if its metadata has a malformed time.
    """
    origin: Any = prompt.metadata.get("origin")
    time: Any = origin.get("time") if isinstance(origin, dict) else None
    try:
        return None if time is None else datetime.fromisoformat(time).isoformat()
    except (TypeError, ValueError) as error:
        raise UsageError(f'prompt "{prompt.id}": metadata.origin.time = {time!r}; expected ISO 8601') from error


def _opinion(row: PreferenceRow, principles: Mapping[str, Sequence[str]]) -> Opinion:
    """The judge's opinion; verdicts of several judges in an ensemble are distinguished by the judge's name."""
    shown = [
        OrderVerdict(judge=_without_hash(verdict.judge), order=verdict.order, p_a=verdict.p_a)
        for verdict in (() if _shown_alone(row) else row.verdicts)
    ]
    return Opinion(row.p_a, tuple(shown), _by_principle(row.verdicts, principles), row.rationale)


def _shown_alone(row: PreferenceRow) -> bool:
    """Whether each response was scored by itself, so that there was no order."""
    settings = row.settings.replace(" ", "")
    return '"shown":"alone"' in settings or '"shown":"rubric"' in settings


def _by_principle(verdicts: Sequence[VerdictRow], principles: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Mean p_a by principle, over presentations that showed the judge a single principle."""
    values: dict[str, list[float]] = {}
    for verdict in verdicts:
        if len(verdict.principles) == 1 and verdict.constitution_hash in principles:
            principle = principles[verdict.constitution_hash][verdict.principles[0]]
            values.setdefault(principle, []).append(verdict.p_a)
    return {principle: sum(of_principle) / len(of_principle) for principle, of_principle in values.items()}


def _without_hash(identity: str) -> str:
    return identity.partition("#")[0]
