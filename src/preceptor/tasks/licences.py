"""Writing the licence of an audited judge."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.evaluation.judges.attack_rates import JudgeAttacks
from preceptor.evaluation.judges.judge_audit import JudgeAudit, JudgeRun
from preceptor.evaluation.judges.licence import CANARIES, Measured, licence_of, load, save
from preceptor.judging import saved
from preceptor.judging.canary import canaries_of
from preceptor.store.files import content_of, writing
from preceptor.store.hub.names import is_on_hub
from preceptor.store.in_memory import name_of


def check_replaceable(path: Path) -> None:
    """Checks that a licence replaces only an older one.

    Raises: UsageError when the path holds anything else, or is not a .toml file.
    """
    if path.suffix != ".toml":
        raise UsageError(f"{path}: a licence is a .toml file")
    saved.check_replaceable(path, load, "licence")


def write(
    path: Path,
    run: JudgeRun,
    measured: JudgeAudit,
    attacks: Sequence[JudgeAttacks],
    data: Path,
    ledger: Path,
) -> None:
    """Writes the licence of a judge, with some of its recorded questions.

    Args:
        attacks: on this judge; none if it was not attacked.
        data: the rows that people labelled.
        ledger: the audit's.

    Raises: PreceptorError when it cannot be written.
    """
    canaries = () if run.rater is None else tuple(canaries_of(ledger, run.rater.model, CANARIES))
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    named = name_of(data) if is_on_hub(data) else Path(name_of(data)).name  # no folder of this machine
    licence = licence_of(run, measured, named, content_of(data), canaries, version("preceptor"))
    fooled = {rate.attack: Measured.of(rate.fooled) for each in attacks for rate in each.rates}
    save(licence.model_copy(update={"attacks": {name: rate for name, rate in fooled.items() if rate}}), path)
