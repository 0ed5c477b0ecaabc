"""What a recipe needs beside models, read and checked before anything is run or written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preceptor.backends.names import ADAPTERS, check_name
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import Prompt
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.specs import JudgeSpec, check_judges
from preceptor.recipes.load import dump_recipe
from preceptor.recipes.methods import (
    BestOfNRecipe,
    ConstitutionalRecipe,
    DirectRlaifRecipe,
    DpoRecipe,
    Recipe,
    RlaifRecipe,
)
from preceptor.recipes.settings import JudgeSettings
from preceptor.store.demonstrations import Demonstration, read_demonstrations
from preceptor.store.files import content_of
from preceptor.store.prompts import packaged, read_prompts, split_held_out, split_validation
from preceptor.store.training_pairs import read_training_pairs
from preceptor.training.rl.rewards import load_reward_function
from preceptor.training.rl.settings import check_algorithm
from preceptor.training.tracking import check_tracker

LEAST = 3
"""Prompts that an interval needs."""
_SAME_JUDGE = (
    "the held-out judge is the training judge's model, so nothing independent measures this run; name another one by "
    "evaluation.judge.model"
)


@dataclass(frozen=True)
class Split:
    """The prompts of a run."""

    training: list[Prompt]
    validation: list[Prompt]
    """Held-out prompts that choose the checkpoint and stop training."""
    test: list[Prompt]
    """Held-out prompts that are looked at only before training and in the end."""
    skipped: int = 0
    """Prompts that do not fit the policy's window."""

    @property
    def held_out(self) -> list[Prompt]:
        """All that training never sees."""
        return [*self.validation, *self.test]


@dataclass(frozen=True)
class Inputs:
    """Prompts, reference answers, constitution, demonstrations and people's preferences of a recipe."""

    prompts: list[Prompt]
    references: list[Prompt]
    constitution: Constitution | None
    """The judge's."""
    held_out_constitution: Constitution | None
    """The held-out judge's."""
    demonstrations: list[Demonstration] = field(default_factory=list[Demonstration])
    human: list[Path] = field(default_factory=list[Path])
    """Datasets of people's preferences."""
    notes: tuple[str, ...] = ()
    """What a person should know of them."""

    def hashes(self, recipe: Recipe) -> dict[str, str]:
        """A hash of each input, the recipe among them."""
        found = {
            "recipe": content_hash(dump_recipe(recipe))[:16],
            "prompts": content_hash([prompt.model_dump(mode="json") for prompt in self.prompts])[:16],
            "references": content_hash([prompt.model_dump(mode="json") for prompt in self.references])[:16],
        }
        if self.constitution is not None:
            found["constitution"] = self.constitution.hash
        if self.held_out_constitution is not None:
            found["held-out constitution"] = self.held_out_constitution.hash
        if self.demonstrations:
            listed = [[d.prompt.model_dump(mode="json"), d.answer] for d in self.demonstrations]
            found["demonstrations"] = content_hash(listed)[:16]
        files = [Path(name.partition(":")[0]) for name in recipe.reward_functions if ".py:" in name]
        found |= {f"reward function {file.name}": content_of(file)[:16] for file in files}
        if self.human:
            found["human preferences"] = content_hash([content_of(path) for path in self.human])[:16]
        return found


def read_inputs(recipe: Recipe) -> Inputs:
    """Reads and checks the inputs of a recipe.

    Raises: UsageError naming what is missing, wrong or too little.
    """
    _check_models(recipe)
    check_tracker(recipe.tracking.tracker)
    constitution = None if recipe.scoring is None else _check_judge(recipe, recipe.scoring)
    if recipe.learning_by_rl is not None:
        check_algorithm(recipe.learning_by_rl)
    for function in recipe.reward_functions:
        load_reward_function(function)
    held_out_judge = recipe.held_out_judge
    held_out_constitution = None if held_out_judge is None else _check_held_out_judge(held_out_judge)
    prompts = _limited(read_prompts(recipe.prompts), recipe.limit)
    held_out = check_split(prompts, recipe).held_out
    references = read_prompts(recipe.evaluation.references)
    for prompt in references:
        if not prompt.reference:
            raise UsageError(f'{recipe.evaluation.references}: prompt "{prompt.id}" has no reference answer')
    demonstrations, references, notes = _demonstrations(recipe, references, held_out)
    if held_out_judge is not None and recipe.scoring is not None and held_out_judge.model == recipe.scoring.model:
        notes = (*notes, _SAME_JUDGE)
    return Inputs(prompts, references, constitution, held_out_constitution, demonstrations, _human(recipe), notes)


def check_split(prompts: list[Prompt], recipe: Recipe) -> Split:
    """Splits prompts into training, validation and test prompts.

    Raises: UsageError when a part is too small.
    """
    training, held_out = split_held_out(prompts, recipe.evaluation.heldout_share)
    if len(held_out) < 2 * LEAST:
        raise UsageError(
            f"{recipe.prompts}: {len(held_out)} of {len(prompts)} usable prompts are held out, at least {2 * LEAST} "
            f"are needed, {LEAST} for validation and {LEAST} to test on; give more prompts or raise "
            "evaluation.heldout_share"
        )
    rl = recipe.learning_by_rl
    if rl is not None and len(training) < rl.prompts_per_step:
        raise UsageError(
            f"{recipe.prompts}: {len(training)} training prompts, rl.prompts_per_step asks for "
            f"{rl.prompts_per_step}; give more prompts or lower it"
        )
    if not training:
        raise UsageError(f"{recipe.prompts}: every usable prompt is held out; lower evaluation.heldout_share")
    validation, test = split_validation(held_out, recipe.evaluation.validation_share, LEAST)
    if len(test) < LEAST:
        raise UsageError(
            f"{recipe.prompts}: the {len(held_out)} held-out prompts repeat so few texts that {len(test)} are left to "
            f"test on, at least {LEAST} are needed; give prompts of other texts or raise evaluation.heldout_share"
        )
    return Split(training, validation, test)


