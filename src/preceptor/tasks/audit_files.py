"""The files that an audit writes for other commands: a calibration, a bias correction, a cascade."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import Preference
from preceptor.evaluation.judges.bias_fitting import fit_correction
from preceptor.evaluation.judges.judge_audit import JudgeRun
from preceptor.judging import bias_correction, calibration
from preceptor.judging import cascade as cascades
from preceptor.judging.constitution import load_constitution
from preceptor.judging.specs import JudgeSpec
from preceptor.store.files import writing
from preceptor.tasks import licences

_REPLACEABLE: dict[str, Callable[[Path], None]] = {
    "save_calibration": calibration.check_replaceable,
    "save_bias": bias_correction.check_replaceable,
    "save_cascade": cascades.check_replaceable,
    "licence": licences.check_replaceable,
}


def check_files(specs: Sequence[JudgeSpec], files: Mapping[str, str | Path | None]) -> None:
    """Checks the files that an audit is to write, by the names of its arguments.

    Raises: UsageError for a file of one judge where several are named, and for one that may not be replaced.
    """
    for name, file in files.items():
        if file is not None and name != "save_cascade" and len(specs) != 1:
            raise UsageError(f"{name} is for one judge; {len(specs)} are named")
        if file is not None:
            _REPLACEABLE[name](Path(file))


def check_unseen(wanted: Mapping[str, object], learnt: Sequence[int]) -> None:
    """Checks that what rests on people's labels does not rest on rows that a judge was taught: it remembers them.

    Args:
        wanted: what is asked for, by the names of an audit's arguments; None or False if it is not.
        learnt: of each judge, the rows on whose prompts it was taught.

    Raises: UsageError if there are any.
    """
    names = [name for name, value in wanted.items() if value]
    if names and (most := max(learnt)):
        raise UsageError(
            f"{names[0]}: a judge was taught on the prompts of {most} of these rows, and this has to rest on prompts "
            "that it never saw; leave these rows out (held_out.jsonl beside a trained judge has none of them)"
        )


def save_fitted(
    files: Mapping[str, str | Path | None],
    run: JudgeRun,
    spec: JudgeSpec,
    method: calibration.Method,
    progress: Progress,
) -> None:
    """Writes what is fitted on the labels of a single judge: a calibration and a bias correction, where asked for.

    Raises: UsageError with too few labels or prompts.
    """
    if (file := files["save_calibration"]) is not None:
        _save_calibration(Path(file), run, method)
    if (file := files["save_bias"]) is not None:
        _save_bias(Path(file), run, spec, progress)


def write_cascade(path: str | Path | None, cascade: cascades.Cascade | None, progress: Progress) -> None:
    """Writes the cascade if there is one; an older file is left as it is otherwise."""
    if path is None:
        return
    if cascade is None:
        progress.note(f"no cascade is certified, so {path} is not written")
        return
    with writing(Path(path)):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    cascades.save(cascade, Path(path))


def _save_calibration(path: Path, run: JudgeRun, method: calibration.Method) -> None:
    pairs = [(judged.outcome, judged.human) for judged in run.rows if isinstance(judged.outcome, Preference)]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    calibration.save(calibration.fit(pairs, method), path)


def _save_bias(path: Path, run: JudgeRun, spec: JudgeSpec, progress: Progress) -> None:
    pairs = [(judged.outcome, judged.human) for judged in run.rows if isinstance(judged.outcome, Preference)]
    alone = spec.resolved().shown == "alone"
    correction = fit_correction(pairs, load_constitution(spec.constitution).score.values if alone else None)
    if not correction.preference and not correction.score:
        progress.note(f"{path} takes off nothing: no preference of this judge is in excess of people beyond chance")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    bias_correction.save(correction, path)
