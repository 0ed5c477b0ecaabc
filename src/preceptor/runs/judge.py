"""The judge of a run, opened when it is first used. Every call is recorded in the run's ledger."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from preceptor.backends.base import LanguageModel
from preceptor.backends.resolve import open_model
from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.judging import bias_correction
from preceptor.judging.bias_correction import Excess
from preceptor.judging.constitution import Constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.groups.design import GroupDesign
from preceptor.judging.groups.listwise import ListwiseJudge
from preceptor.judging.groups.play import ComparedGroups, GroupJudge
from preceptor.judging.reward import RewardKind, reward_kind, reward_of
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.score import ScoreJudge
from preceptor.judging.settings import variant
from preceptor.judging.specs import JudgeSpec, build_judge, model_names
from preceptor.judging.steps import StepJudge
from preceptor.recipes.settings import ComparingJudgeSettings, EscalationSettings, JudgeSettings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.measure import JudgeGrader, RubricGrader, TrajectoryGrader
from preceptor.runs.session import Session
from preceptor.store.ledger import Ledger


class RunJudge:
    """A judge model in all its roles in a run.

    Args:
        constitution: None if it judges by the rubrics of prompts.
    """

    def __init__(
        self, settings: JudgeSettings, constitution: Constitution | None, ledger: Ledger, directory: RunDirectory
    ) -> None:
        self.settings = settings
        self._constitution = constitution
        self._ledger = ledger
        self._directory = directory

    @cached_property
    def model(self) -> LanguageModel:
        """The model. It is pinned: later processes must use the same one."""
        model = open_model(self.settings.model)
        self._directory.pin_inputs({"judge": model.identity})
        return model

    @property
    def constitution(self) -> Constitution:
        """The constitution.

        Raises: ValueError if it judges by the rubrics of prompts.
        """
        if self._constitution is None:
            raise ValueError("a judge by rubrics has no constitution")
        return self._constitution

    @property
    def by_rubric(self) -> bool:
        """Whether it judges by the rubrics of prompts, not by a constitution."""
        return self._constitution is None

    @cached_property
    def rubric_judge(self) -> RubricJudge:
        """The judge of single responses by the rubrics of their prompts."""
        return RubricJudge(self.model, self._ledger, self.settings.by_rubric)

    @cached_property
    def scorer(self) -> ScoreJudge:
        """The judge of single responses."""
        return ScoreJudge(self.model, self.constitution, self._ledger, self.settings.asking)

    def score_correction(self) -> Excess | None:
        """What is taken off the log-odds of its scores; None without a correction.

        Raises: UsageError when the correction was fitted on another judge, or not on scores.
        """
        if self.settings.bias is None:
            return None
        correction = bias_correction.load(Path(self.settings.bias))
        asked = self.settings.evaluation_spec.resolved().for_rater()
        correction.check(self.constitution.rater(self.scorer.rater.model, asked))
        return correction.of_scores()

    @cached_property
    def step_judge(self) -> StepJudge:
        """The judge of an agent's single turns."""
        return StepJudge(self.model, self.constitution, self._ledger, self.settings.asking)

    def trajectory_grader(self, *, steps: bool) -> TrajectoryGrader:
        """The grader of an agent's episodes for measurements.

        Args:
            steps: whether it also scores single turns.
        """
        return TrajectoryGrader(self.scorer, self.settings.reward, self.step_judge if steps else None)

    def second_scorer(self, escalation: EscalationSettings) -> ScoreJudge:
        """The judge that scores again what is in doubt. Its model is pinned too."""
        model = open_model(escalation.model)
        self._directory.pin_inputs({"second judge": model.identity})
        return ScoreJudge(model, self.constitution, self._ledger, escalation.asking)

    def comparer(self, asked: str) -> PreferenceJudge:
        """The judge of two responses, asked in this variant."""
        settings = self.settings
        spec = JudgeSpec(model=settings.model, constitution=settings.constitution, variant=asked)
        if isinstance(settings, ComparingJudgeSettings):
            spec = settings.asked(asked)
        others = {name: open_model(name) for name in model_names([spec]) if name != settings.model}
        if others:
            self._directory.pin_inputs({f"judge {name}": model.identity for name, model in others.items()})
        return build_judge([spec], {settings.model: self.model} | others, self._ledger)

    def group_judge(self, design: GroupDesign, asked: str) -> GroupJudge:
        """The judge of several responses to one prompt, asked in this variant."""
        if design == "listwise":
            return ListwiseJudge(self.model, self.constitution, self._ledger, variant(asked))
        return ComparedGroups(self.comparer(asked), design)

    @cached_property
    def grader(self) -> JudgeGrader | RubricGrader | None:
        """The grader for measurements; None if the constitution defines no score."""
        if self.by_rubric:
            return RubricGrader(self.rubric_judge)
        return JudgeGrader(self.scorer, self.settings.reward) if "score" in self.constitution.model_fields_set else None

    @property
    def reward_kind(self) -> RewardKind:
        """How a judgement becomes the reward of training."""
        settings = self.settings
        if self.by_rubric:
            return "expectation"
        if settings.is_reward and settings.compares:
            return settings.reward or "expectation"
        return reward_kind(settings.reward, self.constitution)

    def content_free_score(self) -> float | None:
        """Its reward for the text "N/A": how it leans without content. None if it failed or does not score."""
        if not isinstance(self.grader, JudgeGrader):
            return None
        prompt = Prompt.model_validate({"id": "content-free", "conversation": [{"role": "user", "content": "N/A"}]})
        response = Response(prompt_id=prompt.id, text="N/A", policy="none")
        [score] = self.scorer.score([(prompt, response)])
        return None if isinstance(score, JudgeFailure) else reward_of(score, self.grader.kind)


@contextmanager
def judging(session: Session) -> Generator[RunJudge | None]:
    """The judge of a run in the main process; None in the others, or if the recipe names no judge."""
    opened: list[RunJudge] = []
    settings, constitution, directory = session.recipe.training_judge, session.inputs.constitution, session.directory
    with ExitStack() as stack:

        def open_ledger() -> None:
            ledger = stack.enter_context(Ledger(directory.ledger))
            if settings is not None and (constitution is not None or settings.by_rubric is not None):
                opened.append(RunJudge(settings, constitution, ledger, directory))

        session.processes.on_main(open_ledger)
        yield opened[0] if opened else None
