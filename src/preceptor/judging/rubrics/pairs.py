"""Comparing by rubrics: each response is scored alone by the rubric of its prompt, and the two scores become a
preference.

The scores of a and b are independent distributions from 0 to 1, so p_tie = P(score of a = score of b) and
p_a = P(score of a > score of b) + p_tie / 2. No constitution takes part, and no position can be favoured.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from preceptor.backends.base import LanguageModel
from preceptor.core.types import Comparison, JudgeFailure, Message, Preference, Presentation, Prompt, Response
from preceptor.judging.ask import Demand
from preceptor.judging.combine import voted
from preceptor.judging.rubrics.aggregate import RubricScore, higher
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.ledger import Ledger

_Key: TypeAlias = tuple[str, tuple[Message, ...], str | None, str | None, str, tuple[Message, ...]]
"""What a score depends on: the prompt's id, conversation, reference and rubric, the response's text and trajectory."""


class RubricPairJudge:
    """A language model that compares two responses by scoring each alone with the rubric of their prompt.

    A preference has two presentations, one for each response: `order` names the response (`ab`: response a), `items`
    has what was judged of it, and `p_a` and `p_tie` are those of the comparison, the same in both. If either response
    has no score, or the prompt has no rubric, there is no preference.

    Raises: UsageError when a model that takes no conversations is to answer all items in one call.
    """

    def __init__(self, model: LanguageModel, settings: PairwiseSettings, ledger: Ledger) -> None:
        self.settings = settings
        self._scoring = RubricJudge(model, ledger, settings.by_rubric)
        self.rater = self._scoring.rater.model_copy(update={"settings": settings.for_rater()})
        self.model = self._scoring.model
        self.members = (self,)

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A preference or a failure for each comparison, in order.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        items = _distinct(comparisons)
        scores = dict(zip(items, self._scoring.score(list(items.values())), strict=True))
        return [self._preference(c, scores[_key(c.prompt, c.a)], scores[_key(c.prompt, c.b)]) for c in comparisons]

    def demand(self, comparisons: Sequence[Comparison]) -> Demand:
        """The cost of judging the comparisons if none of their responses has a score on record."""
        return self._scoring.demand(list(_distinct(comparisons).values()))

    def _preference(
        self, comparison: Comparison, a: RubricScore | JudgeFailure, b: RubricScore | JudgeFailure
    ) -> Preference | JudgeFailure:
        if comparison.prompt.rubric is None and isinstance(a, JudgeFailure):
            return a
        if isinstance(a, JudgeFailure):
            return a.model_copy(update={"detail": f"response a: {a.detail}"})
        if isinstance(b, JudgeFailure):
            return b.model_copy(update={"detail": f"response b: {b.detail}"})
        p_a, p_tie = higher(a, b)
        preference = Preference(
            comparison=comparison,
            p_a=p_a,
            p_tie=p_tie,
            rater=self.rater,
            presentations=(
                Presentation(order="ab", p_a=p_a, p_tie=p_tie, verdict=a.verdict, **_judged(a)),
                Presentation(order="ba", p_a=p_a, p_tie=p_tie, verdict=b.verdict, **_judged(b)),
            ),
        )
        return voted(preference) if self.settings.vote else preference


def _judged(score: RubricScore) -> dict[str, Any]:
    """What a presentation says of the items."""
    return {
        "rubric_hash": score.rubric_hash,
        "rubric_score": score.expectation,
        "items": tuple(item.met for item in score.items),
    }


def _distinct(comparisons: Sequence[Comparison]) -> dict[_Key, tuple[Prompt, Response]]:
    return {_key(c.prompt, response): (c.prompt, response) for c in comparisons for response in (c.a, c.b)}


def _key(prompt: Prompt, response: Response) -> _Key:
    rubric = prompt.rubric and prompt.rubric.hash
    return prompt.id, prompt.conversation, prompt.reference, rubric, response.text, response.trajectory
