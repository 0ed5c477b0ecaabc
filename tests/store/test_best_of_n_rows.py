"""Rows of best-of-n runs are read as they were written, by this version and by earlier ones."""

import json

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.types import Message, Prompt
from preceptor.store.best_of_n_rows import AnsweredPrompt, BestOfNLine, BestResponse, best_of_n_rows


def test_a_line_is_read_as_it_was_written() -> None:
    prompt = Prompt(id="p1", conversation=(Message(role="user", content="Why?"),), cohort="cats")
    best = BestResponse(text="Because.", finished=True)
    line = BestOfNLine(best=(best, None), rewards=((0.5, None), (None, None)), prompts=(AnsweredPrompt.of(prompt),) * 2)
    first, second = best_of_n_rows([json.dumps(line.wire()).encode()], "f")
    assert (first.prompt, first.best, first.rewards) == (
        AnsweredPrompt(id="p1", cohort="cats", text="Why?"),
        best,
        (0.5, None),
    )
    assert (first.highest, second.highest, second.best) == (0.5, None, None)


def test_rows_of_earlier_versions_are_named_by_their_place() -> None:
    line = b'{"best": [null, null], "rewards": [[1.0, 1.0], [0.0]]}'
    rows = best_of_n_rows([line, line], "f")
    assert [(row.prompt_id, row.prompt) for row in rows] == [(f"prompt {n}", None) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b"[1]",
        b'{"best": [null], "rewards": []}',
        b'{"best": [null], "rewards": [[1.0]], "prompts": []}',
        b'{"best": [null], "rewards": [[NaN]]}',
        b'{"best": [null], "rewards": [["1 + 1"]]}',
    ],
)
def test_a_damaged_line_is_named(line: bytes) -> None:
    good = b'{"best": [null], "rewards": [[1.0]]}'
    with pytest.raises(UsageError, match=r"^best_of_n\.jsonl:2: "):
        best_of_n_rows([good, line], "best_of_n.jsonl")
