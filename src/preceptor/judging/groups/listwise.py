"""The listwise judge: one call shows all responses of a group and reads which of them is the best.

The answer is not a ranking in words but the probabilities of "1", "2", ..., "k" as the model's next words, so nothing
can be malformed and every response gets a number. By Luce's choice axiom (1959), P(i is the best of all) is
proportional to exp(u_i), with the same strengths u as in the Bradley-Terry model, so log-probabilities are strengths up
to a constant. (Reddy et al. 2024, "FIRST", rank documents by the same reading.) A ranking written in words would give
an order without distances.

A judge favours positions in a list. So each group is shown in several orders, rotations of one order and the reverse of
each, and a response's strength is the mean of its centred log-probabilities. An effect of the position that grows
steadily along the list cancels exactly between an order and its reverse. What differs between orders is the
uncertainty; what the judge misreads in every order alike is not in it. Numbers that vote (a server without
log-probabilities) are shares of few answers, and rank no response that was never named.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from preceptor.backends.base import LanguageModel, asked_identity
from preceptor.core.odds import CLIP
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Verdict
from preceptor.judging.ask import Question, ask, longest_request
from preceptor.judging.constitution import Constitution
from preceptor.judging.groups.design import check_listwise
from preceptor.judging.groups.play import Group, JudgedGroup
from preceptor.judging.groups.strengths import Strengths
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.render import preamble, prompt_text, tagged
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.trajectory import fit, response_text
from preceptor.store.ledger import Ledger

ORDERS = 4
"""Orders in which a group is shown: two rotations, each forwards and backwards."""
ENDING = "Best response:"
REASON = (
    "Weigh the responses against each other in a few sentences: what each does well and badly by what was said above. "
    "Do not name the best one yet."
)
_UPPER = 0.975


class ListwiseJudge:
    """A language model that is shown all responses of a group at once, in several orders.

    Args:
        settings: whether it sees the principles, reasons or thinks.
        orders: an even number; the first half are rotations, the second their reverses.

    Raises: UsageError for settings that say how two responses are shown.
    """

    def __init__(
        self,
        model: LanguageModel,
        constitution: Constitution,
        ledger: Ledger,
        settings: PairwiseSettings | None = None,
        orders: int = ORDERS,
    ) -> None:
        if orders < 2 or orders % 2:
            raise ValueError(f"orders must be an even number, got {orders}")
        self.settings = settings or PairwiseSettings()
        check_listwise(self.settings)
        self.constitution = constitution
        self.orders = orders
        said = self.settings.for_rater() | {"judged": "listwise", "order": f"{orders} orders"}
        self.rater = constitution.rater(asked_identity(model, self.settings.thinking), said)
        self.model = RecordedModel(model, ledger, self.rater)

    def judge(self, groups: Sequence[Group]) -> list[JudgedGroup]:
        """The strengths of each group's responses. If one order fails, the whole group abstains: the other orders
        would carry the judge's preference for positions.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        orders_G = [orders_of(len(group.responses), self.orders) for group in groups]
        questions = [
            self.question(group, order) for group, orders in zip(groups, orders_G, strict=True) for order in orders
        ]
        verdicts = iter(ask(self.model, questions, self.settings.reasoning))
        return [
            _judged(group, orders, [next(verdicts) for _ in orders])
            for group, orders in zip(groups, orders_G, strict=True)
        ]

    def question(self, group: Group, order: Sequence[int]) -> Question:
        """What is asked about a group whose responses are shown in this order; trajectories are shortened to fit."""
        opening = f"{preamble(self.constitution)}\n\n{tagged('prompt', prompt_text(group.prompt.conversation))}"

        def whole(limit: int | None) -> Question:
            shown = [
                tagged(f"response_{number}", response_text(group.responses[place], limit))
                for number, place in enumerate(order, start=1)
            ]
            return Question(
                text="\n".join((opening, *shown))
                + f"\n\nWhich of the {len(order)} responses is the best by the principles?",
                ending=ENDING,
                choices=tuple(str(number) for number in range(1, len(order) + 1)),
                reason=REASON,
                seed=derive_seed(self.settings.seed, "rationale", group.prompt.id, *order),
                thinking=self.settings.thought,
            )

        if not any(response.trajectory for response in group.responses):
            return whole(None)
        model, reasoning = self.model.model, self.settings.reasoning
        return fit(whole, lambda question: longest_request(model, question, reasoning), model.context_window)


def orders_of(count: int, orders: int = ORDERS) -> list[tuple[int, ...]]:
    """The orders in which `count` responses are shown, each as the places of the responses. An order that the rotations
    repeat is shown once; a single response is not shown.
    """
    if count < 2:
        return []
    starts = [2 * turn * count // orders for turn in range(orders // 2)]
    rotations = [(*range(start, count), *range(start)) for start in starts]
    return list(dict.fromkeys((*rotations, *(rotation[::-1] for rotation in rotations))))


def list_strengths(orders: Sequence[Sequence[int]], verdicts: Sequence[Verdict]) -> Strengths:
    """The mean over orders of each response's centred log-probabilities, with its standard error.

    Args:
        orders: the places of the responses, as they were shown.
        verdicts: for each order, the probability that "1", the first response shown, is the best, and so on.
    """
    shown, count = len(orders), len(orders[0])
    centred_OK = np.zeros((shown, count))
    for row, (order, verdict) in enumerate(zip(orders, verdicts, strict=True)):
        for number, place in enumerate(order, start=1):
            centred_OK[row, place] = math.log(max(verdict.probabilities[str(number)], CLIP))
    centred_OK -= centred_OK.mean(axis=1, keepdims=True)
    values_K = centred_OK.mean(axis=0)
    surplus = (shown - 1) * (count - 1)
    variance = float(((centred_OK - values_K) ** 2).sum()) / surplus  # of a log-probability before centring
    error = math.sqrt(variance * (1.0 - 1.0 / count) / shown)
    return Strengths(
        tuple(float(value) for value in values_K), (error,) * count, float(stats.t.ppf(_UPPER, surplus)), 1
    )


def _judged(group: Group, orders: Sequence[Sequence[int]], verdicts: Sequence[Verdict | JudgeFailure]) -> JudgedGroup:
    outcomes = tuple(verdicts)
    known = [verdict for verdict in verdicts if isinstance(verdict, Verdict)]
    count = len(group.responses)
    if not known or len(known) < len(verdicts):
        return JudgedGroup(group, Strengths((None,) * count, (None,) * count, 0.0, 0), outcomes)
    return JudgedGroup(group, list_strengths(orders, known), outcomes)
