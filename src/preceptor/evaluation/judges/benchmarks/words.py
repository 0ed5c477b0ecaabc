"""Describes what judges score on a benchmark in sentences."""

from collections.abc import Mapping

from preceptor.core.numbers import listed, percent, share
from preceptor.evaluation.judges.benchmarks.result import Benchmark, BenchmarkScore


def in_words(benchmark: Benchmark, names: Mapping[str, str]) -> list[str]:
    """The rule, and what each judge and people score by it.

    Args:
        names: what the judges are called.
    """
    return [
        benchmark.rule,
        *(
            f"{names[each.judge]}: {listed([_number(score) for score in each.scores if _is_main(score)])}."
            for each in benchmark.judges
        ),
        *([f"People: {listed([_number(score) for score in benchmark.people])}."] if benchmark.people else []),
        *([f"As published: {benchmark.counted}."] if _any_differs(benchmark) else []),
    ]


def _any_differs(benchmark: Benchmark) -> bool:
    return any(differs(score) for each in benchmark.judges for score in each.scores if _is_main(score))


def _is_main(score: BenchmarkScore) -> bool:
    return score.level in ("overall", "section")


def _number(score: BenchmarkScore) -> str:
    """The name, the number with its interval, the authors' number where it is another one, and failures."""
    beside = [f"as published {percent(score.as_published)}"] if differs(score) else []
    beside += [f"{score.failed} of {score.items} failed"] if score.failed else []
    return f"{score.name} {share(score.estimate)}" + (f" ({', '.join(beside)})" if beside else "")


def differs(score: BenchmarkScore) -> bool:
    """Whether the authors' way of counting gives another number."""
    own = None if score.estimate is None else round(score.estimate.value, 9)
    return score.as_published is not None and round(score.as_published, 9) != own
