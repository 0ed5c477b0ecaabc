"""The nouns of preceptor, one meaning each. Every type is frozen and checks its own invariants."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

NonEmpty = Annotated[str, Field(min_length=1)]


class Frozen(BaseModel):
    """Base of all types and settings: immutable; an unknown field, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Message(Frozen):
    """One chat message, in the shape of the OpenAI chat API."""

    role: Literal["system", "user", "assistant"]
    content: str


Conversation = Annotated[tuple[Message, ...], Field(min_length=1)]


class Prompt(Frozen):
    """What a policy is asked: a conversation that ends with the user's turn, in a cohort that is reported apart."""

    id: NonEmpty
    conversation: Conversation
    cohort: NonEmpty = "all"
    reference: str | None = None
    """A reference answer, where one is known."""
    metadata: dict[str, Any] = {}

    @model_validator(mode="after")
    def _asks_something(self) -> "Prompt":
        if self.conversation[-1].role != "user" or not self.conversation[-1].content.strip():
            raise ValueError("a prompt ends with a message of the user that is not empty")
        return self

    @property
    def text(self) -> str:
        """The last message: what the reader of a report wants to see."""
        return self.conversation[-1].content


class Response(Frozen):
    """What a policy answered to a prompt."""

    prompt_id: NonEmpty
    text: str
    policy: NonEmpty
    """Identity of the policy: base model and training step."""
    tokens: int = Field(ge=0)
    """Number of tokens sampled, the end-of-sequence token included."""
    finished: bool
    """Whether the policy ended the response itself; False when the length limit cut it."""


class Usage(Frozen):
    """Tokens that one call read and wrote."""

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class Verdict(Frozen):
    """What one judge call gave: a probability for each choice offered."""

    probabilities: dict[str, float]
    """Choice to probability; renormalised over the choices, so they sum to 1."""
    choice_mass: float = Field(ge=0.0, le=1.0 + 1e-3)
    """Probability that the judge gave to all the choices together before renormalising. A mass near 0 says that the
    judge wanted to answer something else."""
    usage: Usage = Usage()

    @model_validator(mode="after")
    def _is_a_distribution(self) -> "Verdict":
        total = sum(self.probabilities.values())
        if not all(0.0 <= p <= 1.0 for p in self.probabilities.values()) or not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"probabilities must lie in [0, 1] and sum to 1, got {self.probabilities}")
        return self


class JudgeFailure(Frozen):
    """Why a judge call gave no verdict. A failure is never a number and never a tie."""

    reason: Literal["prompt_too_long", "invalid_log_probs", "backend_error"]
    detail: str


class Rater(Frozen):
    """Who gave a verdict: here an AI judge, named by everything that can change its opinion."""

    model: NonEmpty
    """Identity of the language model, its weights' hash included."""
    constitution: NonEmpty
    constitution_hash: NonEmpty


class Score(Frozen):
    """A judge's verdict on one response, on a numeric scale.

    `values` gives each choice of the verdict its place on the scale, for instance 1..10.
    """

    verdict: Verdict
    values: dict[str, float]
    rater: Rater

    @model_validator(mode="after")
    def _every_choice_has_a_value(self) -> "Score":
        if self.values.keys() != self.verdict.probabilities.keys():
            raise ValueError(f"values {sorted(self.values)} for choices {sorted(self.verdict.probabilities)}")
        return self

    @property
    def expectation(self) -> float:
        """Expected value under the verdict, in units of the scale."""
        return sum(p * self.values[choice] for choice, p in self.verdict.probabilities.items())

    @property
    def rescaled(self) -> float:
        """The expectation mapped linearly from the scale's range to [-1, 1] (Lee et al. 2023, section 2.2)."""
        low, high = min(self.values.values()), max(self.values.values())
        return 2.0 * (self.expectation - low) / (high - low) - 1.0

    @property
    def log_odds(self) -> float:
        """Log p(high) - log p(low) of a two-choice scale, in nats, bounded to ±20 where a probability underflows.

        Raises: ValueError on a scale with other than two choices.
        """
        if len(self.values) != 2:
            raise ValueError(f"log-odds need a scale of two choices, this one has {len(self.values)}")
        low, high = sorted(self.values, key=lambda choice: self.values[choice])
        floor = 1e-9
        p_low, p_high = self.verdict.probabilities[low], self.verdict.probabilities[high]
        return max(-20.0, min(20.0, math.log(max(p_high, floor)) - math.log(max(p_low, floor))))
