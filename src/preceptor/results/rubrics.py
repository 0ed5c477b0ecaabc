"""What writing rubrics returns: the rows with their rubrics, and what became of every item."""

from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from preceptor.core.numbers import dollars, listed, number, percent, points, share
from preceptor.core.rubric import RubricItem
from preceptor.core.settings import Settings
from preceptor.core.types import Frozen, Integer, Rater, Seed, Tokens
from preceptor.display.table import Column, Table, pairs
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.rubric_audit import OrderEffect, RubricAudit
from preceptor.judging.rubrics.keeping import LEAST_LABELS, Reason
from preceptor.results.base import Result, Tabular
from preceptor.store.files import read_rows
from preceptor.store.ledger import LedgerTotals

ROWS = "rubrics.jsonl"
WITHOUT = "without_rubric.jsonl"
ITEMS = "items.jsonl"
FAILURES = "failures.jsonl"
JUDGEMENTS = "judgements.jsonl"
MOST_WITHOUT_VERDICT = 0.1
"""Share of judgements without any verdict above which the result warns."""


class RubricWritingSettings(Settings):
    """How rubrics are written and tried."""

    items: Integer = Field(default=8, ge=1, le=50)
    """Most criteria that are written for a prompt."""
    candidates: Integer = Field(default=4, ge=0, le=100)
    """Responses on which a prompt's items are tried: those of its rows, and samples of the model up to this number."""
    max_new_tokens: Tokens = 256
    """Length limit of a sampled response, in tokens."""
    seed: Seed = 0
    """Seed of the sampling."""


class RubricFailure(Frozen):
    """A prompt for which nothing could be written, and why."""

    id: str
    reason: str
    detail: str


class RubricItemOutcome(Frozen):
    """What became of one item, and what was seen of it. Verdicts are in the order of the candidates."""

    id: str
    """Of the prompt."""
    item: RubricItem
    outcome: Reason | Literal["kept"]
    repeats: str | None = None
    """The earlier criterion that it repeats."""
    met: tuple[float | None, ...] | None = None
    """Probability that each candidate meets it; None for a candidate without a verdict. None for an item not tried."""
    rephrased: str | None = None
    met_rephrased: tuple[float | None, ...] | None = None
    flipped: int = 0
    """Candidates on which the rephrased item has another verdict."""
    compared: int = 0
    """Candidates with a verdict on both."""
    people_agree: int = 0
    """Of the labelled pairs that items of these words tell apart, those in which they prefer what people prefer."""
    people_pairs: int = 0


class RubricsResult(Result):
    """Rubrics for prompts: `rubrics.jsonl` has the rows given, each with its rubric, `without_rubric.jsonl` those whose
    prompts have none, and `items.jsonl` every item and why it was dropped.
    """

    prompts: int
    malformed: int
    """Rows of the input that cannot be used."""
    with_rubric: int
    """Prompts with a rubric now."""
    failed: int
    """Prompts for which nothing could be written."""
    written: int
    """Items that the model wrote, and those of earlier rubrics."""
    malformed_items: int
    """Items of the model's answers without a criterion or points."""
    kept: int
    dropped: dict[Reason, int]
    not_tried: int
    """Kept items that were not tried on responses, because there are fewer than two."""
    not_rephrased: int
    """Kept items that could not be judged in other words: whether they depend on their words is not known."""
    not_compared_with_people: int
    """Kept items that tell too few labelled pairs apart to be tested by people's labels."""
    lost_to_faults: int
    """Kept items of prompts without a rubric: a rubric of faults alone is none."""
    judged: int
    """Times that a response was judged by the items of its prompt, or by their rephrasings."""
    without_verdict: int
    """Of these, the times that no item got a verdict."""
    why_without_verdict: str | None
    """Of the first of them."""
    writer: str
    """Identity of the model."""
    judge: Rater
    """Who tried the items."""
    settings: RubricWritingSettings
    ledger: LedgerTotals
    notes: tuple[str, ...]
    """What a person should know about the costs."""
    environment: dict[str, str | int]
    """Versions and hardware."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt what was dropped."""
        if self.without_verdict <= MOST_WITHOUT_VERDICT * self.judged:
            return ()
        return (
            f"No item got a verdict in {self.without_verdict} of {self.judged} judgements of a response "
            f"({self.why_without_verdict}). If the judge could not be asked, fix the cause and start the same work "
            "again: calls that were answered are not repeated.",
        )

    @property
    def items(self) -> tuple[RubricItemOutcome, ...]:
        """Every item; read from `items.jsonl`."""
        return tuple(map(RubricItemOutcome.model_validate, read_rows(self.path / ITEMS)))

    @property
    def failures(self) -> tuple[RubricFailure, ...]:
        """The prompts for which nothing could be written; read from `failures.jsonl`."""
        return tuple(map(RubricFailure.model_validate, read_rows(self.path / FAILURES)))

    def table(self) -> Table:
        """How many items stay, how many were dropped and why, and where the files are."""
        dropped = [f"{count} {reason}" for reason, count in self.dropped.items() if count]
        rows = [
            ("prompts", f"{self.prompts}, {self.with_rubric} with a rubric now, {self.failed} failed"),
            ("unusable rows", str(self.malformed)),
            ("items written", f"{self.written}, and {self.malformed_items} malformed"),
            ("items dropped", f"{sum(self.dropped.values())}" + (f": {listed(dropped)}" if dropped else "")),
            ("items kept", str(self.kept)),
            ("calls", str(self.ledger.calls)),
            ("cost", dollars(self.ledger.cost_usd, 4)),
            ("rows with rubrics", str(self.path / ROWS)),
            *([("rows without", str(self.path / WITHOUT))] if self.with_rubric < self.prompts else []),
            ("every item", str(self.path / ITEMS)),
        ]
        notes = [*self._untested(), *(f"note: {note}" for note in self.notes)]
        return Table((Column(""), Column("")), rows, warnings=self.warnings, notes=notes)

    def _untested(self) -> list[str]:
        """What was not tested of the items that stay."""
        found = (
            (self.not_tried, "not tried on responses: their prompts have fewer than two"),
            (self.not_rephrased, "not judged in other words"),
            (self.not_compared_with_people, f"not tested by people: they tell fewer than {LEAST_LABELS} pairs apart"),
            (self.lost_to_faults, "without a rubric: their prompts keep no item with positive points"),
        )
        return [f"Of the items kept, {count} {what}." for count, what in found if count]


