"""Several ways of training side by side: a run for each, and one report of them all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import Field

from preceptor.core.errors import UsageError, nearest
from preceptor.core.extras import require_training
from preceptor.core.progress import Progress
from preceptor.core.types import Frozen, JsonObject, NonEmpty, Seed
from preceptor.core.validation import check_keywords
from preceptor.display.progress import shown
from preceptor.evaluation.checkpoints.snapshot import change
from preceptor.evaluation.policies.result import Evaluation
from preceptor.judging.constitution import load_constitution
from preceptor.recipes.base import Recipe
from preceptor.recipes.layers import check_known, override, replace
from preceptor.recipes.load import (
    SHIPPED_ARMS,
    compose,
    load_settings,
    scale_settings,
    shipped_arms,
    shipped_schemas,
    validated,
)
from preceptor.reports.arms.page import render_arms
from preceptor.reports.evaluation.page import render_markdown
from preceptor.reports.run.page import ReportData
from preceptor.results.arms import ArmRecord, ArmsResult
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.evaluation import BEFORE, evaluate_snapshots
from preceptor.store.files import write_json, write_text, writing
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, check_unused, mark


class Arm(Frozen):
    """One way of training."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """For tables and figures; the run directory is named after it."""
    recipe: NonEmpty
    """Name of a shipped recipe, or path of a .toml file."""
    settings: JsonObject = Field(default_factory=dict)
    """Settings that override the recipe's, in the same tables."""

    @property
    def folder(self) -> str:
        """Name of its run directory."""
        return "".join(c if c.isalnum() else "-" for c in self.name.lower())


class ArmsRecipe(Frozen):
    """Several recipes run after each other and compared on the same held-out prompts."""

    description: str = ""
    """One line on what is compared."""
    seed: Seed = 0
    """The seed of every arm."""
    common: JsonObject = Field(default_factory=dict)
    """Settings of every arm whose method has them; an arm's own settings override them."""
    arms: Annotated[tuple[Arm, ...], Field(min_length=2)]

    def recipes(self) -> list[Recipe]:
        """The recipe of each arm.

        Raises: UsageError naming the arm and the mistake in its settings, or when the arms are not measured on the same
            prompts in the same way.
        """
        recipes = [compose(arm.recipe, self.common | {"seed": self.seed}, arm.settings, arm.name) for arm in self.arms]
        check_known(self.common, [*shipped_schemas().values(), *map(type, recipes)])
        for what in ("policy", "prompts", "limit", "seed", "sft", "evaluation", "held-out measure"):
            values = [_measured_on(recipe, what) for recipe in recipes]
            for arm, value in zip(self.arms, values, strict=True):
                if value != values[0]:
                    raise UsageError(
                        f'arm "{arm.name}": {what} is {value}, but {values[0]} in "{self.arms[0].name}"; arms can be '
                        "compared only if these are the same"
                    )
        if any(arm.name == BEFORE for arm in self.arms):
            raise UsageError(f'"{BEFORE}" is the name of the policy before training; give the arm another name')
        if len({arm.folder for arm in self.arms}) < len(self.arms):
            raise UsageError("two arms have the same name; give each its own")
        return recipes


def load_arms(
    name: str,
    overrides: Sequence[str] = (),
    scale: str | None = None,
    changes: Mapping[str, object] | None = None,
) -> ArmsRecipe:
    """Reads a set of arms and checks every recipe in it.

    Args:
        name: of a shipped set, or the path of a `.toml` file.
        overrides: as for any recipe; `common.rl.steps=2` reaches all arms.
        scale: name of a shipped scale, which overrides the common settings and the arms' own.
        changes: settings that override the set's own tables.

    Raises: UsageError that says what is wrong.
    """
    if not name.endswith(".toml") and name not in shipped_arms():
        raise UsageError(f'there is no set of arms "{name}"; {nearest(name, shipped_arms(), "a .toml file")}')
    file = name if name.endswith(".toml") else str(SHIPPED_ARMS.joinpath(f"{name}.toml"))
    settings = load_settings(file)
    if scale is not None:
        settings["common"] = scale_settings(scale)
        arms: Any = settings.get("arms")
        for arm in arms if isinstance(arms, list) else ():
            if isinstance(arm, dict):  # if not, validation reports it
                arm.pop("settings", None)
    override(settings, overrides)
    replace(settings, changes or {})
    recipe = validated(name, ArmsRecipe, settings)
    recipe.recipes()
    return recipe


def arms(
    recipe: str | Path | ArmsRecipe = "warm_tone",
    *,
    out: str | Path | None = None,
    scale: str | None = None,
    progress: Progress | None = None,
    **settings: object,
) -> ArmsResult:
    """Runs several recipes on the same prompts and compares them. Resumes what an earlier process left unfinished.

    Arms run in one process; `preceptor run` launches a single recipe under `accelerate launch`.

    Examples:
        >>> arms("warm_tone", scale="tiny", seed=1)  # doctest: +SKIP

    Args:
        recipe: name of a shipped set of arms, path of a .toml file, or a set of arms.
        out: the folder of the runs; give it again to resume. By default a temporary folder, which is deleted with the
            result.
        scale: name of a shipped scale, which overrides the common settings and the arms' own.
        progress: shows what happens; a bar or lines on standard error when None.
        settings: overrides of the set's own tables, such as `common={"rl": {"steps": 10}}` or `seed=1`.

    Raises: UsageError for a recipe that cannot be run, or when `out` holds other arms; PreceptorError when a run fails.
    """
    check_keywords(settings, arms)
    require_training()
    if not isinstance(recipe, ArmsRecipe):
        recipe = load_arms(str(recipe), scale=scale, changes=settings)
    elif scale is not None or settings:
        raise UsageError("arms: a loaded set cannot be changed; pass its name or path instead")
    output = output_folder(out)
    begin_arms(output.path, recipe)
    with shown(progress) as display:
        return _run_arms(output.path, recipe, display).within(output)


