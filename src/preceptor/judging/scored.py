"""Comparing by scores: each response is scored alone, and the two score distributions become a preference.

The judge never sees two responses at once, so it cannot favour a position. The scores of a and b are independent, so

    p_tie = P(score of a = score of b)
    p_a   = P(score of a > score of b) + p_tie / 2

For a rubric with several criteria, both are weighted means over the criteria: the warmth of one response is compared
with the warmth of the other. If the rubric's score is that of the worst criterion, these scores are compared. If
claims are judged, a's share of supported claims is compared with b's.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

from preceptor.backends.base import LanguageModel
from preceptor.core.errors import UsageError
from preceptor.core.types import (
    Comparison,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Response,
    Score,
    Verdict,
)
from preceptor.judging.ask import Demand
from preceptor.judging.combine import voted
from preceptor.judging.constitution import Constitution
from preceptor.judging.groundedness import GroundedScore
from preceptor.judging.score import ScoreJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.ledger import Ledger

Key: TypeAlias = tuple[str, tuple[Message, ...], str | None, str | None, str, tuple[Message, ...]]
"""What a score depends on: the prompt's id, conversation, reference and rubric, the response's text and trajectory."""


class ScoredPairJudge:
    """A language model that compares two responses by scoring each alone with the constitution's score rubric.

    A preference has two presentations, one for each response: `verdict` is that of the response's score, `order` names
    the response (`ab`: response a was shown, `ba`: response b), and `p_a` and `p_tie` are those of the comparison, the
    same in both. Measures of position bias are therefore 0. A response in several comparisons is scored once. If either
    response has no score, there is no preference.

    Raises: UsageError when rationales are asked for but the rubric has no place for one.
    """

    def __init__(
        self, model: LanguageModel, constitution: Constitution, settings: PairwiseSettings, ledger: Ledger
    ) -> None:
        check_scoring(constitution, settings)
        self.constitution = constitution
        self.settings = settings
        self._scoring = ScoreJudge(model, constitution, ledger, settings.scoring)
        self.rater = constitution.rater(self._scoring.rater.model, settings.for_rater())
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
        self, comparison: Comparison, a: Score | JudgeFailure, b: Score | JudgeFailure
    ) -> Preference | JudgeFailure:
        if isinstance(a, JudgeFailure):
            return a.model_copy(update={"detail": f"response a: {a.detail}"})
        if isinstance(b, JudgeFailure):
            return b.model_copy(update={"detail": f"response b: {b.detail}"})
        rubric = self.constitution.score
        weights = (
            {} if rubric.combine == "worst" else {criterion.name: criterion.weight for criterion in rubric.criteria}
        )
        p_a, p_tie = higher(a, b, weights)
        preference = Preference(
            comparison=comparison,
            p_a=p_a,
            p_tie=p_tie,
            rater=self.rater,
            presentations=(
                Presentation(order="ab", p_a=p_a, p_tie=p_tie, verdict=a.verdict),
                Presentation(order="ba", p_a=p_a, p_tie=p_tie, verdict=b.verdict),
            ),
        )
        return voted(preference) if self.settings.vote else preference


def higher(a: Score, b: Score, weights: dict[str, float]) -> tuple[float, float]:
    """The probability that score a is higher than an independent score b, a tie counted half; and that of a tie.

    Args:
        weights: weights of the rubric's criteria; empty to compare the responses' scores as a whole.

    Returns: p_a and p_tie. Equal distributions give exactly 0.5.
    """
    if isinstance(a, GroundedScore) and isinstance(b, GroundedScore):
        return _higher(a.shares, b.shares)
    if not weights:
        return _higher(_placed(a.verdict, a), _placed(b.verdict, b))
    by_criterion = [
        (w, *_higher(_placed(a.criteria[name], a), _placed(b.criteria[name], b))) for name, w in weights.items()
    ]
    total = math.fsum(w for w, _, _ in by_criterion)
    # The mean is taken of p_a's distance from one half, which keeps equal distributions at exactly 0.5.
    p_a = 0.5 + math.fsum(w * (p - 0.5) for w, p, _ in by_criterion) / total
    return min(1.0, max(0.0, p_a)), min(1.0, math.fsum(w * tie for w, _, tie in by_criterion) / total)


def _placed(verdict: Verdict, score: Score) -> list[tuple[float, float]]:
    """Each choice's place on the scale, with its probability."""
    return [(score.values[choice], p) for choice, p in verdict.probabilities.items()]


def _higher(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The same for two distributions: values with their probabilities."""
    joint = [(x - y, p * q) for x, p in a for y, q in b]
    wins = math.fsum(p for difference, p in joint if difference > 0)
    losses = math.fsum(p for difference, p in joint if difference < 0)
    ties = math.fsum(p for difference, p in joint if difference == 0)
    return min(1.0, max(0.0, 0.5 + (wins - losses) / 2)), min(1.0, ties)


def check_scoring(constitution: Constitution, settings: PairwiseSettings) -> None:
    """Checks that responses can be scored as the settings ask, without opening a model.

    Raises: UsageError that says why not.
    """
    if settings.criteria == "one_call" and not constitution.score.criteria:
        raise UsageError(
            f'the constitution "{constitution.name}" has no criteria to put into one call; leave out one-call, or give '
            "it criteria"
        )
    if settings.thinking is not None and not constitution.score.by_questions:
        raise UsageError(
            f'the constitution "{constitution.name}" scores by completing a plain text, in which no model thinks; '
            "leave out think-LEVEL, or give it criteria"
        )
    if settings.rationale and not constitution.score.by_questions:
        raise UsageError(
            f'the constitution "{constitution.name}" scores by an item of its own form, which has no place for a '
            "rationale; leave out cot and sc-N, or give it criteria"
        )


def responses_of(comparisons: Sequence[Comparison]) -> dict[Key, tuple[Prompt, Response]]:
    """The responses of comparisons, each once, with their prompts."""
    return {key_of(c.prompt, response): (c.prompt, response) for c in comparisons for response in (c.a, c.b)}


def key_of(prompt: Prompt, response: Response) -> Key:
    """What tells a response apart from others whose score may differ."""
    rubric = prompt.rubric and prompt.rubric.hash
    return prompt.id, prompt.conversation, prompt.reference, rubric, response.text, response.trajectory
