"""Scores judges on a benchmark by its authors' rule."""

from collections.abc import Mapping, Sequence

from preceptor.evaluation.judges.benchmarks import known_answers, opinions
from preceptor.evaluation.judges.benchmarks.items import Scorer
from preceptor.evaluation.judges.benchmarks.result import Benchmark, JudgeScores
from preceptor.evaluation.judges.judge_audit import Judged
from preceptor.store.benchmarks.parts import Part
from preceptor.store.benchmarks.read import BenchmarkName

_SCORERS: Mapping[BenchmarkName, Scorer] = {
    "rewardbench": known_answers.rewardbench,
    "rewardbench2": known_answers.rewardbench2,
    "judgebench": known_answers.judgebench,
    "rm-bench": known_answers.rm_bench,
    "llmbar": known_answers.llmbar,
    "mt-bench": opinions.mt_bench,
    "hh-rlhf": known_answers.preferred,
    "pandalm": opinions.pandalm,
    "alpaca-eval": opinions.alpaca_eval,
    "helpsteer": known_answers.preferred,
    "ultrafeedback": known_answers.preferred,
}
_OF_PEOPLE: Mapping[BenchmarkName, Scorer] = {
    "mt-bench": opinions.mt_bench_people,
    "alpaca-eval": opinions.alpaca_eval_people,
}


def score_benchmark(
    format: BenchmarkName, judges: Sequence[tuple[str, Sequence[Judged]]], parts: Sequence[Part]
) -> Benchmark:
    """What each judge scores.

    Args:
        judges: label and judged comparisons of each.
        parts: each comparison's place in the score, in the order of the comparisons.
    """
    placed = [(label, list(zip(rows, parts, strict=True))) for label, rows in judges]
    people = _OF_PEOPLE.get(format)
    return Benchmark(
        format=format,
        judges=tuple(JudgeScores(judge=label, scores=_SCORERS[format](rows)) for label, rows in placed),
        people=people(placed[0][1]) if people is not None and placed else (),
    )
