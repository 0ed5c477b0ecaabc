"""What raters said is found for every judge of the same comparison, whatever its id and order there."""

from pathlib import Path

import pytest

import preceptor as pc
from preceptor.core.types import JsonObject
from preceptor.store.preference_row import PreferenceRow
from preceptor.studio.context import Studio
from preceptor.studio.people.queues import Guidelines, NewItem, create
from preceptor.studio.rows import browse
from preceptor.studio.rows.entries import AGREES, DIFFERS, UNDECIDED, comparison_key
from preceptor.studio.rows.filters import Filter
from preceptor.studio.rows.index import RowIndex
from preceptor.studio.rows.rated import RatedRows
from studio_people import rate
from studio_small import make_queue, make_studio

QUESTIONS: list[JsonObject] = [
    {"id": f"r{i}", "prompt": f"Question {i}?", "response_a": f"one {i}", "response_b": f"two {i}"} for i in range(5)
]


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return make_studio(tmp_path / "studio", tmp_path)


def asked(number: int, **more: object) -> JsonObject:
    """The comparison of a question, as a row of a queue."""
    return {**QUESTIONS[number], **more}  # type: ignore[dict-item]


def keys(number: int) -> tuple[int, int]:
    """The keys of a question with its first and with its second response chosen."""
    [row] = pc.label([QUESTIONS[number]], judges="scripted:first")
    a, b = row.responses
    return comparison_key(row.prompt, a, b), comparison_key(row.prompt, b, a)


def test_the_majority_counts_in_all_queues_together(studio: Studio) -> None:
    first = make_queue(studio.people, [asked(0), asked(1)], "first", raters_per_row=3)
    turned = asked(0, id="other", response_a="two 0", response_b="one 0")
    second = make_queue(studio.people, [turned], "second", raters_per_row=1)
    rate(studio.people, first, "Ada", {"r0": "a", "r1": "cannot_tell"})
    rated = RatedRows(studio.people)
    assert rated.majorities() == {keys(0)[0]: AGREES, keys(0)[1]: DIFFERS}
    rate(studio.people, first, "Ben", {"r0": "b"})
    assert set(rated.majorities().values()) == {UNDECIDED}
    rate(studio.people, second, "Cem", {"other": "b"})  # "one 0" once more
    assert rated.majorities() == {keys(0)[0]: AGREES, keys(0)[1]: DIFFERS}


def test_known_answers_measure_raters_and_rankings_are_pairs(studio: Studio) -> None:
    rows = [NewItem(asked(0), {"choice": "a"}), NewItem(asked(2))]
    row: JsonObject = {"id": "k", "prompt": "Question 1?", "responses": ["one 1", "x", "two 1"]}
    kept = create(studio.people, "known", "compare", rows, source="a test", guidelines=Guidelines())
    ranking = create(studio.people, "rank", "rank", [NewItem(row)], source="a test", guidelines=Guidelines())
    rate(studio.people, kept, "Ada", {"r0": "a", "r2": "cannot_tell"})
    rate(studio.people, ranking, "Ada", {"k": (2, 1, 3)})
    said = RatedRows(studio.people).majorities()
    assert len(said) == 6
    assert (said[keys(1)[0]], said[keys(1)[1]]) == (AGREES, DIFFERS)


def test_rows_are_found_by_what_raters_said(studio: Studio, tmp_path: Path) -> None:
    labels = pc.label(QUESTIONS, judges="scripted:random", out=tmp_path / "work" / "labels")
    by_id = {row.id: row for row in labels}

    def other(row: PreferenceRow) -> str:
        return "b" if row.chosen_is == "a" else "a"

    queue = make_queue(studio.people, [asked(i) for i in range(4)], raters_per_row=1)
    answers = {"r0": by_id["r0"].chosen_is, "r1": other(by_id["r1"]), "r2": "tie"}
    while rate(studio.people, queue, "Ada", answers | {"r3": "skip"}):
        pass
    index, rated = RowIndex(studio.data / "index.sqlite", studio.library), RatedRows(studio.people)
    index.update()
    found: dict[str, list[str]] = {}
    for chosen in ("agree", "differ", "undecided", "rated", "not rated"):
        with index.reading() as connection:
            rated.attach(connection)
            found[chosen] = [row.row_id for row in browse.page(connection, Filter(rated=chosen), 1).rows]
    assert found == {
        "agree": ["r0"], "differ": ["r1"], "undecided": ["r2"], "rated": ["r0", "r1", "r2"], "not rated": ["r3", "r4"]
    }  # fmt: skip
