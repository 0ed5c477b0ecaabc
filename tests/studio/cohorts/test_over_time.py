"""Production's failures: counted by week, and each model beside the one before it, on numbers counted by hand."""

from collections.abc import Callable
from datetime import date
from math import erfc, sqrt
from random import Random

import pytest

from preceptor.studio.cohorts.figures import figure
from preceptor.studio.cohorts.over_time import ProductionResponse, deployments, failing_rows, over_time


def responses(day: str, model: str | None, failed: int, of: int, cohort: str = "shop") -> list[ProductionResponse]:
    """Responses to different prompts on one day, of which the first ones failed."""
    return [
        ProductionResponse(
            f"{cohort} {day} {model} {i}", cohort, "?", f"{day}T12:00:00+00:00", model, i < failed, "sign"
        )
        for i in range(of)
    ]


def test_a_model_is_compared_with_the_one_before_it() -> None:
    rows = (
        responses("2026-03-12", "new", 24, 40)
        + responses("2026-02-25", "old", 6, 30)
        + responses("2026-03-03", "old", 2, 10)
    )
    [pair] = deployments(rows)
    assert (pair.before.model, pair.after.model, pair.since, pair.cohort) == ("old", "new", date(2026, 3, 12), None)
    assert (pair.before.failing.value, pair.before.prompts) == (0.2, 40)
    assert (pair.after.failing.value, pair.after.prompts) == (0.6, 40)
    assert pair.change == pytest.approx(0.4)
    # 24 of 40 against 8 of 40, 0.4 in all: z = 0.4 / √(0.4 · 0.6 · 2/40), one-sided.
    assert pair.p_value == pytest.approx(erfc(0.4 / sqrt(0.24 / 20) / sqrt(2)) / 2)
    assert (pair.p_holm, pair.worse) == (pair.p_value, True)


def test_a_model_that_got_better_or_had_few_prompts_did_not_regress() -> None:
    [better] = deployments(responses("2026-03-01", "old", 24, 40) + responses("2026-03-12", "new", 8, 40))
    assert better.worse is False
    [few] = deployments(responses("2026-03-01", "old", 1, 40) + responses("2026-03-12", "new", 3, 3))
    assert (few.p_value, few.p_holm, few.worse) == (None, None, None)
    assert deployments(responses("2026-03-01", "old", 1, 40) + responses("2026-03-12", None, 9, 40)) == ()


def test_a_trial_of_two_prompts_is_no_model_to_compare_with_and_a_return_is_no_deployment() -> None:
    rows = (
        responses("2026-03-01", "old", 8, 40)
        + responses("2026-03-05", "trial", 1, 2)
        + responses("2026-03-12", "new", 8, 40)
    )
    rows += responses("2026-03-20", "old", 8, 40)
    assert [(pair.before.model, pair.after.model, pair.before.prompts) for pair in deployments(rows)] == [
        ("old", "trial", 80),
        ("old", "new", 80),
    ]


def test_cohorts_share_one_correction_and_the_one_that_regressed_is_found() -> None:
    rows = responses("2026-03-01", "old", 8, 40) + responses("2026-03-12", "new", 24, 40)
    rows += responses("2026-03-01", "old", 8, 40, "desk") + responses("2026-03-12", "new", 8, 40, "desk")
    together, shop, desk = deployments(rows)
    assert [pair.cohort for pair in (together, shop, desk)] == [None, "shop", "desk"]
    assert shop.p_holm == pytest.approx(3 * (shop.p_value or 0))
    assert (shop.worse, desk.worse) == (True, False)
    assert desk.p_value == 0.5


def test_windows_keep_their_distance_and_failing_rows_are_chosen() -> None:
    rows = (
        responses("2026-03-02", "old", 1, 20)
        + responses("2026-03-30", "new", 4, 20)
        + responses("2026-03-31", "new", 0, 1, "desk")
    )
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
    drawn = figure("Signs", over_time(responses("0002-03-02", "old", 1, 20) + responses("9999-12-31", "new", 4, 20)))
    assert drawn is not None
    assert drawn.count("9999-12") == 1


def traffic(draw: Random, failing: Callable[[int, str], float]) -> list[ProductionResponse]:
    """Four weeks of 60 prompts in three cohorts, answered by a new model from the third week on.

    Args:
        failing: the probability of a failure in a week of a cohort.
    """
    return [
        ProductionResponse(f"{week} {i}", cohort, "?", f"2026-03-{2 + 7 * week:02}", f"model {week // 2}",
             draw.random() < failing(week, cohort), "sign")
        for week in range(4) for i in range(60) for cohort in (("shop", "desk", "help")[i % 3],)
    ]  # fmt: skip


def test_without_a_change_regressions_are_marked_as_rarely_as_stated() -> None:
    draw, times = Random(0), 120
    shown = [over_time(traffic(draw, lambda _week, _cohort: 0.3)) for _ in range(times)]
    by_model = sum(any(pair.worse for pair in one.deployments) for one in shown)
    by_week = sum(any(trend.worse for trend in one.trends) for one in shown)
    most = 0.05 * times + 3 * sqrt(0.05 * 0.95 * times)  # three standard errors above 5 in 100
    assert by_model <= most
    assert by_week <= most


def test_a_planted_regression_is_found_where_it_is() -> None:
    draw, times = Random(0), 40
    shown = [
        over_time(traffic(draw, lambda week, cohort: 0.6 if week >= 2 and cohort == "shop" else 0.15))
        for _ in range(times)
    ]
    marked = [{pair.cohort for pair in one.deployments if pair.worse} for one in shown]
    assert sum("shop" in cohorts for cohorts in marked) >= 0.9 * times
    assert sum(bool(cohorts & {"desk", "help"}) for cohorts in marked) <= 6
