"""The constitutions of the compared runs, as far as their texts are still available."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.judging.constitution import load_constitution
from preceptor.recipes.base import Recipe
from preceptor.results.comparison import ConstitutionVersion, RunSide
from preceptor.results.run import ConstitutionRecord, RunSummary

_SHIPPED = files("preceptor.judging.constitutions")


def constitution_text(recipe: Recipe, summary: RunSummary | None) -> str | None:
    """The text of a run's constitution: its file if it has not changed, else the parts that the run recorded. None if
    the run had no constitution, or if it is unfinished and the file is gone.
    """
    if recipe.training_judge is None:
        return None
    recorded = summary and summary.constitution
    name = recipe.training_judge.constitution
    try:
        unchanged = recorded is None or load_constitution(name).hash == recorded.hash
    except UsageError:  # the file is gone, or no longer a valid constitution
        unchanged = False
    return _file(name) if unchanged else _recorded(recorded)


def constitution_versions(sides: Sequence[RunSide]) -> tuple[ConstitutionVersion, ...]:
    """The constitutions of finished runs, each version once, in the order of first use."""
    versions: dict[str, ConstitutionVersion] = {}
    for side in sides:
        recorded = side.summary and side.summary.constitution
        if recorded is None:
            continue
        known = versions.get(recorded.hash)
        if known is None:
            versions[recorded.hash] = ConstitutionVersion(
                title=f"{recorded.name} {recorded.version} ({recorded.hash[:8]})",
                text=side.constitution,
                sides=(side.name,),
                note=_note(side.constitution, recorded),
            )
        else:
            versions[recorded.hash] = known.model_copy(update={"sides": (*known.sides, side.name)})
    return tuple(versions.values())


def _file(name: str) -> str:
    path = Path(name) if name.endswith(".toml") else _SHIPPED.joinpath(f"{name}.toml")
    return path.read_text(encoding="utf-8")


def _recorded(constitution: ConstitutionRecord | None) -> str | None:
    """The parts of its constitution that a run's summary recorded."""
    if constitution is None:
        return None
    return "\n".join((constitution.summary, "", *(f"- {principle}" for principle in constitution.principles), ""))


def _note(text: str | None, recorded: ConstitutionRecord) -> str | None:
    if text != _recorded(recorded):
        return None
    return (
        "The file has changed or was removed since the run. These are the summary and principles that the run "
        "recorded, without questions and rubric."
    )
