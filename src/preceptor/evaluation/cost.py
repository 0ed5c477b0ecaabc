"""What judging took, beside what people would have been paid."""

from collections.abc import Sequence

from preceptor.evaluation.result import Cost, CostPart

JUDGING = "judging"
"""The part that gave the labels."""
HUMAN_USD_PER_LABEL = 0.67
"""What Lee et al. 2023 (arXiv 2309.00267, appendix on the cost of labelling) reckon for one label of people."""


def cost(parts: Sequence[CostPart], labels: int, human_usd_per_label: float = HUMAN_USD_PER_LABEL) -> Cost:
    """The cost of an evaluation, and of one label.

    Per label counts the parts named `JUDGING` alone: people would have needed the responses too, and what other judges
    or rubrics took gave no label. It is None where there is no label or no such part; seconds and dollars also where
    they are not known of every such part.

    Args:
        parts: what each part of the work took.
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
    """Dollars by which the labels were cheaper than people's would have been; negative where they were dearer.

    None where it is not known what a label cost.
    """
    return None if cost.usd_per_label is None else cost.human_usd - cost.labels * cost.usd_per_label


def _per_label(amounts: Sequence[float | None], labels: int) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) / labels if labels and amounts and len(known) == len(amounts) else None
