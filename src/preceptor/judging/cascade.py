"""A cascade of judges: a cheap judge's answer stands where it is confident, and the rest goes to the next judge.

The thresholds are certified on people's labels (`judging/thresholds.py`). What no judge may answer abstains: it is a
`JudgeFailure` with the reason `unsure`, which says how confident each judge was, and never a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import (
    Comparison,
    Frozen,
    Integer,
    JsonObject,
    JudgeFailure,
    NonEmpty,
    Preference,
    Rater,
    Real,
    Usage,
    total_usage,
)
from preceptor.judging import saved
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.judge_spec import JudgeSpec
from preceptor.store.files import write_json
from preceptor.store.preference_row import UNSURE

Share = Annotated[Real, Field(ge=0, le=1)]


class CascadeStep(Frozen):
    """One judge of a cascade."""

    judge: JudgeSpec
    threshold: Annotated[Real, Field(ge=0.5, le=1)]
    """The least confidence, max(p_a, 1 - p_a), at which its answer stands."""
    asked: Share
    """Share of the comparisons that are expected to reach it, by the comparisons that did not calibrate the cascade."""
    identity: NonEmpty
    """Identity of its model."""
    constitution_hash: NonEmpty
    settings: JsonObject = Field(default_factory=dict[str, JsonValue])
    """How it was asked, as in `Rater`."""

    def check(self, rater: Rater) -> None:
        """Raises: UsageError when the threshold was calibrated on another judge than this one."""
        pairs = (
            ("model", self.identity, rater.model),
            ("constitution's hash", self.constitution_hash, rater.constitution_hash),
            ("settings", self.settings, rater.settings),
        )
        for name, ours, its in pairs:
            if ours != its:
                raise UsageError(
                    f"the cascade was calibrated on a judge whose {name} is {ours}, this one's is {its}; audit the "
                    "judges as a cascade again"
                )


class Cascade(Frozen):
    """Judges in order, the cheapest first, with their thresholds. One judge alone answers only what it is sure of."""

    agreement: Annotated[Real, Field(gt=0, lt=1)]
    """At least this share of the answers is what most people say, ..."""
    certainty: Annotated[Real, Field(gt=0, lt=1)]
    """... with this probability, over the labels that calibrated the cascade."""
    labels: Integer = Field(ge=1)
    """Number of these labels, one for each prompt."""
    steps: Annotated[tuple[CascadeStep, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _single_judges(self) -> "Cascade":
        if any(step.judge.cascade for step in self.steps):
            raise ValueError("the judges of a cascade are single judges")
        return self

    @property
    def first(self) -> JudgeSpec:
        """The first judge."""
        return self.steps[0].judge

    @property
    def hash(self) -> str:
        """16 hex digits of its content hash, which name the cascade."""
        return content_hash(self.model_dump(mode="json", exclude_defaults=True))[:16]


@dataclass
class _Open:
    """A comparison that has no answer yet, what was said of it, and at what cost."""

    comparison: Comparison
    said: list[str]
    usage: list[Usage]
    failure: JudgeFailure | None = None


class CascadeJudge:
    """Asks the judges of a cascade one after the other, each about the comparisons that are still open.

    The preference is that of the judge whose answer stands; its rater names this judge, and the cascade in its
    settings.
    A judge that fails for good has no confidence, so the next one is asked. A failure that may not last is returned
    instead: an outage of the cheap judge must not send everything to the expensive one.

    Raises: UsageError when the cascade was calibrated on other judges.
    """

    def __init__(self, judges: Sequence[PreferenceJudge], cascade: Cascade) -> None:
        for judge, step in zip(judges, cascade.steps, strict=True):
            step.check(judge.rater)
        self.cascade = cascade
        self._judges = list(judges)
        self.members = tuple(member for judge in judges for member in judge.members)
        raters = [judge.rater for judge in judges]
        self.rater = Rater(
            model=", then ".join(rater.model for rater in raters),
            constitution=" + ".join(dict.fromkeys(rater.constitution for rater in raters)),
            constitution_hash="+".join(dict.fromkeys(rater.constitution_hash for rater in raters)),
            settings={"cascade": cascade.hash, "judges": [rater.settings for rater in raters]},
        )

    @cached_property
    def expected_shares(self) -> tuple[float, ...]:
        """For each member, the share of comparisons that are expected to reach it."""
        return tuple(step.asked for step in self.cascade.steps)

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A preference or a failure for each comparison, in order. Each judge is asked once, about all that is open.

        Raises: PreceptorError when the budget is spent or a model cannot be asked at all.
        """
        outcomes: dict[int, Preference | JudgeFailure] = {}
        left = {place: _Open(comparison, [], []) for place, comparison in enumerate(comparisons)}
        for judge, step in zip(self._judges, self.cascade.steps, strict=True):
            if not left:
                break
            for place, answer in zip(list(left), judge.compare([o.comparison for o in left.values()]), strict=True):
                if (settled := self._settled(left[place], answer, step.threshold)) is not None:
                    outcomes[place] = settled
                    del left[place]
        return [outcomes[i] if i in outcomes else _abstained(left[i]) for i in range(len(comparisons))]

    def _settled(
        self, left: _Open, answer: Preference | JudgeFailure, threshold: float
    ) -> Preference | JudgeFailure | None:
        """The outcome, if this answer decides it; otherwise it is noted."""
        if isinstance(answer, JudgeFailure):
            left.said.append(f"one failed ({answer.reason})")
            left.usage.append(answer.usage)
            left.failure = answer
            return answer if answer.transient else None
        sure = confidence(answer)
        if sure >= threshold and sure > 0.5:
            settings = answer.rater.settings | {"cascade": self.cascade.hash}
            return answer.model_copy(update={"rater": answer.rater.model_copy(update={"settings": settings})})
        left.said.append(f"{sure:.3f} where {threshold:.3f} is needed")
        left.usage.append(answer.usage)
        left.failure = None
        return None


def confidence(preference: Preference) -> float:
    """How sure a judge is of the response that it prefers: max(p_a, 1 - p_a), from 0.5 to 1."""
    return max(preference.p_a, 1.0 - preference.p_a)


def _abstained(left: _Open) -> JudgeFailure:
    if left.failure is not None:
        return left.failure  # the last judge failed
    detail = f"no judge of the cascade is confident enough: {'; then '.join(left.said)}"
    return JudgeFailure(reason=UNSURE, detail=detail, usage=total_usage(left.usage))


_REMEDY = "give a file that `preceptor audit --save-cascade` wrote"


def save(cascade: Cascade, path: Path) -> None:
    """Writes a cascade as JSON. Raises: PreceptorError when it cannot be written."""
    write_json(path, cascade.model_dump(mode="json"))


def load(path: Path) -> Cascade:
    """Reads a cascade that `save` wrote. Raises: UsageError that says what is wrong with the file."""
    return saved.read_saved(Cascade, path, "cascade", _REMEDY)


def check_replaceable(path: Path) -> None:
    """Checks that `save` replaces only an older cascade.

    Raises: UsageError when the path holds anything else.
    """
    saved.check_replaceable(path, load, "cascade")