def count_reasons(items: list[RubricItemOutcome]) -> dict[Reason, int]:
    """How many items were dropped for each reason, the most frequent first."""
    counted: Counter[Reason] = Counter(each.outcome for each in items if each.outcome != "kept")
    return dict(counted.most_common())


class RubricsPlan(Tabular):
    """What writing rubrics would need at most; see `plan_rubrics`."""

    prompts: int
    malformed: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """None where a price is not known."""
    estimated_on: int
    """Prompts whose tokens were counted."""

    def table(self) -> Table:
        """Calls, tokens and dollars."""
        rows = [
            ("prompts", f"{self.prompts}, {self.malformed} unusable rows"),
            ("calls", f"at most {self.calls:,}"),
            ("prompt tokens", f"at most about {self.prompt_tokens:,}"),
            ("completion tokens", f"at most {self.completion_tokens:,}"),
            ("cost", "not known: give prices" if self.cost_usd is None else f"at most {dollars(self.cost_usd, 4)}"),
        ]
        return pairs(rows, notes=[f"Tokens are estimated on {self.estimated_on} prompts, every item written and kept."])


class RubricAuditResult(RubricAudit, Result):
    """Rubrics measured on responses and on people's labels."""

    FILE: ClassVar[str] = "rubric_audit.json"

    judge: Rater
    without_rubric: int
    """Rows of prompts without a rubric; they are left out."""
    malformed: int
    """Rows that cannot be used."""
    written_from_responses: int
    """Items whose writer saw responses to their prompt."""
    ledger: LedgerTotals
    notes: tuple[str, ...]
    """What a person should know about the costs."""
    environment: dict[str, str | int]
    """Versions and hardware."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the numbers."""
        found = [
            (
                self.written_from_responses and self.labelled,
                f"{self.written_from_responses} items were written with responses in view; if with these, agreement "
                "with people is too high. Measure on other rows.",
            ),
            (
                self.verdicts and self.unassessed > self.verdicts,
                "The judge could not assess more than half of the items: the criteria do not fit the responses.",
            ),
        ]
        return tuple(words for holds, words in found if holds)

    def table(self) -> Table:
        """The measures of all items together, and the most frequent items one by one."""
        judgements = self.verdicts + self.unassessed + self.failed_items
        rows = [
            ("prompts, responses", f"{self.prompts}, {self.responses} ({self.failed} without a score)"),
            ("items judged", f"{judgements}: {self.unassessed} cannot be assessed, {self.failed_items} failed"),
            ("met", percent(self.share_met)),
            ("items that tell responses apart", share(self.separates)),
            ("items met by all, by none", f"{self.met_by_all}, {self.met_by_none}"),
            ("variance between responses", number(self.variance, 3)),
            ("agrees with people", _pairs(self.agreement)),
            ("always the longer response", _pairs(self.longer_baseline)),
            ("equal scores", f"{self.equal} of {self.labelled} labelled pairs"),
            ("correlation of score and length", number(self.length_correlation, signed=True)),
            ("order of items", _order(self.order)),
            ("calls, cost", f"{self.ledger.calls}, {dollars(self.ledger.cost_usd, 4)}"),
            ("file", str(self.path / self.FILE) if self._output is not None else "none"),
        ]
        return Table(
            (Column(""), Column("")), rows, warnings=self.warnings, notes=[f"note: {note}" for note in self.notes]
        )

    def item_table(self) -> Table:
        """Every criterion, the most frequent first; shares in per cent."""
        names = ("prompts", "met", "apart", "variance", "agrees", "n", "unclear", "failed")
        rows = [
            (
                item.criterion,
                str(item.prompts),
                points(item.share_met),
                points(item.separates),
                number(item.variance, 3),
                points(item.agreement and item.agreement.value),
                str(item.agreement.n if item.agreement else 0),
                str(item.unassessed),
                str(item.failed),
            )
            for item in self.items
        ]
        return Table((Column("criterion"), *(Column(name, "right") for name in names)), rows)


def _pairs(estimate: Estimate | None) -> str:
    return "no labelled pairs" if estimate is None else f"{share(estimate)} of {estimate.n} pairs"


def _order(order: OrderEffect | None) -> str:
    if order is None:
        return "not measured: each item is asked alone, or is the only one"
    return (
        f"{share(order.changed)} of verdicts change when reversed; later items {number(order.later.value, signed=True)}"
    )
