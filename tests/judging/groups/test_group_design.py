"""Which responses of a group are compared, by hand and over every size and kind of judge."""

import random
from collections.abc import Callable

import pytest

from preceptor.judging.groups.design import Pair, PairDesign, Played, comparisons_of, next_round, parts_of

DESIGNS: tuple[PairDesign, ...] = ("all", "circular", "anchor", "swiss", "knockout")
Says = Callable[[int, int], float | None]


def rounds(design: PairDesign, count: int, says: Says) -> list[list[Pair]]:
    """The pairs of each round, judged by a function of two places."""
    played: list[Played] = []
    found: list[list[Pair]] = []
    while pairs := next_round(design, count, played):
        found.append(pairs)
        played += [Played(i, j, says(i, j)) for i, j in pairs]
    return found


def earlier_wins(i: int, j: int) -> float:
    return 0.9 if i < j else 0.1


def test_designs_of_one_round() -> None:
    assert rounds("all", 3, earlier_wins) == [[(0, 1), (0, 2), (1, 2)]]
    assert rounds("circular", 4, earlier_wins) == [[(0, 1), (1, 2), (2, 3), (3, 0)]]
    assert rounds("anchor", 4, earlier_wins) == [[(0, 1), (0, 2), (0, 3)]]


def test_a_knockout_has_one_winner() -> None:
    assert rounds("knockout", 4, earlier_wins) == [[(0, 1), (2, 3)], [(0, 2)]]
    assert rounds("knockout", 5, lambda i, j: 1.0 - earlier_wins(i, j)) == [[(0, 1), (2, 3)], [(1, 4)], [(3, 4)]]


def test_neighbours_in_standing_meet_in_a_swiss_tournament() -> None:
    """After the first round, the winners 0, 2, 4, 6 lead; equal points keep the order of places."""
    first, second, third = rounds("swiss", 8, earlier_wins)
    assert first == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert second == [(0, 2), (4, 6), (1, 3), (5, 7)]
    assert third[0] == (0, 4)  # both have won twice


def test_whoever_sat_out_plays_next() -> None:
    first, second = rounds("swiss", 3, earlier_wins)
    assert first == [(0, 1)]
    assert second == [(0, 2)]


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_compared_with_itself(design: PairDesign, count: int) -> None:
    assert next_round(design, count, []) == []
    assert comparisons_of(design, count) == 0


def test_the_number_of_comparisons() -> None:
    assert [comparisons_of(design, 8) for design in DESIGNS] == [28, 8, 7, 12, 7]
    assert [comparisons_of(design, 5) for design in DESIGNS] == [10, 5, 4, 6, 4]
    assert [comparisons_of(design, 2) for design in DESIGNS] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("design", DESIGNS)
def test_every_design_connects_all_and_repeats_nothing(design: PairDesign) -> None:
    for count in range(2, 34):
        for seed in range(12):
            chance = random.Random(100 * count + seed)
            pairs = [pair for each in rounds(design, count, lambda *_, c=chance: c.random()) for pair in each]
            games = [Played(i, j, 0.5) for i, j in pairs]
            assert len(games) == len({game.pair for game in games}) == comparisons_of(design, count)
            assert set(parts_of(count, games)) == {0}


@pytest.mark.parametrize("design", DESIGNS)
def test_failures_cost_no_more_comparisons(design: PairDesign) -> None:
    for count in range(2, 20):
        for seed in range(12):
            chance = random.Random(100 * count + seed)

            def says(i: int, j: int, chance: random.Random = chance) -> float | None:
                return None if chance.random() < 0.3 else chance.random()

            pairs = [pair for each in rounds(design, count, says) for pair in each]
            assert len(pairs) == len({tuple(sorted(pair)) for pair in pairs}) == comparisons_of(design, count)


def test_a_failed_comparison_is_no_loss() -> None:
    """0 and 1 have no winner: both go on, and after four comparisons there are two parts, 0 with 4 and 1 with 2, 3."""
    found = rounds("knockout", 5, lambda i, j: None if (i, j) == (0, 1) else earlier_wins(i, j))
    assert found == [[(0, 1), (2, 3)], [(0, 4), (1, 2)]]


def test_whoever_fails_twice_leaves_a_knockout() -> None:
    """0 cannot be judged; 1 and 2, which failed once with it, go on."""
    found = rounds("knockout", 6, lambda i, j: None if i == 0 else earlier_wins(i, j))
    assert found == [[(0, 1), (2, 3), (4, 5)], [(0, 2), (1, 4)]]


def test_failures_cut_the_graph() -> None:
    games = [Played(0, 1, 0.5), Played(1, 2, None), Played(2, 3, 0.1)]
    assert parts_of(5, games) == [0, 0, 2, 2, 4]
