"""The report: it says what the numbers say, and model text stays text."""

from dataclasses import replace
from typing import Any

import pytest
from evaluation_examples import about, change, control, whole, win
from markdown_it import MarkdownIt
from pages import check_page

from preceptor.evaluation.checkpoints import OverOptimisation
from preceptor.evaluation.snapshot import MeasuredReference, MeasuredResponse, Snapshot
from preceptor.recipes.load import load_recipe
from preceptor.reports.run.page import ReportData, examples, headline, render_report, render_run_markdown, warnings
from preceptor.runs.evaluation import evaluate_run
from preceptor.runs.publish import model_card

SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title='taken over'\">"


def snapshot(step: int, heldout: float, text: str = "fine words here") -> Snapshot:
    responses = tuple(
        MeasuredResponse(
            prompt_id=f"{i}",
            cohort="from $5 to $10" if i % 2 else r"$\frac$ <b>",
            prompt=f"prompt {i} {SCRIPT}",
            text=f"{text} {i}",
            tokens=5 + i,
            finished=bool(i % 3),
            kl=float(step),
            judge_score=None if i == 3 else heldout,
            choice_mass=0.5,
            heldout_score=heldout + 0.01 * i,
        )
        for i in range(10)
    )
    return Snapshot(
        step=step,
        responses=responses,
        references=(MeasuredReference(prompt_id="r", cohort="facts", log_likelihood=-9.0, tokens=4),),
    )


def data(after: float = 0.7) -> ReportData:
    before, later = snapshot(0, 0.2), snapshot(10, after, text=SCRIPT)
    summary: dict[str, Any] = {
        "method": "direct RLAIF", "stages": {"training": 9.0},
        "status": "done", "wall_s": 12.0, "steps": 10, "stopped_early": None, "policy": "p", "judge": "j",
        "judge_is_policy": False, "seed": 0, "best_step": 10, "excluded_checkpoints": {"5": "KL 30.0 is above 20"},
        "constitution": {"name": "c", "version": "1", "hash": "abc", "summary": "s", "principles": [SCRIPT]},
        "prompts": {"training": 20, "held_out": 10, "skipped": 0},
        "evaluation": {"before": before.summary(), "after": later.summary()},
        "heldout_change": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10},
        "curve": [before.summary(), later.summary()],
        "over_optimisation": OverOptimisation(detected=False).model_dump(mode="json"),
        "judge_calls": 100, "judge_failures": 0, "judge_tokens": 5000, "judge_content_free_score": None,
        "calls": {"judge": {"calls": 100, "failures": 0, "tokens": 5000, "cost_usd": 0.25, "unpriced": 3}},
        "heldout_score_is": "VADER", "heldout_judge_trained": False, "reward_kind": "log_odds",
        "judge_score_is": "training judge's reward (log-odds)", "reward_processing": None,
        "answering": {"max_new_tokens": 32, "temperature": 0.9},
        **dict.fromkeys(("sft", "fine_tuning", "revision", "labels", "preferences", "reward_model", "best_of_n")),
        "ledger_hits": 1, "seconds": {"sampling": 1.0}, "environment": {"python": "3", "preceptor": "1"},
        "recipe": load_recipe("quickstart").model_dump(mode="json"),
    }  # fmt: skip
    metrics = [{"step": i, "reward": None if i == 2 else 0.1 * i, "kl": 0.1 * i, "abstained": 0} for i in range(1, 11)]
    return ReportData(summary, metrics, before, later)


def test_text_from_models_prompts_and_constitutions_is_escaped() -> None:
    page = render_report(data())
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 5


def test_the_page_needs_nothing_from_outside() -> None:
    page = render_report(data())
    assert len(check_page(page).of("svg")) == 5
    assert "currentColor" in page


def test_the_headline_says_what_the_interval_says() -> None:
    summary = data().summary
    assert "rose: 0.25 before, 0.74 after (+0.50 [+0.40, +0.60])" in headline(summary)
    summary["heldout_change"] = {"value": 0.1, "low": -0.1, "high": 0.3, "n": 10}
    assert "did not change beyond chance" in headline(summary)
    summary["heldout_change"] = {"value": -0.2, "low": -0.3, "high": -0.1, "n": 10}
    assert "fell" in headline(summary)


def test_reasons_to_doubt_come_first() -> None:
    summary = data().summary
    summary["evaluation"]["after"]["judge_agreement"] = 0.9
    assert warnings(summary) == []
    summary.update(judge_failures=5, judge_is_policy=True, best_step=0)
    summary["over_optimisation"] = {"detected": True, "step": 5, "reasons": ["r"]}
    found = warnings(summary)
    assert found[0] == "The judge failed on 5 of 100 calls (5.0%)."
    assert found[1].startswith("Over-optimisation from step 5 on: r.")
    assert any("same weights" in warning for warning in found)
    assert any("untrained policy was kept" in warning for warning in found)


