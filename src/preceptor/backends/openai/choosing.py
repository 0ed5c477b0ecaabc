"""How probable each choice is: from the most probable tokens, or from sampled answers if a server lists none."""

import math
from collections import Counter
from collections.abc import Sequence

from preceptor.backends.base import ChoiceLogProbs
from preceptor.backends.openai.answers import LogProbsError
from preceptor.backends.openai.exchange import Exchange
from preceptor.backends.openai.wire import WHOLE_DISTRIBUTION
from preceptor.core.types import JsonObject, JudgeFailure

PLACES = 3
"""Tokens generated at a time: choices such as " 10" often have three, so one call covers the greedy choice."""
NEGLIGIBLE = 1e-3
"""Other ways to tokenise a choice are not followed when they can add no more than this share."""
UNSEEN = 0.05
"""Largest share of the choices' probability that may be unknown: of choices that are not among the most probable
tokens, and of beginnings that the server cannot continue."""


def places(choices: tuple[str, ...]) -> int:
    """Tokens to generate in one call: no more than the longest choice can have."""
    return min(PLACES, max(len(choice) for choice in choices))


_AROUND = "*" + "".join(filter(str.isspace, map(chr, range(0x3001))))
"""White space and bold type. A regular expression for them would take hours on a long run of white space."""


class TokenWalk:
    """Computes the probabilities of choices by following their tokens one by one.

    The probability of a choice is summed over all token sequences that spell it and are not negligible: a beginning is
    not followed if its choices already have a probability and it can add no more than `NEGLIGIBLE` to any of them.
    """

    def __init__(self, exchange: Exchange, choices: tuple[str, ...]) -> None:
        self._exchange = exchange
        self.choices = choices
        self._places = places(choices)
        self.known: dict[str, dict[str, float]] = {}
        """The most probable tokens after each beginning."""
        self.said: str = ""
        """What the model would say by itself."""
        self.probability = dict.fromkeys(choices, 0.0)
        """Probability of each choice, without that of longer choices that begin with it."""
        self.unseen = dict.fromkeys(choices, 0.0)
        """Upper bound of the probability that may be missing from each choice."""
        self.lost = 0.0
        """Probability of beginnings that the server cannot continue."""

    async def visit(self, text: str = "", reach: float = 1.0) -> None:
        """Adds the choices that begin with `text`, which the model says with probability `reach`."""
        beyond = [choice for choice in self.choices if choice.startswith(text) and choice != text]
        top = await self.top_after(text)
        if top is None:
            self.lost += reach
            return
        for choice in beyond:
            self.probability[choice] += reach * top.get(choice[len(text) :], 0.0)
            self.unseen[choice] += reach * min(top.values())
        for token, probability in sorted(top.items(), key=lambda item: -item[1]):
            if token:  # the end of an answer may be listed as a token without text
                await self._follow(text + token, reach * probability, beyond)

    async def _follow(self, begun: str, reach: float, beyond: list[str]) -> None:
        longer = [choice for choice in beyond if choice.startswith(begun) and len(begun) < len(choice)]
        if all(reach <= NEGLIGIBLE * self.probability[choice] for choice in longer):
            return
        before = sum(self.probability[choice] for choice in longer)
        await self.visit(begun, reach)
        if begun in self.probability:
            self.probability[begun] -= sum(self.probability[choice] for choice in longer) - before

    async def top_after(self, text: str) -> dict[str, float] | None:
        """The most probable tokens after a beginning; None if the server cannot continue it."""
        if text not in self.known:
            if not self._exchange.can_begin(text):
                return None
            answer = await self._exchange.list_tokens(text, self._places)
            self.said = self.said or answer.text or ""
            place = text
            for position in answer.positions:
                self.known.setdefault(place, position.top)
                place += position.token
        return self.known[text]


