"""The cost of judging, compared with human labels."""

from collections.abc import Sequence

from preceptor.evaluation.policies.result import Cost, CostPart

JUDGING = "judging"
"""The part of the work that gave the labels."""
HUMAN_USD_PER_LABEL = 0.67
"""The price of a human label in Lee et al. 2023 (arXiv 2309.00267, appendix on the cost of labelling)."""


def cost(parts: Sequence[CostPart], labels: int, human_usd_per_label: float = HUMAN_USD_PER_LABEL) -> Cost:
    """The cost of an evaluation, and of one label.

    The cost per label counts only the parts named `JUDGING`: people would have needed the responses too, and other
    judges and rubrics give no labels. It is None without a label or such a part; seconds and dollars are also None if
    they are unknown for one of these parts.

    Args:
        parts: what each part of the work cost.
        labels: comparisons with a verdict.
    """
    judging = [part for part in parts if part.part == JUDGING]
    return Cost(
        parts=tuple(parts),
        labels=labels,
        seconds_per_label=_per_label([part.seconds for part in judging], labels),
        usd_per_label=_per_label([part.cost_usd for part in judging], labels),
        tokens_per_label=_per_label([part.tokens for part in judging], labels),
        human_usd_per_label=human_usd_per_label,
    )


def saved(cost: Cost) -> float | None:
    """Dollars saved compared with human labels; negative if the labels cost more. None if their cost is unknown."""
    return None if cost.usd_per_label is None else cost.human_usd - cost.labels * cost.usd_per_label


def _per_label(amounts: Sequence[float | None], labels: int) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) / labels if labels and amounts and len(known) == len(amounts) else None
