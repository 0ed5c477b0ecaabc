"""A cohort of prompts from production: what users asked, with personal data masked and, on request, failures first."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.core.hashing import canonical_json, content_hash, unit_hash
from preceptor.core.progress import Progress
from preceptor.core.types import Message, Prompt
from preceptor.core.validation import check_count
from preceptor.display.progress import shown
from preceptor.judging.refusal_rules import is_refusal
from preceptor.results.cohort import CohortResult, summary_of
from preceptor.store.cohort_files import Duplicates, add_to_cohort, normalized, read_cohort
from preceptor.store.in_memory import name_of
from preceptor.store.masking import MISSED, Mask
from preceptor.store.output import output_folder
from preceptor.store.reading import resolved
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.store.traces import CAPTURE, FORMATS, Chat, Traces, read_traces

SIGNALS = {
    "error": "the call failed",
    "length": "the answer was cut off",
    "content_filter": "a filter stopped the answer",
    "negative_feedback": "a person gave negative feedback",
    "retry": "the call was tried again",
    "refusal": "the model refused",
    "complaint": "the user complained about the answer",
    "repeated_question": "the user asked the same again",
}
"""Signs that a conversation went wrong, and what they mean."""
TraceRows: TypeAlias = "Sequence[str | Path] | Rows"
"""One or more files of traces, or chat logs as rows in memory."""
_SHOWN = 5
_COMPLAINT = re.compile(
    r"""\W{0,9}(?:
        (?:no|nope|nah)\s{0,3}[,.!;:]\s{0,3}+(?!problem|thank|worr|need|that.?s\s(?:all|it|fine|ok|great))
        |no\s(?:that|it|this|you|i)\b
        |(?:that|this|it|the\sanswer|your\sanswer)(?:\sis|.?s)\s(?:still\s|just\s|completely\s|totally\s)?
            (?:wrong|incorrect|not\s(?:right|correct|true|it|what|helpful|working)|false|useless)
        |wrong\b|incorrect\b
        |(?:that|this|it)\s(?:still\s)?(?:does\s?n.?t|does\snot|did\s?n.?t|did\snot)\s(?:work|help|answer)
        |(?:that.?s\s)?not\swhat\si\s(?:asked|meant|wanted|said|need)
        |you\s(?:did\s?n.?t|did\snot|have\s?n.?t)\s(?:answer|read|listen|understand|do\s(?:it|what))
        |you\s(?:misunderstood|got\s(?:it|that)\swrong|made\s(?:a|an)\s(?:mistake|error)|are\swrong|forgot|ignored)
        |i\s(?:already\s(?:said|told|asked)|asked\s(?:you\s)?(?:for|about|to)\b|did\s?n.?t\sask|told\syou)
        |still\s(?:wrong|not|does\s?n.?t|broken|the\ssame)
        |try\sagain\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""Complaints at the beginning of a user's turn, in English."""
_REPEATED = 0.8
"""Two turns of a user ask the same if the Jaccard index of their sets of words is at least this."""
_REMEMBERED = 3
"""How many earlier turns are checked for a repeated question."""


@dataclass(frozen=True)
class _Candidate:
    """A prompt that might be added."""

    row: dict[str, Any]
    """The prompt as written to the file."""
    conversation: tuple[Message, ...]
    """Always masked, so that prompts that differ only in private data count as the same."""
    signals: tuple[str, ...]
    masked: Counter[str]


def cohort(
    traces: TraceRows,
    *,
    out: str | Path,
    cohort: str = "production",
    limit: int | None = None,
    failures_first: bool = False,
    mask: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> CohortResult:
    """Adds the conversations in production traces to a file of prompts, each up to the user's last message.

    Existing rows of the file are not changed, and duplicates of them or of other conversations are not added (see
    `preceptor.store.cohort_files`). Each prompt's metadata says where it came from (`origin`: source, trace_id,
    span_id, id, time, model, and the signals that it went wrong, see `SIGNALS`) and what was `answered`. Prompts are
    added in a random order that depends only on each prompt and the seed: a limit of N adds the first N of them.
    The result is also written beside the prompts, as `NAME.summary.json`, and `CohortResult.load` reads it.

    Args:
        traces: files of OpenTelemetry traces or chat logs, datasets of chats on the hub (`hf:ORG/NAME`), or chat logs
            as rows.
        out: the file of prompts.
        cohort: name of the cohort that the prompts belong to.
        limit: the largest number of prompts to add.
        failures_first: add the prompts with the most signals before the others.
        mask: replace personal data and secrets by placeholders.
        seed: seed of the order.
        progress: by default a bar on a terminal, and lines elsewhere.

    Raises: UsageError when no conversation can be used, the output is an input or not a file of prompts, or the
        summary beside it is of something else.
    """
    check_count("limit", limit)
    if not cohort:
        raise UsageError('cohort: expected a name, got ""')
    scratch, out = output_folder(None), Path(out)
    paths = _paths(traces, scratch.path)
    settings = _CohortSettings(cohort, failures_first, mask, seed)
    if resolved(out) in {resolved(path) for path in paths}:
        raise UsageError(f"{out}: is both an input and the output; name another output")
    old = read_cohort(out)
    if summary_of(out).exists():
        CohortResult.load(out)  # refuses a file of somebody else
    with shown(progress) as display:
        display.stage("reading the traces")
        read = read_traces(paths)
        if not read.chats:
            raise UsageError(_nothing(paths, read))
        display.stage("masking and looking for duplicates" if mask else "looking for duplicates")
        candidates = sorted(
            _candidates(read.chats, settings, display), key=lambda candidate: _rank(candidate, settings)
        )
    new, duplicates = _without_duplicates(old, candidates)
    added = new[:limit]
    add_to_cohort(out, [candidate.row for candidate in added])
    return _result(out, settings, read, duplicates, len(new), added, len(old) + len(added)).save()


@dataclass(frozen=True)
class _CohortSettings:
    """How conversations become prompts; see `cohort`."""

    cohort: str
    failures_first: bool
    mask: bool
    seed: int


def _paths(traces: Any, scratch: Path) -> tuple[Path, ...]:
    """The files of traces; rows in memory are written to one."""
    if isinstance(traces, str | Path):
        return (Path(traces),)
    if isinstance(traces, Sequence) and traces and all(isinstance(path, str | Path) for path in traces):
        return tuple(map(Path, traces))
    return (rows_as_file(traces, scratch, given="the traces given"),)


def _without_duplicates(
    old: Sequence[Prompt], candidates: Sequence[_Candidate]
) -> tuple[list[_Candidate], Counter[str]]:
    """The new candidates, and how many are exact or near duplicates of an earlier prompt."""
    seen, counts, ids = Duplicates(), Counter[str](), {prompt.id for prompt in old}
    for prompt in old:
        seen.add(list(map(Mask().message, prompt.conversation)))
    new: list[_Candidate] = []
    for candidate in candidates:
        # A prompt that was edited by hand keeps its id; its original must not be added again.
        same = "same" if candidate.row["id"] in ids else seen.add(candidate.conversation)
        if same is None:
            new.append(candidate)
        else:
            counts[same] += 1
    return new, counts


def signals_of(chats: Sequence[Chat]) -> list[frozenset[str]]:
    """The signs that each conversation went wrong: those in its record, a refusal, and what its user said next.

    The user's next turn may be in the conversation itself or, if every turn was recorded separately, in a later
    conversation that begins with this one; it counts for both.
    """
    next_turn: defaultdict[bytes, set[str]] = defaultdict(set)
    own: list[tuple[bytes, set[str]]] = []
    for chat in chats:
        digest, asked, begun = sha256(), list[str](), list[bytes]()
        last: set[str] = set()
        for position, message in enumerate(chat.conversation):
            follows = position > 0 and chat.conversation[position - 1].role in {"assistant", "tool"}
            if message.role == "user" and follows and asked:
                last = _displeased(message.content, asked)
                next_turn[begun[-1]] |= last
            if message.role != "system":
                digest.update(f"{message.role}\0{normalized(message.content)}\0".encode())
            if message.role == "user":
                asked.append(message.content)
                begun.append(digest.digest())
        own.append((begun[-1], last))
    refusals = ({"refusal"} if chat.answered and is_refusal(chat.answered) else set[str]() for chat in chats)
    return [
        frozenset(chat.signals | last | next_turn[begun] | refused)
        for chat, (begun, last), refused in zip(chats, own, refusals, strict=True)
    ]


def _displeased(turn: str, asked: Sequence[str]) -> set[str]:
    """The signs in a user's turn after an answer: a complaint, or a repeated question."""
    signs = {"complaint"} if _COMPLAINT.match(turn) else set[str]()
    words = set(normalized(turn).split())
    for earlier in asked[-_REMEMBERED:]:
        before = set(normalized(earlier).split())
        if min(len(words), len(before)) > 3 and len(words & before) >= _REPEATED * len(words | before):
            signs.add("repeated_question")
    return signs


def _candidates(chats: Sequence[Chat], settings: _CohortSettings, progress: Progress) -> Iterator[_Candidate]:
    for done, (chat, signs) in enumerate(zip(chats, signals_of(chats), strict=True), start=1):
        mask = Mask()
        conversation = tuple(mask.message(message) for message in chat.conversation)
        answered = None if chat.answered is None else mask.text(chat.answered)
        signals = tuple(name for name in SIGNALS if name in signs)
        origin = {
            "source": chat.source,
            "trace_id": chat.trace_id,
            "span_id": chat.span_id,
            "id": mask.text(chat.id) if settings.mask and chat.id else chat.id,
            "time": chat.time,
            "model": chat.model,
        }
        wire = [message.wire() for message in (conversation if settings.mask else chat.conversation)]
        metadata: dict[str, Any] = {
            "origin": {key: value for key, value in origin.items() if value is not None} | {"signals": list(signals)}
        }
        if chat.answered is not None:
            metadata["answered"] = answered if settings.mask else chat.answered
        # The id is a hash of the content, as for prompts without an id; of the masked content, so it reveals nothing.
        name = content_hash([message.wire() for message in conversation])[:16]
        row = {"id": name, "cohort": settings.cohort, "conversation": wire, "metadata": metadata}
        yield _Candidate(row, conversation, signals, mask.counts)
        if done % 100 == 0 or done == len(chats):
            progress.advance(done, len(chats))


def _rank(candidate: _Candidate, settings: _CohortSettings) -> tuple[int, float, int, str]:
    """The sort key that decides which candidates are added first; of equal prompts, the one with more signals."""
    signals = -len(candidate.signals)
    drawn = unit_hash("cohort", settings.seed, candidate.row["id"])
    return (signals if settings.failures_first else 0), drawn, signals, canonical_json(candidate.row["metadata"])


def _nothing(paths: Sequence[Path], traces: Traces) -> str:
    names = ", ".join(map(name_of, paths))
    if traces.without_content:
        return f"{names}: no conversation; {_hint(traces)}"
    first = f"; {traces.malformed[0].place}: {traces.malformed[0].reason}" if traces.malformed else ""
    return f"{names}: no conversation with a model{first}" + ("" if FORMATS in first else f"; expected {FORMATS}")


def _hint(traces: Traces) -> str:
    return f"calls without content: {traces.without_content}; {CAPTURE}"


def _result(
    out: Path,
    settings: _CohortSettings,
    traces: Traces,
    duplicates: Counter[str],
    new: int,
    added: Sequence[_Candidate],
    prompts: int,
) -> CohortResult:
    masked: Counter[str] = sum((candidate.masked for candidate in added), Counter[str]())
    signals = Counter(name for candidate in added for name in candidate.signals)
    return CohortResult(
        out=str(out),
        cohort=settings.cohort,
        calls=traces.calls,
        without_content=traces.without_content,
        hint=_hint(traces) if traces.without_content else None,
        malformed=len(traces.malformed),
        malformed_first=tuple(f"{row.place}: {row.reason}" for row in traces.malformed[:_SHOWN]),
        conversations=len(traces.chats),
        duplicates=duplicates["same"],
        near_duplicates=duplicates["near"],
        left_out_by_limit=new - len(added),
        added=len(added),
        with_signals=sum(bool(candidate.signals) for candidate in added),
        signals={name: signals[name] for name in SIGNALS if signals[name]},
        masked=dict(sorted(masked.items())) if settings.mask else None,
        not_masked=MISSED
        if settings.mask
        else "Nothing was masked: the file contains the texts of the traces unchanged.",
        prompts=prompts,
    )
