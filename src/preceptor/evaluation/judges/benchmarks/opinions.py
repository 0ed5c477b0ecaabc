"""Scores on benchmarks of people's opinions, as their authors compute them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import combinations

from preceptor.core.types import HumanLabel, Preference, likeliest
from preceptor.evaluation.intervals import Estimate, jackknife
from preceptor.evaluation.judges.benchmarks.items import Item, Placed, by_subset, p_a_by_order, share
from preceptor.evaluation.judges.benchmarks.result import BenchmarkScore
from preceptor.evaluation.judges.judge_audit import Judged
from preceptor.judging.position import mean

_ANSWERS = ("a", "b", "tie")
_EXPERT = "expert"
"""How the names of the people begin whose votes MT-Bench counts, where there are such names."""


def mt_bench(rows: Sequence[Placed]) -> tuple[BenchmarkScore, ...]:
    """MT-Bench (Zheng et al. 2023, arXiv 2306.05685, section 4.1, setups S1 and S2): agreement with experts' votes."""
    votes = [(row, part.subset, _vote(row), _experts(row.human)) for row, part in rows]
    with_ties = [_voted(row, turn, said, vote) for row, turn, said, found in votes for vote in found]
    without = [
        _voted(row, turn, said, vote) for row, turn, said, found in votes for vote in found if "tie" not in (said, vote)
    ]
    return _by_turn(with_ties, without)


def mt_bench_people(rows: Sequence[Placed]) -> tuple[BenchmarkScore, ...]:
    """How often two experts' votes are equal."""
    pairs = [
        (row, part.subset, one, other) for row, part in rows for one, other in combinations(_experts(row.human), 2)
    ]
    with_ties = [_voted(row, turn, one, other) for row, turn, one, other in pairs]
    without = [_voted(row, turn, one, other) for row, turn, one, other in pairs if "tie" not in (one, other)]
    return _by_turn(with_ties, without)


def _voted(row: Judged, turn: str, said: str | None, vote: str) -> Item:
    return Item(row.comparison.prompt.id, turn, None if said is None else float(said == vote))


def _by_turn(with_ties: Sequence[Item], without: Sequence[Item]) -> tuple[BenchmarkScore, ...]:
    return tuple(
        share(f"{turn}, {setup} ties", "overall" if setup == "with" else "section", items)
        for setup, found in (("with", with_ties), ("without", without))
        for turn, items in sorted(by_subset(found).items())
    )


def _experts(human: HumanLabel) -> list[str]:
    if not any(name.startswith(_EXPERT) for name in human.raters):
        return [] if any(name.startswith("author") for name in human.raters) else list(human.ratings)
    return [vote for vote, name in zip(human.ratings, human.raters, strict=True) if name.startswith(_EXPERT)]


def _vote(row: Judged) -> str | None:
    """The response for which the judge votes in every order; a tie if the orders differ; None if it failed."""
    if not isinstance(row.outcome, Preference):
        return None
    p_tie = {order: [p.p_tie for p in row.outcome.presentations if p.order == order] for order in ("ab", "ba")}
    votes = {
        likeliest(p, sum(ties) / len(ties)) for order, p in p_a_by_order(row.outcome).items() if (ties := p_tie[order])
    }
    return votes.pop() if len(votes) == 1 else "tie"


def pandalm(rows: Sequence[Placed]) -> tuple[BenchmarkScore, ...]:
    """PandaLM (Wang et al. 2023, arXiv 2306.05087, section 4): accuracy, and macro-averaged precision, recall, F1."""
    said = [(row, _said(row), first_mode(row.human.ratings)) for row, _ in rows]
    accuracy = [
        Item(
            row.comparison.prompt.id,
            "",
            None if answer is None else float(answer == truth),
            float(truth == (answer or "tie")),
        )
        for row, answer, truth in said
    ]
    known: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row, answer, truth in said:
        if answer is not None:
            known[row.comparison.prompt.id].append((truth, answer))
    published = [(truth, answer or "tie") for _, answer, truth in said]
    failed = sum(answer is None for _, answer, _ in said)
    return (
        share("accuracy", "overall", accuracy),
        *(
            BenchmarkScore(
                name=name,
                level="measure",
                estimate=_share(jackknife(list(known.values()), partial(macro, place))),
                items=len(said),
                failed=failed,
                as_published=macro(place, published),
            )
            for place, name in enumerate(("macro precision", "macro recall", "macro F1"))
        ),
    )


def _share(estimate: Estimate | None) -> Estimate | None:
    """The estimate of a number in [0, 1], whose interval ends there."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return estimate
    return estimate.model_copy(update={"low": max(0.0, estimate.low), "high": min(1.0, estimate.high)})


def macro(place: int, pairs: Sequence[tuple[str, str]]) -> float:
    """Precision (0), recall (1) or F1 (2), averaged over the three answers; 0 where one is undefined.

    Args:
        pairs: what people say and what the judge says.
    """
    counts, true, said = Counter(pairs), Counter(t for t, _ in pairs), Counter(s for _, s in pairs)
    values: list[float] = []
    for answer in _ANSWERS:
        hits = counts[answer, answer]
        precision, recall = (hits / of[answer] if of[answer] else 0.0 for of in (said, true))
        f1 = 2.0 * precision * recall / (precision + recall) if hits else 0.0
        values.append((precision, recall, f1)[place])
    return sum(values) / len(values)


def first_mode(ratings: Sequence[str]) -> str:
    """The most frequent opinion, and of equally frequent ones the first."""
    return Counter(ratings).most_common(1)[0][0]


def alpaca_eval(rows: Sequence[Placed]) -> tuple[BenchmarkScore, ...]:
    """AlpacaEval's human agreement (Dubois et al. 2023, arXiv 2305.14387, section 3)."""
    items = [
        Item(row.comparison.prompt.id, part.subset, None if (said := _said(row)) is None else _among_modes(said, row))
        for row, part in rows
        if len(row.human.ratings) > 1
    ]
    subsets = by_subset(items)
    return (
        share("human agreement", "overall", items),
        *((share(name, "subset", found) for name, found in subsets.items()) if len(subsets) > 1 else ()),
    )


def alpaca_eval_people(rows: Sequence[Placed]) -> tuple[BenchmarkScore, ...]:
    """The same for each person, who is compared with the others."""
    items = [
        Item(
            row.comparison.prompt.id, part.subset, mean([_share_of_modes(said, others) for said, others in _each(row)])
        )
        for row, part in rows
        if len(row.human.ratings) > 1
    ]
    return (share("human agreement", "overall", items),)


def _among_modes(answer: str, row: Judged) -> float:
    """How often an answer is the mode of all opinions but one."""
    return mean([_share_of_modes(answer, others) for _, others in _each(row)])


def _each(row: Judged) -> list[tuple[str, tuple[str, ...]]]:
    """Each person's opinion, and those of the others."""
    ratings = row.human.ratings
    return [(said, (*ratings[:place], *ratings[place + 1 :])) for place, said in enumerate(ratings)]


def _share_of_modes(answer: str, opinions: Sequence[str]) -> float:
    """1 if the answer is the most frequent opinion, 1/k if it is one of k equally frequent ones, else 0."""
    counts = Counter(opinions)
    modes = [opinion for opinion, count in counts.items() if count == max(counts.values())]
    return 1.0 / len(modes) if answer in modes else 0.0


def _said(row: Judged) -> str | None:
    """The judge's likeliest answer; None if it failed."""
    return likeliest(row.outcome.p_a, row.outcome.p_tie) if isinstance(row.outcome, Preference) else None
