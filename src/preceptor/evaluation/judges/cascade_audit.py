"""The audit of judges as a cascade: thresholds certified on half of the prompts, and what they do on the other half.

Prompts are dealt to the halves by a hash. Labels of one prompt are not independent, so one comparison of each prompt
certifies. Comparisons on which most people call a tie certify nothing, because no answer agrees with them; they count
where agreement is not the question.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.core.hashing import unit_hash
from preceptor.core.types import Preference
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import chosen, share_by_prompt
from preceptor.evaluation.judges.cascade_result import CascadeAudit, CascadeUse
from preceptor.evaluation.judges.judge_audit import Judged, JudgeRun
from preceptor.judging.cascade import Cascade, CascadeStep, confidence
from preceptor.judging.thresholds import certify, standing

if TYPE_CHECKING:
    import numpy as np


def audit_cascade(
    runs: Sequence[JudgeRun], labels: Sequence[str], *, agreement: float, certainty: float
) -> CascadeAudit:
    """Certifies thresholds on one half of the prompts and measures them on the other half.

    Args:
        runs: the judges, in the order in which a cascade asks them, on the same rows.
        labels: their names.
        agreement, certainty: between 0 and 1.
    """
    rows, (confidence_NJ, agrees_NJ) = runs[0].rows, _table(runs)
    first_half = _first_half(rows)
    calibrating = _one_of_each_prompt(rows, first_half)
    tied = sum(row.human.majority == "tie" and row.comparison.prompt.id in first_half for row in rows)
    audited = CascadeAudit(
        judges=tuple(labels), agreement=agreement, certainty=certainty, labels=len(calibrating), ties=tied
    )
    others = [number for number, row in enumerate(rows) if row.comparison.prompt.id not in first_half]
    if not calibrating or not others:
        return audited
    found = certify(
        confidence_NJ[calibrating],
        agrees_NJ[calibrating],
        confidence_NJ[others],
        agreement=agreement,
        certainty=certainty,
    )
    use = None
    if found.thresholds is not None:
        judge_M = standing(confidence_NJ[others], found.thresholds)
        use = _use(runs, [rows[number] for number in others], judge_M, agrees_NJ[others], found.thresholds)
    return audited.model_copy(
        update={
            "thresholds": found.thresholds,
            "answered": found.answered,
            "disagreements": found.disagreements,
            "least": found.least,
            "needed": found.needed,
            "use": use,
        }
    )


def as_cascade(audit: CascadeAudit, runs: Sequence[JudgeRun]) -> Cascade | None:
    """The cascade that was certified; None if none was. Judges that it does not ask are left out."""
    if audit.thresholds is None or audit.use is None:
        return None
    steps = [
        CascadeStep(
            judge=run.spec.model_copy(update={"weight": 1.0}),
            threshold=threshold,
            asked=asked,
            identity=run.rater.model,
            constitution_hash=run.rater.constitution_hash,
            settings=run.rater.settings,
        )
        for run, threshold, asked in zip(runs, audit.thresholds, audit.use.asked, strict=True)
        if threshold is not None and run.spec is not None and run.rater is not None
    ]
    return Cascade(agreement=audit.agreement, certainty=audit.certainty, labels=audit.labels, steps=tuple(steps))


def _table(runs: Sequence[JudgeRun]) -> "tuple[np.ndarray, np.ndarray]":
    """Each judge's confidence, NaN where it failed, and whether it prefers what most people prefer; rows x judges."""
    import numpy as np

    columns = [[row.outcome for row in run.rows] for run in runs]
    sure = [[confidence(o) if isinstance(o, Preference) else np.nan for o in column] for column in columns]
    agrees = [
        [isinstance(o, Preference) and chosen(o.p_a) == row.human.majority for o, row in zip(c, run.rows, strict=True)]
        for c, run in zip(columns, runs, strict=True)
    ]
    return np.array(sure).T, np.array(agrees, dtype=bool).T


def _first_half(rows: Sequence[Judged]) -> set[str]:
    """Half of the prompts, by a hash."""
    prompts = {row.comparison.prompt.id for row in rows}
    dealt = sorted(prompts, key=lambda prompt: (unit_hash("cascade", prompt), prompt))
    return set(dealt[: len(dealt) // 2])


def _one_of_each_prompt(rows: Sequence[Judged], prompts: set[str]) -> list[int]:
    """The place of one comparison of each of these prompts, chosen by a hash; where all are tied, of none."""
    chosen_of: dict[str, tuple[float, int]] = {}
    for place, row in enumerate(rows):
        prompt = row.comparison.prompt.id
        if prompt in prompts and row.human.majority != "tie":
            drawn = (unit_hash("cascade", row.comparison.id), place)
            chosen_of[prompt] = min(chosen_of.get(prompt, drawn), drawn)
    return sorted(place for _, place in chosen_of.values())


def _use(
    runs: Sequence[JudgeRun],
    rows: Sequence[Judged],
    judge_M: "np.ndarray",
    agrees_MJ: "np.ndarray",
    thresholds: Sequence[float | None],
) -> CascadeUse:
    """What the cascade does on these rows."""
    prompts = [row.comparison.prompt.id for row in rows]
    decided = [place for place, row in enumerate(rows) if row.human.majority != "tie"]
    asked = _asked(judge_M, thresholds)
    costs = [None if run.cost is None else run.cost / len(run.rows) for run in runs]
    known = [share * cost for share, cost in zip(asked, costs, strict=True) if cost is not None]
    last = costs[-1]

    def share(values: "Sequence[float] | np.ndarray", places: Sequence[int]) -> Estimate | None:
        return share_by_prompt([(prompts[place], float(values[place])) for place in places])

    def certainly(values: "np.ndarray") -> Estimate:
        estimate = share(values, range(len(rows)))
        assert estimate is not None  # there is a row
        return estimate

    answers = [place for place in decided if judge_M[place] >= 0]
    agreed = [bool(agrees_MJ[place, judge]) if judge >= 0 else False for place, judge in enumerate(judge_M)]
    return CascadeUse(
        rows=len(rows),
        prompts=len(set(prompts)),
        answered_by=tuple(int((judge_M == number).sum()) for number in range(len(runs))),
        asked=tuple(asked),
        coverage=certainly(judge_M >= 0),
        escalated=certainly(judge_M != 0),
        saved=certainly((judge_M >= 0) & (judge_M < len(runs) - 1)),
        agreement=share(agreed, answers),
        first_alone=share(agrees_MJ[:, 0], decided),
        last_alone=share(agrees_MJ[:, -1], decided),
        cost_per_1000=1000 * sum(known) if len(known) == len(runs) else None,
        last_cost_per_1000=None if last is None else 1000 * last,
    )


def _asked(judge_M: "np.ndarray", thresholds: Sequence[float | None]) -> list[float]:
    """The share of the comparisons that reaches each judge; 0 for one that is not asked."""
    return [
        0.0 if threshold is None else float(((judge_M < 0) | (judge_M >= number)).mean())
        for number, threshold in enumerate(thresholds)
    ]
