"""The report of an audit of judges against people: one self-contained HTML file that opens offline."""

from collections.abc import Mapping, Sequence

from preceptor.evaluation.judges.attack_rates import JudgeAttacks
from preceptor.evaluation.judges.audit_words import context, doubts, headline, ranked, sample, with_short_labels
from preceptor.evaluation.judges.benchmarks.result import Benchmark, BenchmarkScore
from preceptor.evaluation.judges.benchmarks.words import differs
from preceptor.evaluation.judges.bias_words import SHOWN, excess_in_words
from preceptor.evaluation.judges.cascade_words import in_words
from preceptor.evaluation.judges.judge_audit import Audit, JudgeRun
from preceptor.evaluation.judges.recommendation import recommendation
from preceptor.evaluation.judges.replacement_words import in_words as replacement_in_words
from preceptor.reports.audit import figures
from preceptor.reports.audit.rows import rows_of
from preceptor.reports.headlines import of_audit
from preceptor.reports.responses import fitting
from preceptor.reports.templates import page


def render_audit(
    audit: Audit,
    facts: Mapping[str, str | int | Mapping[str, str | int]],
    runs: Sequence[JudgeRun] = (),
    drift: Sequence[str] = (),
    attacks: Sequence[JudgeAttacks] = (),
) -> str:
    """The report as HTML. All text is escaped.

    Args:
        facts: the data and versions that the page lists; values are texts, numbers, or a dict of them. "data", the name
            of the data file, is also in the page's title.
        drift: whether the judges' models have changed, in sentences without full stops.
        attacks: how often attacks fooled each judge.
        runs: every judge's answers, in the order of the audit's judges, for reading.
    """
    audit = with_short_labels(audit)
    judges = ranked(audit)
    models = {judge.judge for judge in judges}
    measured = [judge for judge in judges if judge.n]
    return page(
        "audit/audit.html.jinja",
        judges=judges,
        comparisons=audit.comparisons,
        facts=facts,
        only_model=models.pop() if len(judges) > 1 and len(models) == 1 else None,
        sample=sample(audit),
        headline=headline(audit),
        short=of_audit(audit),
        every=fitting(rows_of([judge.label for judge in audit.judges], runs)),
        attacks=[each for each in attacks if each.rates or each.search],
        context=[*filter(None, recommendation(audit)[1:]), *context(audit), *(f"{sentence}." for sentence in drift)],
        cascade=[] if audit.cascade is None else in_words(audit.cascade),
        replacement=replacement_in_words(judges),
        benchmark=audit.benchmark,
        benchmark_rows=[] if audit.benchmark is None else _benchmark_rows(audit.benchmark),
        published_differs=differs,
        warnings=[(judge.label, reasons) for judge in judges if (reasons := doubts(judge))],
        swayed=list(filter(None, (excess_in_words(judge.biases, judge.label) for judge in measured))),
        features=SHOWN,
        categories=list(dict.fromkeys(name for judge in judges for name in judge.by_category)),
        alignment=figures.alignment(measured) if measured else None,
        biases=figures.biases(measured) if measured else None,
        reliability=figures.reliability(measured) if measured else None,
    )


_BenchmarkRow = tuple[str, str, list[BenchmarkScore | None], BenchmarkScore | None]
"""Name and level of a number, each judge's, and people's."""


def _benchmark_rows(benchmark: Benchmark) -> list[_BenchmarkRow]:
    """The benchmark's numbers, each with what every judge and people score."""
    judges = [{score.name: score for score in each.scores} for each in benchmark.judges]
    people = {score.name: score for score in benchmark.people}
    levels = {name: score.level for each in judges for name, score in each.items()}
    return [(name, level, [each.get(name) for each in judges], people.get(name)) for name, level in levels.items()]
