"""The report: it says what the numbers say, and model text stays text."""

from dataclasses import replace
from typing import Any

import pytest
from evaluation_examples import about, change, control, whole, win
from markdown_it import MarkdownIt
from pages import check_page, without_script

from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.recipes.load import load_recipe
from preceptor.reports.headlines import of_run
from preceptor.reports.run.page import ReportData, examples, headline, render_report, render_run_markdown, warnings
from preceptor.runs.evaluation import evaluate_run
from preceptor.runs.publish import model_card
from run_examples import OVER, SCRIPT, SPLIT, afterwards, changed, data, snapshot


def test_text_from_models_prompts_and_constitutions_is_escaped() -> None:
    page = render_report(data())
    assert "<script" not in without_script(page)
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 5


def test_the_page_needs_nothing_from_outside() -> None:
    page = render_report(data())
    assert len(check_page(page).of("svg")) == 5
    assert "currentColor" in page


def test_the_headline_says_what_the_interval_says() -> None:
    assert "rose: 0.25 before, 0.74 after (+0.50 [+0.40, +0.60])" in headline(data().summary)
    uncertain = data(heldout_change={"value": 0.1, "low": -0.1, "high": 0.3, "n": 10})
    assert "did not change beyond chance" in headline(uncertain.summary)
    worse = data(heldout_change={"value": -0.2, "low": -0.3, "high": -0.1, "n": 10})
    assert "fell" in headline(worse.summary)


def test_a_run_that_kept_the_untrained_policy_says_that_nothing_changed() -> None:
    run = data(best_step=0)
    said = headline(run.summary, run.evaluation)
    assert said.startswith("Nothing changed")
    assert "preferred" not in said
    found = warnings(run.summary, run.evaluation)
    assert any("untrained policy was kept" in warning for warning in found)
    assert not any("undecided" in warning for warning in found)
    assert of_run(run.summary, run.evaluation).badge == "no difference shown"


def test_reasons_to_doubt_come_first() -> None:
    agreed = {"evaluation": afterwards(judge_agreement=0.9)}
    assert warnings(data(**agreed).summary) == []
    doubted = data(**agreed, judge_failures=5, judge_is_policy=True, best_step=0, over_optimisation=OVER)
    found = warnings(doubted.summary)
    assert "failed on 5 of 100 calls (5.0%)" in found[0]
    assert found[1].startswith("Over-optimisation from step 5 on: r.")
    assert any("same weights" in warning for warning in found)
    assert any("untrained policy was kept" in warning for warning in found)


def test_reasons_to_doubt_the_judge_stand_before_the_headline() -> None:
    said = "The judge wanted to answer something else"
    doubted = data(judge_warnings=[{"kind": "choice_mass", "sentence": said}])
    for text in (render_report(doubted), render_run_markdown(doubted)):
        assert 0 <= text.index(said) < text.index("prompts it never trained on")
        assert text.count(said) == 1
    assert warnings(doubted.summary)[0] == f"{said}."


def reward_model(low: float) -> dict[str, Any]:
    """A reward model that orders 55 % of the held-out pairs as their labels do."""
    accuracy = {
        "n": 30, "without_reward": 0, "ties": 0, "accuracy": {"value": 0.55, "low": low, "high": 0.7, "n": 30},
        "by_source": {}, "log_loss": None, "reliability": [], "calibration_error": None, "longer_baseline": None,
        "length_correlation": None,
    }  # fmt: skip
    trained = [{"steps": 1, "pairs": 50, "left_out": {}}]
    return {
        "identity": "m", "members": 1, "pessimism": 0.0, "offsets": None, "training_pairs": 50, "trained": trained,
        "held_out_pairs": 30, "accuracy": accuracy, "in_words": "w",
    }  # fmt: skip


def test_a_reward_model_that_guesses_is_a_reason_to_doubt() -> None:
    guessing = data(reward_model=reward_model(0.4)).summary
    assert any("not better than chance: accuracy 0.55 [0.40, 0.70]" in warning for warning in warnings(guessing))
    knowing = data(reward_model=reward_model(0.51)).summary
    assert not any("chance" in warning for warning in warnings(knowing))


def test_without_a_judge_nothing_is_said_of_one() -> None:
    metrics: list[dict[str, Any]] = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    run = data(
        judge=None, constitution=None, judge_content_free_score=None, judge_score_is=None, judge_calls=0,
        method="supervised fine-tuning", recipe=load_recipe("sft").model_dump(mode="json", by_alias=True),
        sft={"demonstrations": 5, "updates": 2, "first_loss": 2.0, "last_loss": 1.0},
    )  # fmt: skip
    page = render_report(replace(run, metrics=metrics))
    assert "udge" not in page
    assert "5 demonstrations, 2 updates, loss 2.00 at the first update, 1.00 at the last" in page


