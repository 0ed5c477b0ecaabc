"""The types that all of preceptor uses, one meaning each. Every type is frozen and checks its own invariants."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, field_validator, model_validator

from preceptor.core.fields import Frozen, JsonObject, NonEmpty
from preceptor.core.hashing import content_hash
from preceptor.core.odds import log_odds
from preceptor.core.raters import Rater
from preceptor.core.rubric import Rubric
from preceptor.core.usage import Usage, total_usage

Integer = Annotated[int, Strict()]
"""A whole number in settings: neither `true` nor `"3"` nor `3.0` is one."""
Real = Annotated[float, Strict()]
"""A number in settings: neither `true` nor `"0.5"` is one."""
Flag = Annotated[bool, Strict()]
"""`true` or `false` in settings; other values are not converted."""
Seed = Annotated[Integer, Field(ge=0, le=2**63 - 1)]
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6
"""Within these limits, weights of one dataset or ensemble can be summed and divided without loss."""
Weight = Annotated[Real, Field(ge=LEAST_WEIGHT, le=MOST_WEIGHT)]
Tokens = Annotated[Integer, Field(ge=1, le=1 << 20)]
"""A length limit in tokens; no model's context window is longer than a million."""
Temperature = Annotated[Real, Field(gt=0, le=100)]


class FunctionCall(Frozen):
    """A tool's name and its arguments as the model wrote them (JSON text, perhaps broken)."""

    name: NonEmpty
    arguments: str = ""


class ToolCall(Frozen):
    """A model's request to run a tool, in the shape of the OpenAI chat API."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Frozen):
    """One chat message, in the shape of the OpenAI chat API. A tool's result has the role `tool`."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    """Name of the tool, in a tool's result."""

    @field_validator("content", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return "" if value is None else value  # the API says null beside tool calls

    def wire(self) -> JsonObject:
        """The message as the OpenAI chat API takes it: unused fields left out."""
        if not self.tool_calls and self.tool_call_id is None and self.name is None:
            return {"role": self.role, "content": self.content}
        unused = {"tool_calls"} if not self.tool_calls else None
        return self.model_dump(mode="json", exclude_none=True, exclude=unused)


Conversation = Annotated[tuple[Message, ...], Field(min_length=1)]


class Prompt(Frozen):
    """What a policy is asked: a conversation that ends with the user's turn. Its cohort is reported separately."""

    id: NonEmpty
    conversation: Conversation
    cohort: NonEmpty = "all"
    reference: str | None = None
    """A reference answer, where one is known."""
    metadata: JsonObject = Field(default={})
    rubric: Rubric | None = Field(default=None, exclude_if=lambda rubric: rubric is None)
    """What this prompt's responses are judged by, item by item. Without one, the field is in no file and no hash."""
    tools: tuple[JsonObject, ...] = Field(default=(), exclude_if=lambda tools: not tools)
    """JSON schemas of the tools that a recorded response could call. Whoever learns from the response is shown them; a
    judge is not. Without any, the field is in no file and no hash."""

    @model_validator(mode="after")
    def _asks_something(self) -> "Prompt":
        if self.conversation[-1].role != "user" or not self.conversation[-1].content.strip():
            raise ValueError("a prompt ends with a message of the user that is not empty")
        return self

    @model_validator(mode="after")
    def _has_the_reference_of_its_rubric(self) -> "Prompt":
        compared = self.rubric and self.rubric.compared_with_reference
        if compared and not (self.reference or "").strip():
            raise ValueError(f"item {compared[0] + 1} of the rubric needs a reference answer, and the prompt has none")
        return self

    @property
    def text(self) -> str:
        """The last message: what the reader of a report wants to see."""
        return self.conversation[-1].content

    @property
    def together(self) -> str | None:
        """A name in the metadata: prompts that share it are in one step of training and on one side of a split."""
        name = self.metadata.get("together")
        return name if isinstance(name, str) and name else None


class Response(Frozen):
    """What a policy or a person answered to a prompt."""

    prompt_id: NonEmpty
    text: str
    """The answer, or the last message of a trajectory."""
    policy: NonEmpty = "unknown"
    """Identity of the policy: base model and training step."""
    trajectory: tuple[Message, ...] = ()
    """Every message after the prompt, tool calls and their results included, where an agent acted in several turns.
    Empty for a plain answer."""
    finished: bool = True
    """False if a length limit cut the response; True if it ended by itself, or if nothing is known."""
    thought: str | None = Field(default=None, exclude_if=lambda thought: thought is None)
    """What the policy thought before it answered; None if it did not think. It is not part of the answer. Without one,
    the field is in no file and no hash."""
    unfinished_thought: bool = Field(default=False, exclude_if=lambda unfinished: not unfinished)
    """Whether the thought did not end: then there is no answer, and the text is empty."""

    @model_validator(mode="after")
    def _an_unfinished_thought_has_no_answer(self) -> "Response":
        if self.unfinished_thought and (self.thought is None or self.text or self.trajectory):
            raise ValueError("a response with an unfinished thought has a thought and no answer")
        return self

    @property
    def messages(self) -> tuple[Message, ...]:
        """Every message after the prompt: the trajectory, or one message of the assistant for a plain answer."""
        return self.trajectory or (Message.model_construct(role="assistant", content=self.text),)

    @property
    def acts(self) -> bool:
        """Whether the assistant says something, or calls a tool."""
        return any(m.role == "assistant" and (m.content.strip() or m.tool_calls) for m in self.messages)

    @property
    def content_hash(self) -> str:
        """Hash of the answer's content; it does not depend on the policy, the prompt or the thought."""
        return content_hash([self.text, [message.wire() for message in self.trajectory]])


