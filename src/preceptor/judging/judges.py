"""The judges that a task is given, in whatever form a program names them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from preceptor.backends.connection import Connection
from preceptor.core.errors import UsageError
from preceptor.core.validation import check_dollars, settings_of
from preceptor.judging.judge import Judge
from preceptor.judging.specs import JudgeSpec, check_judges, check_single, read_judges

Judges: TypeAlias = "Judge | JudgeSpec | str | Path | Sequence[Judge | JudgeSpec | str | Path]"
"""One judge or several: a `Judge`, a specification, a model string, or the path of a .toml file of [[judges]] or
of a cascade that an audit saved."""


def judge_specs(judges: Judges) -> tuple[JudgeSpec, ...]:
    """The specifications of judges, in whatever form they are given.

    Raises: UsageError for no judge, another type, an unknown name or a missing file.
    """
    listed = _listed(judges)
    specs = tuple(spec for judge in listed for spec in _specs(judge))
    if not specs:
        raise UsageError('no judge is named; give at least one, such as Judge("embedded")')
    check_judges(specs)
    return specs


def one_judge(judges: Judges, what: str) -> JudgeSpec:
    """The one judge for work that takes the model as it is, without calibration or bias correction.

    Args:
        what: the work, for messages.

    Raises: UsageError for several judges and for a cascade, and as `judge_specs` does.
    """
    specs = judge_specs(judges)
    if len(specs) != 1:
        raise UsageError(f"{what} takes one judge at a time; {len(specs)} are named")
    check_single(specs, what)
    return specs[0].model_copy(update={"calibration": None, "bias": None})


def _listed(judges: Any) -> list[Any]:
    if isinstance(judges, Judge | JudgeSpec | str | Path):
        return [judges]
    if not isinstance(judges, Collection) or isinstance(judges, Mapping):
        raise UsageError(
            f"expected a Judge, a JudgeSpec, a model string or a list of them, got {type(judges).__name__}"
        )
    return list(cast("Collection[Any]", judges))


def _specs(judge: Judge | JudgeSpec | str | Path) -> tuple[JudgeSpec, ...]:
    if isinstance(judge, Judge):
        return (judge.spec,)
    if isinstance(judge, JudgeSpec):
        return (judge,)
    if not isinstance(judge, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"expected a Judge, a JudgeSpec or a model string, got {type(judge).__name__}")
    if str(judge).endswith((".toml", ".json")):
        return read_judges(Path(judge))
    return (JudgeSpec(model=str(judge)),)


def shared_connection(judges: Judges, connection: Connection | Mapping[str, Any] | None) -> Connection | None:
    """The connection settings: as given, otherwise those of the judges.

    Raises: UsageError when two judges say different things, and for a wrong setting.
    """
    given = settings_of("connection", Connection, connection)
    stated = [judge.connection for judge in _listed(judges) if isinstance(judge, Judge) and judge.connection]
    if given is None and any(other != stated[0] for other in stated):
        raise UsageError("the judges have different connections; give the one to use as connection=")
    return given or next(iter(stated), None)


def shared_budget(judges: Judges, budget: float | None) -> float | None:
    """Most dollars that a task may cost: as given, otherwise the smallest budget of a judge.

    Raises: UsageError for an invalid amount.
    """
    budgets = [judge.budget for judge in _listed(judges) if isinstance(judge, Judge) and judge.budget is not None]
    return check_dollars("budget", min(budgets, default=None) if budget is None else budget)
