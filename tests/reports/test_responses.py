"""Which responses a page holds."""

from preceptor.reports.responses import Row, Side, fitting

ROWS = [Row("", f"{i:04}", (Side("a", "x" * 3), Side("b", "y" * 3))) for i in range(50)]
"""Ten characters each."""


def test_up_to_the_size_all_are_there() -> None:
    found = fitting(ROWS, most=500)
    assert (found.rows, found.total, found.sampled) == (tuple(ROWS), 50, False)


def test_above_it_a_sample_is_drawn_by_the_seed_and_kept_in_order() -> None:
    found = fitting(ROWS, most=129)
    assert (len(found.rows), found.total, found.sampled) == (12, 50, True)
    assert found == fitting(ROWS, most=129)
    prompts = [row.prompt for row in found.rows]
    assert prompts == sorted(prompts)
    assert prompts != [f"{i:04}" for i in range(12)]
