"""Preference pairs that a model makes from prompts; which response is better is known without a judge."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from preceptor.backends.connection import Connection
from preceptor.core.environment import environment
from preceptor.core.errors import PreceptorError
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject, JudgeFailure
from preceptor.core.validation import settings_of
from preceptor.judging.construction import (
    Constructed,
    ConstructionSettings,
    Dropped,
    Outcome,
    PairConstructor,
    WhyDropped,
)
from preceptor.results.construction import DROPPED, ConstructionResult
from preceptor.results.pairs import FAILURES, PAIRS
from preceptor.store.comparisons import CONSTRUCTED
from preceptor.store.files import write_rows
from preceptor.store.tabular import Rows
from preceptor.tasks.prompt_work import PromptWork


def construct(
    prompts: Rows,
    *,
    model: str = "embedded",
    out: str | Path | None = None,
    settings: ConstructionSettings | Mapping[str, Any] | None = None,
    limit: int | None = None,
    budget: float | None = None,
    connection: Connection | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ConstructionResult:
    """Has a model answer each prompt, and a changed prompt that asks for something else: its answer to the prompt is
    preferred to its answer to the changed one (Wang et al. 2024, arXiv 2408.02666).

    The folder's ledger records every call, so calling this again resumes the work. Writes `preferences.jsonl`,
    `dropped.jsonl` (prompts whose changed prompt or answers cannot be used), `failures.jsonl` and `summary.json`.

    Args:
        prompts: texts, or rows with a prompt; see `preceptor.store.prompts.parse_prompt`.
        model: a model string.
        out: folder of the output; a temporary one by default, which is deleted with the result.
        settings: how texts are sampled; `ConstructionSettings`, or a dict of them.
        limit: how many prompts to use, from the first.
        budget: the most dollars that all calls of this folder may cost.
        connection: how a model server is reached.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError on faulty input; PreceptorError when no pair could be made.
    """
    settings = settings_of("settings", ConstructionSettings, settings) or ConstructionSettings()
    work = PromptWork.on(
        prompts, "construction", model=model, out=out, limit=limit, budget=budget, connection=connection
    )
    with work.begun(progress) as asking:
        constructor = PairConstructor(asking.model, settings, asking.ledger)
        asking.progress.stage("constructing pairs")
        outcomes = asking.in_turn(work.prompts, constructor.construct)
        _write(work, outcomes, asking.model.identity)
        dropped = Counter(outcome.reason for outcome in outcomes if isinstance(outcome, Dropped))
        result = ConstructionResult(
            prompts=len(work.prompts),
            malformed=work.malformed,
            pairs=sum(isinstance(outcome, Constructed) for outcome in outcomes),
            dropped={reason: dropped[reason] for reason in get_args(WhyDropped)},
            failed=sum(isinstance(outcome, JudgeFailure) for outcome in outcomes),
            model=asking.model.identity,
            settings=settings,
            ledger=asking.ledger.totals(),
            notes=tuple(asking.ledger.notes()),
            environment=environment(),
        )
        return result.save(work.output)


def _write(work: PromptWork, outcomes: Sequence[Outcome], model: str) -> None:
    """Writes pairs, dropped prompts and failures.

    Raises: PreceptorError when there is no pair.
    """
    failures, folder = work.failures(outcomes), work.output.path
    pairs = [_pair(outcome, model) for outcome in outcomes if isinstance(outcome, Constructed)]
    dropped: list[JsonObject] = [
        {"id": prompt.id, "reason": outcome.reason, "changed_prompt": outcome.changed}
        for prompt, outcome in zip(work.prompts, outcomes, strict=True)
        if isinstance(outcome, Dropped)
    ]
    if not pairs:
        example = f"{failures[0]['reason']}: {failures[0]['detail']}" if failures else dropped[0]["reason"]
        raise PreceptorError(
            f"no pair could be made: {len(failures)} prompts failed, and {len(dropped)} were dropped ({example})"
        )
    write_rows(folder / PAIRS, pairs)
    write_rows(folder / DROPPED, dropped)
    write_rows(folder / FAILURES, failures)


def _pair(made: Constructed, model: str) -> JsonObject:
    """The answer to the prompt over the answer to the changed one. Nobody judged this, and the row says so."""
    return {
        "id": made.prompt.id,
        "cohort": made.prompt.cohort,
        "prompt": [message.wire() for message in made.prompt.conversation],
        "chosen": [{"role": "assistant", "content": made.chosen.text}],
        "rejected": [{"role": "assistant", "content": made.rejected.text}],
        "chosen_finished": made.chosen.finished,
        "rejected_finished": made.rejected.finished,
        "origin": CONSTRUCTED,
        "model": model,
        "changed_prompt": [message.wire() for message in made.changed.conversation],
    }
