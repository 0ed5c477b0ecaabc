"""Production's failures: counted by week, and each model beside the one before it, on numbers counted by hand."""

from datetime import date
from math import erfc, sqrt

import pytest

from preceptor.studio.cohorts.figures import figure
from preceptor.studio.cohorts.over_time import Seen, deployments, failing_rows, over_time


def seen(day: str, model: str | None, failed: int, of: int, cohort: str = "shop") -> list[Seen]:
    """Responses to different prompts on one day, of which the first ones failed."""
    return [
        Seen(f"{cohort} {day} {model} {i}", cohort, "?", f"{day}T12:00:00+00:00", model, i < failed, "sign")
        for i in range(of)
    ]


def test_a_model_is_compared_with_the_one_before_it() -> None:
    rows = seen("2026-03-12", "new", 24, 40) + seen("2026-02-25", "old", 6, 30) + seen("2026-03-03", "old", 2, 10)
    [pair] = deployments(rows)
    assert (pair.before.model, pair.after.model, pair.since, pair.cohort) == ("old", "new", date(2026, 3, 12), None)
    assert (pair.before.failing.value, pair.before.prompts) == (0.2, 40)
    assert (pair.after.failing.value, pair.after.prompts) == (0.6, 40)
    assert pair.change == pytest.approx(0.4)
    # 24 of 40 against 8 of 40, 0.4 in all: z = 0.4 / √(0.4 · 0.6 · 2/40), one-sided.
    assert pair.p_value == pytest.approx(erfc(0.4 / sqrt(0.24 / 20) / sqrt(2)) / 2)
    assert (pair.p_holm, pair.worse) == (pair.p_value, True)


def test_a_model_that_got_better_or_had_few_prompts_did_not_regress() -> None:
    [better] = deployments(seen("2026-03-01", "old", 24, 40) + seen("2026-03-12", "new", 8, 40))
    assert better.worse is False
    [few] = deployments(seen("2026-03-01", "old", 1, 40) + seen("2026-03-12", "new", 3, 3))
    assert (few.p_value, few.p_holm, few.worse) == (None, None, None)
    assert deployments(seen("2026-03-01", "old", 1, 40) + seen("2026-03-12", None, 9, 40)) == ()


def test_a_trial_of_two_prompts_is_no_model_to_compare_with_and_a_return_is_no_deployment() -> None:
    rows = seen("2026-03-01", "old", 8, 40) + seen("2026-03-05", "trial", 1, 2) + seen("2026-03-12", "new", 8, 40)
    rows += seen("2026-03-20", "old", 8, 40)
    assert [(pair.before.model, pair.after.model, pair.before.prompts) for pair in deployments(rows)] == [
        ("old", "trial", 80),
        ("old", "new", 80),
    ]


def test_cohorts_share_one_correction_and_the_one_that_regressed_is_found() -> None:
    rows = seen("2026-03-01", "old", 8, 40) + seen("2026-03-12", "new", 24, 40)
    rows += seen("2026-03-01", "old", 8, 40, "desk") + seen("2026-03-12", "new", 8, 40, "desk")
    together, shop, desk = deployments(rows)
    assert [pair.cohort for pair in (together, shop, desk)] == [None, "shop", "desk"]
    assert shop.p_holm == pytest.approx(3 * (shop.p_value or 0))
    assert (shop.worse, desk.worse) == (True, False)
    assert desk.p_value == 0.5


def test_windows_keep_their_distance_and_failing_rows_are_chosen() -> None:
    rows = seen("2026-03-02", "old", 1, 20) + seen("2026-03-30", "new", 4, 20) + seen("2026-03-31", "new", 0, 1, "desk")
    shown = over_time(rows)
    assert shown.length == "week"
    assert [(w.start, w.prompts) for w in shown.trends[0].windows] == [(date(2026, 3, 2), 20), (date(2026, 3, 30), 21)]
    drawn = figure("Signs of failure", shown)
    assert drawn is not None
    assert [name for name in ("02 Mar", "09 Mar", "16 Mar", "23 Mar", "30 Mar") if name not in drawn] == []
    assert len(failing_rows(rows)) == 5
    assert [row.prompt_id for row in failing_rows(rows, "shop", "old")] == ["shop 2026-03-02 old 0"]
    assert len(failing_rows(rows, since=date(2026, 3, 3))) == 4
    assert failing_rows(rows, "desk") == []
    assert figure("Signs of failure", over_time(rows[:20])) is None


def test_times_centuries_apart_are_drawn_without_what_lies_between() -> None:
    drawn = figure("Signs", over_time(seen("0002-03-02", "old", 1, 20) + seen("9999-12-31", "new", 4, 20)))
    assert drawn is not None
    assert drawn.count("9999-12") == 1
