"""The result of labelling: a preference dataset in a folder, and statistics of the judges' answers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from preceptor.core.numbers import dollars, number, percent
from preceptor.core.raters import ConstitutionFacts, Rater
from preceptor.display.table import Column, Table, pairs
from preceptor.judging.outcome_counts import LabelCounts, NamedConduct
from preceptor.judging.warnings import JudgeWarning
from preceptor.results.base import Result, Tabular
from preceptor.store.ledger import LedgerTotals
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import MALFORMED, FailureRow, PreferenceRow

if TYPE_CHECKING:
    import datasets
    import pandas as pd

PARQUET = "preferences.parquet"


class LabelResult(Result):
    """A preference dataset.

    `len` is the number of comparisons that got a preference; those that failed or are unusable are in `failures` and
    `malformed`. Iterating gives the `PreferenceRow`s, read from the file one at a time.

    Examples:
        >>> rows = [{"prompt": "Why is the sky blue?", "response_a": "Rayleigh scattering.", "response_b": "Because."}]
        >>> labels = label(rows, judges="scripted:random")
        >>> [row.chosen_is for row in labels]
        ['b']
        >>> len(labels)
        1
    """

    data: str
    """The file of comparisons or prompts."""
    judges: tuple[str, ...]
    """Identities of the judges' models."""
    rater: Rater
    """Who gave the labels: one judge, or the ensemble."""
    constitutions: tuple[ConstitutionFacts, ...]
    judge_warnings: tuple[JudgeWarning, ...]
    counts: LabelCounts
    conduct: tuple[NamedConduct, ...]
    """How each judge answered. With several judges, the ensemble comes first."""
    ledger: LedgerTotals
    notes: tuple[str, ...]
    """What a person should know about the costs."""
    ledger_hits: int
    """Calls of this process that the ledger answered."""
    calls_in_this_process: int
    environment: dict[str, str | int]
    """Versions and hardware."""
    for_people: int | None
    """Comparisons written to `for_people.jsonl`; None if none were requested."""
    seconds: float
    """Seconds in this process."""

    @property
    def warnings(self) -> tuple[JudgeWarning, ...]:
        """Reasons to distrust the labels, the gravest of each judge first."""
        return self.judge_warnings

    @property
    def position_bias(self) -> float | None:
        """Share of comparisons shown in both orders in which the same position wins; None where there is none."""
        return self.counts.position_bias

    @property
    def failures(self) -> tuple[FailureRow, ...]:
        """The comparisons without a preference, and why; read from `failures.jsonl`."""
        return tuple(row for row in Outcomes(self.path).failure_rows() if row.reason != MALFORMED)

    @property
    def malformed(self) -> tuple[FailureRow, ...]:
        """The rows of the input that cannot be used, and why; read from `failures.jsonl`."""
        return tuple(row for row in Outcomes(self.path).failure_rows() if row.reason == MALFORMED)

    def __len__(self) -> int:
        return self.counts.preferences

    def __bool__(self) -> bool:
        return True  # a result, even of no preference

    def __iter__(self) -> Iterator[PreferenceRow]:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield from Outcomes(self.path).preference_rows()  # refers to the result, and so keeps a temporary folder

    def to_dataset(self) -> "datasets.Dataset":
        """The preferences as an in-memory dataset that TRL can train on. Needs the package datasets."""
        import datasets
        import pyarrow.parquet as pq
        from datasets.table import InMemoryTable

        return datasets.Dataset(InMemoryTable(pq.read_table(self.path / PARQUET)))

    def to_pandas(self) -> "pd.DataFrame":
        """The preferences as a DataFrame; messages and verdicts are lists of dicts. Needs the package pandas."""
        import pandas as pd
        import pyarrow.parquet as pq

        table = pq.read_table(self.path / PARQUET)
        return pd.DataFrame(table.to_pylist(), columns=table.column_names)

    def table(self) -> Table:
        """The outcomes of the rows, how the judges answered, and the cost."""
        counts, ledger = self.counts, self.ledger
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts.failures_by_reason.items())
        rows = [
            ("preferences", str(counts.preferences)),
            ("failures", f"{counts.failures} ({reasons})" if reasons else str(counts.failures)),
            ("unusable rows", str(counts.malformed)),
        ]
        if self.for_people is not None:
            rows.append(("for people to label", f"{self.for_people} in for_people.jsonl"))
        rows.append(("mean probability of the chosen", number(counts.mean_p_chosen, 3)))
        if counts.undecided:
            rows.append(("undecided: p is 0.5, and chosen is a", str(counts.undecided)))
        if counts.likeliest_ties:
            rows.append(("a tie is likeliest, and chosen what it leans to", str(counts.likeliest_ties)))
        cost = dollars(ledger.cost_usd, 4) + (f", {ledger.unpriced} calls unpriced" if ledger.unpriced else "")
        rows += [
            ("first shown wins", percent(counts.first_position_rate)),
            ("same position wins after the swap", percent(counts.position_bias)),
            ("calls", f"{self.calls_in_this_process} now, {ledger.calls} in all"),
            ("tokens", f"{ledger.prompt_tokens:,} + {ledger.completion_tokens:,}{_cached(ledger)}"),
            ("cost", cost),
        ]
        warnings = [f"{warning.sentence}." for warning in self.judge_warnings]
        notes = [*(f"note: {note}" for note in self.notes), f"dataset {self.path}"]
        return Table((Column(""), Column("")), rows, warnings=warnings, notes=notes)


def _cached(ledger: LedgerTotals) -> str:
    return f" ({ledger.cached_tokens:,} from a cache)" if ledger.cached_tokens else ""


class LabelPlan(Tabular):
    """What labelling would need; see `plan_label`."""

    rows: int
    malformed: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    """An upper bound."""
    cost_usd: float | None
    """None where a price is not known."""
    estimated_on: int
    """Comparisons whose tokens were counted."""
    assumed: str | None
    """What is assumed about servers that were not contacted; None if nothing is."""
    expected_calls: int | None = None
    """Calls if a cascade escalates the share that it escalated in its audit; `calls` is then the most. None for other
    judges."""
    expected_cost_usd: float | None = None
    """Dollars for these calls."""

    def table(self) -> Table:
        """Calls, tokens and dollars."""
        rows = [
            ("rows", f"{self.rows}, {self.malformed} unusable"),
            ("calls", self._calls),
            ("prompt tokens", f"about {self.prompt_tokens:,}"),
            ("completion tokens", f"at most {self.completion_tokens:,}"),
            ("cost", self._cost),
        ]
        notes = [f"Tokens are estimated on {self.estimated_on} comparisons."]
        if self.expected_calls is not None:
            notes.append("Tokens are counted as if every judge of the cascade were asked about everything.")
        return pairs(rows, notes=[*notes, *([f"note: {self.assumed}"] if self.assumed else [])])

    @property
    def _calls(self) -> str:
        if self.expected_calls is None:
            return str(self.calls)
        return f"at most {self.calls}; about {self.expected_calls} if as many escalate as in the audit"

    @property
    def _cost(self) -> str:
        if self.cost_usd is None:
            return "not known: give prices"
        most = dollars(self.cost_usd, 4)
        if self.expected_cost_usd is None:
            return most
        return f"at most {most}; about {dollars(self.expected_cost_usd, 4)} as in the audit"
