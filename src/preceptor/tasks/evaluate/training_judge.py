"""What the runs among the policies of an evaluation were trained by and on."""

from collections.abc import Iterator, Sequence

from preceptor.core.types import Prompt
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.specs import JudgeSpec
from preceptor.recipes.methods import BestOfNRecipe, DirectRlaifRecipe, Recipe
from preceptor.recipes.settings import ComparingJudgeSettings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.inputs import read_inputs
from preceptor.store.files import read_json
from preceptor.store.prompts import split_held_out
from preceptor.tasks.evaluate.contestants import Contestant, run_around


def training_judge(contestants: Sequence[Contestant]) -> JudgeSpec | None:
    """The judge of the first run among the policies that had one; None where no policy is a run with a judge."""
    return next((spec for _, run in _runs(contestants) if (spec := _spec(run.recipe)) is not None), None)


def training_models(contestants: Sequence[Contestant]) -> set[str]:
    """Identities of all models that judged in the training of any of the policies."""
    return {judge for _, run in _runs(contestants) for judge in judges_of(run)}


def judges_of(run: RunDirectory) -> list[str]:
    """Identities of the models that judged in the training of a run, finished or not."""
    labels, inputs = run.stage_result("labels"), run.path / "inputs.json"
    pinned = read_json(inputs).get("judge") if inputs.exists() else None
    return [*(labels["judges"] if labels else ()), *([str(pinned)] if pinned else ())]


def trained_on(contestants: Sequence[Contestant], prompts: Sequence[Prompt]) -> dict[str, int]:
    """How many of the prompts each run among the policies was trained on; those of which it is none are left out."""
    found: dict[str, int] = {}
    for name, run in _runs(contestants):
        inputs = read_inputs(run.recipe)
        training, _ = split_held_out(inputs.prompts, run.recipe.evaluation.heldout_share)
        seen = {prompt.text for prompt in training} | {each.prompt.text for each in inputs.demonstrations}
        if count := sum(prompt.text in seen for prompt in prompts):
            found[name] = count
    return found


def chosen_on(contestants: Sequence[Contestant], prompts: Sequence[Prompt]) -> dict[str, int]:
    """By policy of a run that kept no test prompts apart, how many of the prompts it held out; its checkpoint may have
    been chosen on these. Those of which it is none are left out.
    """
    found: dict[str, int] = {}
    for name, run in _runs(contestants):
        if not run.has_test_prompts:
            _, held_out = split_held_out(read_inputs(run.recipe).prompts, run.recipe.evaluation.heldout_share)
            if count := len({prompt.text for prompt in held_out} & {prompt.text for prompt in prompts}):
                found[name] = count
    return found


def _runs(contestants: Sequence[Contestant]) -> Iterator[tuple[str, RunDirectory]]:
    for contestant in contestants:
        if (run := run_around(contestant.source)) is not None:
            yield contestant.name, run


def _spec(recipe: Recipe) -> JudgeSpec | None:
    """The judge as it compares, in both orders whatever it was trained with; one that only scored responses compares
    them by its scores.
    """
    judge = recipe.scoring
    if judge is None:
        return None
    scored = isinstance(recipe, BestOfNRecipe)
    scored = scored or (isinstance(recipe, DirectRlaifRecipe) and recipe.judge.mode == "score")
    if scored or not isinstance(judge, ComparingJudgeSettings):
        settings = PairwiseSettings(shown="alone", **judge.asking.model_dump())
    else:
        settings = JudgeSpec(variant=judge.variant).resolved().model_copy(update={"order": "both"})
    return JudgeSpec(model=judge.model, constitution=judge.constitution, settings=settings)
