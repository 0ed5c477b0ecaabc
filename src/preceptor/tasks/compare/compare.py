"""Finished runs, or evaluations, side by side."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.validation import first_problem
from preceptor.evaluation.checkpoints.snapshot import MeasureName, Snapshot, differences
from preceptor.evaluation.checkpoints.sweep import heldout_of
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.evaluation.policies import words
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.signs import holm, sign_flip_p_value
from preceptor.recipes.load import recipe_data
from preceptor.reports.compare.page import render_compare, render_compare_markdown
from preceptor.reports.run.page import judge_doubts
from preceptor.results.comparison import ComparisonResult, ResultRow, RunDifference, RunSide, Setting
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import read_json, write_text
from preceptor.store.output import is_temporary, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.reading import resolved, why
from preceptor.tasks.compare.constitutions import constitution_text, constitution_versions

_SAYS_NOTHING = ("description",)
"""Settings that do not affect the result."""


@dataclass(frozen=True)
class _Read:
    """A side, with data that the comparison needs but the report does not show."""

    side: RunSide
    after: Snapshot | None
    """Measurement of the kept checkpoint; None for an unfinished run, and for a folder that holds only an evaluation.
    """
    held_out: tuple[str | None, ...] = ()
    """Identities of the held-out judge and of its constitution; empty if there is no such judge."""


def compare(
    paths: Sequence[str | PathLike[str]], *, out: str | Path | None = None, names: Sequence[str] | None = None
) -> ComparisonResult:
    """Reads runs and evaluations and compares their settings and results.

    Examples:
        >>> compare(["runs/one", "runs/two"]).differences  # doctest: +SKIP

    Args:
        paths: runs and evaluations: their results, or their folders.
        out: where `compare.html`, `compare.md` and `compare.json` are written; a temporary folder when None.
        names: names for them, in the same order; by default the folders' names.

    Raises: UsageError for fewer than two paths, a folder that is neither, or the wrong number of names; PreceptorError
        for a damaged file.
    """
    folders = [] if isinstance(paths, str | PathLike) else [Path(path) for path in paths]
    if len(folders) < 2:
        raise UsageError("name two or more runs to compare")
    output = output_folder(out)
    check_own(output.path, "comparison")
    if len({resolved(path) for path in folders}) < len(folders):
        raise UsageError("the same folder is named twice; give two different ones")
    called = _names(folders) if names is None else list(names)
    if len(set(called)) != len(folders) or len(called) != len(folders):
        raise UsageError(f"{len(called)} names for {len(folders)} runs; give each a name of its own")
    read = [_read(path, name) for path, name in zip(folders, called, strict=True)]
    sides = tuple(side.side for side in read)
    compared = ComparisonResult(
        sides=sides,
        settings=_settings(sides),
        results=_results(sides),
        differences=_differences(read),
        constitutions=constitution_versions(sides),
        notes=_notes(read),
    )
    with working_in(output.path, "comparison"):
        write_text(output.path / "compare.md", render_compare_markdown(compared))
        write_text(output.path / compared.REPORT, render_compare(compared))
        return compared.save(output)


def _names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with as many parent folders as needed to make them unique; "result 2" for the second if it is
    in a temporary folder.
    """
    parts = [
        (f"result {number}",) if is_temporary(path) else resolved(path).parts[1:] or ("/",)
        for number, path in enumerate(paths, start=1)
    ]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(names[-depth:]) for names in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths have different names")


def _read(path: Path, name: str) -> _Read:
    evaluation = _evaluation(path / "evaluation.json")
    if (path / "arms").is_dir():
        raise UsageError(f"{path}: holds several runs; compare those in {path / 'arms'}")
    if not (path / "recipe.toml").is_file():
        if evaluation is None:
            raise UsageError(
                f"{path}: holds neither a run (recipe.toml) nor an evaluation (evaluation.json); give the folders of "
                "two or more"
            )
        return _Read(RunSide(name=name, summary=None, recipe=None, constitution=None, evaluation=evaluation), None)
    directory = RunDirectory.open(path)
    summary = directory.finished()
    side = RunSide(
        name=name,
        summary=summary,
        recipe=recipe_data(directory.recipe),
        constitution=constitution_text(directory.recipe, summary),
        evaluation=evaluation,
    )
    inputs = directory.path / "inputs.json"
    pinned: dict[str, Any] = read_json(inputs) if inputs.exists() else {}
    held_out = (pinned.get("held-out judge"), pinned.get("held-out constitution"))
    return _Read(side, None if summary is None else directory.report_data(summary).after, held_out)


