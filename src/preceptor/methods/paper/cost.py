"""What a label costs: by the judges, measured, and by people, as the paper says (Appendix L)."""

from collections.abc import Iterator

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.by_judge import ByJudge
from preceptor.methods.paper.numbers import AI_LABEL, AI_LABEL_TOKENS, HUMAN_LABEL, Task
from preceptor.methods.paper.table import Work
from preceptor.methods.paper.words import named
from preceptor.results.reproduction import PaperRow, Unit


class CostPerLabel(ByJudge):
    """Tokens, dollars and seconds for a label in both orders with a rationale."""

    name = "cost"
    title = "Cost per label"
    source = "Appendix L"
    columns = ("labeller", "per label")

    def rows(self, work: Work, task: Task, judge: JudgeSpec) -> Iterator[PaperRow]:
        """What was measured of one judge; where nothing was, why."""
        audited, who = work.audit(task)[judge], named(judge.model)
        dollars = audited.cost_per_1000 / 1000 if audited.cost_per_1000 else None  # a model that runs here costs 0
        seconds = None if audited.labels_per_s is None else 1 / audited.labels_per_s
        yield _row(who, "tokens", audited, audited.tokens_per_label, "number", "the judge counts none")
        yield _row(who, "dollars", audited, dollars, "dollars", "it has no price that is known; see the seconds")
        yield _row(who, "seconds", audited, seconds, "seconds", "most answers came from the ledger")

    def of_paper(self) -> Iterator[PaperRow]:
        """GPT-4 at its price of 2023, and people."""
        yield PaperRow(cells=("GPT-4, 2023", "tokens"), paper=AI_LABEL_TOKENS, unit="number")
        yield PaperRow(cells=("GPT-4, 2023", "dollars"), paper=AI_LABEL, unit="dollars")
        yield PaperRow(cells=("people, as the paper says", "dollars"), paper=HUMAN_LABEL, unit="dollars")


def _row(who: str, what: str, audited: JudgeAudit, value: float | None, unit: Unit, unless: str) -> PaperRow:
    found = None if value is None else Estimate(value=value, low=None, high=None, n=audited.n)
    return PaperRow(cells=(who, what), ours=found, unit=unit, remark=unless if found is None else "")
