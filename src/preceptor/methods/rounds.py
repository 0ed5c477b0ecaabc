"""Training in rounds: each is a run of its own, which begins with the model that the round before it kept.

Every round samples from the newest policy, has the responses judged, learns, and is measured. The gain over the first
policy on the validation prompts says when to stop and which round's model to keep, or that none gained and the first
policy is kept; that model's result comes from the test prompts, which decide nothing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from preceptor.core.errors import CheckpointError
from preceptor.core.types import Prompt
from preceptor.evaluation.checkpoints.choose import broken_bound
from preceptor.evaluation.checkpoints.rounds import best_round, why_no_further
from preceptor.evaluation.checkpoints.snapshot import Snapshot, change, differences
from preceptor.evaluation.intervals import mean_by_prompt
from preceptor.methods.parts.round_recipes import begin_round
from preceptor.recipes.base import Recipe
from preceptor.recipes.rounds import RoundsSettings
from preceptor.results.rounds import RoundRecord, RoundsRecord
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.ending import finish
from preceptor.runs.inputs import Split
from preceptor.runs.judge import RunJudge, judging
from preceptor.runs.measure import Grader, Meter
from preceptor.runs.merge import untrained, whole_model
from preceptor.runs.publish import linked
from preceptor.runs.round_summary import FinishedRounds, summarise_rounds, without_judge
from preceptor.runs.session import Session
from preceptor.store.files import REMEDY
from preceptor.training.policy import Policy


def run_rounds(session: Session, recipe: Recipe, run_round: Callable[[RunDirectory], RunSummary]) -> RunSummary:
    """Runs the rounds of a recipe, resuming where an earlier process stopped. Every process calls it.

    Args:
        run_round: runs the recipe of a round's directory, or resumes it; called in every process.

    Returns: the summary of all rounds, as in `summary.json`, in every process.
    """
    assert recipe.rounds is not None  # the caller's
    rounds = _Rounds(session, recipe.rounds, run_round)
    records: list[RoundRecord] = []
    stopped: str | None = None
    for number in range(1, recipe.rounds.count + 1):
        stopped = session.processes.on_main(partial(begin_round, session.directory, recipe, rounds.prompts, number))
        if stopped is None:
            records.append(rounds.run(number))
            goes_on = number == recipe.rounds.count or not recipe.evaluation.stop_early
            stopped = None if goes_on else why_no_further(records)
        if stopped is not None:
            session.progress.note(f"the rounds end: {stopped}")
            break
    with judging(session) as judge:
        return session.processes.on_main(lambda: rounds.end(records, stopped, judge))


class _Rounds:
    """The rounds of a run, in each of its processes."""

    def __init__(
        self, session: Session, settings: RoundsSettings, run_round: Callable[[RunDirectory], RunSummary]
    ) -> None:
        self._session = session
        self._settings = settings
        self._run_round = run_round
        self.prompts: Split = session.split()

    def run(self, number: int) -> RoundRecord:
        """Runs a round, unless an earlier process finished it, and measures the policy that it kept."""
        session = self._session
        words = f"round {number} of {self._settings.count}"

        def work() -> RoundRecord:
            session.progress.note(words)
            directory = RunDirectory.open(session.directory.round_folder(number))
            summary = self._run_round(directory)
            return session.processes.on_main(lambda: self._record(number, directory, summary))

        return session.stage(f"round-{number}", words, RoundRecord, work, together=True)

    def end(self, records: list[RoundRecord], stopped: str | None, judge: RunJudge | None) -> RunSummary:
        """Keeps the best round's model, or the first policy if no round gained, measures it beside the first policy on
        the test prompts, and reports. For the main process.
        """
        session, settings, best = self._session, self._settings, best_round(records)
        directories = [self._directory(record.number) for record in records]
        summaries = [_finished(directory) for directory in directories]
        grader = self._grader(judge, summaries[0])
        before = self._snapshot("before", lambda: _graded_by(grader, _measured(directories[0])[0]))
        after = self._snapshot("after", lambda: self._after(best, grader) if best else before)
        found = FinishedRounds(
            record=RoundsRecord(
                planned=settings.count,
                reference=settings.reference,
                judge=settings.judge,
                earlier_labels=settings.earlier_labels,
                rounds=tuple(records),
                best=best,
                stopped=stopped,
            ),
            summaries=summaries,
            curve=[self._first(), *(self._kept(record.number) for record in records)],
            before=before,
            after=after,
            prompts=self.prompts,
            judge_compares=grader is not None,
        )
        save, merged = self._of_round(self._directory(best)) if best else self._of_first_policy()
        return finish(session, summarise_rounds(session, found), before, after, save, merged)

    def _of_round(self, kept: RunDirectory) -> "_Saves":
        session, best = self._session, linked(kept.best)
        whole = linked(whole_model(kept, session.progress)) if self._by_whole_models or session.merge else best
        return (whole if self._by_whole_models else best), whole

    def _of_first_policy(self) -> "_Saves":
        first = untrained(self._session.directory)
        if self._by_whole_models:
            return first.save_merged, linked(self._session.directory.best)
        return first.save, first.save_merged

    @property
    def _by_whole_models(self) -> bool:
        """Whether a round begins with the whole model of the round before, which is then its reference."""
        return self._settings.reference == "last"

    def _directory(self, number: int) -> RunDirectory:
        return RunDirectory.open(self._session.directory.round_folder(number))

    def _grader(self, judge: RunJudge | None, first: RunSummary) -> Grader | None:
        """The judge whose scores of the first policy and of the kept one can be compared; None if every round had
        another judge or reward model.
        """
        fixed = judge is not None and self._settings.judge == "fixed" and not first.by_reward_model
        return judge.grader if judge is not None and fixed else None

    def _record(self, number: int, directory: RunDirectory, summary: RunSummary) -> RoundRecord:
        """What became of a round."""
        recipe, first, kept = self._session.recipe, self._first(), self._kept(number)
        before, after = _measured(directory)
        was, now = first.reference_perplexity.overall, kept.reference_perplexity.overall
        judged = differences(before, after, lambda response: response.judge_score)
        judge = directory.recipe.training_judge
        return RoundRecord(
            number=number,
            gain=change(first, kept),
            broken=broken_bound(first, kept, recipe.evaluation.bounds, measured=True),
            unchanged=recipe.chooses_checkpoint and summary.best_step == 0,
            folder=str(directory.path.relative_to(self._session.directory.path)),
            policy=self._named(directory.recipe.begin or directory.base),
            judge=judge and self._named(judge.model),
            training_prompts=summary.prompts.training,
            labels=0 if summary.labels is None else summary.labels.counts.preferences,
            earlier_labels=0 if summary.preferences is None else summary.preferences.labelled_before,
            steps=summary.steps,
            kept_step=summary.best_step,
            over_optimised_from=summary.over_optimisation.step,
            kl=kept.kl.overall,
            perplexity_ratio=None if was is None or now is None else now.value / was.value,
            test_gain=change(_measured(self._directory(1))[0], after),
            test_change=summary.heldout_change,
            judge_change=mean_by_prompt([[each] for each in judged.values()]),
            judge_agreement=summary.evaluation.after.judge_agreement,
        )

    def _named(self, model: str) -> str:
        """A model string; a path in the run directory is relative to it, so that equal runs have equal records."""
        path, root = Path(model), Path(self._session.directory.path).absolute()
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else model

    def _snapshot(self, name: str, measure: Callable[[], Snapshot]) -> Snapshot:
        return self._session.directory.snapshot(name, measure)

    def _first(self) -> Snapshot:
        """The measurement of the first policy on the validation prompts."""
        return self._look(0, lambda: (self._session.open_policy(self._session.directory.base), None))

    def _kept(self, number: int) -> Snapshot:
        """The measurement of the policy that a round kept, on the validation prompts."""
        return self._look(number, lambda: self._policy_of(self._directory(number), number))

    def _look(self, number: int, policies: Callable[[], "_Policies"]) -> Snapshot:
        prompts = self.prompts.validation
        return self._snapshot(f"step-{number:06d}", lambda: self._measure("round", policies(), prompts, None))

    def _after(self, number: int, grader: Grader | None) -> Snapshot:
        """The measurement of the best round's policy on the test prompts, with its KL to the first: the round's own
        measurement, unless its KL is to another policy.
        """
        kept = self._directory(number)
        if not self._by_whole_models or number == 1:
            return _graded_by(grader, _measured(kept)[1].at(number))
        self._session.progress.stage("measuring the kept policy beside the first one")
        return self._measure("final", self._policy_of(kept, number), self.prompts.test, grader)

    def _measure(self, name: str, policies: "_Policies", prompts: Sequence[Prompt], grader: Grader | None) -> Snapshot:
        session = self._session
        policy, first = policies
        session.directory.pin_inputs({"policy": (first or policy).base.identity})
        meter = Meter(policy, grader, session.inputs.references, session.recipe, session.held_out, base=first)
        return meter.measure(name, prompts, session.recipe.evaluation.samples_per_prompt)

    def _policy_of(self, directory: RunDirectory, number: int) -> "_Policies":
        """The policy that a round kept, and the first policy unless that is its reference."""
        session = self._session
        first = session.open_policy(session.directory.base)
        if not self._by_whole_models:
            first.load(directory.best, number)
            return first, None
        kept = session.open_policy(str(whole_model(directory, session.progress)))
        kept.step = number
        return kept, first


_Policies: TypeAlias = tuple[Policy, Policy | None]
"""A policy, and the model that its KL is measured to if that is not its own reference."""

_Saves: TypeAlias = tuple[Callable[[Path], None], Callable[[Path], None]]
"""What writes the kept model into a folder, and what writes it whole."""


def _finished(directory: RunDirectory) -> RunSummary:
    summary = directory.finished()
    if summary is None:
        raise CheckpointError(f"{directory.path}: this round was finished, and its summary is gone; {REMEDY}")
    return summary


def _measured(directory: RunDirectory) -> tuple[Snapshot, Snapshot]:
    """The measurements of a finished round on the test prompts: of the policy that it began with, and that it kept."""
    data = directory.report_data(_finished(directory))
    return data.before, data.after


def _graded_by(grader: Grader | None, snapshot: Snapshot) -> Snapshot:
    """The snapshot, without its judge's scores if they are not by a judge that all rounds share."""
    return snapshot if grader is not None else without_judge(snapshot)
