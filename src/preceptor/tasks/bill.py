"""The calls, tokens and dollars that labelling would need, estimated on some of its comparisons."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from preceptor.backends.base import LanguageModel
from preceptor.backends.names import is_served
from preceptor.core.types import Comparison, Usage
from preceptor.judging.cascade import CascadeJudge
from preceptor.judging.ensemble import MemberJudge, PreferenceJudge
from preceptor.judging.groups.design import comparisons_of
from preceptor.results.label import LabelPlan
from preceptor.tasks.candidates import Sampling

ESTIMATED_ON = 200
"""A plan counts the tokens of this many comparisons and extrapolates from them."""
ASSUMED = (
    "no server was contacted: each is assumed to return log-probabilities for conversations; a server without them "
    "needs several calls for each"
)
"""What a plan assumes of servers."""
BY_TABLES = (
    "no provider was contacted: LiteLLM's tables say which models return log-probabilities; for the others, the calls "
    "of all votes are counted"
)
"""What a plan assumes of models through LiteLLM."""


@dataclass(frozen=True)
class _Bill:
    """The calls and tokens that some comparisons need from one model."""

    calls: float
    usage: Usage
    cost: float | None


def plan(
    usable: Iterable[Comparison],
    rows: int,
    malformed: int,
    judge: PreferenceJudge,
    policy: LanguageModel | None,
    sampling: Sampling | None,
) -> LabelPlan:
    """What labelling would need.

    Args:
        usable: the comparisons, of which the first are counted.
        rows: of the input, the unusable ones included.
        policy: samples the responses as `sampling` says; None if the input has them.
    """
    comparisons = list(islice(usable, ESTIMATED_ON))
    judges = judge.members
    bills = [_judge_bill(member, comparisons) for member in judges]
    shares = judge.expected_shares if isinstance(judge, CascadeJudge) else (1.0,) * len(judges)
    if sampling is not None and policy is not None:
        bills.append(_sampling_bill(policy, sampling, comparisons))
    scale = (rows - malformed) / max(1, len(comparisons))
    costs = [bill.cost for bill in bills if bill.cost is not None]
    shares += (1.0,) * (len(bills) - len(judges))
    return LabelPlan(
        rows=rows,
        malformed=malformed,
        calls=round(scale * sum(bill.calls for bill in bills)),
        prompt_tokens=round(scale * sum(bill.usage.prompt_tokens for bill in bills)),
        completion_tokens=round(scale * sum(bill.usage.completion_tokens for bill in bills)),
        cost_usd=scale * sum(costs) if len(costs) == len(bills) else None,
        expected_calls=round(scale * sum(s * bill.calls for s, bill in zip(shares, bills, strict=True)))
        if isinstance(judge, CascadeJudge)
        else None,
        expected_cost_usd=scale * sum(s * cost for s, cost in zip(shares, costs, strict=True))
        if isinstance(judge, CascadeJudge) and len(costs) == len(bills)
        else None,
        estimated_on=len(comparisons),
        assumed=_assumed([member.model.identity for member in judges]),
    )


def _assumed(identities: Sequence[str]) -> str | None:
    served = [identity for identity in identities if is_served(identity)]
    by_tables = [identity.startswith("litellm:") for identity in served]
    said = [*([ASSUMED] if not all(by_tables) else []), *([BY_TABLES] if any(by_tables) else [])]
    return "; ".join(said) or None


def _judge_bill(judge: MemberJudge, comparisons: Sequence[Comparison]) -> _Bill:
    demand, price = judge.demand(comparisons), judge.model.model.price
    return _Bill(demand.calls, demand.usage, price and price.cost(demand.usage))


def _sampling_bill(policy: LanguageModel, sampling: Sampling, comparisons: Sequence[Comparison]) -> _Bill:
    """The bill for sampling; a prompt's candidates are shared equally among its comparisons."""
    share = sampling.samples / comparisons_of(sampling.design, sampling.samples)
    prompt_tokens = sum(policy.count_tokens(comparison.prompt.conversation) for comparison in comparisons)
    usage = Usage(
        prompt_tokens=round(share * prompt_tokens),
        completion_tokens=round(share * sampling.max_new_tokens * len(comparisons)),
    )
    return _Bill(share * len(comparisons), usage, policy.price and policy.price.cost(usage))
