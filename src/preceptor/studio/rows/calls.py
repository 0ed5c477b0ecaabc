"""The calls behind a row: what was sent to the judges, and what it cost.

A row does not name its calls, and the ledger finds a call by its request alone. So the judge of the row is made again,
with a model that answers nothing, and asked about the row; the ledger answers what it was really asked.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from preceptor.backends.base import (
    FREE,
    Admission,
    ChoiceLogProbs,
    ChooseRequest,
    CompleteRequest,
    Completion,
    Indexed,
    Price,
    ThinkingLevel,
)
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Comparison, Conversation, JudgeFailure, Response
from preceptor.judging.ask import ask
from preceptor.judging.constitution import Constitution, load_constitution, shipped_constitutions
from preceptor.judging.kept import kept_constitutions
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.score import ScoreJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.steps import TrajectoryJudge
from preceptor.store.call_rows import JSON, Call
from preceptor.store.calls import RecordedCall, attempts_by_key, calls_by_key, calls_with
from preceptor.store.ledger import Ledger
from preceptor.store.preference_row import FailureRow, PreferenceRow, VerdictRow
from preceptor.studio.rows.entries import texts

_SHAPES = ((True, True), (True, False), (False, False))
"""How a model may take a question: as a conversation with a begun answer, as one without, as plain text."""
_BEGINNING = 60
"""Characters of a text by which its calls are searched: shortened messages of trajectories keep as many."""
_Calls = list[RecordedCall | None]
"""Calls in the order in which they were made; None for one that is not on record."""


@dataclass(frozen=True)
class CallGroup:
    """The calls behind one presentation, or behind the scores of one response as a trajectory."""

    verdict: VerdictRow | None
    """The presentation; None for scores."""
    response: Literal["a", "b"] | None
    """The response that was scored; None for a presentation."""
    calls: tuple[RecordedCall, ...]
    """In the order in which they were made: the rationale, then the verdict; the whole, then its steps."""


@dataclass
class CallsOfRow:
    """What the ledger has about a row."""

    groups: list[CallGroup] = field(default_factory=list[CallGroup])
    missing: list[str] = field(default_factory=list[str])
    """What could not be found, and why."""

    attempts: list[RecordedCall] = field(default_factory=list[RecordedCall])
    """Attempts at the calls that failed and were made again."""

    @property
    def calls(self) -> list[RecordedCall]:
        """All calls, each once; no failed attempts."""
        return list({call.key: call for group in self.groups for call in group.calls}.values())


@dataclass(frozen=True)
class Totals:
    """What calls took together."""

    calls: int
    attempts: int
    """Failed attempts, which are none of the calls."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """Dollars; None if the price of one is unknown."""
    attempts_usd: float
    """Dollars of the failed attempts whose price is known."""


def totals(calls: Sequence[RecordedCall]) -> Totals:
    """What calls and failed attempts took together."""
    costs = [call.cost_usd for call in calls]
    attempts = [call for call in calls if call.attempt]
    return Totals(
        calls=len(calls) - len(attempts),
        attempts=len(attempts),
        prompt_tokens=sum(call.prompt_tokens for call in calls),
        completion_tokens=sum(call.completion_tokens for call in calls),
        cost_usd=None if None in costs else sum(cost or 0.0 for cost in costs),
        attempts_usd=sum(call.cost_usd or 0.0 for call in attempts),
    )


def calls_of(row: PreferenceRow, folder: Path, root: Path) -> CallsOfRow:
    """The calls behind a row.

    Args:
        folder: where its file is, with the ledger beside it.
        root: the folder of the whole work, which keeps the constitutions.
    """
    result = CallsOfRow()
    ledger = ledger_in(folder)
    if ledger is None:
        result.missing.append("There is no ledger beside this file.")
        return result
    known = _constitutions((folder, root))
    verdicts = list(row.verdicts)
    try:
        for settings in _settings(row.settings):
            if verdicts:
                verdicts = verdicts[_add(result, row, verdicts, settings, known, ledger) :]
        _add_scores(result, row, known, ledger)
        result.attempts += attempts_by_key(ledger, [call.key for call in result.calls])
    except (PreceptorError, ValidationError) as error:
        result.missing.append(str(error).splitlines()[0])
    return result


def ledger_in(folder: Path) -> Path | None:
    """The ledger in a folder; None if there is none, or a link in its place."""
    ledger = folder / "ledger.sqlite"
    return ledger if ledger.is_file() and not ledger.is_symlink() else None


def searched(row: PreferenceRow | FailureRow, folder: Path) -> list[RecordedCall]:
    """Calls and failed attempts that contain the beginnings of the prompt and of both responses; none for a failure
    whose texts are not known. The whole ledger is searched, which takes seconds for a large one.

    Raises: PreceptorError if it cannot be read.
    """
    responses = row.responses if isinstance(row, PreferenceRow) else (row.response_a, row.response_b)
    said = [texts(messages or ()).strip()[:_BEGINNING].rstrip() for messages in ((row.prompt or ())[-1:], *responses)]
    ledger = ledger_in(folder)
    return [] if ledger is None or not any(said) else calls_with(ledger, said)


def prompt_of(call: RecordedCall) -> str:
    """The prompt as it was sent, a conversation with its roles, and the beginning of the answer that was given."""
    prompt: Any = call.request.get("prompt")
    if prompt is None:
        return "(what was in flight when a process ended is recorded without its text)"
    text = prompt if isinstance(prompt, str) else "\n\n".join(f"[{m['role']}]\n{m.get('content', '')}" for m in prompt)
    return text + (f"\n\n[assistant, begun]\n{call.request['prefill']}" if call.request.get("prefill") else "")


def answer_of(call: RecordedCall) -> str:
    """The answer in words: a text, or how probable each choice was."""
    if "failure" in call.outcome:
        return json.dumps(call.outcome["failure"], ensure_ascii=False)
    if "text" in call.outcome:
        return str(call.outcome["text"])
    choices: Any = call.request.get("choices")
    log_probs: Any = call.outcome.get("log_probs")
    pairs = ", ".join(f"{c.strip()}: {float(p):.3f}" for c, p in zip(choices, log_probs, strict=False))
    return f"log-probabilities {pairs}"


def _add(
    result: CallsOfRow,
    row: PreferenceRow,
    verdicts: Sequence[VerdictRow],
    settings: PairwiseSettings,
    known: dict[str, Constitution],
    ledger: Path,
) -> int:
    """Adds the calls of one judge, whose presentations come first. Returns how many presentations these are."""
    first = verdicts[0]
    if settings.shown == "rubric":
        result.missing.append(f"{first.judge} went by a rubric, which is not in the row; search the ledger instead.")
        return 2
    constitution = known.get(first.constitution_hash)
    if constitution is None:
        result.missing.append(f"The constitution {first.constitution_hash} of {first.judge} is no longer in any file.")
        return len(verdicts)
    presented: list[_Calls] = []
    for shape in _SHAPES:
        model = _Silent(first.judge, *shape)
        presented = list(_presented(row.comparison(), model, constitution, settings, ledger))
        if any(call for calls in presented for call in calls):
            break
    else:
        result.missing.append(
            f"No call of {first.judge} is found. The judge was asked in a way that cannot be repeated from the row, "
            "for instance about a trajectory that was shortened to fit its window, or the ledger is another one."
        )
        return len(presented)
    missing = sum(call is None for calls in presented for call in calls)
    if missing:
        result.missing.append(f"Calls of {first.judge} that are not on record: {missing}.")
    for verdict, calls in zip(verdicts, presented, strict=False):
        result.groups.append(CallGroup(verdict, None, tuple(call for call in calls if call)))
    return len(presented)


def _presented(
    comparison: Comparison, model: "_Silent", constitution: Constitution, settings: PairwiseSettings, ledger: Path
) -> Iterator["_Calls"]:
    """The calls of each presentation, in the order of the verdicts in a row."""
    if settings.shown == "alone":
        for response in (comparison.a, comparison.b):
            with _Replay(ledger) as replay:
                ScoreJudge(model, constitution, replay, settings.scoring).score([(comparison.prompt, response)])
            yield replay.calls
        return
    with _Replay(ledger) as nothing:
        judge = PairwiseJudge(model, constitution, settings, nothing)
        questions = list(judge.questions(comparison))
    for question in questions:
        with _Replay(ledger) as replay:
            ask(RecordedModel(model, replay, judge.rater), [question], settings.reasoning)
        yield replay.calls


def _add_scores(result: CallsOfRow, row: PreferenceRow, known: dict[str, Constitution], ledger: Path) -> None:
    """Adds the calls behind the scores of trajectories and of their steps."""
    if row.chosen_steps is None or not row.verdicts or row.verdicts[0].constitution_hash not in known:
        return
    comparison, constitution = row.comparison(), known[row.verdicts[0].constitution_hash]
    places: tuple[tuple[Literal["a", "b"], Response], ...] = (("a", comparison.a), ("b", comparison.b))
    for place, response in places:
        calls: tuple[RecordedCall, ...] = ()
        for shape in _SHAPES:
            with _Replay(ledger) as replay:
                judge = TrajectoryJudge(_Silent(row.verdicts[0].judge, *shape), constitution, replay)
                judge.score([(comparison.prompt, response)])
            calls = tuple(call for call in replay.calls if call)
            if calls:
                result.groups.append(CallGroup(None, place, calls))
                break
        if not calls:
            result.missing.append(f"No call behind the scores of response {place} is found.")


def _settings(text: str) -> list[PairwiseSettings]:
    """How each judge of a row was asked.

    Raises: UsageError, ValidationError if the row does not say so.
    """
    try:
        rater: Any = json.loads(text)
        members: Any = rater.get("judges", [rater])
        return [
            PairwiseSettings.model_validate({k: v for k, v in member.items() if k not in ("calibration", "bias")})
            for member in members
        ]
    except (AttributeError, TypeError, RecursionError, json.JSONDecodeError) as error:
        raise UsageError("the row does not say how its judge was asked") from error


def _constitutions(folders: Iterable[Path]) -> dict[str, Constitution]:
    """The constitutions that the folders keep, and those that ship with preceptor, by hash."""
    kept = [constitution for folder in folders for constitution in kept_constitutions(folder)]
    shipped = [load_constitution(name) for name in shipped_constitutions()]
    return {constitution.hash: constitution for constitution in (*shipped, *kept)}


class _Replay(Ledger):
    """A ledger that answers from what is on record, notes what was asked, and records nothing."""

    def __init__(self, ledger: Path) -> None:
        super().__init__(Path(":memory:"))
        self._file = ledger
        self.calls: _Calls = []

    def find(self, keys: Sequence[str]) -> dict[str, JSON]:
        known = calls_by_key(self._file, keys)
        self.calls += [known.get(key) for key in keys]
        return {key: dict(call.outcome) for key, call in known.items()}

    def record(self, calls: Iterable[Call]) -> None:
        list(calls)


class _Silent:
    """A model that answers nothing: it only has what a question depends on."""

    price: Price | None = FREE
    concurrency = 1
    context_window: int | None = None

    def __init__(self, identity: str, chat: bool, prefill: bool) -> None:
        self.identity, self.chat, self.prefill = identity, chat, prefill

    def thinking_identity(self, level: ThinkingLevel) -> str:
        return self.identity

    def count_tokens(self, prompt: str | Conversation) -> int:
        return 0

    def choose(
        self, requests: Sequence[ChooseRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[ChoiceLogProbs | JudgeFailure]]:
        yield [(i, _NOTHING) for i in range(len(requests))]

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        yield [(i, _NOTHING) for i in range(len(requests))]


_NOTHING = JudgeFailure(reason="no_answer", detail="not on record")
