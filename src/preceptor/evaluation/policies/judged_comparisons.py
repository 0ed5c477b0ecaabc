"""A comparison of two policies with all verdicts on it, from which statistics and examples are computed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from preceptor.core.types import Frozen
from preceptor.evaluation.pairs import JudgedPair
from preceptor.judging.position import mean, p_by_order


class OrderVerdict(Frozen):
    """A judge's verdict on one presentation."""

    judge: str
    order: Literal["ab", "ba"]
    p_a: float


@dataclass(frozen=True)
class Opinion:
    """A judge's preference."""

    p_a: float
    presentations: Sequence[OrderVerdict] = ()
    """Empty for a rule that measures single texts."""
    by_principle: dict[str, float] = field(default_factory=dict[str, float])
    rationale: str = ""

    @property
    def by_order(self) -> dict[str, float]:
        """Mean p_a of the presentations in each order."""
        shown = p_by_order((presentation.order, presentation.p_a) for presentation in self.presentations)
        return {order: mean(values) for order, values in shown.items()}


@dataclass(frozen=True)
class JudgedComparison:
    """Two policies' responses to one prompt. Response a is the later policy's."""

    prompt_id: str
    cohort: str
    prompt: str
    policy_a: str
    policy_b: str
    text_a: str
    text_b: str
    opinion: Opinion | None
    """The held-out judge's opinion; None if it failed."""
    training: Opinion | None = None
    """The training judge's opinion; None if it failed or was not asked."""
    failure: str | None = None
    """Why the held-out judge has no opinion."""
    time: str | None = None
    """When the prompt was asked in production, ISO 8601; None for prompts from elsewhere."""
    thought_a: str | None = None
    """What the policy thought before response a, which no judge saw; None if it did not think."""
    thought_b: str | None = None

    @property
    def pair(self) -> JudgedPair | None:
        """The comparison as the held-out judge sees it."""
        return self._pair(self.opinion)

    @property
    def training_pair(self) -> JudgedPair | None:
        """The comparison as the training judge sees it."""
        return self._pair(self.training)

    def _pair(self, opinion: Opinion | None) -> JudgedPair | None:
        if opinion is None:
            return None
        return JudgedPair(
            prompt_id=self.prompt_id,
            cohort=self.cohort,
            policy_a=self.policy_a,
            policy_b=self.policy_b,
            p_a=opinion.p_a,
            length_a=len(self.text_a),
            length_b=len(self.text_b),
            by_order=opinion.by_order,
            by_principle=opinion.by_principle,
        )
