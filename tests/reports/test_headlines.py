"""The one line and the badge of each report."""

from evaluation_examples import about, change, minimal, several, whole, win
from test_audit_report import TWO, judge_run
from test_compare_report import compared
from test_sweep_report import swept

from preceptor.evaluation.judges.judge_audit import audit
from preceptor.reports.headlines import of_audit, of_comparison, of_evaluation, of_run, of_sweep
from run_examples import data


def test_an_evaluation_is_better_or_worse_by_the_interval_of_its_win_rate() -> None:
    found = of_evaluation(whole())
    assert (found.verdict, found.badge, found.worse) == ("better", "better", ())
    assert "64% [58, 70]" in found.line
    assert "200 prompts" in found.line
    assert of_evaluation(whole(win_rates=(win(about(0.3)),))).verdict == "worse"
    assert of_evaluation(whole(win_rates=(win(about(0.52)),))).verdict == "no difference shown"
    assert of_evaluation(several()).line.startswith("rlaif preferred to base 66%")


def test_what_nothing_independent_measured_has_no_verdict() -> None:
    assert of_evaluation(minimal()).verdict == "not measured"
    assert of_evaluation(whole(judge_trained=True)).verdict == "not measured"
    assert of_run(data(heldout_judge_trained=True).summary, None).verdict == "not measured"
    assert of_sweep(swept(heldout_judge_trained=True)).verdict == "not measured"
    assert of_comparison(compared(differences=())).verdict == "not measured"


def test_what_got_worse_has_a_badge_of_its_own() -> None:
    regressed = (change("chat", "exact match", -0.2, "regressed"), change("history", "win rate", -0.1, "regressed"))
    found = of_evaluation(whole(changes=regressed))
    assert found.verdict == "better"
    [worse] = found.worse
    assert "exact match in chat" in worse
    assert "1 more" in worse
    run = data(kept_breaks_bound="KL 18.2 is above 15", unreadable={"before": 0.0, "after": 0.31}).summary
    assert [badge.split()[0] for badge in of_run(run, whole(changes=regressed)).worse] == [
        "breaks", "unreadable", "worse:",
    ]  # fmt: skip


def test_a_run_says_its_gain_or_that_there_are_too_few_prompts() -> None:
    found = of_run(data().summary, None)
    assert (found.verdict, found.badge) == ("better", "better")
    assert "+0.50 [+0.40, +0.60] on 10 prompts" in found.line
    few = of_run(data(heldout_change={"value": 0.5, "low": None, "high": None, "n": 3}).summary, None)
    assert (few.verdict, few.badge) == ("no difference shown", "too few prompts")


def test_a_sweep_counts_only_what_is_left_after_the_correction() -> None:
    assert of_sweep(swept()).verdict == "better"
    assert "Step 4: held-out score +0.30" in of_sweep(swept()).line
    assert of_sweep(swept(best_step=8)).verdict == "no difference shown"
    assert of_sweep(swept(best_step=0)).verdict == "no difference shown"


def test_a_judge_is_measured_against_chance_and_the_longer_response() -> None:
    assert of_audit(TWO).badge == "better than chance"
    assert of_audit(TWO).line.startswith("strong agrees with people on 95%")
    assert of_audit(audit([judge_run("bad", 0.1)])).badge == "worse than chance"
    assert of_audit(audit([])).verdict == "not measured"
