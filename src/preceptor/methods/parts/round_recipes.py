"""The recipe of each round, made from the recipe of them all."""

from pathlib import Path

from pydantic import JsonValue

from preceptor.core.hashing import unit_hash
from preceptor.core.seeds import derive_seed
from preceptor.core.types import LEAST_WEIGHT, JsonObject, Prompt
from preceptor.methods.parts.preferences import prompt_rows
from preceptor.recipes.base import Recipe
from preceptor.recipes.load import recipe_data, validated
from preceptor.recipes.rounds import RoundsSettings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.inputs import Split
from preceptor.runs.merge import whole_folder
from preceptor.store.files import write_rows
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.training.rl.settings import RLSettings

LABELS = Path("labels", "preferences.jsonl")
"""A round's preferences, in its run directory."""


def begin_round(directory: RunDirectory, recipe: Recipe, prompts: Split, number: int) -> str | None:
    """Makes the run directory of a round, unless it is there. The rounds before it are finished.

    Args:
        directory: of all rounds.
        prompts: those of the recipe.
        number: of the round, from 1.

    Returns: why there is no such round, in words: the new prompts do not suffice; None if it can be run.
    Raises: UsageError when the round's recipe cannot be run.
    """
    folder = directory.round_folder(number)
    if (folder / "recipe.toml").is_file():
        return None
    file = _prompts_of(directory, number)
    if number > 1 and (why := _write_prompts(file, directory, recipe, prompts, number)):
        return why
    RunDirectory.create(folder, recipe_of_round(directory, recipe, number, file if file.exists() else None))
    return None


def recipe_of_round(directory: RunDirectory, recipe: Recipe, number: int, prompts: Path | None) -> Recipe:
    """The recipe of one round: it has no rounds, begins with the newest policy, and learns the labels of earlier rounds
    too if these are kept.

    Args:
        prompts: the round's own prompts, if it has others than the recipe's.
    """
    assert recipe.rounds is not None  # the caller's
    data = recipe_data(recipe)
    del data["rounds"]
    if recipe.licence_asked_for is None:  # which the policy's name may have decided
        data.pop("licence", None)
    if number > 1:
        data |= {"seed": derive_seed(recipe.seed, "round", str(number)) % 2**31} | _policy(
            directory, recipe.rounds, number
        )
        data.pop("sft", None)
        if recipe.rounds.judge == "policy":
            data["judge"] = _table(data, "judge") | {"model": data.get("begin", data["policy"])}
        if recipe.rounds.earlier_labels:
            data["preferences"] = _table(data, "preferences") | _labelled(directory, recipe.rounds, data, number)
    if prompts is not None:
        data["prompts"] = str(prompts.absolute())
        data.pop("limit", None)
    return validated(f"round {number}", type(recipe), data)


def _policy(directory: RunDirectory, rounds: RoundsSettings, number: int) -> JsonObject:
    """The settings that make a round begin with the policy that the round before it kept."""
    before = RunDirectory.open(directory.round_folder(number - 1))
    if rounds.reference == "last":
        return {"policy": str(whole_folder(before).absolute())}
    first = RunDirectory.open(directory.round_folder(1))
    return {"policy": first.base, "begin": str(before.best.absolute())}


def _labelled(directory: RunDirectory, rounds: RoundsSettings, data: JsonObject, number: int) -> JsonObject:
    """The settings that add the labels of the rounds before: their weight is multiplied once for each round since."""
    own = _table(data, "preferences")
    named, weights = _listed(own, "labelled"), _listed(own, "labelled_weights")
    earlier = range(1, number)
    return {
        "labelled": [*named, *(str((directory.round_folder(each) / LABELS).absolute()) for each in earlier)],
        "labelled_weights": [
            *(weights or [1.0] * len(named)),
            *(max(LEAST_WEIGHT, rounds.earlier_labels ** (number - each)) for each in earlier),
        ],
    }


def _table(data: JsonObject, name: str) -> JsonObject:
    table = data.get(name)
    return table if isinstance(table, dict) else {}


def _listed(table: JsonObject, name: str) -> list[JsonValue]:
    values = table.get(name)
    return values if isinstance(values, list) else []


def _write_prompts(file: Path, directory: RunDirectory, recipe: Recipe, prompts: Split, number: int) -> str | None:
    """Writes the prompts of a round after the first, if it has its own: all held-out prompts, and new ones to train on.

    Returns: why there are too few new prompts; None if there are enough.
    """
    rounds, rl = recipe.rounds, recipe.table(RLSettings)
    if rounds is None or rounds.prompts is None or file.exists():
        return None
    new = new_prompts(rounds, recipe.evaluation.heldout_share, prompts, _trained_on(directory, prompts, number))
    least = 1 if rl is None else rl.prompts_per_step
    if len(new) < least:
        return f"{rounds.prompts} has {len(new)} new prompts, and a round needs {least}"
    write_rows(file, prompt_rows([*prompts.held_out, *new]))
    return None


def new_prompts(rounds: RoundsSettings, heldout_share: float, prompts: Split, trained_on: set[str]) -> list[Prompt]:
    """The prompts of the file that [rounds] names on which no round has trained, none of them held out, in their order.

    Args:
        trained_on: the texts of the prompts that earlier rounds trained on.
    """
    assert rounds.prompts is not None  # the caller's
    training, _ = split_held_out(read_prompts(rounds.prompts), heldout_share)
    ids = {prompt.id for prompt in prompts.held_out}
    known = trained_on | {prompt.text for prompt in prompts.held_out}
    new = [prompt for prompt in training if prompt.text not in known and prompt.id not in ids]
    chosen = sorted(new, key=lambda prompt: unit_hash("round", prompt.text))[: rounds.prompts_each]
    kept = {prompt.id for prompt in chosen}
    return [prompt for prompt in new if prompt.id in kept]


def _trained_on(directory: RunDirectory, prompts: Split, number: int) -> set[str]:
    """The texts of the prompts that the rounds before this one trained on."""
    files = [_prompts_of(directory, each) for each in range(2, number)]
    later = [prompt for file in files for prompt in read_prompts(str(file))]
    return {prompt.text for prompt in (*prompts.training, *later)}


def _prompts_of(directory: RunDirectory, number: int) -> Path:
    """The file with the prompts of a round after the first, if it has its own."""
    return directory.round_folder(number).with_name(f"{number}-prompts.jsonl")
