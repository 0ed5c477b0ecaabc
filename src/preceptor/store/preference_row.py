"""`PreferenceRow`: a labelled comparison as it stands in `preferences.jsonl`; all writers and readers use it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.hashing import canonical_json
from preceptor.core.types import (
    Comparison,
    JudgeFailure,
    Message,
    NonEmpty,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Real,
    Response,
    Score,
    TrajectoryScore,
    likeliest,
)
from preceptor.core.validation import first_problem
from preceptor.store.comparisons import ComparisonRow, Unanswered
from preceptor.store.orientation import Orientation
from preceptor.store.prompts import tidy_messages
from preceptor.store.rows import Malformed, Row
from preceptor.store.selection import Selection, WrongSelectionError, read_selection
from preceptor.store.tools import read_tools, tools_text

MALFORMED = "malformed"
"""The failure reason of an input row that cannot be used."""
UNSURE = "unsure"
"""The failure reason of a comparison of which no judge of a cascade is sure enough."""
NO_POLICY: str = Response.model_fields["policy"].default
"""The policy of a response whose row names none."""
Place = Literal["a", "b"]
Messages = Annotated[tuple[Message, ...], Field(min_length=1), BeforeValidator(tidy_messages)]
Share = Annotated[Real, Field(ge=0, le=1)]
_COLUMNS = 12
"""How many columns of a wrong row an error names."""
_Rating = Annotated[Real, Field(ge=-1e6, le=1e6)]


def _as_text(value: Any) -> str | None:
    return tools_text(read_tools(value))


class _ReadRow(BaseModel):
    """Base of rows that are read from files: columns that other programs added are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class VerdictRow(_ReadRow):
    """One presentation of the comparison to one judge, and its verdict."""

    judge: str = ""
    constitution_hash: str = ""
    order: Literal["ab", "ba"]
    """`ab`: response a was shown first."""
    p_a: Share
    p_tie: Share | None = None
    sample: int = 0
    principles: tuple[int, ...] = ()
    choice_mass: float | None = None
    votes: int | None = None
    rationale: str = ""
    rubric_hash: str | None = None
    """Hash of the prompt's rubric, if the response was scored by it; without one, this and the two below are not
    written. `order` says of which response they are: `ab` of a, `ba` of b."""
    rubric_score: Share | None = None
    """Expected share of the rubric's points."""
    items: tuple[Share | None, ...] = ()
    """Probability that each item is met, in the order of the rubric; None for an item that was left out."""

    @classmethod
    def of(cls, rater: Rater, presentation: Presentation) -> "VerdictRow":
        """The row of a presentation."""
        return cls(
            judge=rater.model,
            constitution_hash=rater.constitution_hash,
            order=presentation.order,
            p_a=presentation.p_a,
            p_tie=presentation.p_tie,
            sample=presentation.sample,
            principles=presentation.principles,
            choice_mass=presentation.verdict.choice_mass,
            votes=presentation.verdict.votes,
            rationale=presentation.verdict.rationale,
            rubric_hash=presentation.rubric_hash,
            rubric_score=presentation.rubric_score,
            items=presentation.items,
        )

    def wire(self) -> Row:
        """The verdict as it is written in its row."""
        columns = self.__dict__ | {"principles": [*self.principles], "items": [*self.items]}
        unused = () if self.rubric_hash else ("rubric_hash", "rubric_score", "items")
        return {name: value for name, value in columns.items() if name not in unused}


