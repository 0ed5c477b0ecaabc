"""What 1,000 comparisons cost by list prices: a call for each criterion, one call, a batch, and cached beginnings.

`python -m benchmarks.costs` prints the table. No server is asked. A stand-in for OpenAI's server answers at once; it
counts tokens with the embedded model's tokenizer, and counts as cached what OpenAI says that it caches: the longest
beginning that an earlier call had, in steps of 128 tokens, if it has at least 1,024. Whether a real server still has a
beginning when it is asked again cannot be known from this: the column is the most that caching can save.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.backends.base import Price
from preceptor.backends.connection import Connection
from preceptor.backends.openai.abilities import ASSUMED
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.batch import SHARE_OF_PRICE
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.core.types import Comparison, JsonObject, JudgeFailure, Message, Prompt, Response, Usage
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.runs.inputs import data_path
from preceptor.store.ledger import Ledger, LedgerTotals

COMPARISONS = 1_000
MODEL = "gpt-4o-mini"
CONSTITUTION = "examples/three_criteria.toml"
LEAST_CACHED, STEP = 1_024, 128
"""OpenAI's rule: https://platform.openai.com/docs/guides/prompt-caching."""
WAYS = {
    "both responses together, both orders": ("helpful", "detailed"),
    "the same with 4 exemplars": ("helpful", "detailed+4-shot"),
    "3 criteria, a call each": (CONSTITUTION, "scored"),
    "3 criteria, one call": (CONSTITUTION, "scored+one-call"),
}


class CountingServer:
    """Answers every call at once and counts tokens. A `Transport`."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(ensure_embedded())
        self._seen: set[int] = set()

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        """As `Transport.send`."""
        assert path == "/chat/completions"
        assert body is not None
        messages: Any = body["messages"]
        tokens: list[int] = self._tokenizer.encode("\n".join(f"{m['role']}\n{m['content']}" for m in messages))
        text, written = _answer(body)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": _listed(body)}
        usage = {
            "prompt_tokens": len(tokens),
            "completion_tokens": written,
            "prompt_tokens_details": {"cached_tokens": self._cached(tokens)},
        }
        return json.dumps({"choices": [choice], "usage": usage}).encode()

    def _cached(self, tokens: list[int]) -> int:
        """Tokens of the beginning that an earlier call had."""
        ends = range(LEAST_CACHED, len(tokens) + 1, STEP)
        beginnings = {end: hash(tuple(tokens[:end])) for end in ends}
        known = max((end for end, beginning in beginnings.items() if beginning in self._seen), default=0)
        self._seen |= set(beginnings.values())
        return known

    async def close(self) -> None:
        """Nothing is open."""


_PROBABLE = {"1": -0.7, "2": -0.7}
_SCORES = {str(n): -0.1 if n == 7 else -5.0 for n in range(1, 11)}


def _listed(body: JsonObject) -> dict[str, Any]:
    """The most probable tokens of an answer: a side, or a score."""
    scored = "Score it from 1 to 10" in json.dumps(body)
    tokens = _SCORES if scored else _PROBABLE
    top = [{"token": token, "logprob": log_prob} for token, log_prob in tokens.items()]
    return {"content": [{"token": "7" if scored else "1", "top_logprobs": top}]}


def _answer(body: JsonObject) -> tuple[str, int]:
    """An answer that fits, and its tokens."""
    asked: Any = body.get("response_format")
    if asked is None:
        return "1", 1
    scores = dict.fromkeys(asked["json_schema"]["schema"]["required"], 7)
    return json.dumps(scores), 6 * len(scores) + 2


def comparisons() -> Iterator[Comparison]:
    """Pairs of reference answers, whole and cut in half, in turn from the packaged set, until there are enough."""
    rows = [json.loads(line) for line in data_path("package:reference_answers").read_text().splitlines()]
    number = 0
    while True:
        for row in rows:
            prompt = Prompt(id=f"{row['id']}-{number}", conversation=(Message(role="user", content=row["prompt"]),))
            whole, half = f"{row['reference']} ({number})", row["reference"][: len(row["reference"]) // 2]
            a, b = (Response(prompt_id=prompt.id, text=text) for text in (whole, f"{half} ({number})"))
            yield Comparison(id=str(number), prompt=prompt, a=a, b=b)
            number += 1


def totals_of(constitution: str, variant: str, count: int) -> tuple[LedgerTotals, Price]:
    """The calls of `count` comparisons as the ledger has them, and the model's price."""
    model = OpenAIModel(Address.parse(f"openai:{MODEL}"), Connection(), ASSUMED, CountingServer())
    assert model.price is not None
    spec = JudgeSpec(model=f"openai:{MODEL}", constitution=constitution, variant=variant)
    with tempfile.TemporaryDirectory() as scratch, Ledger(Path(scratch) / "ledger.sqlite") as ledger:
        judge = make_judge(spec, model, ledger)
        rows = islice(comparisons(), count)
        while chunk := list(islice(rows, 200)):
            failures = [outcome for outcome in judge.compare(chunk) if isinstance(outcome, JudgeFailure)]
            assert not failures, failures[0]
        totals = ledger.totals()
    model.close()
    return totals, model.price


def main() -> None:
    """Prints the table in Markdown."""
    columns = (
        "calls",
        "prompt tokens",
        "answer tokens",
        "$",
        "tokens that a cache may have",
        "$ with cache",
        "$ in a batch",
    )
    print(f"| {COMPARISONS:,} comparisons by {MODEL} | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for name, (constitution, variant) in WAYS.items():
        totals, price = totals_of(constitution, variant, COMPARISONS)
        tokens = Usage(prompt_tokens=totals.prompt_tokens, completion_tokens=totals.completion_tokens)
        plain = price.cost(tokens)
        cells = [f"{totals.calls:,}", f"{totals.prompt_tokens:,}", f"{totals.completion_tokens:,}", f"{plain:.3f}"]
        cells += [f"{totals.cached_tokens / totals.prompt_tokens:.0%}", f"{totals.cost_usd:.3f}"]
        print(f"| {name} | {' | '.join(cells)} | {SHARE_OF_PRICE * plain:.3f} |")


if __name__ == "__main__":
    main()
