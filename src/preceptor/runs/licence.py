"""Whether a run's judge may train: its licence is checked before anything is trained."""

from datetime import date
from pathlib import Path

from preceptor.backends.names import is_served
from preceptor.backends.resolve import open_model
from preceptor.core.errors import UsageError
from preceptor.evaluation.judges.licence import HOW, WAIVING, Licence, load
from preceptor.judging.drift import check_drift
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.recipes.base import Recipe
from preceptor.recipes.licence import LicenceSettings
from preceptor.recipes.settings import ComparingJudgeSettings, JudgeSettings, RewardingJudgeSettings
from preceptor.results.licence_record import LicenceRecord
from preceptor.runs.session import Session
from preceptor.store.ledger import IN_MEMORY, Ledger


def check_licence(session: Session) -> LicenceRecord | None:
    """Checks the licence once, when the run starts; every process calls it.

    Returns: None where no licence is asked for.
    Raises: UsageError when the judge has none that suffices, unless the recipe waives it; PreceptorError when the
        judge cannot be asked.
    """
    recipe = session.recipe
    asked = recipe.licence_asked_for
    if asked is None:
        return None

    def look() -> LicenceRecord:
        record = _checked(recipe, asked)
        if record.why and not asked.waived:
            raise UsageError(_refusal(record))
        return record

    return session.stage("licence", "checking the judge's licence", LicenceRecord, look)


def _refusal(record: LicenceRecord) -> str:
    return (
        f"the training judge has no licence to train: {'; '.join(record.why)}. {HOW}, which licence.file then names. "
        f"{WAIVING}"
    )


def _checked(recipe: Recipe, asked: LicenceSettings) -> LicenceRecord:
    judge = recipe.training_judge
    assert judge is not None  # no licence is asked for without a judge
    if asked.file is None:
        return LicenceRecord(why=("none is named",))
    licence = load(Path(asked.file))
    why = [*_of_several(judge)] or [*_compared(licence, judge, asked)]
    return LicenceRecord(
        file=Path(asked.file).name,
        why=tuple(why),
        issued=str(licence.issued),
        data=licence.data,
        rows=licence.rows,
        alignment=None if licence.alignment is None else licence.alignment.value,
    )


def _of_several(judge: JudgeSettings) -> list[str]:
    if isinstance(judge, ComparingJudgeSettings) and judge.cascade is not None:
        return ["a cascade has several judges, and a licence is for one"]
    if isinstance(judge, RewardingJudgeSettings) and judge.escalation is not None:
        return [f"{judge.escalation.model} judges as well where scores are in doubt, and a licence is for one judge"]
    return []


def _as_audited(judge: JudgeSettings) -> JudgeSpec:
    """The judge that an audit has to measure: it compares as in training, in one order where training shows one; or it
    scores each of two responses.
    """
    return judge.spec if isinstance(judge, ComparingJudgeSettings) and judge.compares else judge.evaluation_spec


def _compared(licence: Licence, judge: JudgeSettings, asked: LicenceSettings) -> list[str]:
    """What the licence lacks for this judge; its model is opened."""
    model = open_model(judge.model)
    with Ledger(IN_MEMORY) as ledger:
        licensed = make_judge(_as_audited(judge), model, ledger)
        why = list(licence.shortcomings(licensed.rater, asked, date.today()))
        if why or not asked.drift:
            return why
        [member] = licensed.members
        drift = check_drift(member, licence.canaries, exact=not is_served(judge.model))
    return [] if drift.verdict == "same" else [drift.sentence]
