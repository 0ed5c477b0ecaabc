"""Critique and revision of a model's answers to a file of prompts: preference pairs and data for fine-tuning."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import open_model
from preceptor.core.environment import environment
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import JudgeFailure, Prompt
from preceptor.display.progress import shown
from preceptor.judging.constitution import load_constitution
from preceptor.judging.revision import Revised, Reviser, RevisionSettings
from preceptor.judging.specs import check_prices
from preceptor.store.files import write_json, write_rows
from preceptor.store.ledger import Ledger
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.prompts import read_prompt_rows
from preceptor.store.rows import Malformed


@dataclass(frozen=True)
class ReviseJob:
    """Whose answers are revised, by which constitution."""

    prompts: Path
    out: Path
    model: str
    constitution: str
    settings: RevisionSettings
    limit: int | None = None
    budget: float | None = None
    connection: Connection | None = None


def run_revise(job: ReviseJob, progress: Progress | None = None) -> dict[str, Any]:
    """Drafts, criticises and revises; every call is in the ledger, so a second call goes on where the first one ended.

    Writes `preferences.jsonl` (the revision over the draft, where they differ), `sft.jsonl` (prompt and revision),
    `failures.jsonl` and `summary.json`.

    Raises: UsageError on faulty input; PreceptorError when nothing could be revised.
    """
    with shown(progress) as display:
        return _revise(job, display)


def _revise(job: ReviseJob, progress: Progress) -> dict[str, Any]:
    check_name(job.model)
    constitution = load_constitution(job.constitution)
    check_own(job.out, "revision")
    rows = list(islice(read_prompt_rows(job.prompts), job.limit))
    prompts = [row for row in rows if isinstance(row, Prompt)]
    if not prompts:
        first = next((f"{row.place}: {row.reason}" for row in rows if isinstance(row, Malformed)), "it holds no rows")
        raise UsageError(f"{job.prompts}: no usable prompt: {first}")
    with working_in(job.out, "revision"), Ledger(job.out / "ledger.sqlite", job.budget) as ledger:
        progress.stage("opening the model")
        model = open_model(job.model, job.connection)
        check_prices(job.budget, [model])
        reviser = Reviser(model, constitution, job.settings, ledger)
        progress.stage("revising")
        results: list[Revised | JudgeFailure] = []
        at_once = 4 * model.concurrency
        for start in range(0, len(prompts), at_once):
            results += reviser.revise(prompts[start : start + at_once])
            progress.advance(len(results), len(prompts))
        totals, notes = ledger.totals(), ledger.notes()
    revised = [result for result in results if isinstance(result, Revised)]
    failures = list(_failures(prompts, results))
    if not revised:
        raise PreceptorError(f"no answer could be revised: {failures[0]['reason']}: {failures[0]['detail']}")
    name = f"{constitution.name} {constitution.version}"
    changed = [each for each in revised if each.final != each.draft]
    pairs = [_pair(each, name, constitution.hash, model.identity) for each in changed]
    write_rows(job.out / "preferences.jsonl", pairs)
    write_rows(job.out / "sft.jsonl", [_example(each) for each in revised])
    write_rows(job.out / "failures.jsonl", failures)
    summary = {
        "prompts": len(prompts),
        "malformed": len(rows) - len(prompts),
        "revised": len(revised),
        "unchanged": len(revised) - len(changed),
        "failed": len(failures),
        "model": model.identity,
        "constitution": {"name": constitution.name, "version": constitution.version, "hash": constitution.hash},
        "settings": job.settings.model_dump(mode="json"),
        "ledger": totals,
        "notes": notes,
        "environment": environment(),
    }
    write_json(job.out / "summary.json", summary)
    return summary


def _pair(revised: Revised, constitution: str, constitution_hash: str, model: str) -> dict[str, Any]:
    """The revision over the draft. Nobody judged: the preference is by construction, and says so."""
    return {
        "id": revised.prompt.id,
        "prompt": [message.wire() for message in revised.prompt.conversation],
        "chosen": [{"role": "assistant", "content": revised.final}],
        "rejected": [{"role": "assistant", "content": revised.draft}],
        "origin": "critique and revision",
        "model": model,
        "constitution": constitution,
        "constitution_hash": constitution_hash,
        "rounds": [{"principle": r.principle, "critique": r.critique, "revision": r.revision} for r in revised.rounds],
    }


def _example(revised: Revised) -> dict[str, Any]:
    turns = [message.wire() for message in revised.prompt.conversation]
    return {"messages": [*turns, {"role": "assistant", "content": revised.final}]}


def _failures(prompts: list[Prompt], results: list[Revised | JudgeFailure]) -> Iterator[dict[str, Any]]:
    for prompt, result in zip(prompts, results, strict=True):
        if isinstance(result, JudgeFailure):
            yield {"id": prompt.id, "reason": result.reason, "detail": result.detail}
