"""The evaluation of a run or of arms, from the measurements before and after training. It asks no judge again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from preceptor.evaluation.checkpoints.agents import episodes_of
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot, by_prompt
from preceptor.evaluation.intervals import mean_by_prompt, rate_by_prompt
from preceptor.evaluation.policies.cohorts import PairedValues
from preceptor.evaluation.policies.compute import EvaluationData, TextMeasure, compute_evaluation
from preceptor.evaluation.policies.judged_comparisons import JudgedComparison, Opinion
from preceptor.evaluation.policies.rates import MeasuredText
from preceptor.evaluation.policies.refusals import refusal_measures
from preceptor.evaluation.policies.result import NOBODY, Evaluation, JudgeFacts, PolicyFacts
from preceptor.evaluation.policies.rubric_items import RubricAnswer, rubric_measures
from preceptor.results.run import RunSummary
from preceptor.runs.held_out import EnvironmentSuccess

BEFORE, AFTER = "before", "after"
CAPABILITY = "capability"
"""One cohort for all reference answers, whatever their own cohorts."""


def evaluate_run(before: Snapshot, after: Snapshot, summary: RunSummary) -> Evaluation:
    """Compares the policy after training with the policy before, on the held-out prompts."""
    identities = {BEFORE: summary.policy, AFTER: summary.kept}
    return evaluate_snapshots(
        f"{summary.method}, seed {summary.seed}",
        {BEFORE: before, AFTER: after},
        identities,
        summary.heldout_score_is,
        summary.judge_score_is,
        judge_trained=summary.heldout_judge_trained,
    )


def evaluate_snapshots(
    title: str,
    snapshots: Mapping[str, Snapshot],
    identities: Mapping[str, str],
    held_out: str | None,
    training: str | None,
    *,
    judge_trained: bool,
) -> Evaluation:
    """Compares policies by their measurements.

    The response with the higher held-out score is preferred; the training judge's or reward model's preference is
    derived from its scores in the same way. The i-th response of one policy to a prompt is compared with the i-th of
    the other, which drew the same random numbers.

    Args:
        snapshots: by the policy's name, the baseline first.
        identities: by the policy's name.
        held_out: name of the held-out measure; None if nothing independent measured.
        training: name of the training judge's score; None if the policies had no common training judge.
        judge_trained: whether the held-out judge is also the training judge.
    """
    names = list(snapshots)
    held_out = "the environment" if held_out == EnvironmentSuccess.name else held_out
    comparisons = [
        comparison
        for earlier, later in combinations(names, 2)
        for comparison in _comparisons(
            earlier, snapshots[earlier], later, snapshots[later], measured=held_out is not None
        )
    ]
    if training is None:
        comparisons = [replace(comparison, training=None) for comparison in comparisons]
    texts = ((name, r.prompt_id, r.cohort, r.text) for name in names for r in snapshots[name].responses)
    return compute_evaluation(
        EvaluationData(
            title=title,
            policies=tuple(_facts(name, snapshots[name], identities[name]) for name in names),
            judge=_judge(held_out, [c.opinion for c in comparisons], "held-out measure failed") if held_out else NOBODY,
            training_judge=_judge(training, [c.training for c in comparisons], "training judge failed")
            if training
            else None,
            judge_trained=judge_trained,
            judge_is_policy=(),
            comparisons=comparisons,
            measures=[*refusal_measures(texts), *_by_rubric(snapshots), *agent_measures(snapshots)],
            paired=[
                pair for name in names[1:] for pair in _capability(names[0], snapshots[names[0]], name, snapshots[name])
            ],
        )
    )


def _by_rubric(snapshots: Mapping[str, Snapshot]) -> list[TextMeasure]:
    """The items of prompts' rubrics, if responses were judged by them. The judge is the one that trained."""
    return rubric_measures(
        [
            RubricAnswer(name, r.prompt_id, r.cohort, r.rubric, r.judge_score)
            for name, snapshot in snapshots.items()
            for r in snapshot.responses
            if r.rubric
        ],
        where=" (training judge)",
    )


def agent_measures(snapshots: Mapping[str, Snapshot]) -> list[TextMeasure]:
    """Success and failed calls, if the responses are an agent's episodes.

    Args:
        snapshots: by the policy's name.
    """
    episodes = [(name, episode) for name, snapshot in snapshots.items() for episode in episodes_of(snapshot)]
    done = [
        MeasuredText(name, e.prompt_id, e.cohort, float(e.success)) for name, e in episodes if e.success is not None
    ]
    failed = [MeasuredText(name, e.prompt_id, e.cohort, float(e.tool_errors > 0)) for name, e in episodes]
    measures = (TextMeasure("task done", done), TextMeasure("episodes with a failed call", failed, better="lower"))
    return [measure for measure in measures if measure.texts]


def _comparisons(
    earlier: str, before: Snapshot, later: str, after: Snapshot, *, measured: bool
) -> list[JudgedComparison]:
    was_P, now_P = by_prompt(before.responses), by_prompt(after.responses)
    return [
        _comparison(earlier, was, later, now, measured=measured)
        for prompt, now_G in now_P.items()
        for was, now in zip(was_P.get(prompt, []), now_G, strict=False)
    ]


def _comparison(
    earlier: str, was: MeasuredResponse, later: str, now: MeasuredResponse, *, measured: bool
) -> JudgedComparison:
    opinion = _opinion(now.heldout_score, was.heldout_score)
    return JudgedComparison(
        prompt_id=now.prompt_id,
        cohort=now.cohort,
        prompt=now.prompt,
        policy_a=later,
        policy_b=earlier,
        text_a=now.text,
        text_b=was.text,
        thought_a=now.thought,
        thought_b=was.thought,
        opinion=opinion,
        training=_opinion(now.judge_score, was.judge_score),
        failure=None
        if opinion is not None or not measured
        else "the held-out measure has no score for one of the responses",
    )


def _opinion(score: float | None, other: float | None) -> Opinion | None:
    """The preference for the higher of two scores."""
    if score is None or other is None:
        return None
    return Opinion(p_a=1.0 if score > other else 0.0 if score < other else 0.5)


def _capability(earlier: str, before: Snapshot, later: str, after: Snapshot) -> list[PairedValues]:
    """The log-likelihood of the reference answers, in nats per token: the negative logarithm of perplexity."""
    was, now = (
        {reference.prompt_id: reference.log_likelihood / reference.tokens for reference in snapshot.references}
        for snapshot in (before, after)
    )
    shared = [prompt for prompt in was if prompt in now]
    if not shared:
        return []
    name = "log-likelihood of reference answers"
    return [PairedValues(CAPABILITY, name, later, earlier, [was[p] for p in shared], [now[p] for p in shared])]


def _facts(name: str, snapshot: Snapshot, identity: str) -> PolicyFacts:
    groups = list(by_prompt(snapshot.responses).values())
    return PolicyFacts(
        name=name,
        source=identity,
        identity=identity,
        responses=len(snapshot.responses),
        failed=0,
        characters=mean_by_prompt([[float(len(r.text)) for r in group] for group in groups]),
        finished=rate_by_prompt([[float(r.finished) for r in group] for group in groups]),
        unfinished_thoughts=sum(r.unfinished_thought for r in snapshot.responses),
    )


def _judge(name: str, opinions: Sequence[Opinion | None], failed: str) -> JudgeFacts:
    failures = sum(opinion is None for opinion in opinions)
    return JudgeFacts(
        name=name,
        identity=name,
        constitution=None,
        variant=None,
        compared=len(opinions) - failures,
        failures={failed: failures} if failures else {},
        position_bias=None,
        first_position_rate=None,
    )