class PreferenceRow(_ReadRow):
    """A labelled comparison: what TRL trains on, and a full record of how the label was made.

    The columns describe the chosen and the rejected response; `p_a`, `comparison` and `places` describe the responses a
    and b that were compared.
    """

    row: int = 0
    """Number of the comparison in the input, counted from 0, failed ones included."""
    id: NonEmpty
    prompt_id: NonEmpty
    cohort: NonEmpty = "all"
    category: str | None = None
    prompt: Messages
    chosen: Messages
    rejected: Messages
    chosen_policy: NonEmpty = NO_POLICY
    rejected_policy: NonEmpty = NO_POLICY
    chosen_is: Place
    chosen_finished: bool = True
    rejected_finished: bool = True
    p_chosen: Share
    p_tie: Share | None = None
    likeliest: Literal["a", "b", "tie"] | None = None
    """The judge's likeliest answer before calibration; None in older files."""
    uncalibrated_p_chosen: Share | None = None
    disagreement: float = 0.0
    rationale: str = ""
    human_p_chosen: Share | None = None
    selection: str | None = None
    selection_probability: float | None = None
    judge: str = ""
    constitution: str = ""
    constitution_hash: str = ""
    settings: str = "{}"
    """How the judge was asked, as JSON."""
    verdicts: tuple[VerdictRow, ...] = ()
    chosen_score: _Rating | None = None
    """Expected score of the response as a whole, if it is a trajectory that was scored."""
    chosen_steps: tuple[_Rating | None, ...] | None = None
    rejected_score: _Rating | None = None
    rejected_steps: tuple[_Rating | None, ...] | None = None
    chosen_thought: str | None = None
    """What a policy thought before it answered, which no judge saw; where neither response has one, both columns are
    not written."""
    rejected_thought: str | None = None
    tools: Annotated[str | None, BeforeValidator(_as_text)] = None
    """JSON schemas of the tools that both could call, as one JSON text; without any, the column is not written."""

    @classmethod
    def of(
        cls, row: ComparisonRow, preference: Preference, scores: tuple[TrajectoryScore, TrajectoryScore] | None = None
    ) -> "PreferenceRow":
        """The row of a preference.

        Args:
            scores: of responses a and b, if they are trajectories that were also scored.
        """
        comparison, rater, human = preference.comparison, preference.rater, row.human
        oriented, raw = Orientation.of(preference.p_a), preference.uncalibrated_p_a
        chosen, rejected = oriented.pair(comparison.a, comparison.b)
        chosen_score, rejected_score = (None, None) if scores is None else oriented.pair(*scores)
        return cls(
            row=row.number,
            id=comparison.id,
            prompt_id=comparison.prompt.id,
            cohort=comparison.prompt.cohort,
            category=row.category,
            prompt=comparison.prompt.conversation,
            chosen=chosen.messages,
            rejected=rejected.messages,
            chosen_policy=chosen.policy,
            rejected_policy=rejected.policy,
            chosen_is=oriented.chosen_is,
            chosen_finished=chosen.finished,
            rejected_finished=rejected.finished,
            p_chosen=oriented.probability(preference.p_a),
            p_tie=preference.p_tie,
            likeliest=preference.likeliest,
            uncalibrated_p_chosen=None if raw is None else oriented.probability(raw),
            disagreement=preference.disagreement,
            rationale=next((p.verdict.rationale for p in preference.presentations if p.verdict.rationale), ""),
            human_p_chosen=None if human is None else oriented.probability(human.p_a),
            selection=row.selection.how,
            selection_probability=row.selection.probability,
            judge=rater.model,
            constitution=rater.constitution,
            constitution_hash=rater.constitution_hash,
            settings=canonical_json(rater.settings),
            verdicts=tuple(
                VerdictRow.of(member.rater, presentation)
                for member in preference.members or (preference,)
                for presentation in member.presentations
            ),
            chosen_score=_whole(chosen_score),
            chosen_steps=_steps(chosen_score),
            rejected_score=_whole(rejected_score),
            rejected_steps=_steps(rejected_score),
            chosen_thought=chosen.thought,
            rejected_thought=rejected.thought,
            tools=tools_text(comparison.prompt.tools),
        )

    @classmethod
    def read(cls, row: Mapping[str, Any] | Malformed, place: str) -> "PreferenceRow":
        """Reads a preference from a raw row, as `read_raw_rows` yields it; null counts as absent.

        Raises: UsageError beginning with `place` if the row is not a preference.
        """
        if isinstance(row, Malformed):
            raise UsageError(f"{place}: {row.reason}")
        try:
            read = cls.model_validate({name: value for name, value in row.items() if value is not None})
            read_selection({"selection": read.selection, "selection_probability": read.selection_probability})
        except WrongSelectionError as error:
            raise UsageError(f"{place}: {error}") from error
        except ValidationError as error:
            raise UsageError(f"{place}: {_not_of(error, row, 'preferences.jsonl')}") from error
        return read

    def wire(self) -> Row:
        """The row as it is written: columns in their order, messages as the OpenAI API has them."""
        columns = dict(self.__dict__)
        for name in ("prompt", "chosen", "rejected"):
            columns[name] = [message.wire() for message in columns[name]]
        for name in ("chosen_steps", "rejected_steps"):
            columns[name] = None if columns[name] is None else [*columns[name]]
        columns["verdicts"] = [verdict.wire() for verdict in self.verdicts]
        unused = ("chosen_thought", "rejected_thought") if self.thoughts == (None, None) else ()
        unused += ("tools",) if self.tools is None else ()
        return {name: value for name, value in columns.items() if name not in unused}

    @property
    def orientation(self) -> Orientation:
        """Which of a and b is the chosen response."""
        return Orientation(self.chosen_is == "a")

    @property
    def p_a(self) -> float:
        """Probability that response a is better, by the judge, a tie counted half."""
        return self.orientation.probability(self.p_chosen)

    @property
    def human_p_a(self) -> float | None:
        """Share of people who prefer response a; None if nobody was asked."""
        return None if self.human_p_chosen is None else self.orientation.probability(self.human_p_chosen)

    @property
    def likeliest_answer(self) -> Literal["a", "b", "tie"]:
        """The judge's likeliest answer before calibration."""
        if self.likeliest is not None:
            return self.likeliest
        raw = self.p_chosen if self.uncalibrated_p_chosen is None else self.uncalibrated_p_chosen
        return likeliest(self.orientation.probability(raw), self.p_tie or 0.0)

    @property
    def responses(self) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """The messages of responses a and b."""
        return self.orientation.pair(self.chosen, self.rejected)

    @property
    def thoughts(self) -> tuple[str | None, str | None]:
        """The thoughts of responses a and b."""
        return self.orientation.pair(self.chosen_thought, self.rejected_thought)

    @property
    def policies(self) -> tuple[str, str]:
        """Who gave responses a and b."""
        return self.orientation.pair(self.chosen_policy, self.rejected_policy)

    @property
    def chosen_by(self) -> Selection:
        """How the comparison was selected from all comparisons, before it was judged."""
        return read_selection({"selection": self.selection, "selection_probability": self.selection_probability})

    def a_is_by(self, policy: str) -> bool | None:
        """Whether response a is the policy's; None unless exactly one of the two is."""
        a, b = (name == policy for name in self.policies)
        return None if a == b else a

    def comparison(self) -> Comparison:
        """The comparison that was judged; its prompt has only the fields that the row keeps."""
        prompt = Prompt(id=self.prompt_id, conversation=self.prompt, cohort=self.cohort, tools=read_tools(self.tools))
        a, b = self.orientation.pair(
            response_of(self.chosen, prompt.id, self.chosen_policy, finished=self.chosen_finished),
            response_of(self.rejected, prompt.id, self.rejected_policy, finished=self.rejected_finished),
        )
        thoughts = zip((a, b), self.thoughts, strict=True)
        a, b = (response.model_copy(update={"thought": thought}) for response, thought in thoughts)
        return Comparison(id=self.id, prompt=prompt, a=a, b=b)


