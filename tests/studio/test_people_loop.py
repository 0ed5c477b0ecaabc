"""The whole loop: a judge labels, a plan says what people rate, two people rate it in the page, and what leaves the
page is worth what rows written by hand are worth.
"""

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette

from preceptor.core.progress import Silence
from preceptor.studio.app import application
from preceptor.studio.context import Studio
from preceptor.tasks.agreement import agreement
from preceptor.tasks.estimate import estimate
from preceptor.tasks.label import label
from rows import read, write
from studio_small import OWNER_TOKEN, Person, make_studio


def opinion(name: str, number: int) -> str:
    """What Ada and Ben think of row n: she prefers b in every fourth one; he agrees, but for a tie in every fifth."""
    if name == "Ben" and number % 5 == 0:
        return "tie"
    return "a" if number % 4 else "b"


def invited(boss: Person, app: Starlette, name: str) -> Person:
    found = re.search(r'id="link">[^<]*/enter/([\w-]+)<', boss.send("/raters", name=name))
    assert found is not None
    return Person(app, found[1])


def rate(person: Person, name: str, rows: int | None = None) -> int:
    """Rates in the page, up to this many rows; returns how many."""
    page, count = person.see("/rate/1"), 0
    while (form := re.search(r'action="(/rate/1/\d+)"', page)) and (rows is None or count < rows):
        number = re.search(r"Question (\d+)\?", page)
        assert number is not None
        a_is_first = page.index(f"answer a {number[1]}.") < page.index(f"answer b {number[1]}.")
        side = {"a": "first", "b": "second", "tie": "tie"}[opinion(name, int(number[1]))]
        shown = side if a_is_first else {"first": "second", "second": "first"}.get(side, side)
        page = person.send(form[1], answer=shown)
        count += 1
    return count


def test_the_loop_gives_what_rows_written_by_hand_give(tmp_path: Path) -> None:
    work = tmp_path / "work"
    rows = [
        {"id": f"c{i}", "prompt": f"Question {i}?", "response_a": f"answer a {i}.", "response_b": f"answer b {i}."}
        for i in range(300)
    ]
    label(rows, judges="scripted:random", out=work / "labels", progress=Silence())
    estimate(work / "labels", plan=60, out=work / "plan")
    studio = make_studio(tmp_path / "studio", work)
    app = application(studio)
    boss = Person(app, OWNER_TOKEN)
    queued = {"name": "Loop", "raters_per_row": "2", "repeat_percent": "20"}
    boss.send("/queues", source="written", folder="work/plan", **queued)
    ada, ben = (invited(boss, app, name) for name in ("Ada", "Ben"))
    file = tmp_path / "studio" / "people" / "loop.jsonl"

    # unfinished: 20 of 60 planned rows are asked about, and the 21st is on both screens
    for person, name in ((ada, "Ada"), (ben, "Ben")):
        while rows_rated(studio, name) < 20:
            assert rate(person, name, 1) == 1
    app.state.studio.live.write()
    part = read(file)
    assert len(part) == 20
    assert {row["selection_probability"] for row in part} == {round(0.2 * 21 / 60, 9)}
    assert estimate(work / "labels", people=file).estimates.n_human == 20

    assert rate(ada, "Ada") > 40  # some rows are shown twice
    assert rate(ben, "Ben") > 40
    app.state.studio.live.write()
    planned = read(work / "plan" / "for_people.jsonl")
    numbers = [int(row["id"][1:]) for row in planned]
    by_hand = [
        row | {"ratings": [opinion("Ada", n), opinion("Ben", n)]} for row, n in zip(planned, numbers, strict=True)
    ]
    exported = read(file)
    assert [{name: row[name] for name in (*planned[0], "ratings")} for row in exported] == by_hand
    assert all(row["raters"] == ["Ada", "Ben"] for row in exported)

    hand = write(tmp_path / "by_hand.jsonl", by_hand)
    agreed = agreement(file).agreement
    assert agreed == agreement(hand).agreement
    assert agreed.pairwise is not None
    assert agreed.pairwise.value == pytest.approx(1 - sum(n % 5 == 0 for n in numbers) / 60)
    found, expected = estimate(work / "labels", people=file), estimate(work / "labels", people=hand)
    assert found == expected
    assert found.chosen == {"planned": 60}
    assert found.estimates.human_only is not None
    assert found.estimates.human_only.value == pytest.approx(mean_of_people(numbers))
    page = boss.see("/queues/1")
    assert "60<span" in page
    assert f"{round(100 * agreed.pairwise.value)}%" in page
    assert page.count("100%") >= 2  # both say the same when they are asked twice


def rows_rated(studio: Studio, name: str) -> int:
    record = studio.people.one(
        "SELECT count(DISTINCT item) AS n FROM ratings JOIN assignments ON assignments.id = assignment "
        "JOIN raters ON raters.id = rater WHERE name = ?",
        name,
    )
    assert record is not None
    return record["n"]


def mean_of_people(numbers: list[int]) -> float:
    worth = {"a": 1.0, "tie": 0.5, "b": 0.0}
    return sum(worth[opinion(name, n)] for n in numbers for name in ("Ada", "Ben")) / (2 * len(numbers))
