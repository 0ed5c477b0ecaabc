"""The score judge: scores one response, as a distribution over the constitution's scale."""

import math
from collections.abc import Sequence

from preceptor.backends.base import ChooseRequest, CompleteRequest, LanguageModel, asked_identity, in_order
from preceptor.core.errors import UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt, Response, Score, Usage, Verdict, total_usage
from preceptor.judging.ask import CLOSING_TOKENS, Demand, Question, ask, demand_of, longest_request
from preceptor.judging.combine import mixture
from preceptor.judging.constitution import SCALE, Constitution, Criterion
from preceptor.judging.groundedness import ClaimJudge
from preceptor.judging.one_call import RATIONALE, demand_of_requests, read_scores, scores_request
from preceptor.judging.parsing import parse_choice
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import criterion_text, preamble, prompt_text, render_item_prompt
from preceptor.judging.settings import ScoreSettings
from preceptor.judging.trajectory import fit, response_text
from preceptor.store.ledger import Ledger

ENDING = "Final score:"
REASON = "Say in two to four sentences what speaks for the response and what against it. Do not give a score yet."


class ScoreJudge:
    """A language model that scores responses by a constitution.

    The score is read from the probabilities of the choices as the model's next words (Lee et al. 2023, section 2.2),
    not from sampled text, so it is soft, and a candidate cannot forge the judge's answer. The criteria of a rubric are
    asked one by one, or in one call if the settings say so (`judging/one_call.py`); if one fails, there is no score.
    A rubric may instead have each claim of a response judged (`judging/groundedness.py`).

    Raises: UsageError when a model that takes no conversations is to answer all criteria in one call, or when a
        criterion has the name of the reasons in that call.
    """

    def __init__(
        self, model: LanguageModel, constitution: Constitution, ledger: Ledger, settings: ScoreSettings | None = None
    ) -> None:
        self.constitution = constitution
        self.settings = settings or ScoreSettings()
        # A rubric in a custom format is plain text; criteria are asked in a conversation if the model takes them.
        rubric = constitution.score
        identity = asked_identity(model, self.settings.thinking, plain=not rubric.by_questions)
        self.rater = constitution.rater(identity, self.settings.for_rater())
        self.model = RecordedModel(model, ledger, self.rater)
        if self._one_call and not model.chat:
            raise UsageError(
                f"{model.identity} continues plain text only, and a call for all criteria is answered in a "
                'conversation; ask with criteria = "each"'
            )
        if self._one_call and self.settings.reasoning and RATIONALE in (c.name for c in constitution.score.criteria):
            raise UsageError(
                f'{constitution.name}: a criterion has the name "{RATIONALE}", which the judge\'s reasons have in one '
                "call; rename the criterion"
            )
        self._claims = ClaimJudge(self.model, constitution, rubric.claims, self.settings) if rubric.claims else None

    @property
    def ledger_hits(self) -> int:
        """Calls answered from the ledger in this process."""
        return self.model.hits

    def score(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        """A score or a failure for each response, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        if self._claims:
            return [*self._claims.score(items, self.rater)]
        if not self.constitution.score.criteria:
            return self._by_item(items)
        return self._in_one_call(items) if self._one_call else self._by_criteria(items)

    def demand(self, items: Sequence[tuple[Prompt, Response]]) -> Demand:
        """The cost of scoring the responses if none is on record."""
        model = self.model.model
        if self._claims:
            return self._claims.demand(items)
        if self._one_call:
            return demand_of_requests(model, self._scores_requests(items))
        if self.constitution.score.criteria:
            return demand_of(model, self._questions(items), self.settings.reasoning)
        requests = self._item_requests(items)
        prompt_tokens = sum(model.count_tokens(request.prompt) for request in requests)
        return Demand(len(requests), Usage(prompt_tokens=prompt_tokens, completion_tokens=len(requests)))

    def _by_item(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        requests = self._item_requests(items)
        results = in_order(self.model.choose(requests), len(requests))
        verdicts = [parse_choice(list(self.constitution.score.values), result) for result in results]
        return [v if isinstance(v, JudgeFailure) else self._score(v) for v in verdicts]

    def _item_requests(self, items: Sequence[tuple[Prompt, Response]]) -> list[ChooseRequest]:
        # Each choice is the next word, hence the space before it; the ledger has this form too.
        answers = tuple(f" {choice.answer}" for choice in self.constitution.score.choices)
        return [
            ChooseRequest(render_item_prompt(self.constitution, prompt, response_text(response)), answers)
            for prompt, response in items
        ]

    @property
    def _one_call(self) -> bool:
        return bool(self.constitution.score.criteria) and self.settings.criteria == "one_call"

    def _in_one_call(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        criteria = self.constitution.score.criteria
        requests = self._scores_requests(items)
        answers = [read_scores(criteria, answer) for answer in in_order(self.model.complete(requests), len(requests))]
        samples = self.settings.samples
        return [self._sampled(answers[i : i + samples]) for i in range(0, len(answers), samples)]

    def _scores_requests(self, items: Sequence[tuple[Prompt, Response]]) -> list[CompleteRequest]:
        """One request for each response and sample, in this order."""
        return [
            self._scores_request(prompt, response, sample)
            for prompt, response in items
            for sample in range(self.settings.samples)
        ]

    def _scores_request(self, prompt: Prompt, response: Response, sample: int) -> CompleteRequest:
        model, reasoning, criteria = self.model.model, self.settings.reasoning, self.constitution.score.criteria
        opening, asked = preamble(self.constitution), prompt_text(prompt.conversation)
        seed = derive_seed(self.settings.seed, "rationale", prompt.id, response.text, sample)

        def whole(limit: int | None) -> CompleteRequest:
            shown = response_text(response, limit)
            return scores_request(opening, criteria, asked, shown, reasoning, seed, self.settings.thought)

        if not response.trajectory:
            return whole(None)
        thinking = self.settings.thought.tokens + CLOSING_TOKENS if self.settings.thought else 0
        return fit(whole, lambda r: model.count_tokens(r.prompt) + r.max_new_tokens + thinking, model.context_window)

    def _sampled(self, answers_S: Sequence[dict[str, Verdict] | JudgeFailure]) -> Score | JudgeFailure:
        """The score of a response from its sampled answers; a failure if one of them is."""
        given = [answer for answer in answers_S if not isinstance(answer, JudgeFailure)]
        if len(given) < len(answers_S):
            return next(answer for answer in answers_S if isinstance(answer, JudgeFailure))
        votes = {"votes": len(given)}
        criteria = {
            name: mixture([answer[name] for answer in given], [1.0] * len(given)).model_copy(update=votes)
            for name in given[0]
        }
        return self._combined(criteria)

    def _by_criteria(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        criteria, samples = self.constitution.score.criteria, range(self.settings.samples)
        verdicts = iter(ask(self.model, self._questions(items), self.settings.reasoning))
        return [self._weighted([[next(verdicts) for _ in samples] for _ in criteria]) for _ in items]

    def _questions(self, items: Sequence[tuple[Prompt, Response]]) -> list[Question]:
        """One question for each response, criterion and sample, in this order."""
        return [
            self._question(criterion, prompt, response, sample)
            for prompt, response in items
            for criterion in self.constitution.score.criteria
            for sample in range(self.settings.samples)
        ]

    def _question(self, criterion: Criterion, prompt: Prompt, response: Response, sample: int) -> Question:
        opening, asked = preamble(self.constitution), prompt_text(prompt.conversation)

        def whole(limit: int | None) -> Question:
            item = criterion_text(criterion, asked, response_text(response, limit))
            seed = derive_seed(self.settings.seed, "rationale", prompt.id, response.text, criterion.name, sample)
            return Question(f"{opening}\n\n{item}", ENDING, SCALE, REASON, seed, self.settings.thought)

        if not response.trajectory:
            return whole(None)
        model, reasoning = self.model.model, self.settings.reasoning
        return fit(whole, lambda question: longest_request(model, question, reasoning), model.context_window)

    def _weighted(self, verdicts_CS: Sequence[Sequence[Verdict | JudgeFailure]]) -> Score | JudgeFailure:
        """The score of a response from its verdicts, criteria × samples."""
        criteria: dict[str, Verdict] = {}
        for criterion, verdicts_S in zip(self.constitution.score.criteria, verdicts_CS, strict=True):
            given = [v for v in verdicts_S if not isinstance(v, JudgeFailure)]
            if len(given) < len(verdicts_S):
                failure = next(v for v in verdicts_S if isinstance(v, JudgeFailure))
                return failure.model_copy(update={"detail": f"criterion {criterion.name}: {failure.detail}"})
            criteria[criterion.name] = mixture(given, [1.0] * len(given))
        return self._combined(criteria)

    def _combined(self, criteria: dict[str, Verdict]) -> Score:
        rubric, verdicts = self.constitution.score, list(criteria.values())
        weights = [criterion.weight for criterion in rubric.criteria]
        return self._score(worst(verdicts) if rubric.combine == "worst" else mixture(verdicts, weights), criteria)

    def _score(self, verdict: Verdict, criteria: dict[str, Verdict] | None = None) -> Score:
        return Score(verdict=verdict, values=self.constitution.score.values, rater=self.rater, criteria=criteria or {})


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict with the lowest expected score from "1" to "10", with the total usage of all.

    Not the distribution of the lowest score: that takes the verdicts for independent, and six unsure verdicts would
    make a low score out of nothing but doubt.
    """
    lowest = min(verdicts, key=lambda verdict: math.fsum(int(s) * p for s, p in verdict.probabilities.items()))
    return lowest.model_copy(update={"usage": total_usage(verdict.usage for verdict in verdicts)})
