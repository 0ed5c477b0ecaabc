"""`preceptor agreement`: people against each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o
from preceptor.core.numbers import estimate, number, p_value, share

if TYPE_CHECKING:
    from preceptor.display.table import Table
    from preceptor.tasks.agreement import AgreementFound


@o.with_options(output=o.output)
def agreement(
    data: Annotated[Path, typer.Argument(help="Comparisons with people's ratings, or rows with rankings.")],
    *,
    output: o.Output,
) -> None:
    """Measure how far people agree with each other: pairs of people, Krippendorff's alpha, Kendall's W."""
    from preceptor.tasks.agreement import rater_agreement

    found = rater_agreement(data)
    output.show(found, lambda: str(_table(found)))


def _table(found: "AgreementFound") -> "Table":
    from preceptor.display.table import Column, Table

    people = found.agreement
    rankings = people.kind == "rankings"
    rows = [
        ("rows with two people or more", f"{people.rows}, {people.opinions} {'rankings' if rankings else 'opinions'}"),
        ("two people agree on two responses", share(people.pairwise)),
        (f"Krippendorff's alpha, {people.alpha_level}", number(people.alpha)),
    ]
    if rankings:
        rows.append(("Kendall's W, mean over rows", estimate(people.w)))
        rows.append(("p of ranks at random", p_value(people.w_p_value)))
    disputed = (
        f"{found.disputed} of {people.rows} rows were chosen because judges dispute them: people agree less on these "
        "than on others."
    )
    return Table(
        (Column(""), Column("")),
        rows,
        warnings=[disputed] if found.disputed else [],
        notes=[f"{found.left_out} rows are left out: {found.first_left_out}"] if found.left_out else [],
    )
