"""Critique and revision of a model's answers to prompts: preference pairs and data for fine-tuning."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.core.environment import environment
from preceptor.core.errors import PreceptorError
from preceptor.core.progress import Progress
from preceptor.core.raters import ConstitutionName
from preceptor.core.types import JsonObject, JudgeFailure
from preceptor.core.validation import settings_of
from preceptor.judging.constitution import load_constitution
from preceptor.judging.revision import Revised, Reviser, RevisionSettings
from preceptor.results.pairs import FAILURES, PAIRS
from preceptor.results.revision import DEMONSTRATIONS, RevisionResult
from preceptor.store.comparisons import REVISED
from preceptor.store.files import write_rows
from preceptor.store.tabular import Rows
from preceptor.tasks.prompt_work import PromptWork


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
    settings = settings_of("settings", RevisionSettings, settings) or RevisionSettings()
    principles = load_constitution(constitution)
    work = PromptWork.on(prompts, "revision", model=model, out=out, limit=limit, budget=budget, connection=connection)
    with work.begun(progress) as asking:
        reviser = Reviser(asking.model, principles, settings, asking.ledger)
        asking.progress.stage("revising")
        results = asking.in_turn(work.prompts, reviser.revise)
        changed = _write(work, results, reviser)
        result = RevisionResult(
            prompts=len(work.prompts),
            malformed=work.malformed,
            revised=sum(isinstance(result, Revised) for result in results),
            unchanged=sum(isinstance(result, Revised) for result in results) - changed,
            failed=sum(isinstance(result, JudgeFailure) for result in results),
            model=asking.model.identity,
            constitution=ConstitutionName(name=principles.name, version=principles.version, hash=principles.hash),
            settings=reviser.settings,
            ledger=asking.ledger.totals(),
            notes=tuple(asking.ledger.notes()),
            environment=environment(),
        )
        return result.save(work.output)


def _write(work: PromptWork, results: Sequence[Revised | JudgeFailure], reviser: Reviser) -> int:
    """Writes pairs, demonstrations and failures, and returns the number of pairs.

    Raises: PreceptorError when nothing could be revised.
    """
    revised = [result for result in results if isinstance(result, Revised)]
    failures, folder = work.failures(results), work.output.path
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
        "origin": REVISED,
        "model": reviser.rater.model,
        "constitution": reviser.rater.constitution,
        "constitution_hash": reviser.rater.constitution_hash,
        "rounds": [{"principle": r.principle, "critique": r.critique, "revision": r.revision} for r in revised.rounds],
    }


def _demonstration(revised: Revised) -> JsonObject:
    turns = [message.wire() for message in revised.prompt.conversation]
    return {"messages": [*turns, {"role": "assistant", "content": revised.final}]}
