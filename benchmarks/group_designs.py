"""`python -m benchmarks.group_designs`: what each design of group judging recovers of k responses, for how many calls.

Without options it simulates groups with planted strengths and prints, for k = 4, 8 and 16: calls, Spearman's
correlation with the truth, how often the strongest response is named, and how many 95% intervals hold their strength;
for judges with and without position bias, whose two orders are averaged as probabilities or as log-odds, and for one of
which each call gives only a vote.

`--scripted` has a scripted model with planted strengths judge real requests, and `--judge MODEL` a real one, of
responses that `--policy` samples for `--prompts`, or that the rows give. Both print calls, seconds, and the correlation
with the design `all`.
"""

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.special import expit, log_softmax
from scipy.stats import spearmanr

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, LanguageModel
from preceptor.backends.resolve import open_model
from preceptor.backends.scripted import ScriptedModel
from preceptor.core.hashing import unit_hash
from preceptor.core.types import JudgeFailure, Message, Prompt, Response, Verdict
from preceptor.judging.combine import Combine, combine
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.groups.design import GroupDesign, PairDesign, Played, comparisons_of, next_round
from preceptor.judging.groups.listwise import ListwiseJudge, list_strengths, orders_of
from preceptor.judging.groups.play import ComparedGroups, Group, GroupJudge, JudgedGroup
from preceptor.judging.groups.strengths import Strengths, fit_groups
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.ledger import Ledger
from preceptor.tasks.candidates import Answering, candidate_rater, sample_responses

DESIGNS: tuple[GroupDesign, ...] = get_args(GroupDesign)
SIZES = (4, 8, 16)
TOGETHER = 20
"""Groups judged together, as in a step of training."""


@dataclass(frozen=True)
class SimulatedJudge:
    """A judge of planted strengths, which are normal with standard deviation 1."""

    title: str
    bias: float
    """Advantage in log-odds of what is shown first."""
    votes: bool = False
    """Whether only one sampled answer of each call is known."""
    combine: Combine = "mean"
    """How both orders of a pair are combined."""
    common: float = 0.5
    """Standard deviation of what it misreads of a pair in both orders."""
    own: float = 0.3
    """Standard deviation of the noise of each call."""

    def compare(self, difference: float, rng: np.random.Generator) -> float:
        """The probability of the first of two responses, both orders averaged."""
        misread = difference + self.common * rng.normal()
        calls = [expit(misread + sign * self.bias + self.own * rng.normal()) for sign in (1, -1)]
        return combine([float(rng.random() < p) if self.votes else float(p) for p in calls], self.combine)

    def rank(self, truth_K: np.ndarray, rng: np.random.Generator) -> Strengths:
        """The strengths from lists in several orders. What it misreads of a response is the same in all of them."""
        count = len(truth_K)
        misread_K = truth_K + self.common / math.sqrt(2) * rng.normal(size=count)
        place_K = self.bias * (1.0 - np.arange(count) / (count - 1)) + self.bias / 2 * (np.arange(count) == 0)
        verdicts: list[Verdict] = []
        orders = orders_of(count)
        for order in orders:
            shown_K = misread_K[list(order)] + place_K + self.own / math.sqrt(2) * rng.normal(size=count)
            best_K = np.exp(log_softmax(shown_K))
            if self.votes:
                best_K = np.eye(count)[rng.choice(count, p=best_K)]
            verdicts.append(
                Verdict(probabilities={str(i): float(p) for i, p in enumerate(best_K, start=1)}, choice_mass=1.0)
            )
        return list_strengths(orders, verdicts)


JUDGES = (
    SimulatedJudge("no position bias", 0.0),
    SimulatedJudge("position bias, probabilities averaged", 1.5),
    SimulatedJudge("position bias, log-odds averaged", 1.5, combine="log_odds"),
    SimulatedJudge("position bias, one vote a call", 1.5, votes=True),
)


@dataclass
class Recovered:
    """What was recovered of many groups."""

    correlations: list[float]
    best: list[bool]
    held: list[bool]

    def add(self, truth_K: np.ndarray, strengths: Strengths) -> None:
        """Counts a group."""
        values_K = np.array([math.nan if value is None else value for value in strengths.values])
        self.correlations.append(_spearman(values_K, truth_K))
        self.best.append(int(values_K.argmax()) == int(truth_K.argmax()))
        for place, value in enumerate(truth_K - truth_K.mean()):
            low, high = strengths.interval(place) or (math.inf, -math.inf)
            self.held.append(bool(low <= value <= high))

    @property
    def cells(self) -> str:
        """Correlation, share of groups whose best is named, share of intervals that hold the truth."""
        return f"{np.mean(self.correlations):.2f} | {100 * np.mean(self.best):.0f}% | {100 * np.mean(self.held):.0f}%"


