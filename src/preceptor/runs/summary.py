"""Builds `summary.json`: every main number of a run, for programs."""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from preceptor.backends.names import same_model
from preceptor.core.environment import environment
from preceptor.core.types import Response
from preceptor.evaluation.checkpoints.agents import agents_before_and_after
from preceptor.evaluation.checkpoints.choose import CheckpointChoice, broken_bound, find_over_optimisation
from preceptor.evaluation.checkpoints.snapshot import Snapshot, change
from preceptor.judging import bias_correction
from preceptor.judging.relations import Origin, related_warning
from preceptor.judging.reward import RewardKind
from preceptor.judging.specs import single_judges
from preceptor.judging.warnings import Count, JudgeWarning
from preceptor.recipes.base import Recipe
from preceptor.recipes.settings import ComparingJudgeSettings
from preceptor.results.bias import BiasRecord
from preceptor.results.licence_record import LicenceRecord
from preceptor.results.reward_model_record import RewardModelRecord
from preceptor.results.run import (
    BeforeAndAfter,
    BestOfNRecord,
    ConstitutionRecord,
    FineTuningRecord,
    LabelRecord,
    PreferenceRecord,
    PromptCounts,
    RevisionRecord,
    RunSummary,
    SamplingRecord,
    Shares,
)
from preceptor.runs.conduct import run_warnings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.held_out import HeldOut
from preceptor.runs.inputs import Split
from preceptor.runs.judge import RunJudge
from preceptor.runs.lineage import origin_of
from preceptor.runs.measure import Grader, JudgeGrader, RubricGrader
from preceptor.runs.session import Session
from preceptor.store.calls import JUDGE, Calls, calls_by_role
from preceptor.store.files import read_rows
from preceptor.training.rl.reward_settings import RewardProcessing


@dataclass(frozen=True)
class Outcome:
    """What the summary of a finished run is made from."""

    curve: list[Snapshot]
    """Measurements before training and at each checkpoint."""
    before: Snapshot
    after: Snapshot
    choice: CheckpointChoice
    steps: int
    stopped_early: str | None
    judge: RunJudge | None
    grader: Grader | None
    """Who gave `judge_score`."""
    policy: str
    """Identity of the model that training began with."""
    prompts: Split
    chosen_on_validation: bool
    """Whether the model was chosen among checkpoints on validation prompts. If not, the curve is `before` and `after`.
    """


def summarise(session: Session, outcome: Outcome) -> RunSummary:
    """The summary of a finished run, before its evaluation is added."""
    directory, recipe = session.directory, session.recipe
    bounds, before, after = recipe.evaluation.bounds, outcome.before, outcome.after
    processing = recipe.table(RewardProcessing)
    labels = directory.stage_result("labels", LabelRecord)
    judge = _judged(session, outcome, labels)  # asks the judge once more, so count calls after this
    calls, held_out = calls_of(directory), session.held_out
    of_judge = calls[JUDGE]
    asked = Count(hits=of_judge.failures, n=of_judge.calls, prompts=of_judge.calls)
    kind = outcome.grader.kind if isinstance(outcome.grader, JudgeGrader) else None
    return RunSummary(
        status="done",
        judge_warnings=tuple(run_warnings(labels and labels.judge_warnings, before, after, asked, kind, judge.related)),
        method=recipe.title,
        wall_s=round(session.seconds, 1),
        stages=directory.seconds(),
        steps=outcome.steps,
        stopped_early=outcome.stopped_early,
        policy=outcome.policy,
        judge=judge.identity,
        judge_is_policy=judge.is_policy,
        constitution=judge.constitution,
        judge_content_free_score=judge.content_free_score,
        reward_kind=judge.reward_kind,
        ledger_hits=judge.ledger_hits,
        judge_calls=of_judge.calls,
        judge_failures=of_judge.failures,
        judge_tokens=of_judge.tokens,
        calls=calls,
        heldout_score_is=None if held_out is None else held_out.name,
        heldout_judge_trained=_is_the_same(held_out, judge.identity),
        judge_score_is=judge_score_is(recipe, outcome.grader),
        reward_processing=processing and processing.describe(),
        licence=directory.stage_result("licence", LicenceRecord),
        sft=directory.stage_result("sft", FineTuningRecord),
        revision=directory.stage_result("revision", RevisionRecord),
        fine_tuning=directory.stage_result("fine_tuning", FineTuningRecord),
        labels=labels,
        preferences=directory.stage_result("preferences", PreferenceRecord),
        reward_model=directory.stage_result("reward_model", RewardModelRecord),
        best_of_n=directory.stage_result("best_of_n", BestOfNRecord),
        own_stages=directory.other_stages(("prompts", *RunSummary.model_fields)),
        seed=recipe.seed,
        prompts=counted(outcome.prompts),
        answering=SamplingRecord(
            max_new_tokens=recipe.heldout_decoding.max_new_tokens, temperature=recipe.heldout_decoding.temperature
        ),
        evaluation=BeforeAndAfter(before=before.summary(), after=after.summary()),
        unreadable=Shares(
            before=before.unreadable(before.likelihood_floor), after=after.unreadable(before.likelihood_floor)
        ),
        heldout_change=change(before, after),
        curve=tuple(snapshot.summary() for snapshot in outcome.curve),
        best_step=outcome.choice.step,
        chosen_on_validation=outcome.chosen_on_validation,
        kept_breaks_bound=broken_bound(before, after, bounds, measured=held_out is not None),
        best_checkpoint=str(directory.best.relative_to(directory.path)),
        excluded_checkpoints={str(step): why for step, why in outcome.choice.excluded.items()},
        over_optimisation=find_over_optimisation(outcome.curve, bounds),
        seconds=_step_seconds(directory),
        environment=environment(),
        recipe=recipe.model_dump(mode="json", by_alias=True),
        bias_correction=bias_correction_of(recipe, before, after),
        agents=agents_before_and_after(before, after),
    )


