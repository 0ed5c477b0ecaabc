"""How often a judge notices swapped numbers and names: `python -m benchmarks.groundedness SUMMARIES --judge MODEL`.

SUMMARIES holds JSON lines with a `text` and its `summaries`, written by people. In the first summary of each row, one
number or name that the text also has is swapped for another that it does not have. The judge sees both, and the table
shows how often it marks the swapped summary (found) and the one that people wrote (false alarm), in four ways:

claims: by the constitution `groundedness`; marked if a claim most probably is contradicted or absent;
sentences: the same with each sentence as a claim, without asking the judge for a list;
one question: the criterion `faithful` of `summarisation`, one score for the whole; marked if below the middle;
faithful_summary: the evaluator of that name, the worse of two scores for the whole; marked likewise.

"lower" is how often the swapped summary has the lower score, a tie counted half. With --ledger, a second call goes on
where the first stopped.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.evaluators import scored_lower, share_in_words
from preceptor.backends.base import Admission, CompleteRequest, Completion, Indexed, LanguageModel
from preceptor.backends.resolve import open_model
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JudgeFailure, Prompt, Response, Score
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.groundedness import GroundedScore
from preceptor.judging.inputs import as_prompt
from preceptor.judging.score import ScoreJudge
from preceptor.store.ledger import Ledger

_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:\.\d+)?(?![\w,-]|\.\d)")
_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")
_NAME = re.compile(r"(?<![\w-])(?=[\w-]*[A-Z][\w-]*[A-Z])[A-Z][A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?![\w-])")
"""A word with at least two capitals: methods and data sets are named so."""
AT_ONCE = 4


@dataclass(frozen=True)
class Planted:
    """A summary that people wrote, and the same with one swap."""

    text: str
    sound: str
    swapped: str
    kind: str
    """`number` or `name`."""
    put: str
    """What was put in."""


def planted(rows: Sequence[dict[str, Any]]) -> list[Planted]:
    """One pair for each row in which something can be swapped; the same on every call."""
    names = sorted({name for row in rows for name in _NAME.findall(row["summaries"][0])})
    found = [_swapped(row["text"], row["summaries"][0], names) for row in rows]
    return [pair for pair in found if pair]


def balanced(pairs: Sequence[Planted], limit: int) -> list[Planted]:
    """As many swapped numbers as names, in turn, from the first."""
    by_kind = [[pair for pair in pairs if pair.kind == kind] for kind in ("number", "name")]
    return [pair for both in zip(*by_kind, strict=False) for pair in both][:limit]


def _swapped(text: str, summary: str, names: Sequence[str]) -> Planted | None:
    seed = derive_seed(0, "swapped", summary)
    numbers = [n for n in (*_NUMBER.findall(summary), *_NUMBER_WORD.findall(summary)) if _stands(n, text)]
    own = [name for name in _NAME.findall(summary) if _stands(name, text)]
    if not numbers and not own:
        return None
    taken = numbers[seed % len(numbers)] if numbers else own[seed % len(own)]
    if numbers:
        put = _another_number(taken, text, seed)
    else:
        others = [name for name in names if name.endswith("s") == taken.endswith("s") and not _stands(name, text)]
        put = others[seed % len(others)]
    swapped = re.sub(rf"(?<!\w){re.escape(taken)}(?!\w)", put, summary)
    return Planted(text, summary, swapped, "number" if numbers else "name", put)


def _another_number(number: str, text: str, seed: int) -> str:
    """A number of the same form that the text does not have."""
    if number in _WORDS:
        others = [word for word in _WORDS if not _stands(word, text)]
        return others[seed % len(others)]
    decimals = len(number.partition(".")[2])
    for step in range(1, 100):
        other = f"{float(number) * (1.5 + (seed + step) % 6 / 2) + step:.{decimals}f}"
        if not _stands(other, text):
            return other
    raise ValueError(f"no other number than {number}")


def _stands(word: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None


class WithoutLists:
    """A model that lists no claims, so that sentences are judged."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.identity = f"{model.identity} without lists"  # its own calls in the ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def complete(
        self, requests: Sequence[CompleteRequest], admission: Admission | None = None
    ) -> Iterator[Indexed[Completion | JudgeFailure]]:
        """An empty answer to every request."""
        yield [(index, Completion("", finished=True)) for index in range(len(requests))]


@dataclass(frozen=True)
class Seen:
    """What a judge made of a pair."""

    pair: Planted
    sound: Score
    swapped: Score


