"""Constitutions: the principles that a judge applies, in TOML files, validated at load and hashed into every label."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationError, field_validator, model_validator

from preceptor.core.errors import UsageError, nearest
from preceptor.core.hashing import content_hash
from preceptor.core.types import Frozen, JsonObject, NonEmpty, Rater, Real, Weight
from preceptor.core.validation import first_problem
from preceptor.store.reading import read_settings

_PACKAGED = files("preceptor.judging.constitutions")
PLACEHOLDER = re.compile(r"\{(prompt|response)\}")
SCALE = tuple(str(score) for score in range(1, 11))
"""The answers of a score judge (Lee et al. 2023, section 2.2)."""


class Choice(Frozen):
    """An answer that the judge may give, and its value on the scale."""

    answer: NonEmpty
    value: Annotated[Real, Field(ge=-1e6, le=1e6)]


class Exemplar(Frozen):
    """A response with a good judge's answer about it."""

    prompt: str = ""
    response: NonEmpty
    answer: NonEmpty


class ComparedExemplar(Frozen):
    """Two responses with a good judge's answer about them, and its reason."""

    prompt: NonEmpty
    response_1: NonEmpty
    response_2: NonEmpty
    preferred: NonEmpty
    rationale: NonEmpty


class Criterion(Frozen):
    """One aspect that a response is scored on, from 1 to 10."""

    name: NonEmpty
    question: NonEmpty
    """The criterion as a question: How ... is the response?"""
    anchors: Annotated[dict[str, NonEmpty], Field(min_length=2)]
    """Descriptions of responses with a given score, for some of the scores "1" to "10"."""
    weight: Weight = 1.0

    @field_validator("anchors")
    @classmethod
    def _anchor_scores(cls, anchors: dict[str, str]) -> dict[str, str]:
        for score in anchors:
            if score not in SCALE:
                raise ValueError(f'anchor "{score}" is not a score; expected one of "1" to "10"')
        return dict(sorted(anchors.items(), key=lambda item: int(item[0])))


