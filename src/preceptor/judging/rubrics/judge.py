"""The rubric judge: scores a response by the rubric that its prompt carries.

Each item's probability of being met is read from the probabilities of yes and no as the judge's next word, or all items
are answered in one call (`judging/one_call.py`). Items with a verifier or a function are checked by code. "Cannot
assess" is an answer: such an item is left out, and counted. A failed item is never counted as not met.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from preceptor.backends.base import CompleteRequest, LanguageModel, asked_identity, in_order
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt, Rater, Response, Verdict, total_usage
from preceptor.judging.ask import CLOSING_TOKENS, Demand, Question, ask, demand_of, longest_request
from preceptor.judging.combine import mixture
from preceptor.judging.constitution import SCALE
from preceptor.judging.one_call import demand_of_requests, form_request, read_form
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import prompt_text
from preceptor.judging.rubrics import questions
from preceptor.judging.rubrics.aggregate import ItemJudgement, RubricScore, as_verdict, score_distribution
from preceptor.judging.rubrics.items import by_model, checked, judgement_of, without_rubric
from preceptor.judging.settings import RubricSettings
from preceptor.judging.trajectory import fit, response_text
from preceptor.store.ledger import Ledger

RUBRIC = "rubric"
"""The name that stands for a constitution where responses are judged by the rubrics of prompts."""
_IMPLICIT = {score: (int(score) - 1) / 9 for score in SCALE}
_BY_MODEL = ("judge", "reference")
Pair: TypeAlias = tuple[Prompt, Response]
_Whole: TypeAlias = Callable[[int | None], Question]
"""Builds a question whose messages have at most so many characters."""
_Answers: TypeAlias = dict[tuple[int, int], Verdict | JudgeFailure]
"""What the judge said, by the position of the response and that of the item."""


class RubricJudge:
    """A language model that scores responses by the rubrics of their prompts.

    Raises: UsageError when a model that takes no conversations is to answer all items in one call.
    """

    def __init__(self, model: LanguageModel, ledger: Ledger, settings: RubricSettings | None = None) -> None:
        self.settings = settings or RubricSettings()
        if self.settings.criteria == "one_call" and not model.chat:
            raise UsageError(
                f"{model.identity} continues plain text only, and a call for all items is answered in a conversation; "
                'ask with criteria = "each"'
            )
        self.rater = Rater(
            model=asked_identity(model, self.settings.thinking, plain=False),
            constitution=RUBRIC,
            constitution_hash=content_hash(list(questions.TEMPLATES))[:16],
            settings={"shown": "rubric"} | self.settings.for_rater(),
        )
        self.model = RecordedModel(model, ledger, self.rater)

    @property
    def ledger_hits(self) -> int:
        """Calls answered from the ledger in this process."""
        return self.model.hits

    def score(self, items: Sequence[Pair]) -> list[RubricScore | JudgeFailure]:
        """A score or a failure for each response, in order. A prompt without a rubric is a failure.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        if self.settings.aggregation == "implicit":
            return self._implicit(items)
        answers = self._in_one_call(items) if self.settings.criteria == "one_call" else self._each(items)
        return [self._explicit(place, pair, answers) for place, pair in enumerate(items)]

    def demand(self, items: Sequence[Pair]) -> Demand:
        """The cost of scoring the responses if none is on record."""
        model, settings = self.model.model, self.settings
        if settings.aggregation == "explicit" and settings.criteria == "one_call":
            return demand_of_requests(model, [request for _, _, request in self._requests(items)])
        asked = self._score_questions(items) if settings.aggregation == "implicit" else self._item_questions(items)
        return demand_of(model, list(asked.values()), settings.reasoning)

    # -- explicit: item by item -----------------------------------------------------------------------------------

    def _explicit(self, place: int, pair: Pair, answers: _Answers) -> RubricScore | JudgeFailure:
        prompt, response = pair
        if prompt.rubric is None:
            return without_rubric(prompt)
        rubric = prompt.rubric
        judged = tuple(
            judgement_of(answers[place, i]) if (place, i) in answers else checked(item, prompt, response)
            for i, item in enumerate(rubric.items)
        )
        for number, item in enumerate(judged, 1):
            if item.failure is not None and self.settings.failed_items == "abstain":
                return item.failure.model_copy(update={"detail": f"rubric item {number}: {item.failure.detail}"})
        distribution = score_distribution(rubric, judged, self.settings.met)
        if distribution is None:
            return _nothing_assessed(judged)
        verdict, values = as_verdict(distribution, judged)
        return RubricScore(verdict=verdict, values=values, rater=self.rater, rubric_hash=rubric.hash[:16], items=judged)

    def _each(self, items: Sequence[Pair]) -> _Answers:
        asked = self._item_questions(items)
        verdicts = dict(zip(asked, ask(self.model, list(asked.values()), self.settings.reasoning), strict=True))
        places = dict.fromkeys((place, i) for place, i, _ in asked)
        return {key: _mean([verdicts[*key, s] for s in range(self.settings.samples)]) for key in places}

    def _item_questions(self, items: Sequence[Pair]) -> dict[tuple[int, int, int], Question]:
        """The questions by the positions of response, item and sample."""
        return {
            (place, i, sample): self._item_question(item, prompt, response, sample)
            for place, (prompt, response) in enumerate(items)
            for i, item in by_model(prompt.rubric)
            for sample in range(self.settings.samples)
        }

    def _item_question(self, item: RubricItem, prompt: Prompt, response: Response, sample: int) -> Question:
        asked, reference = prompt_text(prompt.conversation), _reference(item, prompt)
        seed = derive_seed(self.settings.seed, "rationale", prompt.id, response.text, item.criterion, sample)

        def whole(limit: int | None) -> Question:
            text = questions.item_text(item, asked, response_text(response, limit), reference)
            thought, reason = self.settings.thought, questions.ITEM_REASON
            return Question(text, questions.ITEM_ENDING, questions.ANSWERS, reason, seed, thought)

        return self._fitted_question(whole, response)

    def _fitted_question(self, whole: _Whole, response: Response) -> Question:
        if not response.trajectory:
            return whole(None)
        model, reasoning = self.model.model, self.settings.reasoning
        return fit(whole, lambda question: longest_request(model, question, reasoning), model.context_window)

    # -- explicit: all items in one call --------------------------------------------------------------------------

    def _in_one_call(self, items: Sequence[Pair]) -> _Answers:
        asked = self._requests(items)
        results = in_order(self.model.complete([request for _, _, request in asked]), len(asked))
        gathered: dict[tuple[int, int], list[Verdict | JudgeFailure]] = {}
        for (place, positions, _), result in zip(asked, results, strict=True):
            read = read_form(questions.item_form([_name(i) for i in positions]), result)
            for i in positions:
                answer = read if isinstance(read, JudgeFailure) else read[_name(i)]
                gathered.setdefault((place, i), []).append(answer)
        return {key: _mean(verdicts) for key, verdicts in gathered.items()}

    def _requests(self, items: Sequence[Pair]) -> list[tuple[int, list[int], CompleteRequest]]:
        """Position of the response, positions of the items, and their request, for each sample. Items that are
        compared with the reference have a request of their own, so that the others are judged without it.
        """
        requests: list[tuple[int, list[int], CompleteRequest]] = []
        for place, (prompt, response) in enumerate(items):
            for check in _BY_MODEL:
                positions = [i for i, item in by_model(prompt.rubric) if item.checked_by == check]
                requests += [
                    (place, positions, self._request(positions, prompt, response, sample))
                    for sample in range(self.settings.samples)
                    if positions
                ]
        return requests

    def _request(self, positions: Sequence[int], prompt: Prompt, response: Response, sample: int) -> CompleteRequest:
        assert prompt.rubric is not None
        settings, model, asked = self.settings, self.model.model, prompt_text(prompt.conversation)
        items = [(_name(i), prompt.rubric.items[i]) for i in positions]
        reference, form = _reference(items[0][1], prompt), questions.item_form([name for name, _ in items])
        seed = derive_seed(settings.seed, "rationale", prompt.id, response.text, sample)

        def whole(limit: int | None) -> CompleteRequest:
            text = questions.items_text(items, asked, response_text(response, limit), reference)
            return form_request(text, form, settings.reasoning, seed, settings.thought)

        if not response.trajectory:
            return whole(None)
        thinking = settings.thought.tokens + CLOSING_TOKENS if settings.thought else 0
        return fit(whole, lambda r: model.count_tokens(r.prompt) + r.max_new_tokens + thinking, model.context_window)

    # -- implicit: one score for the whole rubric -----------------------------------------------------------------

    def _implicit(self, items: Sequence[Pair]) -> list[RubricScore | JudgeFailure]:
        asked = self._score_questions(items)
        verdicts = dict(zip(asked, ask(self.model, list(asked.values()), self.settings.reasoning), strict=True))
        scores: list[RubricScore | JudgeFailure] = []
        for place, (prompt, _) in enumerate(items):
            if prompt.rubric is None:
                scores.append(without_rubric(prompt))
                continue
            verdict = _mean([verdicts[place, s] for s in range(self.settings.samples)])
            scores.append(verdict if isinstance(verdict, JudgeFailure) else self._whole_score(verdict, prompt.rubric))
        return scores

    def _whole_score(self, verdict: Verdict, rubric: Rubric) -> RubricScore:
        return RubricScore(verdict=verdict, values=_IMPLICIT, rater=self.rater, rubric_hash=rubric.hash[:16])

    def _score_questions(self, items: Sequence[Pair]) -> dict[tuple[int, int], Question]:
        """The questions by the positions of response and sample."""
        return {
            (place, sample): self._score_question(prompt.rubric, prompt, response, sample)
            for place, (prompt, response) in enumerate(items)
            if prompt.rubric is not None
            for sample in range(self.settings.samples)
        }

    def _score_question(self, rubric: Rubric, prompt: Prompt, response: Response, sample: int) -> Question:
        asked = prompt_text(prompt.conversation)
        reference = prompt.reference if rubric.compared_with_reference else None
        seed = derive_seed(self.settings.seed, "rationale", prompt.id, response.text, sample)

        def whole(limit: int | None) -> Question:
            text = questions.implicit_text(rubric, asked, response_text(response, limit), reference)
            thought, reason = self.settings.thought, questions.SCORE_REASON
            return Question(text, questions.SCORE_ENDING, SCALE, reason, seed, thought)

        return self._fitted_question(whole, response)


def _mean(answers_S: Sequence[Verdict | JudgeFailure]) -> Verdict | JudgeFailure:
    """The mean of sampled verdicts; a failure if one of them is."""
    given = [answer for answer in answers_S if not isinstance(answer, JudgeFailure)]
    if len(given) < len(answers_S):
        return next(answer for answer in answers_S if isinstance(answer, JudgeFailure))
    if len(given) == 1:
        return given[0]
    votes = None if given[0].votes is None else sum(verdict.votes or 0 for verdict in given)
    return mixture(given, [1.0] * len(given)).model_copy(update={"votes": votes})


def _nothing_assessed(items: Sequence[ItemJudgement]) -> JudgeFailure:
    failed = sum(item.failure is not None for item in items)
    return JudgeFailure(
        reason="no_answer",
        detail=f"no rubric item with positive points could be assessed ({failed} of {len(items)} items failed)",
        usage=total_usage(item.verdict.usage for item in items if item.verdict is not None),
    )


def _reference(item: RubricItem, prompt: Prompt) -> str | None:
    return prompt.reference if item.checked_by == "reference" else None


def _name(position: int) -> str:
    return f"item_{position + 1}"