def data_path(name: str) -> Path:
    """The path of a dataset, or of a packaged set named `package:NAME`."""
    return Path(packaged(name.removeprefix("package:")) if name.startswith("package:") else name)


def _limited(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """At most so many prompts of all cohorts, in their order; which ones depends on their texts alone."""
    if limit is None or limit >= len(prompts):
        return prompts
    chosen = {prompt.id for prompt in sorted(prompts, key=lambda prompt: unit_hash("limit", prompt.text))[:limit]}
    return [prompt for prompt in prompts if prompt.id in chosen]


def _check_models(recipe: Recipe) -> None:
    check_name(recipe.policy)
    if recipe.policy.startswith(("scripted:", "openai:")) or recipe.policy.endswith(".gguf"):
        raise UsageError(f'policy = "{recipe.policy}": this form cannot be trained; name a folder, hf:... or embedded')
    if (Path(recipe.policy) / ADAPTERS).is_file():
        raise UsageError(
            f'policy = "{recipe.policy}": these are adapters of another model; merge them into it first, by '
            "`preceptor run --resume RUN --merge`, and name the merged folder"
        )
    if recipe.scoring is not None:
        check_name(recipe.scoring.model)
    if isinstance(recipe, BestOfNRecipe) and recipe.best_of_n.reward_model is not None:
        check_name(recipe.best_of_n.reward_model)
    if isinstance(recipe, RlaifRecipe | ConstitutionalRecipe) and recipe.reward_model.model is not None:
        check_name(recipe.reward_model.model)
    if isinstance(recipe, ConstitutionalRecipe):
        load_constitution(recipe.revision.constitution)


def _check_judge(recipe: Recipe, judge: JudgeSettings) -> Constitution:
    """The judge's constitution, if the judge can be asked as the recipe says."""
    scores = not isinstance(recipe, DirectRlaifRecipe) or recipe.judge.mode == "score"
    constitution = _check_scoring(judge, "judge", scores=scores)
    if isinstance(recipe, RlaifRecipe | ConstitutionalRecipe | DpoRecipe) and recipe.judge is not None:
        check_judges([JudgeSpec(model=judge.model, constitution=judge.constitution, variant=recipe.judge.variant)])
    if isinstance(recipe, DirectRlaifRecipe) and not scores:
        check_judges([JudgeSpec(model=judge.model, constitution=judge.constitution, variant=recipe.judge.variant)])
        if recipe.judge.mode == "siblings" and recipe.rl.group_size < 2:
            raise UsageError(
                f'rl.group_size is {recipe.rl.group_size}; judge.mode = "siblings" compares the responses of a group '
                "and needs at least 2"
            )
    return constitution


def _check_scoring(judge: JudgeSettings, table: str, *, scores: bool = True) -> Constitution:
    """The constitution of a judge, if it can be asked to score as its table says.

    Args:
        scores: whether the judge's reward is that of a score.
    """
    constitution = load_constitution(judge.constitution)
    if scores and judge.reward == "log_odds" and len(constitution.score.values) != 2:
        raise UsageError(
            f'{table}.reward = "log_odds" needs a constitution of two choices, {judge.constitution} has '
            f'{len(constitution.score.values)}; leave {table}.reward out, or set it to "expectation"'
        )
    if judge.asking.rationale and not constitution.score.criteria:
        raise UsageError(
            f"{table}.asking.rationale: {judge.constitution} scores by an item of its own form, which has no "
            "place for a rationale; name a constitution with criteria"
        )
    return constitution


def _check_held_out_judge(judge: JudgeSettings) -> Constitution:
    check_name(judge.model)
    return _check_scoring(judge, "evaluation.judge")


def _demonstrations(
    recipe: Recipe, references: list[Prompt], held_out: Sequence[Prompt]
) -> tuple[list[Demonstration], list[Prompt], tuple[str, ...]]:
    """The demonstrations to learn, and the reference answers to measure on: never the same, nor of held-out prompts.

    A prompt that is in both goes to one of them by a hash of its text.
    """
    table = recipe.first
    if table is None:
        return [], references, ()
    found, left_out = read_demonstrations(data_path(table.demonstrations))
    notes = [f"{len(left_out)} demonstrations are left out: {left_out[0]}"] if left_out else []
    unseen = {prompt.text for prompt in held_out}
    shared = {prompt.text for prompt in references} & {each.prompt.text for each in found}
    measured = {text for text in shared if unit_hash("reference", text) < 0.5}
    demonstrations = [each for each in found if each.prompt.text not in unseen | measured]
    if len(found) > len(demonstrations):
        notes.append(
            f"{len(found) - len(demonstrations)} demonstrations are left out, since their prompts are measured on"
        )
    if not demonstrations:
        raise UsageError(f"{table.demonstrations}: holds no demonstration to learn; {' '.join(notes) or 'it is empty'}")
    kept = [prompt for prompt in references if prompt.text not in shared - measured]
    return demonstrations, kept, tuple(notes)


def _human(recipe: Recipe) -> list[Path]:
    """The datasets of people's preferences, each of which has some."""
    if not isinstance(recipe, RlaifRecipe | ConstitutionalRecipe | DpoRecipe):
        return []
    paths = [data_path(name) for name in recipe.preferences.human]
    for name, path in zip(recipe.preferences.human, paths, strict=True):
        pairs, left_out = read_training_pairs(path, labels="human")
        if not pairs:
            raise UsageError(f"{name}: holds no preference of people: {left_out[0] if left_out else 'it is empty'}")
    return paths
