"""What a measurement of people's agreement returns."""

from typing import ClassVar

from preceptor.core.numbers import estimate, number, p_value, share
from preceptor.display.table import Column, Table
from preceptor.evaluation.judges.raters import RaterAgreement
from preceptor.results.base import ReportedResult


class AgreementResult(ReportedResult):
    """How far people agree with each other, and which rows could not be used.

    Examples:
        >>> rows = [{"prompt": "q", "response_a": "x", "response_b": "y", "ratings": ["a", "a", "b"]}]
        >>> round(agreement(rows).agreement.pairwise.value, 2)
        0.33
    """

    FILE: ClassVar[str] = "agreement.json"

    agreement: RaterAgreement
    left_out: int
    """Rows that cannot be used, including those with fewer than two people's opinions."""
    first_left_out: str | None
    """Where the first of them is, and why it was left out."""
    disputed: int = 0
    """Rows that were chosen because judges disagree on them; people agree less on these than on others."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning when the way the rows were chosen biases the numbers."""
        if not self.disputed:
            return ()
        return (
            f"{self.disputed} of {self.agreement.rows} rows were chosen because judges dispute them: people agree less "
            "on these than on others.",
        )

    def table(self) -> Table:
        """The measures, one to a line."""
        people = self.agreement
        rows = [
            ("rows with two people or more", f"{people.rows}, {people.opinions} {_unit(people)}"),
            ("two people agree on two responses", share(people.pairwise)),
            (f"Krippendorff's alpha, {people.alpha_level}", number(people.alpha)),
        ]
        if people.kind == "rankings":
            rows.append(("Kendall's W, mean over rows", estimate(people.w)))
            rows.append(("p of ranks at random", p_value(people.w_p_value)))
        notes = [f"{self.left_out} rows are left out: {self.first_left_out}"] if self.left_out else []
        notes += [] if self._output is None else [f"report {self.report}"]
        return Table((Column(""), Column("")), rows, warnings=self.warnings, notes=notes)


def _unit(people: RaterAgreement) -> str:
    return "rankings" if people.kind == "rankings" else "opinions"