def _run_arms(path: Path, recipe: ArmsRecipe, progress: Progress) -> ArmsResult:
    from preceptor.methods.execute import execute  # imports torch; mistakes in the recipes are reported before

    directories: list[RunDirectory] = []
    data: list[ReportData] = []
    for number, (arm, its_recipe) in enumerate(zip(recipe.arms, recipe.recipes(), strict=True), start=1):
        progress.note(f"arm {number} of {len(recipe.arms)}: {arm.name}")
        folder = path / "arms" / arm.folder
        known = (folder / "recipe.toml").is_file()
        directory = RunDirectory.open(folder) if known else RunDirectory.create(folder, its_recipe)
        data.append(directory.report_data(execute(directory, progress)))
        directories.append(directory)
    result, evaluation = compared(recipe, directories, data), against_each_other(recipe, data)
    write_json(path / result.FILE, result.model_dump(mode="json"))
    write_json(path / "evaluation.json", evaluation.model_dump(mode="json"))
    write_text(path / "report.html", render_arms(result, evaluation, data))
    write_text(path / "report.md", render_markdown(evaluation))
    return result


def against_each_other(recipe: ArmsRecipe, data: Sequence[ReportData]) -> Evaluation:
    """Compares the policy before training and the result of each arm, every pair of them."""
    summaries = [run.summary for run in data]
    first, judges = summaries[0], {_training_judge(summary) for summary in summaries}
    chosen = {arm.name: run.after for arm, run in zip(recipe.arms, data, strict=True)}
    steps = {arm.name: summary.kept for arm, summary in zip(recipe.arms, summaries, strict=True)}
    return evaluate_snapshots(
        recipe.description or "Ways of training",
        {BEFORE: data[0].before, **chosen},
        {BEFORE: first.policy} | steps,
        first.heldout_score_is,
        first.judge_score_is if len(judges) == 1 and None not in judges else None,
        judge_trained=any(summary.heldout_judge_trained for summary in summaries),
    )


def _training_judge(summary: RunSummary) -> tuple[str, ...] | None:
    """What identifies the source of an arm's `judge_score`; None if it has none, or its own reward model."""
    score, constitution = summary.judge_score_is, summary.constitution
    if score is None or summary.judge is None or constitution is None or summary.by_reward_model:
        return None
    return score.partition("(")[2], summary.judge, constitution.hash


def compared(recipe: ArmsRecipe, directories: Sequence[RunDirectory], data: Sequence[ReportData]) -> ArmsResult:
    """The results of the arms, side by side. The best arm gains most by the held-out measure; without such a measure
    there is no best arm.
    """
    gains = [change(run.before, run.after) for run in data]
    known = [(gain.value, -number) for number, gain in enumerate(gains) if gain is not None]
    best = -max(known)[1] if known else 0
    arms = [
        ArmRecord(
            name=arm.name,
            recipe=arm.recipe,
            folder=f"arms/{directory.path.name}",
            gain=gain,
            against_best=change(data[best].after, run.after),
            perplexity_ratio=run.summary.evaluation.perplexity_ratio,
            measured_responses=_measured_responses(run, directory),
            summary=run.summary,
        )
        for arm, directory, run, gain in zip(recipe.arms, directories, data, gains, strict=True)
    ]
    return ArmsResult(
        description=recipe.description,
        seed=recipe.seed,
        prompts=data[0].summary.prompts,
        best=recipe.arms[best].name if known else None,
        arms=tuple(arms),
    )


def begin_arms(path: Path, recipe: ArmsRecipe) -> None:
    """Makes the directory of the arms, or checks that it holds the same arms.

    Raises: UsageError when it holds something else.
    """
    text = tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))
    kept = path / "recipe.toml"
    if kept.exists():
        check_own(path, "arms")
        if kept.read_text(encoding="utf-8") != text:
            raise UsageError(f"{path}: holds a run of other arms; choose another folder")
        return
    check_unused(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    write_text(kept, text)
    mark(path, "arms")


def _measured_on(recipe: Recipe, what: str) -> Any:
    if what == "sft":
        return recipe.sft_first
    if what == "held-out measure":
        if (judge := recipe.held_out_judge) is not None:
            return judge.model
        constitution = (
            None
            if recipe.training_judge is None or recipe.training_judge.by_rubric
            else load_constitution(recipe.training_judge.constitution)
        )
        return (constitution and constitution.held_out) or "none (evaluation.judge.model can name a judge)"
    if what != "evaluation":
        return getattr(recipe, what)
    settings = recipe.evaluation
    return {
        "judge": recipe.held_out_judge,
        "heldout_share": settings.heldout_share,
        "validation_share": settings.validation_share,
        "samples_per_prompt": settings.samples_per_prompt,
        "max_new_tokens": recipe.heldout_decoding.max_new_tokens,
        "temperature": recipe.heldout_decoding.temperature,
    }


def _measured_responses(data: ReportData, directory: RunDirectory) -> int:
    """Number of responses judged to measure the policy, not to train it. If the policy before training was kept, the
    measurement after training is the same as before.
    """
    after = [data.after] if data.summary.best_step else []
    snapshots = [data.before, *directory.checkpoint_snapshots().values(), *after]
    return sum(response.judge_score is not None for snapshot in snapshots for response in snapshot.responses)
