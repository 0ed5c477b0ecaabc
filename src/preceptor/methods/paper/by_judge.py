"""What the paper measured by the labeller's size: alignment (Table 3) and position bias (Table 4); and what the second
order of a pair is worth. Each judge that is named is a row; the paper's models have rows of their own.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import correctness, difference_by_prompt, share_by_prompt
from preceptor.judging.position import Presented, first_wins, p_by_order, same_position_wins
from preceptor.judging.position import mean as mean_of
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.asking import asked
from preceptor.methods.paper.data import needed
from preceptor.methods.paper.numbers import BY_SIZE, FIRST_OF_SAME, SAME_POSITION, Task
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.words import doubt, named, stands_in, warnings_of
from preceptor.results.reproduction import Findings, PaperRow
from preceptor.store.preference_row import PreferenceRow


class ByJudge(PaperTable):
    """A table with rows for each judge, asked as the paper asks: a detailed preamble and a rationale."""

    differs: ClassVar[tuple[str, ...]] = ()
    """How the table differs from the paper's, in sentences."""

    def lacks(self, setup: Setup) -> str | None:
        """People's comparisons of one task."""
        return None if setup.data.stand_in("preferences") else needed("TASK", "preferences")

    def judged(self, setup: Setup) -> Judged:
        """Every judge, asked in the same way."""
        task = setup.data.stand_in("preferences")
        return {} if task is None else {task: [asked(model, task, setup.scale) for model in setup.judges]}

    def run(self, work: Work) -> Findings:
        """The rows of each judge, and those of the paper's."""
        [(task, judges)] = self.judged(work.setup).items()
        one = ("Only one judge is named; name others to compare sizes.",) if len(judges) == 1 else ()
        return Findings(
            rows=(*(row for judge in judges for row in self.rows(work, task, judge)), *self.of_paper()),
            notes=(*stands_in(work.setup.data), *one, *self.differs),
            warnings=warnings_of(work, [(task, judge) for judge in judges]),
        )

    @abstractmethod
    def rows(self, work: Work, task: Task, judge: JudgeSpec) -> Iterator[PaperRow]:
        """The rows of one judge."""

    def of_paper(self) -> Iterator[PaperRow]:
        """The paper's rows, whose models are others."""
        yield from ()


class LabellerSize(ByJudge):
    """Alignment of each judge."""

    name = "labeller_size"
    title = "AI labeller alignment by the labeller's size"
    source = "Table 3"
    columns = ("labeller",)

    def rows(self, work: Work, task: Task, judge: JudgeSpec) -> Iterator[PaperRow]:
        """Its alignment."""
        audited = work.audit(task)[judge]
        yield PaperRow(cells=(named(judge.model),), ours=audited.alignment, chance=0.5, remark=doubt(audited))

    def of_paper(self) -> Iterator[PaperRow]:
        """The three sizes of PaLM 2."""
        return (PaperRow(cells=(model,), paper=value) for model, value in BY_SIZE.items())


class PositionBias(ByJudge):
    """How often one position wins in both orders, and whether it is the first."""

    name = "position_bias"
    title = "Position bias: pairs in which one position wins in both orders"
    source = "Table 4, Appendix B"
    columns = ("labeller", "share of")

    def rows(self, work: Work, task: Task, judge: JudgeSpec) -> Iterator[PaperRow]:
        """The share of pairs in which the same position wins, and of these, in which it is the first."""
        labels = work.labels(task, judge)
        same = [(label.prompt_id, float(same_position_wins(_shown(label)) or False)) for label in labels]
        yield PaperRow(cells=(named(judge.model), _SAME), ours=share_by_prompt(same), remark=_unless(same))
        kept = [label for label in labels if same_position_wins(_shown(label))]
        firsts = [(label.prompt_id, mean_of(first_wins(_shown(label)))) for label in kept]
        yield PaperRow(cells=(named(judge.model), _FIRST), ours=share_by_prompt(firsts), remark=_unless(firsts))

    def of_paper(self) -> Iterator[PaperRow]:
        """The three sizes of PaLM 2."""
        for model, value in SAME_POSITION.items():
            yield PaperRow(cells=(model, _SAME), paper=value)
            yield PaperRow(cells=(model, _FIRST), paper=FIRST_OF_SAME[model])


class SingleOrder(ByJudge):
    """What showing each pair in both orders is worth."""

    name = "single_order"
    title = "One order against both"
    source = "Section 2.1.1"
    differs = ("The paper shows each pair in both orders and gives no numbers for one.",)
    columns = ("labeller", "alignment with")

    def rows(self, work: Work, task: Task, judge: JudgeSpec) -> Iterator[PaperRow]:
        """Alignment with one order, with both, and their difference on the same pairs."""
        audited, labels = work.audit(task)[judge], work.labels(task, judge)
        difference = difference_by_prompt([(label.prompt_id, _gain(label)) for label in labels])
        measured: tuple[tuple[str, Estimate | None], ...] = (
            ("one order", audited.single_order_alignment),
            ("both orders", audited.alignment),
        )
        for what, found in measured:
            yield PaperRow(cells=(named(judge.model), what), ours=found, chance=0.5, remark=doubt(audited))
        yield PaperRow(
            cells=(named(judge.model), "difference"),
            ours=difference,
            unit="difference",
            chance=0.0,
            remark=doubt(audited) if difference is None else "",
        )


_SAME, _FIRST = "all pairs", "these, the first"


def _shown(label: PreferenceRow) -> list[Presented]:
    return [(verdict.order, verdict.p_a) for verdict in label.verdicts]


def _unless(values: list[tuple[str, float]]) -> str:
    return "" if values else "there is no such pair"


def _gain(label: PreferenceRow) -> float:
    """How much more often both orders are right than the one in which response a is first: 1, 0.5, 0, -0.5 or -1."""
    assert label.human_p_a is not None  # people labelled every comparison
    majority = "a" if label.human_p_a > 0.5 else "b"
    one = mean_of(p_by_order(_shown(label))["ab"])
    return correctness(label.p_a, majority) - correctness(one, majority)
