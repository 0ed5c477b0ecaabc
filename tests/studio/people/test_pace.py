"""How fast a rater works, breaks left out; and a row as they see it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import JsonValue

from preceptor.core.types import JsonObject
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.pace import pace, seconds_per_row
from preceptor.studio.people.queues import Guidelines, NewItem, create
from preceptor.studio.people.raters import invite, raters
from preceptor.studio.people.shown import shown_row
from studio_small import comparisons, make_queue, make_studio

BEGUN = datetime(2026, 1, 5, 9, tzinfo=UTC)


def test_breaks_do_not_slow_a_rater_down() -> None:
    seconds = [0, 10, 20, 30, 3630, 3650]
    times = [BEGUN + timedelta(seconds=s) for s in seconds]
    assert seconds_per_row(times) == pytest.approx((10 + 10 + 10 + 20) / 4)
    assert seconds_per_row(times[:3]) is None


def test_what_is_left_is_what_a_rater_could_still_get(tmp_path: Path) -> None:
    people = make_studio(tmp_path / "studio").people
    queue = make_queue(people, comparisons(5))
    for name in ("Ada", "Ben"):
        invite(people, name)
    ada, ben = (record["id"] for record in raters(people) if not record["owner"])
    assert pace(people, queue, ada).left == 5
    row = assign.next_row(people, queue, ada)
    assert row is not None
    assert (pace(people, queue, ada).left, pace(people, queue, ben).left) == (5, 4)
    ratings.record(people, row, ratings.from_screen(row, "tie"))
    assert (pace(people, queue, ada).left, pace(people, queue, ben).left) == (4, 4)
    assert pace(people, queue, ada).rated == 1


def test_responses_stand_in_the_order_of_the_screen_and_trajectories_are_messages(tmp_path: Path) -> None:
    people = make_studio(tmp_path / "studio").people
    invite(people, "Ada")
    call: JsonObject = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    trajectory: list[JsonValue] = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "seen"},
        {"role": "assistant", "content": "It is there."},
    ]
    row: JsonObject = {
        "id": "r",
        "prompt": "Where?",
        "responses": ["one", trajectory, "three"],
        "policies": ["x", "y", "z"],
    }
    queue = create(people, "ranked", "rank", [NewItem(row)], source="a test", guidelines=Guidelines())
    assignment = assign.next_row(people, queue, raters(people)[1]["id"])
    assert assignment is not None
    shown = shown_row(assignment, "differences")
    assert shown.view == "plain"  # differences are of two texts
    lengths = [len(response) for response in shown.responses]
    assert lengths.index(3) == assignment.order.index(1)
    ranks = tuple(place + 1 for place in range(3))
    assert ratings.on_screen(assignment, ratings.ranking_from_screen(assignment, ranks)) == ranks
    stored = ratings.ranking_from_screen(assignment, ranks).ranks
    assert [stored[position] for position in assignment.order] == [1, 2, 3]