def test_examples_show_gains_the_middle_and_falls() -> None:
    chosen = examples(snapshot(0, 0.2), snapshot(10, 0.7))
    assert [e.kind for e in chosen] == ["Largest gain"] * 3 + ["Around the median"] * 3 + ["Largest fall"] * 3
    assert len({e.before.prompt_id for e in chosen}) == 9
    assert all(e.before.prompt_id == e.after.prompt_id for e in chosen)


def test_a_response_without_a_held_out_score_is_no_example() -> None:
    before, after = snapshot(0, 0.2), snapshot(10, 0.7)
    unscored = after.responses[0].model_copy(update={"heldout_score": None})
    assert {e.after.prompt_id for e in examples(before, replace_first(after, unscored))} == {
        f"{i}" for i in range(1, 10)
    }


def replace_first(measured: Snapshot, response: MeasuredResponse) -> Snapshot:
    return measured.model_copy(update={"responses": (response, *measured.responses[1:])})


def evaluated() -> ReportData:
    """A run with an evaluation, whose policies are called as a run calls them."""
    evaluation = whole(changes=(change("history", "exact match", -0.12, "regressed"),))
    return replace(data(), evaluation=evaluation)


def test_an_evaluation_adds_who_is_preferred_to_the_headline_and_its_doubts_to_the_warnings() -> None:
    run = evaluated()
    said = headline(run.summary, run.evaluation).replace("\u00a0", " ")
    assert said.startswith("A capability regressed: exact match in history, -0.12 [-0.17, -0.07]. On 10 prompts")
    assert headline(run.summary) in said
    assert "The policy after training is preferred to the one before 64% [58, 70]" in said
    run = changed(run, evaluation=afterwards(judge_agreement=0.9))
    [only] = warnings(run.summary, run.evaluation)
    assert only.startswith("Regressed in history: exact match fell from 0.70 to 0.58")
    turned = whole(length_control=(control(about(0.64), about(0.4)),), training_win_rates=(win(about(0.9)),))
    found = warnings(run.summary, turned)
    assert "prefers the policy after training to the one before 90" in found[0]
    assert found[1].startswith("Length decides: the policy after training is preferred to the one before")


def test_the_sections_of_an_evaluation_are_in_the_report_of_the_run_once() -> None:
    text = render_report(evaluated())
    page = check_page(text)
    for title in (
        "Who is preferred",
        "What changed where",
        "Length",
        "The two judges",
        "The judge",
        "Responses to read",
    ):
        assert text.count(f">{title}</h2>") == 1
    assert len(page.of("svg")) == 11


def test_a_held_out_measure_that_trained_or_failed_is_a_reason_to_doubt() -> None:
    run = data(heldout_judge_trained=True, evaluation=afterwards(judge_agreement=0.9, heldout_failures=3))
    first, second = warnings(run.summary)
    assert first.startswith("The held-out measure (VADER) is the training judge")
    assert "failed on 3 responses" in second


def test_over_optimisation_is_marked_on_the_figure_of_scores_over_kl() -> None:
    run = data(curve=[snapshot(step, 0.2).summary() for step in (0, 5, 10)])
    labels = [str(svg["aria-label"]) for svg in check_page(render_report(run)).of("svg")]
    assert "Training reward and held-out score against KL, 3 checkpoints; no over-optimisation found" in labels
    text = render_report(changed(run, over_optimisation=OVER))
    assert "3 checkpoints; over-optimisation begins at step 5" in text
    assert "over-optimisation from step 5" in text
    assert "this begins at step 5" in text


def test_the_markdown_of_a_run_has_its_numbers_and_no_markup_of_others() -> None:
    for run in (data(), evaluated()):
        assert run.summary.constitution is not None
        hostile = run.summary.constitution.model_copy(update={"name": f"| {SCRIPT}"})
        document = render_run_markdown(changed(run, constitution=hostile))
        tokens = MarkdownIt("commonmark").enable("table").parse(document)
        kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
        assert kinds & {"html_block", "html_inline", "link_open", "image"} == set()
        assert "| Held-out score | 0.25 [" in document
    assert "| from \\$5 to \\$10 | 0.2" in render_run_markdown(data())
    assert "| history | exact match | 0.70 | 0.58 | -0.12 [-0.17, -0.07] | 0.003 | regressed |" in document


def test_what_the_judging_cost_stands_beside_what_people_would_have_been_paid() -> None:
    page = " ".join(render_report(data()).split())
    assert "judge 100 calls, 5,000 tokens, $0.25 and 3 calls of unknown price" in page
    assert "as many human judgements would have cost $67.00" in page


def test_what_takes_the_worth_from_a_result_stands_in_the_headline_before_who_is_preferred() -> None:
    run = evaluated()
    sound = headline(run.summary)
    assert "cut" not in sound
    assert "unreadable" not in sound
    cut = {"overall": about(0.97), "by_cohort": {r"$\frac$ <b>": None, "from $5 to $10": None}}
    run = changed(run, evaluation=afterwards(length_limit_share=cut), unreadable={"before": 0.0, "after": 0.31})
    said = headline(run.summary, run.evaluation).replace("\u00a0", " ")
    cut_off, unreadable, regressed = said.split(". ")[:3]
    assert cut_off.startswith("97% of the responses")
    thinks = changed(run, evaluation=afterwards(length_limit_share=cut, unfinished_thoughts=7))
    assert "7 of them in their thought" in headline(thinks.summary)
    assert "limit of 32 tokens" in cut_off
    assert unreadable.startswith("31% of the responses")
    assert "exact match in history" in regressed
    assert said.index("cut at") < said.index("unreadable") < said.index("preferred")
    for rendered in (render_report(run), render_run_markdown(run)):
        assert "97" in rendered
        assert "are unreadable" in rendered