class Rollout(Response):
    """A response sampled by preceptor, with its number of tokens."""

    tokens: int = Field(ge=0)
    """Number of tokens sampled, the end-of-sequence token included."""
    thought_tokens: int = Field(default=0, ge=0, exclude_if=lambda tokens: not tokens)
    """How many of them are the thought's, the tag that ends it included."""

    @property
    def answer_tokens(self) -> int:
        """Number of tokens of the answer."""
        return self.tokens - self.thought_tokens


class Comparison(Frozen):
    """A prompt and two responses to it. Neither place means anything: a judge sees both orders."""

    id: NonEmpty
    prompt: Prompt
    a: Response
    b: Response

    @model_validator(mode="after")
    def _responses_answer_the_prompt(self) -> "Comparison":
        if {self.a.prompt_id, self.b.prompt_id} != {self.prompt.id}:
            raise ValueError(f'responses to "{self.a.prompt_id}", "{self.b.prompt_id}"; prompt "{self.prompt.id}"')
        return self

    def swapped(self) -> "Comparison":
        """The same comparison with the responses' places exchanged."""
        return self.model_copy(update={"a": self.b, "b": self.a})


class HumanLabel(Frozen):
    """What people think of a comparison."""

    p_a: float = Field(ge=0, le=1)
    """Share of people who prefer response a, a tie counted half; or a probability as it was given."""
    ratings: tuple[Literal["a", "b", "tie"], ...] = ()
    """Each person's own opinion, in the order of the people, where it is known."""
    raters: tuple[str, ...] = Field(default=(), exclude_if=lambda raters: not raters)
    """Who these people are, in the same order; empty if their names are not known."""

    @model_validator(mode="after")
    def _names_everybody_once(self) -> "HumanLabel":
        if self.raters and (len(self.raters) != len(self.ratings) or len(set(self.raters)) < len(self.raters)):
            raise ValueError(f"{len(self.raters)} names for {len(self.ratings)} ratings, or one name twice")
        return self

    @classmethod
    def of(cls, ratings: Iterable[Literal["a", "b", "tie"]], raters: Iterable[str] = ()) -> "HumanLabel":
        """The label made from several people's opinions, with these people's names if they are known."""
        listed = tuple(ratings)
        p_a = sum({"a": 1.0, "b": 0.0, "tie": 0.5}[rating] for rating in listed) / len(listed)
        return cls(p_a=p_a, ratings=listed, raters=tuple(raters))

    @property
    def majority(self) -> Literal["a", "b", "tie"]:
        """The most frequent opinion; a tie if several are equally frequent."""
        if self.ratings:
            (first, count), *rest = Counter(self.ratings).most_common()
            return first if not rest or rest[0][1] < count else "tie"
        return "a" if self.p_a > 0.5 else "b" if self.p_a < 0.5 else "tie"


class Verdict(Frozen):
    """The result of one judge call: a probability for each choice offered."""

    probabilities: dict[str, float]
    """Choice to probability; renormalised over the choices, so they sum to 1."""
    choice_mass: float = Field(ge=0.0, le=1.0 + 1e-3)
    """Probability that the judge gave to all the choices together before renormalising. A mass near 0 means that
    the judge wanted to answer something else."""
    rationale: str = ""
    """The judge's reasoning before its answer, if it was asked for one."""
    votes: int | None = None
    """Number of sampled answers the distribution was counted from, where the model gives no log-probabilities."""
    usage: Usage = Usage()

    @model_validator(mode="after")
    def _is_a_distribution(self) -> "Verdict":
        total = sum(self.probabilities.values())
        if not all(0.0 <= p <= 1.0 for p in self.probabilities.values()) or not math.isclose(total, 1.0, abs_tol=1e-6):
            raise ValueError(f"probabilities must lie in [0, 1] and sum to 1, got {self.probabilities}")
        return self


class JudgeFailure(Frozen):
    """Why a judge call gave no verdict. A failure is never a number and never a tie."""

    reason: Literal[
        "prompt_too_long",
        "invalid_log_probs",
        "no_answer",
        "unfinished_thought",
        "no_claims",
        "refused",
        "backend_error",
        "unsure",
    ]
    """`no_answer`: the judge answered, but with none of the choices. `unfinished_thought`: its tokens ran out while it
    still thought. `no_claims`: the response makes none that could be judged. `refused`: the server rejects this
    request, and would reject it again. `backend_error`: the call failed, and may succeed the next time. `unsure`: no
    judge of a cascade is confident enough to answer."""
    detail: str
    usage: Usage = Usage()
    """Tokens that the failed call used."""

    @property
    def transient(self) -> bool:
        """Whether a retry may succeed."""
        return self.reason == "backend_error"


