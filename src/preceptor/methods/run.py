"""Running recipes from Python: start a run, resume one, or load a finished one."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.extras import require_training
from preceptor.core.progress import Progress
from preceptor.core.validation import check_keywords
from preceptor.judging.judge import Judge
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.judge_tables import judge_table
from preceptor.recipes.base import Recipe
from preceptor.recipes.layers import replace
from preceptor.recipes.load import compose, load_recipe, recipe_data, scale_settings, validated
from preceptor.runs.directory import PROMPTS, RunDirectory
from preceptor.runs.result import RunResult
from preceptor.store.output import Output, output_folder
from preceptor.store.reading import Settings
from preceptor.store.tabular import Rows, rows_as_file


def run(
    recipe: str | Path | Recipe,
    *,
    policy: str | Path | None = None,
    judge: Judge | JudgeSpec | str | None = None,
    prompts: "Rows | None" = None,
    out: str | Path | None = None,
    scale: str | None = None,
    merge: bool = False,
    progress: Progress | None = None,
    **settings: object,
) -> RunResult:
    """Runs a recipe: samples, judges, trains, measures, chooses a checkpoint and reports.

    Examples:
        >>> run("direct_rlaif", policy="embedded", judge="embedded", rl={"steps": 10})  # doctest: +SKIP

    Args:
        recipe: name of a shipped recipe, path of a .toml file, or a recipe.
        policy: model string of the model to train; the recipe's when None.
        judge: replaces the model, the constitution and the way of asking of the recipe's judge.
        prompts: prompts for training and measuring: a path, a packaged set, texts, dicts, a DataFrame or a
            `datasets.Dataset`.
        out: the run directory, new or empty; by default a temporary one, which is deleted with the result.
        scale: name of a shipped scale, such as "tiny", whose settings replace the recipe's.
        merge: also write the kept model with its adapters merged into the weights.
        progress: shows what happens; a bar or lines on standard error when None.
        settings: tables and settings of the recipe, such as `rl={"steps": 10}` or `seed=1`. They override the rest.

    Raises: UsageError for a recipe that cannot be run, before anything is written; PreceptorError when the run fails.
        With `out`, `resume` can then continue it.
    """
    check_keywords(settings, run)
    require_training()
    output = output_folder(out)
    own = ({} if policy is None else {"policy": str(policy)}) | settings

    def prepare() -> RunDirectory:
        with tempfile.TemporaryDirectory() as folder:
            rows: dict[str, object] = {}
            if prompts is not None:
                rows["prompts"] = str(rows_as_file(prompts, Path(folder), name=PROMPTS, text_column="prompt"))
            loaded = with_settings(recipe, rows | own, scale, judge)
            return RunDirectory.create(output.path, loaded, within=Path(folder))

    return _run(prepare, output, merge=merge, progress=progress)


def resume(path: str | Path, *, merge: bool = False, progress: Progress | None = None) -> RunResult:
    """Resumes the run in a directory where an earlier process stopped. A finished run is not repeated.

    Args:
        merge: also write the kept model with its adapters merged into the weights.

    Raises: UsageError when there is no run, or one of its inputs has changed; PreceptorError when it fails.
    """
    return _run(lambda: RunDirectory.open(Path(path)), output_folder(path), merge=merge, progress=progress)


def with_settings(
    recipe: str | Path | Recipe,
    settings: Mapping[str, object],
    scale: str | None = None,
    judge: Judge | JudgeSpec | str | None = None,
) -> Recipe:
    """A recipe at a scale, with another judge and other settings. The settings override the rest.

    Args:
        settings: tables and settings as in the recipe's file.

    Raises: UsageError that names the key and what was expected.
    """
    known = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
    own: Settings = {}
    if judge is not None:
        own["judge"] = judge_table(judge, known, settings)
    replace(own, settings)
    if not isinstance(recipe, Recipe):
        return compose(str(recipe), {} if scale is None else scale_settings(scale), own, "run")
    if scale is not None:
        raise UsageError("scale: cannot apply to a loaded recipe; pass the recipe's name or path instead")
    data: Settings = {**recipe_data(recipe)}
    replace(data, own)
    return validated("recipe", type(recipe), data)


def _run(prepare: Callable[[], RunDirectory], output: Output, *, merge: bool, progress: Progress | None) -> RunResult:
    """Runs the recipe of a run directory in every launched process."""
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    directory = None if launched else prepare()  # mistakes are reported before torch is imported
    from preceptor.methods.execute import execute
    from preceptor.training.processes import Processes

    processes = Processes()
    directory = directory or processes.on_main(prepare)
    execute(directory, progress, merge=merge, processes=processes)
    return RunResult(output if directory.path == output.path else Output(directory.path))
