"""Turns a judge given in Python into the `[judge]` table of a recipe."""

from collections.abc import Mapping
from typing import Any, cast, get_args

from pydantic import BaseModel

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.judging.judge import Judge
from preceptor.judging.judges import judge_specs
from preceptor.judging.settings import PairwiseSettings, short_name, variant
from preceptor.judging.specs import JudgeSpec
from preceptor.recipes.base import Recipe


def judge_table(judge: Judge | JudgeSpec | str, recipe: Recipe, settings: Mapping[str, object]) -> JsonObject:
    """A judge as settings of a recipe's judge table: its model, its constitution and how it is asked.

    Args:
        settings: overrides of the recipe's own settings.

    Raises: UsageError for what a recipe cannot express: a connection, a budget, a calibration, or a way of comparing
        that has no short name; and for a method without a judge.
    """
    spec = judge_spec(judge)
    fields, asked = _table(type(recipe)).model_fields, spec.resolved()
    said: JsonObject = {"model": spec.model, "constitution": spec.constitution}
    mode = getattr(getattr(recipe, "judge", None), "mode", None)
    if isinstance(table := settings.get("judge"), Mapping):
        mode = cast("Mapping[str, object]", table).get("mode", mode)
    if "variant" in fields and mode != "score":
        said["variant"] = spec.variant or variant_of(asked)
    said |= {name: value for name in ("bias", "cascade") if (value := getattr(spec, name)) is not None}
    if "variant" not in fields or mode == "score" or asked.shown == "alone":
        said["asking"] = asked.scoring.model_dump(mode="json")
    return said


def judge_spec(judge: Judge | JudgeSpec | str) -> JudgeSpec:
    """The specification of a judge that a run or a sweep asks through its own ledgers.

    Raises: UsageError for a connection, a budget or a calibration.
    """
    [spec] = judge_specs(judge)
    if isinstance(judge, Judge):
        _check(judge)
    if spec.calibration is not None:
        raise UsageError("judge: a recipe cannot hold a judge's calibration; give a judge without one")
    return spec


def _table(schema: type[Recipe]) -> type[BaseModel]:
    """The type of a method's judge table.

    Raises: UsageError when it has none.
    """
    annotation: Any = schema.model_fields["judge"].annotation if "judge" in schema.model_fields else None
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    raise UsageError(f"judge: {schema.title} has no judge; leave it out")


def _check(judge: Judge) -> None:
    """Raises: UsageError for a judge with a connection or a budget, which a recipe cannot hold."""
    if judge.connection is not None:
        raise UsageError(
            "judge: a run connects to servers through environment variables (OPENAI_BASE_URL, OPENAI_API_KEY), not "
            "through a judge's connection; give a judge without one"
        )
    if judge.budget is not None:
        raise UsageError("judge: a run has no budget; give a judge without one")


def variant_of(settings: PairwiseSettings) -> str:
    """The short name of a way of asking: the inverse of `preceptor.judging.settings.variant`.

    Raises: UsageError when no short name covers all of it.
    """
    name = short_name(settings)
    if (said := variant(name)) != settings:
        unsaid = [key for key in PairwiseSettings.model_fields if getattr(said, key) != getattr(settings, key)]
        raise UsageError(f"judge: a recipe cannot set {', '.join(unsaid)} for a judge that compares; leave them out")
    return name
