"""Describes the audit of a cascade in sentences: what is guaranteed, what it answers, and what it saves."""

from collections.abc import Mapping

from preceptor.core.numbers import dollars, number, percent, share
from preceptor.evaluation.judges.cascade_result import CascadeAudit, CascadeUse


def in_words(audit: CascadeAudit) -> list[str]:
    """The guarantee, or why there is none; then what the cascade does on the other half of the prompts."""
    tied = f" ({audit.ties} comparisons with a tie among people certify nothing)" if audit.ties else ""
    if audit.thresholds is None or audit.use is None:
        return [
            f"No cascade that agrees with people on {percent(audit.agreement)} can be certified: {_why(audit)}{tied}."
        ]
    sure = [
        f"{judge} from {number(threshold)}"
        for judge, threshold in zip(audit.judges, audit.thresholds, strict=True)
        if threshold is not None
    ]
    unasked = [judge for judge, threshold in zip(audit.judges, audit.thresholds, strict=True) if threshold is None]
    return [
        f"A cascade that answers where a judge is sure enough ({', then '.join(sure)}) agrees with people on at least "
        f"{percent(audit.agreement)} of its answers, with {percent(audit.certainty)} certainty: people disagree with "
        f"{audit.disagreements} of {audit.answered} answers on {audit.labels} labels{tied}.",
        *([f"It does not ask {', '.join(unasked)}."] if unasked else []),
        *_use(audit, audit.use),
    ]


def named(audit: CascadeAudit, names: Mapping[str, str]) -> CascadeAudit:
    """The audit with other names for its judges."""
    return audit.model_copy(update={"judges": tuple(names[judge] for judge in audit.judges)})


def _why(audit: CascadeAudit) -> str:
    if not audit.labels:
        return "half of the prompts has no label that can certify it"
    if audit.labels < audit.least:
        return f"it needs at least {audit.least} labels, one for each prompt, and there are {audit.labels}"
    if audit.needed is not None:
        return f"{audit.labels} labels are too few; about {audit.needed} would be enough at the agreement seen"
    return f"on {audit.labels} labels the judges do not agree with people that often, however sure they are"


def _use(audit: CascadeAudit, use: CascadeUse) -> list[str]:
    first, last = audit.judges[0], audit.judges[-1]
    cost = ""
    if use.cost_per_1000 is not None and use.last_cost_per_1000:
        cost = f" 1,000 comparisons cost {dollars(use.cost_per_1000)} instead of {dollars(use.last_cost_per_1000)}."
    return [
        f"On the {use.rows} comparisons of the other {use.prompts} prompts it answers {share(use.coverage)} and agrees "
        f"with people on {share(use.agreement)} of these; {first} alone agrees on {share(use.first_alone)}, "
        f"{last} alone on {share(use.last_alone)}.",
        f"It leaves {share(use.escalated)} to the judges after {first}, and does not ask {last} about "
        f"{share(use.saved)}.{cost}",
    ]
