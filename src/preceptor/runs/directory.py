"""The directory of one run and its files."""

import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from preceptor.core.errors import CheckpointError, PreceptorError, UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.progress import Facts
from preceptor.core.types import Frozen, JsonObject
from preceptor.core.validation import first_problem
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.policies.result import Evaluation
from preceptor.recipes.base import Recipe
from preceptor.recipes.load import dump_recipe, load_recipe, with_absolute_paths
from preceptor.reports.run.page import ReportData
from preceptor.results.run import RunStatus, RunSummary
from preceptor.runs.inputs import read_inputs
from preceptor.store.files import (
    REMEDY,
    append_line,
    read_json,
    read_rows,
    remove_partials,
    write_json,
    write_text,
    writing,
)
from preceptor.store.in_memory import name_of, remember
from preceptor.store.own_folder import check_own, check_unused, mark
from preceptor.store.pinned import pin

Kept = TypeVar("Kept", bound=Frozen)
PROMPTS = "prompts.jsonl"
"""The run's copy of its prompts, if they were given in memory."""


def how_to_resume(path: str | Path) -> str:
    """How a run is resumed, on the command line and in Python."""
    return f"`preceptor run --resume {path}`, or in Python `preceptor.resume`"


class RunDirectory:
    """One run: the resolved `recipe.toml`, `ledger.sqlite`, `checkpoints/`, `evaluations/`, `metrics.jsonl`,
    `summary.json` and `report.html`; `stages/` with the result of each finished stage; and, depending on the method
    and the engine, `labels/`, `reward_model/`, `revision/`, `sft/`, `fine_tuning/` and `engine/`. If the recipe has
    rounds, `rounds/` has a run directory for each.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe

    @classmethod
    def create(cls, path: Path, recipe: Recipe, within: Path | None = None) -> "RunDirectory":
        """Begins a run. The recipe's inputs are checked first, so a mistake in them leaves no directory behind.

        Args:
            within: if the recipe's prompts are a file in this folder, the run gets its own copy.

        Raises: UsageError when the recipe cannot be run or the directory is in use, PreceptorError when it cannot be
            written.
        """
        read_inputs(recipe)
        prompts = Path(recipe.prompts)
        recipe = with_absolute_paths(recipe)
        if copied := prompts.parent == within:
            recipe = recipe.model_copy(update={"prompts": str((path / PROMPTS).absolute())})
        if (path / "recipe.toml").exists():
            same = (path / "recipe.toml").read_text(encoding="utf-8") == dump_recipe(recipe)
            what = "this run" if same else "a run of another recipe"
            raise UsageError(
                f"{path}: already holds {what}; resume it ({how_to_resume(path)}), or choose another folder"
            )
        check_unused(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PreceptorError(f"{path}: the run directory cannot be made: {error.strerror or error}") from error
        if copied:
            write_text(path / PROMPTS, prompts.read_text(encoding="utf-8"))
            remember(path / PROMPTS, name_of(prompts))
        write_text(path / "recipe.toml", dump_recipe(recipe))
        mark(path, "run")
        return cls(path, recipe)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Opens an existing run.

        Raises: UsageError when there is none, or the folder also holds files that no run wrote.
        """
        if not (path / "recipe.toml").is_file():
            raise UsageError(f"{path}: holds no run (there is no recipe.toml in it); give the folder of a run")
        check_own(path, "run")
        return cls(path, load_recipe(str(path / "recipe.toml")))

    @property
    def has_test_prompts(self) -> bool:
        """Whether the run keeps test prompts apart from those that choose the checkpoint; early versions did not."""
        kept = tomllib.loads((self.path / "recipe.toml").read_text(encoding="utf-8"))
        return "validation_share" in kept.get("evaluation", {})

    def check_version(self) -> None:
        """Raises: UsageError for a run begun by an earlier version, which used its held-out prompts differently."""
        if not self.has_test_prompts:
            raise UsageError(
                f"{self.path}: an earlier version of preceptor began this run, without test prompts apart from those "
                "that choose the checkpoint; start a new run, or continue with that version"
            )

    def check_resumable(self) -> None:
        """Raises: UsageError for a run begun by an earlier version, or one of whose inputs has changed."""
        self.check_version()
        if (self.path / "inputs.json").exists():
            self.pin_inputs(read_inputs(self.recipe).hashes(self.recipe))

    def tidy(self) -> None:
        """Makes missing folders and removes files that a killed process left half-written.

        Raises: PreceptorError when the run directory cannot be written.
        """
        with writing(self.path):
            for folder in (self.path, self.path / "evaluations", self.path / "stages"):
                folder.mkdir(exist_ok=True)
                remove_partials(folder)

    def pin_inputs(self, inputs: dict[str, str]) -> None:
        """Records the run's inputs by hash or identity; later processes must use the same inputs.

        A recipe's file from an earlier version lacks settings that came later: the recipe is the same if its file is.

        Raises: UsageError naming the input that has changed.
        """
        path, written = self.path / "inputs.json", content_hash((self.path / "recipe.toml").read_text("utf-8"))[:16]
        if "recipe" in inputs and path.exists() and read_json(path).get("recipe") == written:
            inputs = inputs | {"recipe": written}
        pin(path, inputs, "a run", in_stages=True)

    def stage_result(self, name: str, kind: type[Kept]) -> Kept | None:
        """The result of a stage; None if it is not finished.

        Raises: CheckpointError when the file is damaged.
        """
        path = self.path / "stages" / f"{name}.json"
        return _read(path, kind) if path.exists() else None

    def other_stages(self, known: Iterable[str]) -> dict[str, JsonObject]:
        """The results of finished stages apart from the known ones, by name, as the files hold them."""
        names = {path.stem for path in (self.path / "stages").glob("*.json")} - set(known)
        return {name: read_json(self.path / "stages" / f"{name}.json") for name in sorted(names)}

    def finish_stage(self, name: str, result: Frozen, seconds: float) -> None:
        """Records the result of a finished stage and the time it took."""
        append_line(self.timings, {"stage": name, "seconds": round(seconds, 3)})
        write_json(self.path / "stages" / f"{name}.json", result.model_dump(mode="json"))

    def seconds(self) -> dict[str, float]:
        """Seconds of each part of the run so far: its stages, `measuring` and `training`."""
        totals: dict[str, float] = {}
        for row in read_rows(self.timings):
            part = str(row["stage"]) if "stage" in row else "measuring" if "measurement" in row else "training"
            totals[part] = totals.get(part, 0.0) + sum(value for value in row.values() if isinstance(value, float))
        return {part: round(seconds, 1) for part, seconds in totals.items()}

    def metrics(self) -> list[Facts]:
        """The facts of each finished training step."""
        rows: list[Any] = read_rows(self.path / "metrics.jsonl")
        return rows

    @property
    def timings(self) -> Path:
        """The file of times, the only one that differs between equal runs."""
        return self.path / "timings.jsonl"

    @property
    def ledger(self) -> Path:
        """The file of the ledger."""
        return self.path / "ledger.sqlite"

    @property
    def _evaluations(self) -> Path:
        """The folder of measurements."""
        return self.path / "evaluations"

    @property
    def best(self) -> Path:
        """The folder of the checkpoint that was kept."""
        return self.path / "checkpoints" / "best"

    @property
    def base(self) -> str:
        """The model that the method started from, as a model string: the policy, or what fine-tuning made of it."""
        stage, first = self.recipe.base_stage, self.path if self.recipe.rounds is None else self.round_folder(1)
        return self.recipe.policy if stage is None else str(first / stage / "model")

    def round_folder(self, number: int) -> Path:
        """The run directory of a round, if the recipe has rounds; the first is 1."""
        return self.path / "rounds" / str(number)

    def rounds(self) -> list["RunDirectory"]:
        """The rounds that have begun, in their order; none of a run without rounds."""
        begun = [int(file.parent.name) for file in (self.path / "rounds").glob("[0-9]*/recipe.toml")]
        return [RunDirectory.open(self.round_folder(number)) for number in sorted(begun)]

    @property
    def merged(self) -> Path:
        """The folder of the merged model, which exists if one was asked for."""
        return self.path / "merged"

    @property
    def report(self) -> Path:
        """The file of the report."""
        return self.path / "report.html"

    def snapshot(self, name: str, measure: Callable[[], Snapshot]) -> Snapshot:
        """The measurement of that name; made now, unless it exists."""
        path = self._evaluations / f"{name}.json"
        if not path.exists():
            begun = time.perf_counter()
            write_text(path, measure().model_dump_json(indent=1) + "\n")
            seconds = round(time.perf_counter() - begun, 3)
            append_line(self.timings, {"measurement": name, "seconds": seconds})
        return _read(path, Snapshot)

    def checkpoint_snapshots(self) -> dict[int, Snapshot]:
        """The finished measurements of checkpoints by step, with the training judge's scores if it was asked."""
        names = [path for kind in ("step", "graded") for path in sorted(self._evaluations.glob(f"{kind}-*.json"))]
        return {snapshot.step: snapshot for snapshot in (_read(path, Snapshot) for path in names)}

    def report_data(self, summary: RunSummary) -> ReportData:
        """All that the report shows, except for the evaluation."""
        return ReportData(
            summary=summary,
            metrics=self.metrics(),
            before=_read(self._evaluations / "before.json", Snapshot),
            after=_read(self._evaluations / "after.json", Snapshot),
        )

    def write_summary(self, summary: RunSummary | RunStatus) -> None:
        """Writes `summary.json`."""
        unset = {"error"} if isinstance(summary, RunStatus) and summary.error is None else None
        write_json(self.path / "summary.json", summary.model_dump(mode="json", exclude=unset))

    def read_summary(self) -> RunSummary | RunStatus | None:
        """The content of `summary.json`; None if there is no such file.

        Raises: PreceptorError if the file is damaged, or was written by an early version of preceptor that recorded
            less.
        """
        path = self.path / "summary.json"
        if not path.exists():
            return None
        content = read_json(path)
        kind = RunSummary if content.get("status") == "done" else RunStatus
        try:
            return kind.model_validate(content)
        except ValidationError as error:
            raise PreceptorError(
                f"{path}: is damaged, or was written by a version of preceptor that this one cannot read "
                f"({first_problem(error)}); {REMEDY}"
            ) from error

    def finished(self) -> RunSummary | None:
        """The summary of a finished run; None if it is not finished.

        Raises: PreceptorError as `read_summary`.
        """
        summary = self.read_summary()
        return summary if isinstance(summary, RunSummary) else None

    def read_evaluation(self) -> Evaluation | None:
        """The content of `evaluation.json`; None if there is no such file.

        Raises: PreceptorError when the file is damaged.
        """
        path = self.path / "evaluation.json"
        try:
            return Evaluation.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None
        except (OSError, ValueError) as error:
            raise PreceptorError(f"{path}: is damaged; `preceptor report {self.path}` writes it anew") from error


def next_run_path(root: Path, name: str) -> Path:
    """The first of `root/name-1`, `root/name-2`, ... that does not exist."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"


def _read(path: Path, kind: type[Kept]) -> Kept:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: is damaged ({reason}); {REMEDY}") from error