def bias_correction_of(recipe: Recipe, before: Snapshot, after: Snapshot) -> BiasRecord | None:
    """What was taken off the judge's log-odds, and how much of it the responses to test prompts had."""
    judge = recipe.training_judge
    if judge is None or judge.bias is None:
        return None
    correction = bias_correction.load(Path(judge.bias))
    excess = correction.preference if judge.compares else correction.of_scores()

    def mean(snapshot: Snapshot) -> float | None:
        answers = [Response(prompt_id=r.prompt_id, text=r.text, trajectory=r.trajectory) for r in snapshot.responses]
        return fmean(bias_correction.taken_off(excess, answer) for answer in answers) if answers else None

    return BiasRecord(hash=correction.hash, excess={**excess}, before=mean(before), after=mean(after))


def counted(prompts: Split) -> PromptCounts:
    """How many prompts are in each part."""
    return PromptCounts(
        training=len(prompts.training),
        held_out=len(prompts.held_out),
        validation=len(prompts.validation),
        test=len(prompts.test),
        skipped=prompts.skipped,
    )


def _is_the_same(held_out: HeldOut | None, judge: str | None) -> bool:
    """Whether the held-out judge is the model that judged in training."""
    return held_out is not None and judge is not None and same_model(held_out.identity, judge)


@dataclass(frozen=True)
class _Judged:
    """Who judged, and by which constitution. The defaults are for a run without a judge."""

    identity: str | None = None
    is_policy: bool = False
    constitution: ConstitutionRecord | None = None
    content_free_score: float | None = None
    reward_kind: RewardKind | None = None
    ledger_hits: int = 0
    related: tuple[JudgeWarning, ...] = ()


def _related(recipe: Recipe, judge: str, policy: str) -> tuple[JudgeWarning, ...]:
    """Warnings that the training judge or the held-out judge is related to the policy.

    Args:
        judge, policy: identities of the models.
    """
    trained, training, held_out = origin_of(recipe.policy, policy), recipe.training_judge, recipe.held_out_judge
    judges: dict[str, list[Origin]] = {}
    if training is not None:
        others = single_judges([training.spec])[1:] if isinstance(training, ComparingJudgeSettings) else []
        judges["The judge"] = [origin_of(training.model, judge), *(origin_of(each.model) for each in others)]
    if held_out is not None:
        judges["The held-out judge"] = [origin_of(held_out.model)]
    said = (related_warning(origins, trained, name) for name, origins in judges.items())
    return tuple(warning for warning in said if warning is not None)


def _judged(session: Session, outcome: Outcome, labels: LabelRecord | None) -> _Judged:
    judge = outcome.judge
    if judge is None:
        return _Judged()
    if judge.by_rubric:
        return _Judged(
            identity=judge.model.identity,
            is_policy=judge.model.identity == outcome.policy
            or judge.settings.model in (session.recipe.policy, session.recipe.begin),
            reward_kind=judge.reward_kind,
            ledger_hits=judge.rubric_judge.ledger_hits,
        )
    asked = judge.model.identity if judge.grader is None else judge.scorer.rater.model
    identity = labels.judges[0] if labels is not None and judge.grader is None else asked
    constitution = judge.constitution
    return _Judged(
        identity=identity,
        is_policy=identity == outcome.policy or judge.settings.model in (session.recipe.policy, session.recipe.begin),
        constitution=ConstitutionRecord(
            name=constitution.name,
            version=constitution.version,
            hash=constitution.hash,
            summary=constitution.summary,
            principles=tuple(constitution.principles),
        ),
        content_free_score=judge.content_free_score(),
        reward_kind=judge.reward_kind,
        ledger_hits=judge.scorer.ledger_hits if judge.grader else 0,
        related=_related(session.recipe, identity, outcome.policy),
    )


def calls_of(directory: RunDirectory) -> dict[str, Calls]:
    """Model calls by role over all ledgers of the run; the held-out judge's calls are counted separately."""
    ledgers = (directory.ledger, *(directory.path / part / "ledger.sqlite" for part in ("labels", "revision")))
    calls = calls_by_role([ledger for ledger in ledgers if ledger.exists()])
    held_out = directory.path / "evaluations" / "ledger.sqlite"
    return calls | ({"held-out judge": calls_by_role([held_out])[JUDGE]} if held_out.exists() else {})


def judge_score_is(recipe: Recipe, grader: Grader | None) -> str | None:
    """What `judge_score` is, in words; None if there is none."""
    if grader is None:
        return None
    if isinstance(grader, RubricGrader):
        return "score by the prompts' rubrics (training judge)"
    if not isinstance(grader, JudgeGrader):
        return "reward model's reward"
    judge = recipe.training_judge
    rewards = judge is not None and judge.is_reward and not judge.compares
    whose = "training judge's reward" if rewards else "judge's score"
    return f"{whose} ({grader.kind.replace('_', '-')})"


def _step_seconds(directory: RunDirectory) -> dict[str, float]:
    """Median seconds of each part of a training step."""
    timings: list[dict[str, Any]] = read_rows(directory.timings)
    rows = [row for row in timings if "step" in row]
    if not rows:
        return {}
    parts = [name for name in rows[0] if name != "step"]
    return {name: round(sorted(row[name] for row in rows)[len(rows) // 2], 2) for name in parts}
