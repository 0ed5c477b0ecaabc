"""Datasets that spread what belongs together over several rows.

HelpSteer2's main table has two consecutive rows for each prompt, each with a response that people rated.
OpenAssistant's has a row for each message of a tree, the rows of a tree together, and people ranked the answers.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

Row = dict[str, Any]
_RATED = {"prompt", "response", "helpfulness", "correctness"}
_MESSAGE = {"message_id", "role", "text"}


def joined(rows: Iterable[tuple[str, Row | str]]) -> Iterator[tuple[str, Row | str]]:
    """The rows, where those of one prompt are joined; all others as they are. A row that is a text is what is wrong
    with it.

    Of two rated responses, the label is the one that people found more helpful. Of a tree, the answers to its beginning
    that were ranked first and last become `chosen` and `rejected`; without two ranked answers, it is a prompt.
    """
    for key, group in groupby(rows, key=lambda placed: _belongs_to(placed[1])):
        if key is None:
            yield from group
        elif key[0] == "rated":
            yield from _pairs(group)
        else:
            yield from _tree(group)


def _belongs_to(row: Row | str) -> tuple[str, Any] | None:
    """What rows that are joined have in common; None for a row of its own."""
    if isinstance(row, str):
        return None
    if row.keys() >= _RATED and isinstance(row["helpfulness"], int | float):
        return "rated", row["prompt"]
    if row.keys() >= _MESSAGE and "message_tree_id" in row:
        return "tree", row["message_tree_id"]
    return None


def _pairs(rated: Iterable[tuple[str, Row | str]]) -> Iterator[tuple[str, Row | str]]:
    """Pairs of rated responses to one prompt; a single one is left out but for its prompt."""
    rows = [(place, row) for place, row in rated if isinstance(row, dict)]
    for (place, a), (_, b) in zip(rows[::2], rows[1::2], strict=False):
        said = "tie" if a["helpfulness"] == b["helpfulness"] else "a" if a["helpfulness"] > b["helpfulness"] else "b"
        yield place, {"prompt": a["prompt"], "response_a": a["response"], "response_b": b["response"], "label": said}
    if len(rows) % 2:
        place, row = rows[-1]
        yield place, {"prompt": row["prompt"]}


def _tree(messages: Iterable[tuple[str, Row | str]]) -> Iterator[tuple[str, Row | str]]:
    """The beginning of a tree of messages, with two ranked answers to it."""
    rows = [(place, row) for place, row in messages if isinstance(row, dict)]
    for place, begun in rows:
        if begun.get("parent_id") is not None or begun["role"] != "prompter":
            continue
        answers = [row for _, row in rows if row.get("parent_id") == begun["message_id"]]
        ranked = sorted((row for row in answers if isinstance(row.get("rank"), int)), key=lambda row: row["rank"])
        pair: Row = {"chosen": ranked[0]["text"], "rejected": ranked[-1]["text"]} if len(ranked) > 1 else {}
        yield place, {"prompt": begun["text"], "metadata": {"message_id": begun["message_id"]}} | pair
