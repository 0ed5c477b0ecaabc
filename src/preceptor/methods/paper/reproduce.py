"""The tables of a paper, run one after the other; each is finished once, however often the process is killed."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.core.environment import environment
from preceptor.core.errors import UsageError, nearest
from preceptor.core.progress import Progress
from preceptor.core.validation import settings_of
from preceptor.display.log import Logged, logged
from preceptor.display.progress import shown
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.data import open_data
from preceptor.methods.paper.numbers import PAPER, Task
from preceptor.methods.paper.registry import tables_named
from preceptor.methods.paper.scales import SCALES
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.reports.paper.page import render_reproduction, render_reproduction_markdown
from preceptor.results.reproduction import Findings, ReproducedTable, ReproductionResult
from preceptor.store.files import read_json, write_json, write_text, writing
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.pinned import pin

PAPERS = ("rlaif-paper",)
"""The papers whose tables can be reproduced."""


def reproduce(
    paper: str = "rlaif-paper",
    tables: Sequence[str] = (),
    *,
    data: str | Path,
    policy: str | Path = "embedded",
    judges: str | Path | Sequence[str | Path] = "embedded",
    held_out_judge: str | Path | None = None,
    scale: str = "tiny",
    out: str | Path | None = None,
    seed: int = 0,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ReproductionResult:
    """Runs the tables of Lee et al. 2023 with other models and data, and shows each number beside the paper's.

    A table whose data are missing says what it needs. Resumes what an earlier process left in the folder: finished
    tables stay, and answered calls are not repeated.

    Examples:
        >>> reproduce(data="paper_data", judges=["openai:gpt-4o-mini"])["alignment"]  # doctest: +SKIP

    Args:
        paper: `rlaif-paper`, the only one so far.
        tables: names of the tables to run; all of them by default.
        data: a folder with files such as `helpful/preferences.jsonl`; see `preceptor.methods.paper.data`.
        policy: model string of the policy that is trained and that reward models start from.
        judges: model strings of judges: the labeller first, and the others from the larger to the smaller.
        held_out_judge: model string of a judge that labels nothing, chooses checkpoints and compares policies; the
            second judge when None, or the labeller if there is no other.
        scale: `tiny`, `small` or `paper`.
        out: the folder of all tables; give it again to resume. A temporary folder by default.
        seed: which comparisons are drawn and held out, and the seed of training.
        connection: how model servers are reached.
        progress: shows what happens; a bar or lines on standard error when None.

    Raises: UsageError for a wrong name, data that cannot be used, or a folder that holds other work; PreceptorError
        when a model cannot be asked or trained.
    """
    check_paper(paper)
    chosen = tables_named(tables)
    setup = setup_of(policy, judges, held_out_judge, Path(data), scale, seed, connection)
    output = output_folder(out)
    check_own(output.path, "reproduction")
    with shown(progress) as display, working_in(output.path, "reproduction"):
        pin(output.path / "begun.json", _begun(setup), "a reproduction")
        settings = {"data": str(data), "policy": setup.policy, "judges": setup.judges, "scale": scale, "seed": seed}
        with logged(output.path, "reproduce", settings, display) as log:
            return _run(_with_earlier(output.path, chosen), setup, output, log)


def check_paper(name: str) -> None:
    """Raises: UsageError for a paper whose tables are not known."""
    if name not in PAPERS:
        raise UsageError(f'there is no paper "{name}"; {nearest(name, PAPERS)}')


def setup_of(
    policy: str | Path,
    judges: str | Path | Sequence[str | Path],
    held_out_judge: str | Path | None,
    data: Path,
    scale: str,
    seed: int,
    connection: Connection | Mapping[str, Any] | None,
) -> Setup:
    """What a reproduction is made with, checked.

    Raises: UsageError as `reproduce`.
    """
    if scale not in SCALES:
        raise UsageError(f'there is no scale "{scale}"; {nearest(scale, SCALES)}')
    listed = [judges] if isinstance(judges, str | Path) else judges
    models = tuple(dict.fromkeys(str(judge) for judge in listed))
    if not models:
        raise UsageError('no judge is named; give at least one, such as "embedded"')
    held_out = None if held_out_judge is None else str(held_out_judge)
    for model in (str(policy), *models, *([held_out] if held_out else [])):
        check_name(model)
    return Setup(
        policy=str(policy),
        judges=models,
        data=open_data(data),
        scale=SCALES[scale],
        seed=seed,
        connection=settings_of("connection", Connection, connection),
        held_out=held_out,
    )


def _begun(setup: Setup) -> dict[str, object]:
    return {
        "scale": setup.scale.name,
        "policy": setup.policy,
        "judges": list(setup.judges),
        "seed": setup.seed,
        "data": setup.data.hashes,
        **({"held-out judge": setup.held_out} if setup.held_out else {}),
    }


def _with_earlier(folder: Path, chosen: Sequence[PaperTable]) -> list[PaperTable]:
    """The tables to show: those asked for, and those that the folder already has."""
    names = {table.name for table in chosen}
    return [table for table in tables_named(()) if table.name in names or (folder / "tables" / table.name).is_dir()]


def _run(tables: Sequence[PaperTable], setup: Setup, output: Output, log: Logged) -> ReproductionResult:
    runnable = [table for table in tables if table.lacks(setup) is None]
    judged, audits = _judged(runnable, setup), dict[Task, Any]()
    shown_now = [_waiting(table, setup) for table in tables]
    for number, table in enumerate(tables):
        if table not in runnable:
            continue
        folder = output.path / "tables" / table.name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        log.note(f"table {number + 1} of {len(tables)}: {table.title}")
        work = Work(setup, output.path, folder, log, judged, audits)
        shown_now[number] = _table(table, work)
        _written(setup, shown_now, output)
    return _written(setup, shown_now, output)


def _judged(tables: Sequence[PaperTable], setup: Setup) -> Judged:
    """By whom each task's comparisons are labelled for all tables together, each judge once."""
    judged: dict[Task, list[JudgeSpec]] = {}
    for table in tables:
        for task, judges in table.judged(setup).items():
            known = judged.setdefault(task, [])
            known += [judge for judge in judges if judge not in known]
    return judged


