"""What a reproduction would run, checked without a model, a GPU or a call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.methods.paper.registry import tables_named
from preceptor.methods.paper.reproduce import check_paper, setup_of
from preceptor.methods.paper.table import PaperTable, Setup
from preceptor.results.reproduction import PlannedTable, ReproductionPlan


def plan_reproduction(
    paper: str = "rlaif-paper",
    tables: Sequence[str] = (),
    *,
    data: str | Path,
    policy: str | Path = "embedded",
    judges: str | Path | Sequence[str | Path] = "embedded",
    held_out_judge: str | Path | None = None,
    scale: str = "tiny",
    seed: int = 0,
    connection: Connection | Mapping[str, Any] | None = None,
) -> ReproductionPlan:
    """What `reproduce` would run, with every recipe checked.

    Examples:
        >>> plan_reproduction(data="paper_data", scale="paper").tables  # doctest: +SKIP

    Args:
        paper, tables, data, policy, judges, held_out_judge, scale, seed, connection: as for `reproduce`.

    Raises: UsageError for a wrong name, data that cannot be used, or settings that cannot be run here.
    """
    check_paper(paper)
    chosen = tables_named(tables)
    setup = setup_of(policy, judges, held_out_judge, Path(data), scale, seed, connection)
    return ReproductionPlan(scale=scale, tables=tuple(_planned(table, setup) for table in chosen))


def _planned(table: PaperTable, setup: Setup) -> PlannedTable:
    needs = table.lacks(setup)
    judged = {} if needs else table.judged(setup)
    return PlannedTable(
        name=table.name,
        needs=needs or "",
        judged={task: tuple(f"{judge.model} ({judge.way})" for judge in judges) for task, judges in judged.items()},
        trains=() if needs else table.planned(setup),
    )