def simulate(design: GroupDesign, count: int, judge: SimulatedJudge, groups: int) -> Recovered:
    """Judges this many groups of `count` responses."""
    rng, found = np.random.default_rng(19), Recovered([], [], [])
    for _ in range(groups // TOGETHER):
        truths = rng.normal(size=(TOGETHER, count))
        if design == "listwise":
            fits = [judge.rank(truth_K, rng) for truth_K in truths]
        else:
            fits = fit_groups([(count, _played(design, truth_K, judge, rng)) for truth_K in truths])
        for truth_K, strengths in zip(truths, fits, strict=True):
            found.add(truth_K, strengths)
    return found


def _played(design: PairDesign, truth_K: np.ndarray, judge: SimulatedJudge, rng: np.random.Generator) -> list[Played]:
    games: list[Played] = []
    while pairs := next_round(design, len(truth_K), games):
        games += [Played(i, j, judge.compare(float(truth_K[i] - truth_K[j]), rng)) for i, j in pairs]
    return games


def calls_of(design: GroupDesign, count: int) -> int:
    """Calls for a group of `count` responses, each pair in both orders."""
    return len(orders_of(count)) if design == "listwise" else 2 * comparisons_of(design, count)


def print_simulation(groups: int) -> None:
    """Prints a table for each judge as Markdown."""
    head = " | ".join(f"k = {count}: calls | correlation | best | intervals" for count in SIZES)
    for judge in JUDGES:
        print(f"\n{judge.title}\n\n| design | {head} |\n| --- |{' --: |' * 4 * len(SIZES)}")
        for design in DESIGNS:
            cells = [f"{calls_of(design, k)} | {simulate(design, k, judge, groups).cells}" for k in SIZES]
            print(f"| `{design}` | {' | '.join(cells)} |", flush=True)


def scripted(worth: dict[str, float], bias: float) -> ScriptedModel:
    """A judge by planted strengths of texts, which favours what is shown early and misreads each pair or list."""

    def choose(request: ChooseRequest) -> ChoiceLogProbs:
        text = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
        shown: list[str] = re.findall(r"<response_\d+>\n(.*?)\n</response_\d+>", text, re.DOTALL)
        noise = {text: 2.4 * unit_hash(text, *sorted(shown)) for text in shown}  # standard deviation 0.7
        odds = [worth[text] + noise[text] - bias * place for place, text in enumerate(shown)]
        return ChoiceLogProbs(tuple(float(p) for p in log_softmax(odds)))

    return ScriptedModel("planted", choose)


def print_scripted(count: int, groups: int) -> None:
    """Judges real requests with planted strengths, and prints the correlation with the truth as well."""
    rng = np.random.default_rng(19)
    worth = {f"response {n}": float(rng.normal()) for n in range(count * groups)}
    texts = list(worth)
    given = [_group(f"prompt {g}", [texts[g * count + i] for i in range(count)]) for g in range(groups)]
    judged = print_judged(lambda: scripted(worth, 0.5), load_constitution("helpful"), given)
    for design, found in judged.items():
        truths = [np.array([worth[r.text] for r in group.responses]) for group in given]
        mean = np.mean([_spearman(_values(each), truth_K) for each, truth_K in zip(found, truths, strict=True)])
        print(f"{design}: correlation with the planted strengths {mean:.3f}")


def print_judged(
    opened: Callable[[], LanguageModel], constitution: Constitution, groups: Sequence[Group]
) -> dict[GroupDesign, list[JudgedGroup]]:
    """Has every design judge the groups with a ledger of its own, and prints the table as Markdown."""
    print(
        "| design | calls a group | tokens a group | seconds a group | correlation with `all` | same best | abstained |"
    )
    print("| --- | --: | --: | --: | --: | --: | --: |")
    found: dict[GroupDesign, list[JudgedGroup]] = {}
    for design in DESIGNS:
        model = opened()
        with Ledger(Path(":memory:")) as ledger:
            begun = time.perf_counter()
            found[design] = _judge(design, model, constitution, ledger).judge(groups)
            seconds, totals = time.perf_counter() - begun, ledger.totals()
        pairs = list(zip(map(_values, found[design]), map(_values, found["all"]), strict=True))
        pairs = [(one_K, all_K) for one_K, all_K in pairs if not (np.isnan(one_K).all() or np.isnan(all_K).all())]
        alike = np.mean([_spearman(one_K, all_K) for one_K, all_K in pairs])
        best = np.mean([np.nanargmax(one_K) == np.nanargmax(all_K) for one_K, all_K in pairs])
        none = sum(value is None for each in found[design] for value in each.strengths.values)
        each = [f"{total / len(groups):,.0f}" for total in (totals.calls, totals.prompt_tokens)]
        print(
            f"| `{design}` | {' | '.join(each)} | {seconds / len(groups):.2f} | {alike:.2f} | {100 * best:.0f}% "
            f"| {none} |",
            flush=True,
        )
    return found


def _judge(design: GroupDesign, model: LanguageModel, constitution: Constitution, ledger: Ledger) -> GroupJudge:
    if design == "listwise":
        return ListwiseJudge(model, constitution, ledger)
    return ComparedGroups(PairwiseJudge(model, constitution, PairwiseSettings(), ledger), design)


def _values(judged: JudgedGroup) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in judged.strengths.values])


