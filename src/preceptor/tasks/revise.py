"""Critique and revision of a model's answers to prompts: preference pairs and data for fine-tuning."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.environment import environment
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Progress
from preceptor.core.raters import ConstitutionName
from preceptor.core.types import JsonObject, JudgeFailure, Prompt
from preceptor.core.validation import check_count, check_dollars, settings_of
from preceptor.display.progress import shown
from preceptor.judging.constitution import load_constitution
from preceptor.judging.revision import Revised, Reviser, RevisionSettings
from preceptor.judging.specs import check_prices
from preceptor.results.revision import DEMONSTRATIONS, FAILURES, PAIRS, RevisionResult
from preceptor.store.batches import BatchFolder
from preceptor.store.files import write_rows
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.output import output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.prompts import read_prompt_rows
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows, rows_as_file


def revise(
    prompts: Rows,
    *,
    model: str = "embedded",
    constitution: str = "harmless",
    out: str | Path | None = None,
    settings: RevisionSettings | Mapping[str, Any] | None = None,
    limit: int | None = None,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> RevisionResult:
    """Has a model draft, criticise and revise answers by a constitution.

    The folder's ledger records every call, so calling this again resumes the work. Writes
    `preferences.jsonl` (the revision over the draft, where they differ), `sft.jsonl` (prompt and revision),
    `failures.jsonl` and `summary.json`.

    Args:
        prompts: texts, or rows with a prompt; see `preceptor.store.prompts.parse_prompt`.
        model: a model string.
        constitution: name of a shipped constitution, or path of a .toml file.
        out: folder of the output; a temporary one by default, which is deleted with the result.
        settings: rounds and sampling; `RevisionSettings`, or a dict of them.
        limit: how many prompts to use, from the first.
        budget: the most dollars that all calls of this folder may cost.
        connection: how a model server is reached.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input; PreceptorError when nothing could be revised.
    """
    check_name(model)
    check_count("limit", limit)
    check_dollars("budget", budget)
    settings = settings_of("settings", RevisionSettings, settings) or RevisionSettings()
    connection = settings_of("connection", Connection, connection)
    output, principles = output_folder(out), load_constitution(constitution)
    folder = output.path
    check_own(folder, "revision")
    if not isinstance(prompts, str | Path):
        with working_in(folder, "revision"):
            prompts = rows_as_file(prompts, folder, text_column="prompt", begun=False)
    rows = list(islice(read_prompt_rows(Path(prompts)), limit))
    usable = [row for row in rows if isinstance(row, Prompt)]
    if not usable:
        unusable = [row for row in rows if isinstance(row, Malformed)]
        if not unusable:
            raise UsageError(f"{name_of(prompts)}: there are no prompts")
        raise UsageError(f"{unusable[0].place}: {unusable[0].reason} ({len(unusable)} unusable rows in all)")
    with (
        shown(progress) as display,
        working_in(folder, "revision"),
        Ledger(folder / "ledger.sqlite", budget) as ledger,
    ):
        display.stage("opening the model")
        check_batch(connection, [model])
        opened = open_model(model, connection, batches=BatchFolder.beside(ledger))
        check_prices(budget, [opened])
        reviser = Reviser(opened, principles, settings, ledger)
        display.stage("revising")
        results = _revised(reviser, usable, 4 * opened.concurrency, display)
        changed = _write(folder, usable, results, reviser)
        result = RevisionResult(
            prompts=len(usable),
            malformed=len(rows) - len(usable),
            revised=sum(isinstance(result, Revised) for result in results),
            unchanged=sum(isinstance(result, Revised) for result in results) - changed,
            failed=sum(isinstance(result, JudgeFailure) for result in results),
            model=opened.identity,
            constitution=ConstitutionName(name=principles.name, version=principles.version, hash=principles.hash),
            settings=reviser.settings,
            ledger=ledger.totals(),
            notes=tuple(ledger.notes()),
            environment=environment(),
        )
        return result.save(output)


def _revised(
    reviser: Reviser, prompts: Sequence[Prompt], at_once: int, progress: Progress
) -> list[Revised | JudgeFailure]:
    results: list[Revised | JudgeFailure] = []
    for start in range(0, len(prompts), at_once):
        results += reviser.revise(prompts[start : start + at_once])
        progress.advance(len(results), len(prompts))
    return results


def _write(folder: Path, prompts: Sequence[Prompt], results: Sequence[Revised | JudgeFailure], reviser: Reviser) -> int:
    """Writes pairs, demonstrations and failures, and returns the number of pairs.

    Raises: PreceptorError when nothing could be revised.
    """
    revised = [result for result in results if isinstance(result, Revised)]
    failures = list(_failures(prompts, results))
    if not revised:
        raise PreceptorError(f"no answer could be revised: {failures[0]['reason']}: {failures[0]['detail']}")
    pairs = [_pair(result, reviser) for result in revised if result.final != result.draft]
    write_rows(folder / PAIRS, pairs)
    write_rows(folder / DEMONSTRATIONS, [_demonstration(result) for result in revised])
    write_rows(folder / FAILURES, failures)
    return len(pairs)


def _pair(revised: Revised, reviser: Reviser) -> JsonObject:
    """The revision preferred to the draft. Nobody judged this preference, and the row says so."""
    return {
        "id": revised.prompt.id,
        "prompt": [message.wire() for message in revised.prompt.conversation],
        "chosen": [{"role": "assistant", "content": revised.final}],
        "rejected": [{"role": "assistant", "content": revised.draft}],
        "origin": "critique and revision",
        "model": reviser.rater.model,
        "constitution": reviser.rater.constitution,
        "constitution_hash": reviser.rater.constitution_hash,
        "rounds": [{"principle": r.principle, "critique": r.critique, "revision": r.revision} for r in revised.rounds],
    }


def _demonstration(revised: Revised) -> JsonObject:
    turns = [message.wire() for message in revised.prompt.conversation]
    return {"messages": [*turns, {"role": "assistant", "content": revised.final}]}


def _failures(prompts: Sequence[Prompt], results: Sequence[Revised | JudgeFailure]) -> Iterator[JsonObject]:
    for prompt, result in zip(prompts, results, strict=True):
        if isinstance(result, JudgeFailure):
            yield {"id": prompt.id, "reason": result.reason, "detail": result.detail}