def _table(table: PaperTable, work: Work) -> ReproducedTable:
    """The table, run now unless an earlier process finished it."""
    path = work.folder / "table.json"
    if path.exists() and table.is_current(work):
        return ReproducedTable.model_validate(read_json(path))
    begun = time.monotonic()
    findings = table.run(work)
    done = _described(table, findings).model_copy(update={"seconds": round(time.monotonic() - begun, 1)})
    write_json(path, done.model_dump(mode="json"))
    return done


def _waiting(table: PaperTable, setup: Setup) -> ReproducedTable:
    needs = table.lacks(setup)
    update = {"status": "to come"} if needs is None else {"status": "not run", "needs": needs}
    return _described(table, Findings(rows=())).model_copy(update=update)


def _described(table: PaperTable, findings: Findings) -> ReproducedTable:
    return ReproducedTable(
        name=table.name,
        title=table.title,
        source=table.source,
        columns=table.columns,
        status="done",
        findings=findings,
    )


def _written(setup: Setup, tables: Sequence[ReproducedTable], output: Output) -> ReproductionResult:
    """Writes `reproduction.json`, `report.html` and `report.md`."""
    result = ReproductionResult(
        paper=PAPER,
        scale=setup.scale.name,
        policy=setup.policy,
        judges=setup.judges,
        seed=setup.seed,
        data=setup.data.hashes,
        tables=tuple(tables),
        environment={**environment()},
    ).save(output)
    write_text(result.report, render_reproduction(result))
    write_text(output.path / "report.md", render_reproduction_markdown(result))
    return result
