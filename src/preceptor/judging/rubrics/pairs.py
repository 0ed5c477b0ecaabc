"""Comparing by rubrics: each response is scored alone by the rubric of its prompt, and the two scores become a
preference.

The scores of a and b are independent distributions from 0 to 1, so p_tie = P(score of a = score of b) and
p_a = P(score of a > score of b) + p_tie / 2. No constitution takes part, and no position can be favoured.
"""

from collections.abc import Sequence
from typing import Literal

from preceptor.backends.base import LanguageModel
from preceptor.core.types import Comparison, JudgeFailure, Preference, Presentation
from preceptor.judging.ask import Demand
from preceptor.judging.combine import voted
from preceptor.judging.rubrics.aggregate import RubricScore, higher
from preceptor.judging.rubrics.judge import RubricJudge
from preceptor.judging.scored import key_of, responses_of
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.ledger import Ledger


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
        items = responses_of(comparisons)
        scores = dict(zip(items, self._scoring.score(list(items.values())), strict=True))
        return [self._preference(c, scores[key_of(c.prompt, c.a)], scores[key_of(c.prompt, c.b)]) for c in comparisons]

    def demand(self, comparisons: Sequence[Comparison]) -> Demand:
        """The cost of judging the comparisons if none of their responses has a score on record."""
        return self._scoring.demand(list(responses_of(comparisons).values()))

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
            presentations=(_presentation("ab", a, p_a, p_tie), _presentation("ba", b, p_a, p_tie)),
        )
        return voted(preference) if self.settings.vote else preference


def _presentation(order: Literal["ab", "ba"], score: RubricScore, p_a: float, p_tie: float) -> Presentation:
    return Presentation(
        order=order,
        p_a=p_a,
        p_tie=p_tie,
        verdict=score.verdict,
        rubric_hash=score.rubric_hash,
        rubric_score=score.expectation,
        items=tuple(item.met for item in score.items),
    )