def test_reasons_to_doubt_the_judge_stand_before_the_headline() -> None:
    doubted = data()
    said = "The judge wanted to answer something else"
    doubted.summary["judge_warnings"] = [{"kind": "choice_mass", "sentence": said}]
    for text in (render_report(doubted), render_run_markdown(doubted)):
        assert 0 <= text.index(said) < text.index("prompts it never trained on")
        assert text.count(said) == 1
    assert warnings(doubted.summary)[0] == f"{said}."


def test_a_reward_model_that_guesses_is_a_reason_to_doubt() -> None:
    summary = data().summary
    accuracy = {"value": 0.55, "low": 0.4, "high": 0.7, "n": 30}
    summary["reward_model"] = {"accuracy": {"accuracy": accuracy}}
    assert any("not beyond chance: accuracy 0.55 [0.40, 0.70]" in warning for warning in warnings(summary))
    accuracy["low"] = 0.51
    assert not any("chance" in warning for warning in warnings(summary))


def test_without_a_judge_nothing_is_said_of_one() -> None:
    whole = data()
    judge = {
        "judge": None,
        "constitution": None,
        "judge_content_free_score": None,
        "judge_score_is": None,
        "judge_calls": 0,
    }
    summary = whole.summary | judge | {"method": "supervised fine-tuning"}
    summary["recipe"] = load_recipe("sft").model_dump(mode="json")
    summary["sft"] = {"demonstrations": 5, "updates": 2, "first_loss": 2.0, "last_loss": 1.0}
    metrics: list[dict[str, Any]] = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    page = render_report(ReportData(summary, metrics, whole.before, whole.after))
    assert "udge" not in page
    assert "5 demonstrations, 2 updates, loss 2.00 at first, 1.00 at last" in page


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
    assert "The policy after training is preferred to the one before 64% [58, 70] of the time by J, which took" in said
    run.summary["evaluation"]["after"]["judge_agreement"] = 0.9
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
    summary = data().summary
    summary["evaluation"]["after"].update(judge_agreement=0.9, heldout_failures=3)
    summary["heldout_judge_trained"] = True
    first, second = warnings(summary)
    assert first.startswith("The held-out measure (VADER) is the judge of training")
    assert second == "The held-out measure failed on 3 responses after training."


def test_over_optimisation_is_marked_on_the_figure_of_scores_over_kl() -> None:
    run = data()
    run.summary["curve"] = [snapshot(step, 0.2).summary() for step in (0, 5, 10)]
    labels = [str(svg["aria-label"]) for svg in check_page(render_report(run)).of("svg")]
    assert "Training and held-out score over KL, 3 checkpoints; no over-optimisation found" in labels
    run.summary["over_optimisation"] = {"detected": True, "step": 5, "reasons": ["r"]}
    text = render_report(run)
    assert "3 checkpoints; over-optimisation begins at step 5" in text
    assert "over-optimisation from step 5" in text
    assert "that begins at step 5" in text


def test_the_markdown_of_a_run_has_its_numbers_and_no_markup_of_others() -> None:
    for run in (data(), evaluated()):
        run.summary["constitution"]["name"] = f"| {SCRIPT}"
        document = render_run_markdown(run)
        tokens = MarkdownIt("commonmark").enable("table").parse(document)
        kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
        assert kinds & {"html_block", "html_inline", "link_open", "image"} == set()
        assert "| Held-out score | 0.25 [" in document
    assert "| from \\$5 to \\$10 | 0.2" in render_run_markdown(data())
    assert "| history | exact match | 0.70 | 0.58 | -0.12 [-0.17, -0.07] | 0.003 | regressed |" in document


def test_what_the_judging_cost_stands_beside_what_people_would_have_been_paid() -> None:
    page = " ".join(render_report(data()).split())
    assert "judge 100 calls, 5,000 tokens, $0.25 and 3 calls of unknown price" in page
    assert "people would have been paid $67.00 for as many judgements" in page