def _evaluation(path: Path) -> Evaluation | None:
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise PreceptorError(f"{path}: is damaged ({first_problem(error)}); evaluate again to rewrite it") from error
    except (OSError, ValueError) as error:
        raise PreceptorError(f"{path}: cannot be read: {why(error)}") from error


def _settings(sides: Sequence[RunSide]) -> tuple[Setting, ...]:
    """The settings in which the recipes differ, in the order of the first recipe that has the setting."""
    recipes = [None if side.recipe is None else dict(_leaves(side.recipe)) for side in sides]
    known = [recipe for recipe in recipes if recipe is not None]
    differing = [
        key
        for key in dict.fromkeys(key for recipe in known for key in recipe)
        if len({recipe.get(key) for recipe in known}) > 1 and key not in _SAYS_NOTHING
    ]
    return tuple(
        Setting(key=key, values=tuple(None if recipe is None else recipe.get(key) for recipe in recipes))
        for key in differing
    )


def _leaves(table: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Every setting with its dotted key, as text."""
    settings: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            settings += _leaves(value, f"{above}{key}.")
        else:
            settings.append((above + key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return settings


def _results(sides: Sequence[RunSide]) -> tuple[ResultRow, ...]:
    """The measures that any side has."""
    by, judged = _same({s.summary.heldout_score_is for s in sides if s.summary}), _same(_judges(sides))
    rows = [
        _row(sides, f"held-out score{by}, gain", _of_summary(lambda s: s.heldout_change), signed=True),
        _row(sides, f"held-out score{by}", _after("heldout_score")),
        _row(sides, f"preferred to the baseline{judged}", _win_rate, percent=True),
        _row(sides, f"preferred to the baseline{judged}, at equal length", _at_equal_length, percent=True),
        _row(sides, "judge's or reward model's score", _after("judge_score")),
        _row(sides, "KL, nats per response", _after("kl"), digits=1),
        _row(
            sides,
            "perplexity on reference answers, relative to before",
            _of_summary(lambda s: s.evaluation.perplexity_ratio),
        ),
        _row(sides, "distinct-2", _after("distinct_2")),
        _row(sides, "tokens per response", _after("tokens_mean"), digits=1),
        _row(sides, "step kept, or round", _of_summary(lambda s: float(s.best_step)), digits=0),
        _row(sides, "judge calls", _of_summary(lambda s: float(s.judge_calls)), digits=0),
        _row(sides, "tokens of the judge", _of_summary(lambda s: float(s.judge_tokens)), digits=0),
        _row(sides, "cost of all calls, $", _of_summary(lambda s: s.cost_usd)),
        _row(sides, "seconds", _of_summary(lambda s: float(s.wall_s)), digits=0),
    ]
    return tuple(row for row in rows if any(value is not None for value in row.values))


Value = Estimate | float | None


def _row(sides: Sequence[RunSide], measure: str, value: Callable[[RunSide], Value], **shown: Any) -> ResultRow:
    return ResultRow(measure=measure, values=tuple(value(side) for side in sides), **shown)


def _of_summary(value: Callable[[RunSummary], Value]) -> Callable[[RunSide], Value]:
    return lambda side: None if side.summary is None else value(side.summary)


def _after(measure: MeasureName) -> Callable[[RunSide], Value]:
    """A measure of the kept checkpoint."""
    return _of_summary(lambda summary: summary.evaluation.after.measure(measure).overall)


def _same(measures: Collection[str | None]) -> str:
    """The measure behind a number, in brackets, if it is the same for all sides that have the number."""
    known = set(measures) - {None}
    return f" ({next(iter(known))})" if len(known) == 1 else ""


def _judges(sides: Sequence[RunSide]) -> set[str]:
    """The judges behind the win rates."""
    return {side.evaluation.judge.name for side in sides if side.evaluation is not None and _win_rate(side) is not None}


def _win_rate(side: RunSide) -> Estimate | None:
    """The win rate of an evaluation's one policy besides its baseline."""
    if side.evaluation is None or len(side.evaluation.policies) != 2:
        return None
    baseline, policy = (facts.name for facts in side.evaluation.policies)
    rates = (r for r in side.evaluation.win_rates if (r.policy, r.against, r.cohort) == (policy, baseline, None))
    return next((rate.rate for rate in rates), None)


def _at_equal_length(side: RunSide) -> Estimate | None:
    if side.evaluation is None or len(side.evaluation.policies) != 2:
        return None
    baseline, policy = (facts.name for facts in side.evaluation.policies)
    rates = (rate for rate in side.evaluation.length_control if (rate.policy, rate.against) == (policy, baseline))
    return next((rate.by_difference for rate in rates), None)


def _differences(read: Sequence[_Read]) -> tuple[RunDifference, ...]:
    """The later side's held-out score minus the earlier's, for every two sides with the same held-out measure."""
    differing: list[RunDifference] = []
    for earlier, later in combinations(read, 2):
        differences_P = _paired(earlier, later)
        difference = mean_by_prompt([[difference] for difference in differences_P])
        if difference is not None:
            differing.append(
                RunDifference(
                    name=later.side.name,
                    against=earlier.side.name,
                    measure="held-out score",
                    difference=difference,
                    p_value=sign_flip_p_value(differences_P),
                    p_holm=None,
                )
            )
    corrected = holm([difference.p_value for difference in differing])
    return tuple(
        difference.model_copy(update={"p_holm": p}) for difference, p in zip(differing, corrected, strict=True)
    )


def _paired(earlier: _Read, later: _Read) -> list[float]:
    """Differences by prompt that both answered; empty if the held-out measures are not the same."""
    if earlier.after is None or later.after is None or _measure(earlier) != _measure(later):
        return []
    asked = [{r.prompt_id: r.prompt for r in snapshot.responses} for snapshot in (earlier.after, later.after)]
    same = {name for name, text in asked[0].items() if asked[1].get(name) == text}
    return [value for name, value in differences(earlier.after, later.after, heldout_of).items() if name in same]


def _measure(read: _Read) -> tuple[Any, ...]:
    """What identifies the held-out measure: its name and, for a judge, its settings, model and constitution."""
    assert read.side.summary is not None  # a finished run: it has a measurement
    recipe = read.side.recipe or {}
    evaluation = recipe.get("evaluation")
    judge = evaluation.get("judge") if isinstance(evaluation, dict) else None
    settings = judge if isinstance(judge, dict) else {}
    asked = {name: value for name, value in settings.items() if name != "constitution"}  # that may come from [judge]
    return read.side.summary.heldout_score_is, asked, *read.held_out


def _notes(read: Sequence[_Read]) -> tuple[str, ...]:
    """What a reader should know before believing the table."""
    notes = [note for run in read for note in _notes_on(run.side)]
    if len(judges := sorted(_judges([run.side for run in read]))) > 1:
        notes.append(f"The win rates are by different judges and cannot be compared: {', '.join(judges)}.")
    finished = [run for run in read if run.after is not None]
    notes += [note for pair in combinations(finished, 2) if (note := _apart(*pair))]
    if len({_sampled(run.side) for run in finished}) > 1:
        notes.append("The runs were sampled differently: length limit, temperature or responses per prompt.")
    if len({run.side.summary and run.side.summary.policy for run in finished}) > 1:
        notes.append("The runs began with different models, so their scores differ before any training.")
    if len(finished) > 2:
        notes.append(
            "The run in front is the best of several: part of its lead is luck, and another seed may change it."
        )
    return tuple(notes)


def _notes_on(side: RunSide) -> Iterator[str]:
    """What a reader should know about one side."""
    summary, evaluation, name = side.summary, side.evaluation, side.name
    if summary is None:
        if side.recipe is not None:
            yield f"{name} is not finished, so it has no results here."
        doubts = [] if evaluation is None else words.judge_doubts(evaluation)
    else:
        if summary.heldout_score_is is None:
            yield f"Nothing independent measured {name}."
        if summary.heldout_judge_trained:
            yield f"The held-out judge of {name} is the model that judged during its training."
        doubts = judge_doubts(summary, evaluation)
    yield from (f"{name}: {doubt}" for doubt in doubts)
    if evaluation is not None and len(evaluation.policies) != 2:
        yield f"The evaluation of {name} has several policies: its win rates are in its own report."


def _apart(earlier: _Read, later: _Read) -> str | None:
    """Why two runs cannot be compared by prompt, or only on some prompts."""
    names = f"{earlier.side.name} and {later.side.name}"
    if _measure(earlier) != _measure(later):
        return f"The held-out scores of {names} are by different measures and cannot be compared."
    assert earlier.after is not None  # only finished runs get here
    assert later.after is not None
    counts = [len({response.prompt_id for response in run.after.responses}) for run in (earlier, later) if run.after]
    shared = len(_paired(earlier, later))
    if shared == max(counts):
        return None
    on = f"compared on the {shared} that they share" if shared else "not compared"
    return f"{names} were measured on different prompts ({counts[0]} and {counts[1]}); they are {on}."


def _sampled(side: RunSide) -> tuple[int, float, int] | None:
    """How the measured responses of a finished run were sampled."""
    summary = side.summary
    if summary is None:
        return None
    return summary.answering.max_new_tokens, summary.answering.temperature, summary.samples_per_prompt
