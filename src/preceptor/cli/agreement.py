"""`preceptor agreement`: people against each other."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o
from preceptor.core.numbers import estimate, number, p_value, share
from preceptor.display.terminal import Terminal, say_json

if TYPE_CHECKING:
    from preceptor.tasks.agreement import AgreementFound


def agreement(
    data: Annotated[Path, typer.Argument(help="Comparisons with people's ratings, or rows with rankings.")],
    as_json: o.AsJson = False,
) -> None:
    """Measure how far people agree with each other: pairs of people, Krippendorff's alpha, Kendall's W."""
    from preceptor.tasks.agreement import rater_agreement

    found = rater_agreement(data)
    if as_json:
        say_json(found.model_dump_json(indent=1))
    else:
        _show(found)


def _show(found: "AgreementFound") -> None:
    from rich.table import Table

    people = found.agreement
    table = Table(show_header=False)
    rankings = people.kind == "rankings"
    table.add_row(
        "rows with two people or more", f"{people.rows}, {people.opinions} {'rankings' if rankings else 'opinions'}"
    )
    pairs = people.pairwise
    said = share(pairs)
    table.add_row("two people agree on two responses", said)
    table.add_row(f"Krippendorff's alpha, {people.alpha_level}", number(people.alpha))
    if rankings:
        table.add_row("Kendall's W, mean over rows", estimate(people.w))
        table.add_row("p of ranks at random", p_value(people.w_p_value))
    console = Terminal()
    if found.disputed:
        console.print(
            f"! {found.disputed} of {people.rows} rows were chosen because judges dispute them: people agree less on "
            "these than on others.",
            highlight=False,
        )
    console.print(table)
    if found.left_out:
        console.print(f"{found.left_out} rows are left out: {found.first_left_out}", highlight=False, soft_wrap=True)
