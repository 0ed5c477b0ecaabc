"""A trained judge, and what it is worth on prompts that it never saw."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from preceptor.core.numbers import estimate, number, percent, share
from preceptor.core.types import Frozen
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.judging.rationales import FoundRationales
from preceptor.results.base import Result
from preceptor.training.sft.settings import SftSettings
from preceptor.training.tuning import TuningSettings


class JudgeMeasures(Frozen):
    """One judge on the held-out rows."""

    alignment: Estimate | None
    """Agreement with people; the interval is over prompts."""
    position_bias: float | None
    """Share of rows in which the same position wins after the swap."""
    longer_preferred_rate: float | None
    failure_rate: float | None


class OwnRationales(Frozen):
    """Rationales that the judge found by itself before it was trained."""

    lacking: int
    """Comparisons whose rows had no rationale in one of the orders or in both."""
    found: int
    """Those of them for which it then had one in both, and which it learnt."""
    tries: tuple[int, ...]
    """How many questions, each a comparison in one order, came to the label at the first try, the second ..."""
    without: int
    """Questions that did not come to the label at any try."""
    failed: int
    """Tries that gave no verdict."""

    @classmethod
    def of(cls, found: FoundRationales) -> "OwnRationales":
        """What was found, without the rationales."""
        return cls(**{name: getattr(found, name) for name in cls.model_fields})

    @property
    def asked(self) -> int:
        """Tries in all."""
        return sum(place * count for place, count in enumerate(self.tries, start=1)) + len(self.tries) * self.without

    @property
    def sentence(self) -> str:
        """How it came by them, in a sentence."""
        questions = sum(self.tries) + self.without
        mean = f", {self.asked / questions:.1f} tries each on average" if questions else ""
        return (
            f"For {self.found} of the {self.lacking} comparisons without rationales it found its own, each the first "
            f"of at most {len(self.tries)} that came to the label, in both orders{mean}."
        )


class TrainedJudgeResult(Result):
    """A judge that learnt verdicts. `model` is a folder that any judge option takes."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())
    FILE: ClassVar[str] = "summary.json"

    status: Literal["done"] = "done"
    base: str
    """Identity of the model that it began from."""
    constitution: str
    variant: str
    """How the judge was asked in training, and has to be asked."""
    lessons: int
    """Comparisons that it learnt, each in both orders."""
    left_out: dict[str, int]
    """Rows that were not learnt, by reason."""
    teachers: tuple[str, ...]
    """Who said which responses are better: "people", judges by name, how a model made the pairs, or "not recorded"."""
    own_rationales: OwnRationales | None = None
    """None unless it was asked for them."""
    labels_licence: str
    """The licence of the labels and the terms of the judges that gave them, as the user stated them."""
    first_loss: float | None
    last_loss: float | None
    held_out_rows: int
    before: JudgeMeasures | None
    after: JudgeMeasures | None
    """None without held-out rows that people labelled."""
    gain: Estimate | None
    """Alignment after minus alignment before on the same rows, with its interval."""
    seed: int
    sft: SftSettings
    tuning: TuningSettings
    seconds: float
    environment: dict[str, str | int]

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.path / "model"

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.before is None or self.after is None:
            return "Not measured: no held-out row has a label of people."
        if self.gain is None:
            return f"Not measured: of {self.held_out_rows} held-out rows, none was answered both before and after."
        said = f"{share(self.before.alignment)} before, {share(self.after.alignment)} after"
        if self.gain.low is not None and self.gain.low > 0:
            return f"The trained judge agrees more with people: {said} ({estimate(self.gain, signed=True)})."
        if self.gain.high is not None and self.gain.high < 0:
            return f"The trained judge agrees less with people: {said} ({estimate(self.gain, signed=True)})."
        return f"No gain shown: agreement with people {said} ({estimate(self.gain, signed=True)})."

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the judge."""
        after = self.after
        weak = after is not None and (after.alignment is None or (after.alignment.low or 0.0) <= 0.5)
        return ("The trained judge is not shown to be better than chance.",) if weak else ()

    def table(self) -> Table:
        """Before and after, on the held-out rows."""
        rows = [
            (name, share(one.alignment), percent(one.position_bias), percent(one.longer_preferred_rate))
            for name, one in (("before", self.before), ("after", self.after))
            if one is not None
        ]
        return Table(
            (Column("judge"), Column("aligned", "right"), Column("position bias", "right"), Column("longer", "right")),
            rows,
            title=f"{self.lessons} comparisons learnt, {self.held_out_rows} held out",
            headline=self.headline,
            warnings=self.warnings,
            notes=[
                *([] if self.own_rationales is None else [self.own_rationales.sentence]),
                f"loss {number(self.first_loss, 3)} at first, {number(self.last_loss, 3)} at last",
                *([f"model {self.model}; ask it as --variant {self.variant}"] if self._output is not None else []),
            ],
        )
