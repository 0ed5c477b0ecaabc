"""A comparison of two policies with all that judges said of it: what statistics and examples are taken from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from preceptor.evaluation.pairs import JudgedPair
from preceptor.judging.position import mean, p_by_order


@dataclass(frozen=True)
class Showing:
    """What a judge said when it was shown a comparison once."""

    judge: str
    order: Literal["ab", "ba"]
    p_a: float


@dataclass(frozen=True)
class Opinion:
    """A judge's preference."""

    p_a: float
    showings: Sequence[Showing] = ()
    """Empty of a rule that measures single texts."""
    by_principle: dict[str, float] = field(default_factory=dict[str, float])
    rationale: str = ""

    @property
    def by_order(self) -> dict[str, float]:
        """Mean p_a of the showings in each order."""
        shown = p_by_order((showing.order, showing.p_a) for showing in self.showings)
        return {order: mean(values) for order, values in shown.items()}


@dataclass(frozen=True)
class Contest:
    """Two policies' responses to one prompt. Response a is of the policy that was named later."""

    prompt_id: str
    cohort: str
    prompt: str
    policy_a: str
    policy_b: str
    text_a: str
    text_b: str
    opinion: Opinion | None
    """The held-out judge's; None where it failed."""
    training: Opinion | None = None
    """The training judge's; None where it failed or was not asked."""
    failure: str | None = None
    """Why the held-out judge has no opinion."""
    time: str | None = None
    """When the prompt was asked in production, ISO 8601, where it comes from there."""

    @property
    def pair(self) -> JudgedPair | None:
        """As the held-out judge sees it."""
        return self._pair(self.opinion)

    @property
    def training_pair(self) -> JudgedPair | None:
        """As the training judge sees it."""
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