@dataclass(frozen=True)
class FailureRow:
    """Why a row of the input has no preference, as it stands in `failures.jsonl`."""

    row: int
    """Number of the comparison in the input, counted from 0."""
    place: str
    """Where the row stands in the input."""
    id: str | None
    """None for a malformed row."""
    reason: str
    """The reason of the judge's failure, or `malformed`."""
    detail: str
    cohort: str | None = None
    """This and the texts are None for a malformed row, one that the policy did not answer, and in older files."""
    prompt: Messages | None = None
    response_a: Messages | None = None
    response_b: Messages | None = None

    @classmethod
    def of(cls, row: ComparisonRow | Malformed | Unanswered, failure: JudgeFailure | None = None) -> "FailureRow":
        """The row of a failure. `failure` is not needed for a malformed row, or one that the policy did not answer."""
        if isinstance(row, Malformed):
            return cls(row.number, row.place, None, MALFORMED, row.reason)
        reason, name = (row.failure, row.id) if isinstance(row, Unanswered) else (failure, row.comparison.id)
        assert reason is not None
        if isinstance(row, Unanswered):
            return cls(row.number, row.place, name, reason.reason, reason.detail)
        asked = row.comparison
        texts = (asked.prompt.conversation, asked.a.messages, asked.b.messages)
        return cls(row.number, row.place, name, reason.reason, reason.detail, asked.prompt.cohort, *texts)

    def comparison(self) -> Comparison | None:
        """The comparison that was asked about, as far as the row keeps it; None for a malformed row and for a row
        without texts.
        """
        if self.id is None or self.prompt is None or self.response_a is None or self.response_b is None:
            return None
        prompt = Prompt(id=self.id, conversation=self.prompt, cohort=self.cohort or "all")
        a, b = (response_of(messages, prompt.id) for messages in (self.response_a, self.response_b))
        return Comparison(id=self.id, prompt=prompt, a=a, b=b)

    @classmethod
    def read(cls, row: Mapping[str, Any] | Malformed, place: str) -> "FailureRow":
        """Reads a failure from a raw row, as `read_raw_rows` yields it; other columns are ignored.

        Raises: UsageError beginning with `place` if the row is not a failure.
        """
        if isinstance(row, Malformed):
            raise UsageError(f"{place}: {row.reason}")
        try:
            return _FAILURE.validate_python({field.name: row.get(field.name) for field in fields(cls)})
        except ValidationError as error:
            raise UsageError(f"{place}: {_not_of(error, row, 'failures.jsonl')}") from error

    def wire(self) -> Row:
        """The row as it is written; texts that it lacks are left out."""
        columns = dict(self.__dict__)
        for name in ("prompt", "response_a", "response_b"):
            columns[name] = columns[name] and [message.wire() for message in columns[name]]
        return {name: value for name, value in columns.items() if value is not None or name not in _TEXTS}


