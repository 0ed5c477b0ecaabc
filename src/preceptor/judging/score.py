"""The score judge: how good is one response, as a distribution over the constitution's scale."""

from collections.abc import Sequence

from preceptor.backends.base import ChooseRequest, LanguageModel, in_order
from preceptor.core.types import JudgeFailure, Prompt, Rater, Response, Score, Verdict
from preceptor.judging.constitution import Constitution
from preceptor.judging.parsing import parse_choice
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import render_score_prompt
from preceptor.store.ledger import Ledger


class ScoreJudge:
    """A language model that scores responses by a constitution.

    The score is read from the probabilities of the choices as the model's next words (Lee et al. 2023, section 2.2),
    not from sampled text, so it is soft and there is no answer of the judge to be forged by a candidate.
    """

    def __init__(self, model: LanguageModel, constitution: Constitution, ledger: Ledger) -> None:
        self.constitution = constitution
        self.rater = Rater(
            model=model.identity,
            constitution=f"{constitution.name} {constitution.version}",
            constitution_hash=constitution.hash,
        )
        self._model = RecordedModel(model, ledger, self.rater)

    @property
    def ledger_hits(self) -> int:
        """Calls answered from the ledger in this process."""
        return self._model.hits

    def score(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        """A score or a failure for each response, in order."""
        # Each choice stands as the next word, hence the space before it; the ledger has this form too.
        answers = tuple(f" {choice.answer}" for choice in self.constitution.choices)
        requests = [
            ChooseRequest(render_score_prompt(self.constitution, prompt, response.text), answers)
            for prompt, response in items
        ]
        results = in_order(self._model.choose(requests), len(requests))
        names = [choice.answer for choice in self.constitution.choices]
        return [self._to_score(parse_choice(names, result)) for result in results]

    def _to_score(self, verdict: Verdict | JudgeFailure) -> Score | JudgeFailure:
        if isinstance(verdict, JudgeFailure):
            return verdict
        return Score(verdict=verdict, values=self.constitution.values, rater=self.rater)
