"""What judges score on a benchmark."""

from collections.abc import Mapping
from typing import Literal

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.store.benchmarks.read import BenchmarkName

Level = Literal["overall", "section", "subset", "measure"]
"""`measure`: another number that the authors report, beside their main one."""


class BenchmarkScore(Frozen):
    """One number of a benchmark."""

    name: str
    level: Level
    estimate: Estimate | None
    """Without the items on which a judgement failed; an undecided comparison counts half where the benchmark counts
    single comparisons. `n` is the number of items, and the interval is over prompts. None if no item is left."""
    items: int
    """Items of the benchmark behind the number; of an average over people's votes, the votes."""
    failed: int = 0
    """Items on which a judgement failed."""
    as_published: float | None = None
    """The number with failures and undecided comparisons counted as the authors count them, see `COUNTED`; None if they
    say nothing of either, or their number is another one."""


class JudgeScores(Frozen):
    """What one judge scores."""

    judge: str
    """Its label in the audit."""
    scores: tuple[BenchmarkScore, ...]

    def __getitem__(self, name: str) -> BenchmarkScore:
        """The number with this name.

        Raises: KeyError naming those that there are.
        """
        found = next((score for score in self.scores if score.name == name), None)
        if found is None:
            raise KeyError(f"no {name!r}; the numbers are {', '.join(score.name for score in self.scores)}")
        return found


class Benchmark(Frozen):
    """What the judges of an audit score on a benchmark."""

    format: BenchmarkName
    judges: tuple[JudgeScores, ...]
    people: tuple[BenchmarkScore, ...] = ()
    """What people score by the same rule, against the other people."""

    def named(self, names: Mapping[str, str]) -> "Benchmark":
        """The same with other names for the judges."""
        judges = tuple(each.model_copy(update={"judge": names[each.judge]}) for each in self.judges)
        return self.model_copy(update={"judges": judges})

    @property
    def rule(self) -> str:
        """How the authors score, in a sentence."""
        return RULES[self.format]

    @property
    def counted(self) -> str:
        """How the authors count failures and undecided comparisons; empty if they say nothing of either."""
        return COUNTED.get(self.format, "")


_PREFERRED = "The share of pairs on which the judge prefers the preferred response; pairs rated alike are left out."
RULES: dict[BenchmarkName, str] = {
    "rewardbench": "RewardBench: the share of pairs on which the judge prefers the chosen response, by subset. A "
    "section weighs its subsets by their sizes in the benchmark, with math counted as much as code; the total is the "
    "mean of the sections, without the former test sets that the first leaderboard also counted.",
    "rewardbench2": "RewardBench 2: the share of prompts on which the judge prefers the right response to all three "
    "others; t wrong ones that it cannot tell from it leave 1/(1 + t). Ties: 0.3 each for preferring all right "
    "responses to all wrong ones where one and where several are right, 0.2 each for a gap between right and wrong "
    "that is wider than any among the right ones, there and in both, and 0.01 for how much wider. The total is the "
    "mean of the subsets.",
    "judgebench": "JudgeBench: the share of pairs on which the judge is right more often than wrong over both orders. "
    "A pair on which the orders contradict each other counts as not right.",
    "rm-bench": "RM-Bench: the share of the nine pairs of styles on which the judge prefers the right response. Hard: "
    "the wrong response has the fancier style; normal: both have the same; easy: the right one has. Domains count "
    "alike, and so do the two halves of safety.",
    "llmbar": "LLMBar: the share of right answers over both orders, by subset. Adversarial is the mean of its subsets.",
    "mt-bench": "MT-Bench: how often the judge's vote equals an expert's. The judge votes for a response if both "
    "orders do, otherwise for a tie. Without ties: only where both name a response.",
    "hh-rlhf": _PREFERRED,
    "pandalm": "PandaLM: accuracy against the opinion of most of three people (1, 2 or tie; the first person's where "
    "all three differ), and precision, recall and F1 averaged over the three answers.",
    "alpaca-eval": "AlpacaEval, human agreement: how often the judge says what most of three people say, averaged over "
    "the ways to leave out one of the four. Where two opinions are equally frequent, either counts half.",
    "helpsteer": _PREFERRED,
    "ultrafeedback": f"{_PREFERRED} A model gave the ratings, not people.",
}
"""How the authors score."""
COUNTED: dict[BenchmarkName, str] = {
    "rewardbench": "a failure counts half",
    "rewardbench2": "a failure counts a quarter; not given for the ties",
    "judgebench": "a failure counts as not right",
    "rm-bench": "a failure and an undecided comparison count as wrong",
    "llmbar": "a failure and an undecided order count as wrong",
    "pandalm": "a failure counts as a tie",
}
"""How the authors count what is no clear answer."""
