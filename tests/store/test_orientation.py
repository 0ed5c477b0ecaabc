from preceptor.store.orientation import Orientation


def test_a_is_chosen_from_one_half_on() -> None:
    assert [Orientation.of(p_a).chosen_is for p_a in (0.0, 0.4999, 0.5, 1.0)] == ["b", "b", "a", "a"]


def test_both_ways_are_the_same_turn() -> None:
    for chosen_is_a, pair, probability in ((True, ("x", "y"), 0.8), (False, ("y", "x"), 1.0 - 0.8)):
        orientation = Orientation(chosen_is_a)
        assert orientation.pair("x", "y") == pair
        assert orientation.pair(*pair) == ("x", "y")
        assert orientation.probability(0.8) == probability