def test_a_result_on_test_prompts_says_that_these_chose_nothing() -> None:
    run = data(prompts=SPLIT)
    summary = run.summary
    assert headline(summary).startswith("On 7 prompts it never trained on and that did not choose the checkpoint")
    assert "chosen on 3 other prompts" in model_card(run.summary, run.words, "peft")
    page = " ".join(render_report(run).split())
    assert "Measured on 7 test prompts" in page
    assert "3 validation prompts" in page
    assert "7 test prompts, which were used neither for training" in page
    run = changed(run, heldout_judge_trained=True)
    assert headline(run.summary).startswith("Nothing independent measured this run: the held-out judge is also the")
    assert "The held-out judge is also the training judge." in model_card(run.summary, run.words, "peft")


def test_a_run_that_nothing_independent_measured_says_so_first_and_has_no_held_out_number() -> None:
    def unmeasured(snapshot: Snapshot) -> Snapshot:
        return snapshot.with_responses([r.model_copy(update={"heldout_score": None}) for r in snapshot.responses])

    run = data()
    before, after = unmeasured(run.before), unmeasured(run.after)
    measures = [before.summary(), after.summary()]
    run = changed(
        run, heldout_score_is=None, heldout_change=None, headline="h", curve=measures,
        evaluation=dict(zip(("before", "after"), measures, strict=True)),
    )  # fmt: skip
    summary = run.summary
    run = replace(run, before=before, after=after, evaluation=evaluate_run(before, after, summary))
    said = headline(summary, run.evaluation)
    assert said.startswith("Nothing independent measured this run")
    assert "evaluation.judge.model" in said
    assert "That proves nothing else" in said
    by_functions = changed(
        run, recipe=summary.recipe | {"rewards": {"feedback_weight": 0.0, "functions": ["m:f"]}}
    ).summary
    assert "took no part in training" in headline(by_functions, run.evaluation)
    assert not any("held-out measure failed" in warning for warning in warnings(summary, run.evaluation))
    page, document, card = render_report(run), render_run_markdown(run), model_card(run.summary, run.words, "peft")
    check_page(page)
    for text in (page, document, card):
        assert "VADER" not in text
        assert "eld-out score" not in text
    assert "Nothing independent compared these policies" in page
    assert "**h**" in card


def test_where_the_held_out_judge_trained_no_page_says_that_training_had_no_say() -> None:
    run = data()
    assert "influenced this choice" in render_report(run)
    run = changed(run, heldout_judge_trained=True)
    for text in (render_report(run), model_card(run.summary, run.words, "peft")):
        assert "influenced this choice" not in text
        assert "so it made the choice." in text.replace("&#39;", "'")


@pytest.mark.parametrize("chosen", [True, False, None])
def test_a_method_that_makes_one_model_chose_nothing_on_validation_prompts(chosen: bool | None) -> None:
    recipe = load_recipe("quickstart" if chosen else "sft").model_dump(mode="json", by_alias=True)
    curve = [snapshot(step, 0.2).summary() for step in (0, 5, 10)]
    run = data(prompts=SPLIT, curve=curve, recipe=recipe, chosen_on_validation=chosen)  # early versions do not say it
    page, card = render_report(run), model_card(run.summary, run.words, "peft")
    assert ("Points: measurements on validation prompts" in page) == bool(chosen)
    assert ("Held-out score, validation prompts" in page) == bool(chosen)
    assert ("Points: measurements on test prompts" in page) != bool(chosen)
    assert ("chosen on 3 other prompts" in card) == bool(chosen)
    assert "The held-out score took no part in training" in card


def test_a_bound_that_the_checkpoint_kept_breaks_stands_in_the_headline() -> None:
    run = data()
    assert "breaks a bound" not in headline(run.summary)
    broken = changed(run, kept_breaks_bound="KL 18.2 is above 15")
    bound, result = headline(broken.summary).split(". ", 1)
    assert "breaks a bound" in bound
    assert bound.endswith("KL 18.2 is above 15")
    assert result.startswith("On 10 prompts")


def test_the_kl_of_one_update_earlier_is_said_to_be_that() -> None:
    run = data()
    assert "one update earlier" not in render_report(run)
    first, second = run.summary.curve
    own = second.kl.model_copy(update={"by_cohort": {}})  # as it is if the KL is that of training's own responses
    run = changed(run, curve=[first, second.model_copy(update={"kl": own})])
    assert "one update earlier" in render_report(run)
