"""Rubrics: criteria that are written for one prompt, what each is worth, and how it is checked."""

import re
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field, Strict, ValidationError, field_validator, model_validator

from preceptor.core.errors import UsageError, nearest
from preceptor.core.fields import Frozen, JsonObject, NonEmpty
from preceptor.core.hashing import canonical_json, content_hash
from preceptor.core.validation import first_problem

MOST_ITEMS = 500
MOST_CHARACTERS = 10_000
"""Of one criterion."""
LEAST_POINTS, MOST_POINTS = 1e-3, 1e6
WeightClass: TypeAlias = Literal["essential", "important", "optional", "pitfall"]
POINTS: dict[WeightClass, float] = {"essential": 1.0, "important": 0.7, "optional": 0.3, "pitfall": -0.9}
"""Points of an item that states only its class (the weights of Gunjal et al. 2025, arXiv 2507.17746). The criterion of
a pitfall states the fault, so its points are negative."""
CheckedBy: TypeAlias = Literal["judge", "reference", "function", "verifier"]
_FUNCTION = re.compile(r"[^:\s][^:]*:[A-Za-z_][\w.]*")


class RubricItem(Frozen):
    """One criterion of a rubric. A response meets it or not; negative points are for faults."""

    criterion: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    """What a response does that meets the item, in a sentence."""
    points: Annotated[float, Strict(), Field(ge=-MOST_POINTS, le=MOST_POINTS)] = 1.0
    """What meeting it adds; if negative, the item is a fault and meeting it takes away."""
    weight: WeightClass | None = Field(default=None, exclude_if=lambda weight: weight is None)
    """The item's class, which gives its points where none are stated; see `POINTS`."""
    check: str | JsonObject = Field(default="judge", exclude_if=lambda check: check == "judge")
    """Who decides: `judge`; `reference`, the judge with the prompt's reference answer beside the response; a function
    of the user, `path.py:name` or `module:name`; or a verifier with its arguments, such as
    `{"verifier": "words", "most": 100}`."""
    tags: tuple[NonEmpty, ...] = Field(default=(), exclude_if=lambda tags: not tags)
    """Names of groups of items, for reports."""

    @model_validator(mode="before")
    @classmethod
    def _read_short_forms(cls, value: Any) -> Any:
        """A text is a criterion that the judge checks; a class gives points; null is the same as absent."""
        if isinstance(value, str):
            return {"criterion": value}
        if not isinstance(value, dict):
            return value
        fields = {str(key): of for key, of in cast("dict[Any, Any]", value).items() if of is not None}
        for key in fields:
            if key not in cls.model_fields:
                raise ValueError(f'unknown key "{key}"; {nearest(key, list(cls.model_fields))}')
        stated = fields.get("weight")
        return {"points": POINTS[stated]} | fields if isinstance(stated, str) and stated in POINTS else fields

    @field_validator("criterion")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("expected a criterion in words, got only white space")
        return value

    @field_validator("points")
    @classmethod
    def _counts(cls, value: float) -> float:
        if abs(value) < LEAST_POINTS:
            raise ValueError(f"expected points other than 0, of at least {LEAST_POINTS:g}; less changes nothing")
        return value

    @field_validator("check", mode="before")
    @classmethod
    def _is_a_check(cls, value: Any) -> Any:
        if isinstance(value, dict):  # columnar files have null for every argument that some other row has
            value = {name: of for name, of in cast("dict[Any, Any]", value).items() if of is not None}
        if isinstance(value, str):
            known = value in ("judge", "reference") or _FUNCTION.fullmatch(value)
        else:
            known = isinstance(value, dict) and isinstance(cast("dict[Any, Any]", value).get("verifier"), str)
        if not known:
            raise ValueError(
                'expected "judge", "reference", a function as "path.py:name", or an object that names a verifier, such '
                'as {"verifier": "words", "most": 100}'
            )
        try:
            canonical_json(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected what JSON can hold ({error})") from error
        return value

    @property
    def checked_by(self) -> CheckedBy:
        """Who decides whether the item is met."""
        if not isinstance(self.check, str):
            return "verifier"
        return "judge" if self.check == "judge" else "reference" if self.check == "reference" else "function"


class Rubric(Frozen):
    """The items by which the responses to one prompt are judged.

    In files, a list of items is a rubric too.
    """

    items: Annotated[tuple[RubricItem, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    name: NonEmpty | None = Field(default=None, exclude_if=lambda name: name is None)
    version: Annotated[int, Strict(), Field(ge=1)] = 1
    """Goes up by one with each rewriting."""

    @model_validator(mode="before")
    @classmethod
    def _read_list(cls, value: Any) -> Any:
        return {"items": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _can_be_met(self) -> "Rubric":
        if self.possible <= 0:
            raise ValueError("expected an item with positive points: scores are shares of all positive points")
        return self

    @property
    def hash(self) -> str:
        """Hash of everything that can change a judgement: criteria, points and checks, in their order."""
        return content_hash([[item.criterion, float(item.points), item.check] for item in self.items])

    @property
    def possible(self) -> float:
        """The sum of all positive points: what a response without a fault can reach."""
        return sum(item.points for item in self.items if item.points > 0)

    @property
    def compared_with_reference(self) -> tuple[int, ...]:
        """Positions, from 0, of the items that are judged against the prompt's reference answer."""
        return tuple(i for i, item in enumerate(self.items) if item.checked_by == "reference")


def rubric_of(value: Any) -> Rubric:
    """The rubric in a file: a list of items, or an object with `items` and perhaps `name` and `version`.

    Raises: UsageError that names the item, counted from 1, and what was expected.
    """
    try:
        return Rubric.model_validate(value)
    except ValidationError as error:
        said = first_problem(error)
        if place := re.search(r"items\.(\d+)(?:\.|: )?", said):
            said = f"item {int(place[1]) + 1}: {said.replace(place[0], '', 1)}"
        raise UsageError(f"rubric: {said}") from error
