"""The judge that trained the policies of an evaluation, found from their run directories."""

from collections.abc import Sequence

from preceptor.recipes.contestants import Contestant, as_run
from preceptor.recipes.judges import JudgeSpec
from preceptor.recipes.methods import BestOfNRecipe, DirectRlaifRecipe, Recipe
from preceptor.recipes.settings import ComparingJudgeSettings


def training_judge(contestants: Sequence[Contestant]) -> JudgeSpec | None:
    """The judge of the first run among the policies that had one; None where no policy is a run with a judge."""
    runs = [run for contestant in contestants if (run := as_run(contestant.source)) is not None]
    return next((spec for run in runs if (spec := _spec(run.recipe)) is not None), None)


def training_models(contestants: Sequence[Contestant]) -> set[str]:
    """Identities of all models that judged in the training of any of the policies."""
    runs = [run for contestant in contestants if (run := as_run(contestant.source)) is not None]
    return {str(judge) for run in runs if (judge := run.read_summary().get("judge")) is not None}


def _spec(recipe: Recipe) -> JudgeSpec | None:
    """The judge as it compares; one that only scored responses compares them by its scores."""
    judge = recipe.scoring
    if judge is None:
        return None
    scored = isinstance(recipe, BestOfNRecipe)
    scored = scored or (isinstance(recipe, DirectRlaifRecipe) and recipe.judge.mode == "score")
    variant = "scored" if scored or not isinstance(judge, ComparingJudgeSettings) else judge.variant
    return JudgeSpec(model=judge.model, constitution=judge.constitution, variant=variant)
