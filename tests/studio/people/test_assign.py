"""Who rates which row, and that no rating is lost or counted twice."""

from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.studio.database import Database
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.queues import Queue, progress
from preceptor.studio.people.raters import invite, raters, revoke, sign_in, visitor
from studio_small import comparisons, make_queue, make_studio


@pytest.fixture
def people(tmp_path: Path) -> Database:
    return make_studio(tmp_path / "studio").people


def _rater(people: Database, name: str) -> int:
    invite(people, name)
    return next(record["id"] for record in raters(people) if record["name"] == name)


def _rate(people: Database, queue: Queue, rater: int, choice: str = "first") -> str | None:
    row = assign.next_row(people, queue, rater)
    if row is None:
        return None
    assert ratings.record(people, row, ratings.from_screen(row, choice))
    return str(row.row["id"]) + ("*" if row.repeat else "")


def test_each_row_goes_to_as_many_raters_as_asked_for_and_to_nobody_twice(people: Database) -> None:
    queue = make_queue(people, comparisons(3), raters_per_row=2)
    ada, ben, cy = (_rater(people, name) for name in ("Ada", "Ben", "Cy"))
    assert [_rate(people, queue, ada) for _ in range(4)] == ["r0", "r1", "r2", None]
    assert _rate(people, queue, ben) == "r0"
    assert [_rate(people, queue, cy) for _ in range(3)] == ["r1", "r2", None]
    assert _rate(people, queue, ben) is None
    assert progress(people, queue).done == 3


def test_a_reserved_row_is_kept_for_its_rater_until_the_reservation_ends(people: Database) -> None:
    queue = make_queue(people, comparisons(2))
    ada, ben = _rater(people, "Ada"), _rater(people, "Ben")
    held = assign.next_row(people, queue, ada)
    assert held is not None
    assert held == assign.next_row(people, queue, ada)
    assert _rate(people, queue, ben) == "r1"
    assert assign.next_row(people, queue, ben) is None
    people.write("UPDATE assignments SET reserved_until = '2020-01-01T00:00:00.000+00:00' WHERE id = ?", held.id)
    assert _rate(people, queue, ben) == "r0"
    assert assign.next_row(people, queue, ada) is None
    assert ratings.record(people, held, ratings.from_screen(held, "tie"))  # late, and not lost
    assert progress(people, queue).ratings == 3


def test_an_answer_sent_twice_counts_once_and_can_be_taken_back(people: Database) -> None:
    queue = make_queue(people, comparisons(2))
    ada = _rater(people, "Ada")
    row = assign.next_row(people, queue, ada)
    assert row is not None
    assert ratings.record(people, row, ratings.from_screen(row, "first"))
    assert not ratings.record(people, row, ratings.from_screen(row, "second"))
    assert ratings.undo(people, queue.id, ada) == row.id
    assert progress(people, queue).ratings == 0
    assert assign.next_row(people, queue, ada) == row
    assert ratings.record(people, row, ratings.from_screen(row, "second"))
    assert ratings.undo(people, queue.id, ada) == row.id
    assert ratings.undo(people, queue.id, ada) is None


def test_a_skipped_row_goes_to_somebody_else(people: Database) -> None:
    queue = make_queue(people, comparisons(1))
    ada, ben = _rater(people, "Ada"), _rater(people, "Ben")
    assert _rate(people, queue, ada, "skip") == "r0"
    assert _rate(people, queue, ada) is None
    assert progress(people, queue).done == 0
    assert _rate(people, queue, ben, "cannot_tell") == "r0"
    assert progress(people, queue).done == 1


def test_a_repeated_row_shows_its_responses_in_the_other_order(people: Database) -> None:
    queue = make_queue(people, comparisons(20), repeat_share=0.5)
    ada = _rater(people, "Ada")
    orders: dict[str, list[tuple[int, ...]]] = {}
    while (row := assign.next_row(people, queue, ada)) is not None:
        orders.setdefault(str(row.row["id"]), []).append(row.order)
        ratings.record(people, row, ratings.from_screen(row, "first"))
    repeated = [shown for shown in orders.values() if len(shown) == 2]
    assert 3 <= len(repeated) <= 15
    assert all(first == other[::-1] for first, other in repeated)
    firsts = [shown[0][0] for shown in orders.values()]
    assert 4 <= sum(firsts) <= 16  # the sides are shuffled


def test_the_side_on_the_screen_is_stored_as_the_response_of_the_row(people: Database) -> None:
    queue = make_queue(people, comparisons(12))
    ada = _rater(people, "Ada")
    while (row := assign.next_row(people, queue, ada)) is not None:
        place = "first" if row.order[0] == 0 else "second"
        assert ratings.from_screen(row, place) == ratings.Choice(choice="a")
        with pytest.raises(UsageError, match="2 ranks, got 3"):
            ratings.record(people, row, ratings.Ranking(ranks=(1, 2, 3)))
        ratings.record(people, row, ratings.from_screen(row, place))
    answers = people.all("SELECT answer, shown FROM ratings")
    assert len(answers) == 12
    assert {record["answer"] for record in answers} == {'{"choice":"a"}'}
    assert {record["shown"] for record in answers} == {"[0, 1]", "[1, 0]"}


def test_a_revoked_rater_is_signed_out_and_cannot_return(people: Database) -> None:
    token = invite(people, "Ada")
    session = sign_in(people, token)
    assert session is not None
    known = visitor(people, session)
    assert known is not None
    revoke(people, known.id)
    assert visitor(people, session) is None
    assert sign_in(people, token) is None
    renewed = sign_in(people, invite(people, "Ada"))
    assert renewed is not None
    again = visitor(people, renewed)
    assert again is not None
    assert again.id == known.id
