"""The result of an estimate: how often people prefer a response, and how many labels a narrower interval needs."""

from collections.abc import Iterator
from typing import ClassVar

from preceptor.core.numbers import number, points, points_interval
from preceptor.core.types import Frozen
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.prediction_powered import LEAST, LabelsForWidth, PredictionPowered
from preceptor.results.base import ReportedResult
from preceptor.store.for_people import FILE as FOR_PEOPLE

CHOSEN = {
    "random": "drawn at random",
    "cohort": "drawn at random within cohorts",
    "planned": "drawn with known probabilities",
}
"""How comparisons that people labelled were chosen, in words."""


class Matches(Frozen):
    """How the rows in a file of people's labels matched the judged comparisons."""

    labelled: int
    """Comparisons with a label."""
    malformed: int
    unknown: int
    """Labels of comparisons that were not judged, or are not among those selected."""
    other_responses: int
    """Labels with the id of a judged comparison but with other responses. They are left out."""
    disputed: int = 0
    """Labels left out because their comparisons were chosen for judges' disagreement: these represent no others."""


class EstimateResult(ReportedResult):
    """How often people prefer a response, estimated from human labels, from the judge's labels, and from both.

    Examples:
        >>> pairs = [{"id": f"c{i}", "prompt": f"q{i}", "response_a": "x", "response_b": "y"} for i in range(30)]
        >>> labels = label(pairs, judges="scripted:random")
        >>> people = [pair | {"label": "a"} for pair in pairs[:12]]
        >>> estimate(labels.path, people=people, sample="random").estimates.human_only.value
        1.0
    """

    FILE: ClassVar[str] = "estimate.json"

    preferred: str
    """"response a", or the policy's name."""
    comparisons: int
    """Judged comparisons that the estimate is about."""
    estimates: PredictionPowered
    labels: LabelsForWidth
    people: Matches | None
    """None if people's labels did not come in a separate file."""
    chosen: dict[str, int]
    """How the used comparisons labelled by people were chosen; empty if people labelled all of them."""
    for_people: int | None
    """Comparisons written to `for_people.jsonl`; None if none were requested."""

    @property
    def best(self) -> Estimate | None:
        """The estimate to quote: by people and judge together; None with too few human labels."""
        return self.estimates.prediction_powered

    @property
    def warnings(self) -> tuple[str, ...]:
        """How many human labels are left out, and why."""
        people = self.people
        if people is None:
            return ()
        left_out = {
            "malformed": people.malformed,
            "of comparisons not asked about": people.unknown,
            "of other responses": people.other_responses,
            "of comparisons chosen because judges dispute them": people.disputed,
        }
        listed = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        return (f"Labels left out: {listed}.",) if listed else ()

    @property
    def meaning(self) -> tuple[str, ...]:
        """What the judge adds to people's labels, how many labels the wanted interval needs, how these were chosen."""
        widths = _width(self.labels, self.estimates.judge_only.n)
        return (_worth(self.estimates), *widths, *self._chosen())

    def table(self) -> Table:
        """The three estimates, in per cent, and what they mean."""
        estimates = self.estimates
        return Table(
            (Column("from"), *(Column(name, "right") for name in ("estimate", "95%", "prompts"))),
            [
                ("people alone", *_cells(estimates.human_only), str(estimates.n_human)),
                (
                    "people and judge",
                    *_cells(estimates.prediction_powered),
                    f"{estimates.n_human} + {estimates.n_judge}",
                ),
                ("judge alone, biased as it is", *_cells(estimates.judge_only), str(estimates.judge_only.n)),
            ],
            title=f"How often people prefer {self.preferred}, in %",
            notes=[
                *self.meaning,
                *self.warnings,
                *self._files(),
            ],
        )

    def _chosen(self) -> Iterator[str]:
        if self.chosen:
            how = " and ".join(f"{count} {CHOSEN[name]}" for name, count in self.chosen.items())
            yield f"Comparisons that people labelled: {how}."

    def _files(self) -> Iterator[str]:
        if self._output is None:
            return
        if self.for_people is not None:
            yield f"for people to label: {self.for_people} in {self.path / FOR_PEOPLE}"
        yield f"report {self.report}"


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    if estimate is None:
        return "none", ""
    return points(estimate.value), points_interval(estimate.low, estimate.high)


def _worth(estimates: PredictionPowered) -> str:
    """How much the judge's labels add to people's."""
    people, effective = estimates.n_human, estimates.effective_labels
    if people < LEAST:
        return (
            f"{people} prompts are labelled by people, and an interval needs at least {LEAST}; a plan draws those to "
            "label next."
        )
    if not estimates.n_judge:
        return "People labelled every prompt: the judge has nothing to add."
    agreement = "" if estimates.correlation is None else f" (correlation with people {number(estimates.correlation)})"
    if effective is None or effective <= people:
        return f"This judge adds nothing to people's labels{agreement}."
    return f"With this judge, {people} human labels are worth as much as {number(effective, 0)} without it{agreement}."


def _width(labels: LabelsForWidth, prompts: int) -> Iterator[str]:
    """How many labels the wanted interval needs; `prompts` is the number of judged prompts."""
    width, alone, both = f"For ± {100 * labels.half_width:.3g} points", labels.without_judge, labels.with_judge
    if alone is not None and both is None:
        yield f"{width}: {alone:,} prompts labelled by people, more than the {prompts:,} there are."
    elif alone is not None:
        yield f"{width}: about {both:,} prompts labelled by people with this judge, {alone:,} without."
