"""Several rationales at a temperature, whose preferences are averaged (Table 14)."""

from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.asking import STANDARD, asked
from preceptor.methods.paper.data import needed
from preceptor.methods.paper.numbers import SELF_CONSISTENCY, Task
from preceptor.methods.paper.scales import Scale
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.words import doubt, stands_in, warnings_of
from preceptor.results.reproduction import Findings, PaperRow


class SelfConsistency(PaperTable):
    """One greedy rationale against several sampled ones."""

    name = "self_consistency"
    title = "Self-consistency: several rationales against one"
    source = "Table 14"
    columns = ("rationales", "temperature")

    def lacks(self, setup: Setup) -> str | None:
        """People's comparisons of one task."""
        return None if setup.data.stand_in("preferences") else needed("TASK", "preferences")

    def judged(self, setup: Setup) -> Judged:
        """The labeller with each number of rationales at each temperature."""
        task = setup.data.stand_in("preferences")
        return {} if task is None else {task: [_judge(setup, task, *way) for way in _ways(setup.scale)]}

    def run(self, work: Work) -> Findings:
        """A row for each number of rationales and temperature."""
        setup = work.setup
        [(task, judges)] = self.judged(setup).items()
        rows = [_row(work, task, samples, temperature) for samples, temperature in _ways(setup.scale)]
        return Findings(
            rows=tuple(rows),
            notes=(
                *stands_in(setup.data),
                "The paper found no difference beyond 0.4 points between 4 and 16 rationales, and prints those of 16.",
            ),
            warnings=warnings_of(work, [(task, judge) for judge in judges]),
        )


def _ways(scale: Scale) -> list[tuple[int, float]]:
    return [(1, 0.0), *((samples, temperature) for samples in scale.samples for temperature in scale.temperatures)]


def _judge(setup: Setup, task: Task, samples: int, temperature: float) -> JudgeSpec:
    if samples == 1:
        return asked(setup.labeller, task, setup.scale)
    top_k = PairwiseSettings.model_fields["top_k"].default
    return asked(setup.labeller, task, setup.scale, STANDARD, samples=samples, temperature=temperature, top_k=top_k)


def _row(work: Work, task: Task, samples: int, temperature: float) -> PaperRow:
    judge = work.audit(task)[_judge(work.setup, task, samples, temperature)]
    return PaperRow(
        cells=(str(samples), "greedy" if samples == 1 else f"{temperature:g}"),
        ours=judge.alignment,
        paper=SELF_CONSISTENCY.get((samples, temperature)),
        chance=0.5,
        remark=doubt(judge),
    )