async def by_log_probs(exchange: Exchange, choices: tuple[str, ...]) -> ChoiceLogProbs | JudgeFailure:
    """Exact except for unlisted tokens; a choice that no list contains gets the upper bound that the lists imply.

    Raises: RefusedError, UnavailableError, PreceptorError.
    """
    walk = TokenWalk(exchange, choices)
    try:
        await walk.visit()
    except LogProbsError as error:
        return JudgeFailure(reason="invalid_log_probs", detail=str(error))
    return distribution(exchange, walk)


def distribution(exchange: Exchange, walk: TokenWalk) -> ChoiceLogProbs | JudgeFailure:
    """What a finished walk found; a failure if too little of it is known."""
    choices, total = walk.choices, sum(walk.probability.values())
    unseen = {choice: walk.unseen[choice] for choice in choices if walk.probability[choice] <= 0.0}
    if walk.lost > UNSEEN * (total or 1.0):
        return JudgeFailure(
            reason="invalid_log_probs",
            detail=f"the server does not continue beginnings of probability {walk.lost:.2g} that may lead to choices; "
            f"the choices that it lists have {total:.2g}",
        )
    if total <= 0.0:
        said = f"the judge would say {exchange.shown(walk.said)[:80]!r}"
        return JudgeFailure(
            reason="no_answer",
            detail=f"no choice among the {exchange.endpoint.listed} most probable answers: {said}",
        )
    if sum(unseen.values()) > UNSEEN * total:
        return JudgeFailure(
            reason="invalid_log_probs",
            detail=f"too few tokens are listed to tell how probable {', '.join(map(repr, unseen))[:120]} would be: "
            f"up to {sum(unseen.values()):.2g}, the other choices {total:.2g}",
        )
    probabilities = [unseen.get(choice, walk.probability[choice]) for choice in choices]
    return ChoiceLogProbs(tuple(math.log(p) if p > 0.0 else -math.inf for p in probabilities), exchange.usage)


async def by_votes(
    exchange: Exchange, choices: tuple[str, ...], votes: int, vote_tokens: int
) -> ChoiceLogProbs | JudgeFailure:
    """The share of each choice among sampled answers. An answer counts only if it is exactly a choice, apart from white
    space, a full stop and bold type; the shares of other answers make up the rest to 1.

    Raises: ValueError when choices differ only in these; RefusedError, UnavailableError, PreceptorError.
    """
    _names(choices)
    whole = JsonObject() if exchange.endpoint.bare else WHOLE_DISTRIBUTION
    answers = await exchange.votes(
        lambda seed: exchange.sample(vote_tokens, whole | ({"seed": seed} if whole else {})), range(votes)
    )
    result = of_votes(exchange, choices, [bare(answer.text or "") or answer.silence for answer in answers])
    if isinstance(result, JudgeFailure) and any(answer.thinks for answer in answers):
        hint = f"{result.detail}; the model thinks before it answers: set thinking (think-low)"
        return result.model_copy(update={"detail": hint})
    return result


def of_votes(exchange: Exchange, choices: tuple[str, ...], texts: Sequence[str]) -> ChoiceLogProbs | JudgeFailure:
    """The share of each choice among answers; as `by_votes`.

    Raises: ValueError when choices differ only in white space and stops.
    """
    names = _names(choices)
    answers, votes = [bare(text) for text in texts], len(texts)
    counts = Counter(answer for answer in answers if answer in names)
    valid = counts.total()
    if 2 * valid < votes:
        other = next(answer for answer in answers if answer not in names)
        return JudgeFailure(
            reason="no_answer",
            detail=f"{votes - valid} of {votes} answers are not a choice, for instance {exchange.shown(other)[:80]!r}",
        )
    return ChoiceLogProbs(
        tuple(math.log(counts[name] / votes) if counts[name] else -math.inf for name in names),
        exchange.usage,
        votes=valid,
    )


def _names(choices: tuple[str, ...]) -> list[str]:
    names = [bare(choice) for choice in choices]
    if len(set(names)) != len(names):
        raise ValueError(f"choices must differ in more than white space and stops, got {choices}")
    return names


def bare(text: str) -> str:
    """An answer without white space, bold type and a full stop around it."""
    return text.lstrip(_AROUND).rstrip(_AROUND + ".")