class Presentation(Frozen):
    """A comparison as it was shown to one judge once, and the verdict it gave."""

    order: Literal["ab", "ba"]
    """`ab`: response a was shown first."""
    principles: tuple[int, ...] = ()
    """Positions of the principles shown, counted from 0; empty when the judge was shown none or all of them."""
    sample: int = 0
    """Number of the rationale, where several are sampled for the same order and principles."""
    p_a: float = Field(ge=0, le=1)
    """Probability of a, a tie counted half."""
    p_tie: float = Field(default=0.0, ge=0, le=1)
    verdict: Verdict
    rubric_hash: str | None = Field(default=None, exclude_if=lambda rubric_hash: rubric_hash is None)
    """Hash of the prompt's rubric, where the response was scored by one; this and the two below are absent elsewhere.
    """
    rubric_score: float | None = Field(default=None, ge=0, le=1, exclude_if=lambda score: score is None)
    """Expected share of the rubric's points."""
    items: tuple[float | None, ...] = Field(default=(), exclude_if=lambda items: not items)
    """Probability that each item of the rubric is met; None for an item that was left out."""


def likeliest(p_a: float, p_tie: float) -> Literal["a", "b", "tie"]:
    """The likeliest of three answers, where p_a counts a tie half. The result may be a tie although p_a leans to a
    response. It also is a tie if both responses are equally likely.
    """
    a, b = p_a - p_tie / 2, 1.0 - p_a - p_tie / 2
    return "tie" if p_a == 0.5 or p_tie > max(a, b) else "a" if a > b else "b"


class Preference(Frozen):
    """A comparison and how likely response a is the better one, by a rater, with the verdicts behind it."""

    comparison: Comparison
    p_a: float = Field(ge=0, le=1)
    p_tie: float = Field(default=0.0, ge=0, le=1)
    rater: Rater
    presentations: Annotated[tuple[Presentation, ...], Field(min_length=1)]
    members: tuple["Preference", ...] = ()
    """The preferences of an ensemble's judges."""
    uncalibrated_p_a: float | None = None
    """p_a before calibration and bias correction, where there was one."""

    @property
    def disagreement(self) -> float:
        """Standard deviation of p_a among an ensemble's judges; among the presentations of a single judge, position
        bias included.
        """
        first, *others = (part.p_a for part in self.members or self.presentations)
        shifts = [0.0, *(p_a - first for p_a in others)]  # exact where all agree; `pstdev` takes 25 times as long
        mean = sum(shifts) / len(shifts)
        return math.sqrt(sum((shift - mean) ** 2 for shift in shifts) / len(shifts))

    @property
    def usage(self) -> Usage:
        """Tokens of all calls behind the preference."""
        return total_usage(p.verdict.usage for p in self.presentations)

    @property
    def likeliest(self) -> Literal["a", "b", "tie"]:
        """What the judge most probably answers, before calibration; see `likeliest`."""
        return likeliest(self.p_a if self.uncalibrated_p_a is None else self.uncalibrated_p_a, self.p_tie)

    def __repr__(self) -> str:
        tie = f", p_tie={self.p_tie:.3f}" if self.p_tie else ""
        return f"Preference(p_a={self.p_a:.3f}{tie}, {len(self.presentations)} presentations, by {self.rater.model})"

    __str__ = __repr__


class Score(Frozen):
    """A judge's verdict on one response, on a numeric scale.

    `values` gives each choice of the verdict its place on the scale, for instance 1..10. For a rubric with several
    criteria, it is the weighted mixture of their verdicts, so its expectation is their weighted mean.
    """

    verdict: Verdict
    values: dict[str, float]
    rater: Rater
    criteria: dict[str, Verdict] = Field(default={})
    """The verdict on each criterion, if the rubric has several."""

    @model_validator(mode="after")
    def _every_choice_has_a_value(self) -> "Score":
        if self.values.keys() != self.verdict.probabilities.keys():
            raise ValueError(f"values {sorted(self.values)} for choices {sorted(self.verdict.probabilities)}")
        return self

    def __repr__(self) -> str:
        low, high = min(self.values.values()), max(self.values.values())
        return f"Score({self.expectation:.3f} on a scale from {low:g} to {high:g}, by {self.rater.model})"

    __str__ = __repr__

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
        """Log p(high) - log p(low) of a two-choice scale, in nats, bounded as in `preceptor.core.odds`.

        Raises: ValueError on a scale with other than two choices.
        """
        if len(self.values) != 2:
            raise ValueError(f"log-odds need a scale of two choices, this one has {len(self.values)}")
        low, high = sorted(self.values, key=lambda choice: self.values[choice])
        return log_odds(self.verdict.probabilities[high], self.verdict.probabilities[low])


class TrajectoryScore(Frozen):
    """A judge's scores of one trajectory: as a whole, and of each step."""

    whole: Score | JudgeFailure
    steps: tuple[Score | JudgeFailure, ...]
    """One for each message of the assistant, in order."""