def test_what_takes_the_worth_from_a_result_stands_in_the_headline_before_who_is_preferred() -> None:
    run = evaluated()
    sound = headline(run.summary)
    assert "cut" not in sound
    assert "unreadable" not in sound
    after = run.summary["evaluation"]["after"]
    after["length_limit_share"]["overall"]["value"] = 0.97
    run.summary["unreadable"] = {"before": 0.0, "after": 0.31}
    said = headline(run.summary, run.evaluation).replace("\u00a0", " ")
    assert said.startswith(
        "97% of the responses after training were cut at the limit of 32 tokens. "
        "31% of the responses after training are unreadable. A capability regressed: exact match in history"
    )
    assert said.index("cut at") < said.index("unreadable") < said.index("preferred")
    for rendered in (render_report(run), render_run_markdown(run)):
        assert "97" in rendered
        assert "are unreadable" in rendered


def test_a_result_on_test_prompts_says_that_these_chose_nothing() -> None:
    summary = data().summary
    summary["prompts"] |= {"validation": 3, "test": 7}
    assert headline(summary).startswith("On 7 prompts it never trained on and that did not choose the checkpoint")
    assert "chosen on 3 other prompts" in model_card(summary, "peft")
    page = " ".join(render_report(replace(data(), summary=summary)).split())
    assert "Measured on 7 test prompts" in page
    assert "made on 3 validation prompts; the results come from 7 test prompts, which trained nothing and chose" in page
    summary["heldout_judge_trained"] = True
    assert headline(summary).startswith("Nothing independent measured this run: the held-out judge is the judge of")
    assert "The held-out judge is the judge of training, too." in model_card(summary, "peft")


def test_a_run_that_nothing_independent_measured_says_so_first_and_has_no_held_out_number() -> None:
    def unmeasured(snapshot: Snapshot) -> Snapshot:
        return snapshot.with_responses([r.model_copy(update={"heldout_score": None}) for r in snapshot.responses])

    run = data()
    before, after = unmeasured(run.before), unmeasured(run.after)
    summary = run.summary | {"heldout_score_is": None, "heldout_change": None, "headline": "h"}
    summary["evaluation"] = {"before": before.summary(), "after": after.summary()}
    summary["curve"] = [before.summary(), after.summary()]
    run = ReportData(summary, run.metrics, before, after)
    run = replace(run, evaluation=evaluate_run(before, after, summary))
    said = headline(summary, run.evaluation)
    assert said.startswith("Nothing independent measured this run")
    assert "evaluation.judge.model" in said
    assert "no proof of anything else" in said
    assert not any("held-out measure failed" in warning for warning in warnings(summary, run.evaluation))
    page, document, card = render_report(run), render_run_markdown(run), model_card(summary, "peft")
    check_page(page)
    for text in (page, document, card):
        assert "VADER" not in text
        assert "eld-out score" not in text
    assert "Nothing independent compared these policies" in page
    assert "**h**" in card


def test_where_the_held_out_judge_trained_no_page_says_that_training_had_no_say() -> None:
    run = data()
    assert "had a say in that choice" in render_report(run)
    run.summary["heldout_judge_trained"] = True
    for text in (render_report(run), model_card(run.summary, "peft")):
        assert "had a say in that choice" not in text
        assert "so the training judge made that choice." in text.replace("&#39;", "'")


@pytest.mark.parametrize("chosen", [True, False, None])
def test_a_method_that_makes_one_model_chose_nothing_on_validation_prompts(chosen: bool | None) -> None:
    run = data()
    run.summary["prompts"] |= {"validation": 3, "test": 7}
    run.summary["curve"] = [snapshot(step, 0.2).summary() for step in (0, 5, 10)]
    run.summary["recipe"]["method"] = "direct_rlaif" if chosen else "sft"
    if chosen is not None:  # summaries of earlier versions do not say it
        run.summary["chosen_on_validation"] = chosen
    page, card = render_report(run), model_card(run.summary, "peft")
    assert ("Points: measurements on validation prompts" in page) == bool(chosen)
    assert ("Held-out score, validation prompts" in page) == bool(chosen)
    assert ("Points: measurements on test prompts" in page) != bool(chosen)
    assert ("chosen on 3 other prompts" in card) == bool(chosen)
    assert "The held-out score trained nothing" in card


def test_a_bound_that_the_checkpoint_kept_breaks_stands_in_the_headline() -> None:
    run = data()
    assert "breaks a bound" not in headline(run.summary)
    run.summary["kept_breaks_bound"] = "KL 18.2 is above 15"
    assert headline(run.summary).startswith(
        "The checkpoint kept breaks a bound on the test prompts: KL 18.2 is above 15. On 10 prompts"
    )


def test_the_kl_of_one_update_earlier_is_said_to_be_that() -> None:
    run = data()
    assert "one update earlier" not in render_report(run)
    run.summary["curve"][1]["kl"]["by_cohort"] = {}  # as it is where the KL is that of training's own responses
    assert "one update earlier" in render_report(run)