class PairwiseRubric(Frozen):
    """How two responses are compared."""

    question: NonEmpty = "Which response follows the principles better?"
    answers: tuple[NonEmpty, NonEmpty] = ("1", "2")
    """The judge's answers if it prefers the first response shown, or the second."""
    tie: NonEmpty | None = None
    """The judge's answer if neither is better; without it, ties are not allowed."""
    exemplars: tuple[ComparedExemplar, ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        """All answers: first, second, and the tie if ties are allowed."""
        return (*self.answers, *([self.tie] if self.tie else []))

    @model_validator(mode="after")
    def _is_consistent(self) -> "PairwiseRubric":
        if len(set(self.choices)) != len(self.choices):
            raise ValueError(f"the answers repeat: {self.choices}")
        for number, exemplar in enumerate(self.exemplars, start=1):
            if exemplar.preferred not in self.choices:
                raise ValueError(f'exemplar {number} prefers "{exemplar.preferred}"; expected one of {self.choices}')
        return self


ClaimAnswer: TypeAlias = Literal["supported", "contradicted", "absent"]
"""What a judge answers about a claim, given a context."""
CLAIM_VALUES: dict[str, float] = {"supported": 1.0, "contradicted": 0.0, "absent": 0.0}
"""With these values, the expected score of a response is the share of its claims that the context supports."""


class JudgedClaim(Frozen):
    """A claim with a good judge's answer."""

    claim: NonEmpty
    answer: ClaimAnswer


class ClaimExemplar(Frozen):
    """Claims about a context, with a good judge's answers."""

    context: NonEmpty
    claims: Annotated[tuple[JudgedClaim, ...], Field(min_length=1)]


class ClaimsRubric(Frozen):
    """How the claims of a response are judged against a context, one by one (`judging/groundedness.py`)."""

    split: NonEmpty = (
        "List every claim that the response makes: each as one short sentence that says one thing and can be "
        "understood alone, in the words of the response. Keep its numbers, names and dates exactly as they are, also "
        "where they seem wrong. Leave out greetings, questions and remarks about the response itself, and add nothing."
    )
    """How the judge is asked to split a response into claims."""
    question: NonEmpty = (
        "Does the context support the claim? Answer supported if the context says the same or it follows from the "
        "context; contradicted if the context says something else, such as another number or another name; absent if "
        "the context does not say."
    )
    evidence: NonEmpty = (
        "Which sentence of the context decides this: the one that says the same as the claim, or the one that says "
        "something else? Give its number."
    )
    """How the judge is asked for the sentence on which a claim rests."""
    exemplars: tuple[ClaimExemplar, ...] = ()


class ScoreRubric(Frozen):
    """How one response is scored: by criteria from 1 to 10, by a few choices after an item in a custom format, or by
    its claims.

    The second form is a plain completion: the preamble, each exemplar as an item with its answer, and the item to be
    judged; the judge's next words are read as one of the choices. Small models follow it better than any question.
    """

    claims: ClaimsRubric | None = None
    """Judge each claim of the response against a context; the score is the share that is supported."""
    criteria: tuple[Criterion, ...] = ()
    combine: Literal["mean", "worst"] = "mean"
    """The score by several criteria: their weighted mean; or that of the one with the lowest expected score, where a
    single fault is enough."""
    preamble: str = ""
    item: str = ""
    """The text that shows a response; contains {response}, and {prompt} if the judge should see the prompt. It ends
    where the answer begins."""
    choices: tuple[Choice, ...] = ()
    exemplars: tuple[Exemplar, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> "ScoreRubric":
        own_form = self.preamble or self.item or self.choices or self.exemplars
        if [bool(self.criteria), bool(own_form), self.claims is not None].count(True) != 1:
            raise ValueError("expected either criteria, or an item with choices, or claims")
        if self.combine == "worst" and (len(self.criteria) < 2 or {c.weight for c in self.criteria} != {1.0}):
            raise ValueError('combine = "worst" takes at least two criteria, without weights')
        if self.criteria:
            if len({criterion.name for criterion in self.criteria}) != len(self.criteria):
                raise ValueError("two criteria have the same name")
            return self
        if self.claims:
            return self
        answers = [choice.answer for choice in self.choices]
        if len(answers) < 2 or len(set(answers)) != len(answers):
            raise ValueError(f"choices must be at least two and not repeat an answer: {answers}")
        if len({choice.value for choice in self.choices}) < 2:
            raise ValueError("all choices have the same value")
        if "{response}" not in self.item:
            raise ValueError("item must hold {response}")
        for number, exemplar in enumerate(self.exemplars, start=1):
            if exemplar.answer not in answers:
                raise ValueError(f'exemplar {number} answers "{exemplar.answer}"; expected one of {answers}')
        return self

    @property
    def by_questions(self) -> bool:
        """Whether the judge answers questions, by criterion or by claim; otherwise it completes an item."""
        return bool(self.criteria) or self.claims is not None

    @property
    def values(self) -> dict[str, float]:
        """The value of each choice on the scale."""
        if self.claims:
            return dict(CLAIM_VALUES)
        if self.criteria:
            return {score: float(score) for score in SCALE}
        return {choice.answer: choice.value for choice in self.choices}


OVERALL = ScoreRubric(
    criteria=(
        Criterion(
            name="overall",
            question="How well does the response follow the principles?",
            anchors={
                "1": "It goes against the principles that matter most here.",
                "5": "It follows some of them and misses others, or follows them only in part.",
                "10": "It follows all of them that apply here; nothing of weight could be improved.",
            },
        ),
    )
)
"""The rubric of a constitution that defines none."""


class Constitution(Frozen):
    """The principles that a judge applies, and how it is asked."""

    name: NonEmpty
    version: NonEmpty
    summary: NonEmpty
    """One sentence for people."""
    principles: Annotated[tuple[NonEmpty, ...], Field(min_length=1)]
    """The principles, each concrete enough to decide a case."""
    instruction: str = "You compare and judge responses to prompts by the principles below, and by nothing else."
    """Tells the judge its role and task; shown before the principles."""
    pairwise: PairwiseRubric = PairwiseRubric()
    score: ScoreRubric = OVERALL
    held_out: Literal["vader"] | None = None
    """A measure without a model that fits these principles, for runs that name no held-out judge: "vader", a lexicon of
    sentiment, for principles about a positive tone."""

    def rater(self, model: str, settings: JsonObject) -> Rater:
        """The rater: the model of this identity, judging by this constitution with these settings."""
        return Rater(
            model=model, constitution=f"{self.name} {self.version}", constitution_hash=self.hash, settings=settings
        )

    @property
    def hash(self) -> str:
        """Content hash: it covers the name, the version and all that a judge is told.

        The measure for runs without a held-out judge is left out, because no judgement depends on it; `combine` if it
        is the mean, and `claims` if there are none, so that hashes from before these settings existed stay the same.
        """
        told = self.model_dump(mode="json", exclude={"held_out"})
        if self.score.combine == "mean":
            del told["score"]["combine"]
        if self.score.claims is None:
            del told["score"]["claims"]
        return content_hash(told)[:16]


def shipped_constitutions() -> list[str]:
    """Names of the constitutions that ship with preceptor."""
    return sorted(f.name.removesuffix(".toml") for f in _PACKAGED.iterdir() if f.name.endswith(".toml"))


def load_constitution(name: str) -> Constitution:
    """Loads a shipped constitution by name, or a `.toml` file by path.

    Raises: UsageError when there is no constitution of that name, or the file is not a valid constitution.
    """
    if name.endswith(".toml"):
        path, place = Path(name), name
    else:
        known = shipped_constitutions()
        if name not in known:
            raise UsageError(f'there is no constitution "{name}"; {nearest(name, known, "the path of a .toml")}')
        path, place = Path(str(_PACKAGED.joinpath(f"{name}.toml"))), name
    try:
        return Constitution.model_validate(read_settings(path, "the constitution"))
    except ValidationError as error:
        raise UsageError(f"{place}: {first_problem(error)}") from error