_FAILURE = TypeAdapter(FailureRow)
_TEXTS = ("cohort", "prompt", "response_a", "response_b")


def _not_of(error: ValidationError, row: Mapping[str, Any], file: str) -> str:
    """Why a row is not one of the file that `preceptor label` writes, and what to give instead."""
    columns = ", ".join(f'"{name}"' for name in list(row)[:_COLUMNS]) or "none"
    missing = any(problem["type"] == "missing" for problem in error.errors())
    held = f" (the columns are {columns})" if missing else ""
    return (
        f"{first_problem(error)}{held}; expected a row of {file} as `preceptor label` writes it: label the comparisons "
        "first, and give the folder of the labels"
    )


def response_of(
    messages: Sequence[Message], prompt_id: str, policy: str = NO_POLICY, *, finished: bool = True
) -> Response:
    """A response made of the messages after the prompt; several, or one with tool calls, are a trajectory."""
    plain = len(messages) == 1 and not messages[0].tool_calls
    text = next((message.content for message in reversed(messages) if message.role == "assistant"), "")
    trajectory = () if plain else tuple(messages)
    return Response(prompt_id=prompt_id, text=text, policy=policy, trajectory=trajectory, finished=finished)


def _whole(score: TrajectoryScore | None) -> float | None:
    return None if score is None else _expectation(score.whole)


def _steps(score: TrajectoryScore | None) -> tuple[float | None, ...] | None:
    return None if score is None else tuple(_expectation(step) for step in score.steps)


def _expectation(score: Score | JudgeFailure) -> float | None:
    return None if isinstance(score, JudgeFailure) else score.expectation
