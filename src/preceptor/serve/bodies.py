"""What clients send and what they are answered, in JSON. A failure is null with its reason, never a number."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from preceptor.core.types import Frozen, JudgeFailure, Preference, Score, Usage, likeliest
from preceptor.judging.reward import RewardKind, reward_of

MOST_GROUPS = 4096
MOST_RESPONSES = 4096
"""Of one request; the queue sets a further limit."""
_MESSAGES: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"enum": ["system", "user", "assistant", "tool"]},
            "content": {"type": ["string", "null"]},
        },
    },
}
PromptBody = Annotated[
    Any,
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, _MESSAGES]}
        | {"description": "The user's message, or a conversation that ends with the user's turn."}
    ),
]
"""Checked by `judging.inputs`, which says what is wrong with it."""
ResponseBody = Annotated[
    Any,
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, _MESSAGES]}
        | {"description": "The response as text, or the messages after the prompt: an agent's trajectory."}
    ),
]
JudgeName = Annotated[
    str | None, Field(max_length=64, description="A judge's name; may be left out where there is only one.")
]


class CompareBody(Frozen):
    """Which of two responses is better?"""

    judge: JudgeName = None
    prompt: PromptBody
    a: ResponseBody
    b: ResponseBody


class ScoreBody(Frozen):
    """How good is one response?"""

    judge: JudgeName = None
    prompt: PromptBody
    response: ResponseBody


class GroupBody(Frozen):
    """A prompt with the responses that a policy sampled for it."""

    prompt: PromptBody
    responses: Annotated[list[ResponseBody], Field(min_length=1, max_length=MOST_RESPONSES)]


class RewardBody(Frozen):
    """Rewards for the responses of a training step."""

    judge: JudgeName = None
    groups: Annotated[list[GroupBody], Field(min_length=1, max_length=MOST_GROUPS)]


class Failure(Frozen):
    """Why there is no number."""

    reason: str
    detail: str
    transient: bool
    """Whether asking again may help."""

    @classmethod
    def of(cls, outcome: object) -> "Failure | None":
        """The failure of an outcome, if it is one."""
        if not isinstance(outcome, JudgeFailure):
            return None
        return cls(reason=outcome.reason, detail=outcome.detail, transient=outcome.transient)


class Compared(Frozen):
    """The answer to a comparison."""

    judge: str
    p_a: float | None
    """Probability that response a is better, a tie counted half; null where the judge failed."""
    p_tie: float | None
    preferred: str | None
    """`a`, `b` or `tie`, whichever is likeliest."""
    disagreement: float | None
    """Standard deviation of p_a among the presentations: both orders, each rationale."""
    rationales: list[str]
    usage: Usage
    failure: Failure | None

    @classmethod
    def of(cls, judge: str, outcome: Preference | JudgeFailure) -> "Compared":
        """The answer for an outcome."""
        if isinstance(outcome, JudgeFailure):
            return cls(
                judge=judge,
                p_a=None,
                p_tie=None,
                preferred=None,
                disagreement=None,
                rationales=[],
                usage=outcome.usage,
                failure=Failure.of(outcome),
            )
        rationales = [shown.verdict.rationale for shown in outcome.presentations if shown.verdict.rationale]
        return cls(
            judge=judge,
            p_a=outcome.p_a,
            p_tie=outcome.p_tie,
            preferred=likeliest(outcome.p_a, outcome.p_tie),
            disagreement=outcome.disagreement,
            rationales=rationales,
            usage=outcome.usage,
            failure=None,
        )


class Scored(Frozen):
    """The answer to a request for a score."""

    judge: str
    score: float | None
    """The expected score on the constitution's scale; null where the judge failed."""
    scale: tuple[float, float] | None
    """The lowest and the highest score."""
    reward: float | None
    """The score as training uses it."""
    criteria: dict[str, float]
    """The expected score on each criterion, where the rubric has several."""
    rationale: str
    usage: Usage
    failure: Failure | None

    @classmethod
    def of(cls, judge: str, outcome: Score | JudgeFailure, kind: RewardKind) -> "Scored":
        """The answer for an outcome."""
        if isinstance(outcome, JudgeFailure):
            return cls(
                judge=judge,
                score=None,
                scale=None,
                reward=None,
                criteria={},
                rationale="",
                usage=outcome.usage,
                failure=Failure.of(outcome),
            )
        values = outcome.values
        expected = {
            name: sum(p * values[choice] for choice, p in verdict.probabilities.items())
            for name, verdict in outcome.criteria.items()
        }
        return cls(
            judge=judge,
            score=outcome.expectation,
            scale=(min(values.values()), max(values.values())),
            reward=reward_of(outcome, kind),
            criteria=expected,
            rationale=outcome.verdict.rationale,
            usage=outcome.verdict.usage,
            failure=None,
        )


class RewardedGroup(Frozen):
    """The rewards of one prompt's responses."""

    rewards: list[float | None]
    """One for each response, in order; null where the judge failed. Leave those out of the loss."""
    failures: list[Failure | None]
    """Why there is no reward, response by response; null where there is one."""


class Rewarded(Frozen):
    """The answer to a request for rewards."""

    judge: str
    groups: list[RewardedGroup]

    @classmethod
    def of(cls, judge: str, outcomes_GR: Sequence[Sequence[Score | JudgeFailure]], kind: RewardKind) -> "Rewarded":
        """The answer for outcomes, groups × responses."""
        return cls(
            judge=judge,
            groups=[
                RewardedGroup(
                    rewards=[reward_of(outcome, kind) for outcome in outcomes_R],
                    failures=[Failure.of(outcome) for outcome in outcomes_R],
                )
                for outcomes_R in outcomes_GR
            ],
        )


class Problem(Frozen):
    """Why a request was not carried out."""

    error: str
    """What is wrong, in a sentence."""
    field: str | None = None
    """The field that is wrong, such as `groups.0.prompt`."""