def judged(judge: ScoreJudge, pairs: Sequence[Planted], until: float) -> tuple[list[Seen], int]:
    """The pairs of which both summaries have a score, as far as time allows, and how many have not."""
    seen, failed = list[Seen](), 0
    for start in range(0, len(pairs), AT_ONCE):
        if time.monotonic() > until:
            break
        part = pairs[start : start + AT_ONCE]
        items = [_item(pair.text, summary) for pair in part for summary in (pair.sound, pair.swapped)]
        scores = judge.score(items)
        for pair, sound, swapped in zip(part, scores[::2], scores[1::2], strict=True):
            if isinstance(sound, JudgeFailure) or isinstance(swapped, JudgeFailure):
                failed += 1
            else:
                seen.append(Seen(pair, sound, swapped))
    return seen, failed


def _item(text: str, summary: str) -> tuple[Prompt, Response]:
    prompt = as_prompt(f"Summarise this text in one or two sentences.\n\n{text}")
    return prompt, Response(prompt_id=prompt.id, text=summary)


def marked(score: Score) -> bool:
    """Whether the judge finds fault with a summary."""
    if isinstance(score, GroundedScore):
        return any(claim.answer != "supported" for claim in score.claims)
    return score.rescaled < 0.0


def row(way: str, seen: Sequence[Seen], failed: int, seconds: float) -> str:
    """A line of the table, with 95% intervals."""
    found = [[float(marked(s.swapped))] for s in seen]
    alarms = [[float(marked(s.sound))] for s in seen]
    lower = [[scored_lower(s.sound, s.swapped)] for s in seen]
    cells = " | ".join(share_in_words(values) for values in (found, alarms, lower))
    return f"| {way} | {len(seen)} | {failed} | {cells} | {seconds / max(1, 2 * len(seen)):.1f} |"


def of_claims(seen: Sequence[Seen]) -> str:
    """What became of the swaps on the way: the lists, and the claims that hold them."""
    scores = [(s, s.swapped) for s in seen if isinstance(s.swapped, GroundedScore)]
    holding = [[claim for claim in score.claims if _stands(s.pair.put, claim.claim)] for s, score in scores]
    caught = sum(any(claim.answer != "supported" for claim in claims) for claims in holding)
    contradicted = sum(any(claim.answer == "contradicted" for claim in claims) for claims in holding)
    by_judge = sum(score.split_by == "judge" for _, score in scores)
    claims = sum(len(score.claims) for _, score in scores) / max(1, len(scores))
    return (
        f"{by_judge} of {len(scores)} swapped summaries were split by the judge, into {claims:.1f} claims on average "
        f"for all; {sum(map(bool, holding))} have the swap in a claim; of these claims {caught} are marked, "
        f"{contradicted} as contradicted"
    )


def faithful() -> Constitution:
    """`summarisation` with one criterion: how faithful the summary is."""
    whole = load_constitution("summarisation")
    criteria = tuple(criterion for criterion in whole.score.criteria if criterion.name == "faithful")
    return whole.model_copy(update={"score": whole.score.model_copy(update={"criteria": criteria})})


def main() -> None:
    """Prints the table for each judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("summaries", type=Path)
    parser.add_argument("--judge", required=True, action="append")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="for each way of each judge")
    parser.add_argument("--ledger", type=Path, default=Path(":memory:"))
    given = parser.parse_args()
    lines = given.summaries.read_text(encoding="utf-8").splitlines()
    pairs = balanced(planted([json.loads(line) for line in lines]), given.limit)
    kinds = [pair.kind for pair in pairs]
    print(f"{len(pairs)} summaries: {kinds.count('number')} numbers and {kinds.count('name')} names swapped\n")
    for name in given.judge:
        model, grounded = open_model(name), load_constitution("groundedness")
        print(f"{model.identity}\n\n| way | pairs | failed | found | false alarms | lower | seconds a summary |")
        print("|---|---|---|---|---|---|---|", flush=True)
        ways = (
            ("claims", model, grounded),
            ("sentences", cast("LanguageModel", WithoutLists(model)), grounded),
            ("one question", model, faithful()),
            ("faithful_summary", model, load_constitution("faithful_summary")),
        )
        details: list[str] = []
        for way, asked, constitution in ways:
            with Ledger(given.ledger) as ledger:
                begun = time.monotonic()
                seen, failed = judged(ScoreJudge(asked, constitution, ledger), pairs, begun + 60 * given.minutes)
                print(row(way, seen, failed, time.monotonic() - begun), flush=True)
                details += [f"{way}: {of_claims(seen)}"] if constitution is grounded else []
        print("\n" + "\n".join(details) + "\n", flush=True)


if __name__ == "__main__":
    main()
