"""What a recipe needs beside models, read and checked before anything is run or written."""

from dataclasses import dataclass

from preceptor.backends.names import check_name
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.types import Prompt
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.recipes.load import dump_recipe
from preceptor.recipes.settings import DirectRlaifRecipe
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.training.rl.settings import check_algorithm

LEAST_HELD_OUT = 3
"""Held-out prompts that an interval needs."""


@dataclass(frozen=True)
class Inputs:
    """Prompts, reference answers and constitution of a recipe."""

    prompts: list[Prompt]
    references: list[Prompt]
    constitution: Constitution

    def hashes(self, recipe: DirectRlaifRecipe) -> dict[str, str]:
        """A hash of each input, the recipe among them."""
        return {
            "recipe": content_hash(dump_recipe(recipe))[:16],
            "prompts": content_hash([prompt.model_dump(mode="json") for prompt in self.prompts])[:16],
            "references": content_hash([prompt.model_dump(mode="json") for prompt in self.references])[:16],
            "constitution": self.constitution.hash,
        }


def read_inputs(recipe: DirectRlaifRecipe) -> Inputs:
    """Reads and checks the inputs of a recipe.

    Raises: UsageError naming what is missing, wrong or too little.
    """
    for name in (recipe.policy, recipe.judge.model):
        check_name(name)
    if recipe.policy.startswith("scripted:") or recipe.policy.endswith(".gguf"):
        raise UsageError(f'policy = "{recipe.policy}": this form cannot be trained; name a folder, hf:... or embedded')
    constitution = load_constitution(recipe.judge.constitution)
    if recipe.judge.reward == "log_odds" and len(constitution.score.values) != 2:
        raise UsageError(
            f'judge.reward = "log_odds" needs a constitution of two choices, {recipe.judge.constitution} has '
            f'{len(constitution.score.values)}; use "expectation"'
        )
    if recipe.judge.asking.rationale and not constitution.score.criteria:
        raise UsageError(
            f"judge.asking.rationale: {recipe.judge.constitution} scores by an item of its own form, which has no "
            "place for a rationale; name a constitution with criteria"
        )
    check_algorithm(recipe.rl)
    prompts = read_prompts(recipe.prompts)
    check_split(prompts, recipe)
    references = read_prompts(recipe.evaluation.references)
    for prompt in references:
        if not prompt.reference:
            raise UsageError(f'{recipe.evaluation.references}: prompt "{prompt.id}" has no reference answer')
    return Inputs(prompts, references, constitution)


def check_split(prompts: list[Prompt], recipe: DirectRlaifRecipe) -> tuple[list[Prompt], list[Prompt]]:
    """Splits prompts into training and held-out ones.

    Raises: UsageError when either part is too small.
    """
    training, held_out = split_held_out(prompts, recipe.evaluation.heldout_share)
    if len(held_out) < LEAST_HELD_OUT:
        raise UsageError(
            f"{recipe.prompts}: {len(held_out)} of {len(prompts)} usable prompts are held out, at least "
            f"{LEAST_HELD_OUT} are needed; give more prompts or raise evaluation.heldout_share"
        )
    if len(training) < recipe.rl.prompts_per_step:
        raise UsageError(
            f"{recipe.prompts}: {len(training)} training prompts, rl.prompts_per_step asks for "
            f"{recipe.rl.prompts_per_step}; give more prompts or lower it"
        )
    return training, held_out
