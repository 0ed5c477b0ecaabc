"""The judge of a run, opened when it is first asked; every call goes into the run's ledger."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import cached_property

from preceptor.backends.base import LanguageModel
from preceptor.backends.resolve import open_model
from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.judging.constitution import Constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.reward import RewardKind, reward_kind, reward_of
from preceptor.judging.score import ScoreJudge
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.recipes.settings import JudgeSettings, RewardingJudgeSettings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.measure import JudgeGrader
from preceptor.runs.session import Session
from preceptor.store.ledger import Ledger


class RunJudge:
    """One model in the ways that a run asks it."""

    def __init__(
        self, settings: JudgeSettings, constitution: Constitution, ledger: Ledger, directory: RunDirectory
    ) -> None:
        self.settings = settings
        self.constitution = constitution
        self._ledger = ledger
        self._directory = directory

    @cached_property
    def model(self) -> LanguageModel:
        """The model; later processes are held to it."""
        model = open_model(self.settings.model)
        self._directory.pin_inputs({"judge": model.identity})
        return model

    @cached_property
    def scorer(self) -> ScoreJudge:
        """As it scores responses."""
        return ScoreJudge(self.model, self.constitution, self._ledger, self.settings.asking)

    def comparer(self, variant: str) -> PreferenceJudge:
        """As it compares responses."""
        spec = JudgeSpec(model=self.settings.model, constitution=self.settings.constitution, variant=variant)
        return make_judge(spec, self.model, self._ledger)

    @cached_property
    def grader(self) -> JudgeGrader | None:
        """As responses are measured by it: where its constitution says how to score."""
        return JudgeGrader(self.scorer, self.settings.reward) if "score" in self.constitution.model_fields_set else None

    @property
    def reward_kind(self) -> RewardKind:
        """How its judgement becomes the reward of training."""
        settings = self.settings
        if isinstance(settings, RewardingJudgeSettings) and settings.mode != "score":
            return settings.reward or "expectation"
        return reward_kind(settings.reward, self.constitution)

    def content_free_score(self) -> float | None:
        """The reward that it gives to "N/A": what it leans to by itself. None where it failed or does not score."""
        if self.grader is None:
            return None
        prompt = Prompt.model_validate({"id": "content-free", "conversation": [{"role": "user", "content": "N/A"}]})
        response = Response(prompt_id=prompt.id, text="N/A", policy="none")
        [score] = self.scorer.score([(prompt, response)])
        return None if isinstance(score, JudgeFailure) else reward_of(score, self.grader.kind)


@contextmanager
def judging(session: Session) -> Generator[RunJudge | None]:
    """The judge of a run, on the main process; None on the others, and where the recipe names none."""
    opened: list[RunJudge] = []
    settings, constitution, directory = session.recipe.scoring, session.inputs.constitution, session.directory
    with ExitStack() as stack:

        def open_ledger() -> None:
            ledger = stack.enter_context(Ledger(directory.ledger))
            if settings is not None and constitution is not None:
                opened.append(RunJudge(settings, constitution, ledger, directory))

        session.processes.on_main(open_ledger)
        yield opened[0] if opened else None