def _spearman(one_K: np.ndarray, other_K: np.ndarray) -> float:
    """The correlation over responses that have both; 0 if all are equal, because nothing is ranked then."""
    if len(set(one_K)) == 1 or len(set(other_K)) == 1:
        return 0.0
    known_K = ~(np.isnan(one_K) | np.isnan(other_K))
    found: Any = spearmanr(one_K[known_K], other_K[known_K])
    return float(found.statistic)


def _group(question: str, texts: Sequence[str]) -> Group:
    prompt = Prompt(id=question[:80], conversation=(Message(role="user", content=question),))
    return Group.of(prompt, [Response(prompt_id=prompt.id, text=text) for text in texts])


def read_groups(path: Path, limit: int, policy: str | None, samples: int, tokens: int) -> list[Group]:
    """Groups of the first rows that have, or for which the policy gives, as many different responses as asked for."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if policy is None:
        groups = [_group(row["prompt"], row["responses"]) for row in rows if "responses" in row]
        return [group for group in groups if len(group.responses) >= samples][:limit]
    prompts = [_group(row["prompt"], []).prompt for row in rows[: 2 * limit] if isinstance(row["prompt"], str)]
    model = open_model(policy)
    with Ledger(Path(":memory:")) as ledger:
        recorded = RecordedModel(model, ledger, candidate_rater(model.identity))
        answering = Answering(samples=samples, max_new_tokens=tokens)
        sampled = sample_responses(recorded, prompts, answering)
    groups = [
        Group.of(prompt, [r for r in responses if not isinstance(r, JudgeFailure) and r.text])
        for prompt, responses in zip(prompts, sampled, strict=True)
    ]
    return [group for group in groups if len(group.responses) == samples][:limit]


def main() -> None:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.group_designs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--groups", type=int, default=400, help="simulated groups of each row (default 400)")
    parser.add_argument("--scripted", action="store_true", help="judge real requests by a scripted model")
    parser.add_argument("--judge", help="judge real requests by this model")
    parser.add_argument("--constitution", default="helpful", help="of the model (default helpful)")
    parser.add_argument("--prompts", type=Path, help="prompts to answer, or rows with responses (JSON lines)")
    parser.add_argument("--policy", help="the model that answers the prompts")
    parser.add_argument("--k", type=int, default=8, help="responses to each prompt (default 8)")
    parser.add_argument("--limit", type=int, default=20, help="prompts (default 20)")
    parser.add_argument("--tokens", type=int, default=64, help="most tokens of a response (default 64)")
    options = parser.parse_args()
    if options.scripted:
        print_scripted(options.k, options.limit)
    elif options.judge:
        groups = read_groups(options.prompts, options.limit, options.policy, options.k, options.tokens)
        print(f"{len(groups)} groups of {options.k} responses", flush=True)
        model = open_model(options.judge)
        print_judged(lambda: model, load_constitution(options.constitution), groups)
    else:
        print_simulation(options.groups)


if __name__ == "__main__":
    main()
