"""Trajectories step by step: each action of an agent is scored by what the agent knew at that point.

A right step can belong to a bad plan, and a plan can survive a wrong step. So these scores complement the judgement of
the whole trajectory and never replace it.
"""

from collections.abc import Sequence

from preceptor.backends.base import LanguageModel, asked_identity
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt, Rater, Response, Score, TrajectoryScore
from preceptor.judging.ask import Question, ask, longest_request
from preceptor.judging.constitution import SCALE, Constitution
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import preamble, prompt_text, tagged
from preceptor.judging.score import ENDING, REASON, ScoreJudge
from preceptor.judging.settings import ScoreSettings
from preceptor.judging.trajectory import fit, step_text
from preceptor.store.ledger import Ledger

QUESTION = """\
Judge the step between the step tags alone, by what was known before it. How far does it bring the task forward, by \
the principles? Score it from 1 to 10, where
1: It loses ground: it is wrong, repeats what failed, or ignores what the last result showed.
5: It does no harm and gains little, or gains something by a roundabout way.
10: It is the right next thing to do, done correctly, and it uses all that was known."""

GOOD_STEP = 7.0
"""Least score of a good step, from 1 to 10."""
POOR_WHOLE = 5.0
"""Score of the whole, on a scale from 1 to 10, below which a trajectory counts as failed if nothing better is known."""


def failed_as_a_whole(score: Score) -> bool:
    """Whether a score of the whole, on any scale, lies below where `POOR_WHOLE` lies on the one from 1 to 10."""
    return score.rescaled < 2.0 * (POOR_WHOLE - 1.0) / 9.0 - 1.0


class StepJudge:
    """A language model that scores every step of an agent from 1 to 10."""

    def __init__(
        self, model: LanguageModel, constitution: Constitution, ledger: Ledger, settings: ScoreSettings | None = None
    ) -> None:
        self.constitution = constitution
        self.settings = settings or ScoreSettings()
        self.rater = Rater(
            model=asked_identity(model, self.settings.thinking),
            constitution=f"{constitution.name} {constitution.version}",
            constitution_hash=constitution.hash,
            settings=self.settings.for_rater() | {"judged": "steps"},
        )
        self.model = RecordedModel(model, ledger, self.rater)

    def score(self, items: Sequence[tuple[Prompt, Response]]) -> list[list[Score | JudgeFailure]]:
        """For each trajectory, a score or a failure for each message of the assistant; empty for a plain answer.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        steps_N = [[i for i, m in enumerate(r.trajectory) if m.role == "assistant"] for _, r in items]
        questions = [
            self._question(prompt, response, step)
            for (prompt, response), steps in zip(items, steps_N, strict=True)
            for step in steps
        ]
        results = iter(ask(self.model, questions, self.settings.reasoning))
        values = {score: float(score) for score in SCALE}
        scores: list[list[Score | JudgeFailure]] = []
        for steps in steps_N:
            verdicts = [next(results) for _ in steps]
            scores.append(
                [
                    v if isinstance(v, JudgeFailure) else Score(verdict=v, values=values, rater=self.rater)
                    for v in verdicts
                ]
            )
        return scores

    def _question(self, prompt: Prompt, response: Response, step: int) -> Question:
        opening, asked = preamble(self.constitution), tagged("prompt", prompt_text(prompt.conversation))
        before, judged = response.trajectory[:step], response.trajectory[step]

        def whole(limit: int | None) -> Question:
            known = "\n".join(step_text(i, message, limit) for i, message in enumerate(before, start=1))
            shown = tagged("response", known or "(nothing yet)")
            text = f"{opening}\n\n{asked}\n{shown}\n{tagged('step', step_text(step + 1, judged, limit))}\n\n{QUESTION}"
            seed = derive_seed(self.settings.seed, "rationale", prompt.id, response.text, step)
            return Question(text, ENDING, SCALE, REASON, seed, self.settings.thought)

        model, reasoning = self.model.model, self.settings.reasoning
        return fit(whole, lambda question: longest_request(model, question, reasoning), model.context_window)


class TrajectoryJudge:
    """A language model that scores trajectories both ways: as a whole by the constitution's rubric, and by step."""

    def __init__(self, model: LanguageModel, constitution: Constitution, ledger: Ledger) -> None:
        self._whole = ScoreJudge(model, constitution, ledger)
        self._steps = StepJudge(model, constitution, ledger)
        self.models = [self._whole.model, self._steps.model]

    def score(self, items: Sequence[tuple[Prompt, Response]]) -> list[TrajectoryScore]:
        """Both kinds of score for each response, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        wholes, steps = self._whole.score(items), self._steps.score(items)
        return [TrajectoryScore(whole=w, steps=tuple(s)) for w, s in zip(wholes, steps, strict=True)]
