"""The report of an evaluation: it says what the numbers say, doubts first, and all text stays text."""

import re
from importlib.resources import files
from typing import Any

import pytest
from evaluation_examples import (
    HOSTILE,
    about,
    audit,
    change,
    control,
    differs,
    example,
    hostile,
    judge,
    minimal,
    policy,
    several,
    trend,
    whole,
    win,
)
from markdown_it import MarkdownIt
from pages import check_page

from preceptor.core.markdown import escaped, fenced
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.result import Evaluation
from preceptor.evaluation.policies.words import headline, preference, warnings
from preceptor.reports.evaluation.page import render_evaluation, render_markdown
from preceptor.results.evaluation import EvaluationResult

MARKDOWN = MarkdownIt("commonmark").enable("table")


def rated(rate: Estimate, **more: Any) -> Evaluation:
    """The whole evaluation with another win rate, which is significant where its interval leaves one half out."""
    beyond = rate.low is not None and rate.high is not None and not rate.low <= 0.5 <= rate.high
    changed: dict[str, Any] = {
        "win_rates": (win(rate),),
        "significance": (differs("tuned", "base", rate.value, beyond),),
        "length_control": (),
        "training_win_rates": (),
    }
    return whole(**(changed | more))


@pytest.fixture(scope="module")
def page() -> str:
    return render_evaluation(whole())


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_the_headline_is_who_is_preferred_by_whom_and_what_is_left_at_equal_length() -> None:
    preferred, equal, capability = plain(headline(whole())).split("; ")
    assert preferred.startswith("tuned is preferred to base 64% [58, 70] ")
    assert preferred.endswith("by J, which took no part in training")
    assert "59% [53, 65] at equal length" in equal
    assert "no change in capability" in capability
    [alone] = plain(headline(whole(training_judge=None, length_control=(), changes=()))).split("; ")
    assert alone.endswith("by J.")


def test_chance_is_called_chance_and_a_loss_a_loss() -> None:
    open_result = plain(headline(rated(about(0.52), changes=())))
    assert open_result.startswith("No difference beyond chance")
    assert "tuned is preferred 52% [46, 58]" in open_result
    lost = plain(headline(rated(about(0.4), changes=())))
    assert lost.startswith("base is preferred to tuned, which wins 40% [34, 46]")
    few = Estimate(value=1.0, low=None, high=None, n=2)
    assert "on 2 prompts: too few" in headline(rated(few))


def test_significance_after_correction_decides_not_the_interval_alone() -> None:
    evaluation = rated(about(0.57), significance=(differs("tuned", "base", 0.57, False),))
    assert headline(evaluation).startswith("No difference beyond chance")


def test_a_judge_that_trained_is_not_trusted() -> None:
    doubted = headline(whole(judge_trained=True))
    assert doubted.startswith("Do not trust this result: J ")
    assert "by it;" in doubted
    assert "J trained one of the policies" in warnings(whole(judge_trained=True))[0]


def test_a_win_that_length_explains_is_reported() -> None:
    turned = whole(length_control=(control(about(0.64), about(0.46)),))
    assert "at equal length it wins 46% [40, 52], on the other side" in plain(headline(turned))
    assert [warning.split()[0] for warning in warnings(turned)] == ["Length"]
    weak = whole(length_control=(control(about(0.64), about(0.53)),))
    assert "at equal length 53% [47, 59], which may be chance" in plain(headline(weak))
    assert warnings(weak) == []


def test_what_became_worse_comes_first() -> None:
    one = whole(
        changes=(change("history", "exact match", -0.12, "regressed"), change("chat", "win rate", 0.2, "improved"))
    )
    assert headline(one).startswith("Worse in history: exact match -0.12 [-0.17, -0.07]. tuned is preferred")
    assert "capability" not in headline(one)
    regressed = plain(warnings(one)[0])
    assert regressed.startswith("Regressed in history: exact match")
    assert "from 0.70 to 0.58 (-0.12 [-0.17, -0.07], corrected p = 0.003)" in regressed
    many = whole(changes=tuple(change(f"c{i}", "win rate", -0.2, "regressed") for i in range(7)))
    assert headline(many).startswith("Worse on 7 of 7 counts, in c0, c1 and c2; most clearly win rate")
    assert warnings(many)[-1].startswith("2 more regressions")


def test_of_several_policies_the_best_is_named_with_those_that_cannot_be_told_apart_from_it() -> None:
    best, peers = plain(headline(several())).split(". ")
    assert best.startswith("Of 3 policies, rlaif does best: it is preferred to base 66% [60, 72]")
    assert peers.endswith("from dpo.")
    none = several().model_copy(
        update={"significance": (), "win_rates": (win(about(0.52), "dpo"), win(about(0.5), "rlaif"))}
    )
    assert headline(none).startswith("No policy was found to be better than base; dpo ")
    assert "52%" in headline(none)


def test_nothing_compared_is_reported_plainly() -> None:
    assert "J failed on 7 of 7 comparisons" in headline(minimal())
    nothing = headline(minimal().model_copy(update={"judge": judge("J", compared=0)}))
    assert nothing.endswith("no two policies were compared.")


def test_a_run_has_words_of_its_own_for_its_policies() -> None:
    words = preference(whole(), {"base": "the one before", "tuned": "the policy after training"})
    assert words.startswith("the policy after training is preferred to the one before 64")


THINKS = policy("tuned").model_copy(update={"unfinished_thoughts": 40})


def test_an_evaluation_without_faults_has_no_warnings() -> None:
    assert warnings(whole()) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"training_win_rates": (win(about(0.9)),)}, "prefers tuned to base 90% [84, 96] of the time, J only 64%"),
        ({"judge": judge("J", position_bias=0.36)}, "J keeps to a position on 36% of 400 comparisons"),
        ({"training_judge": judge("T", position_bias=0.5)}, "T keeps to a position"),
        ({"win_rates": (win(about(0.64), wins=100, ties=70, losses=30),)}, "J is undecided on 35% of the comparisons"),
        ({"judge": judge("J", failures={"no_answer": 9, "refused": 1})}, "failed on 10 of 410 comparisons (2.4%: 9"),
        ({"policies": (policy("base"), policy("tuned", failed=12))}, "no answer to 12 of 412 requests (2.9%)"),
        ({"policies": (policy("base"), THINKS)}, "In 40 of 400 responses of tuned"),
        ({"prompts": 29}, "Only 29 prompts"),
        ({"audit": audit(alignment=0.55, alignment_ci=(0.47, 0.63))}, "no better than chance"),
        ({"audit": audit(learnt_rows=7)}, "was taught on the prompts of 7 of "),
        (
            {"audit": audit(alignment_ci=(0.53, 0.67), longer_baseline=0.58, above_longer=0.02,
                            above_longer_ci=(-0.03, 0.07))},
            "J is no better than always preferring the longer response (58%)",
        ),
        ({"trends": {"tuned": (trend("chat", worse=True),)}}, "since 2026-03-16, tuned lost 33% [25, 42] of"),
        ({"judge_is_policy": ("tuned",)}, "J has the same weights as tuned"),
        ({"judge_related": dict.fromkeys(("base", "tuned"), "is like {} (Qwen)")}, "J is like base and tuned (Qwen)"),
    ],
)  # fmt: skip
def test_each_reason_to_doubt_is_said(changed: dict[str, Any], said: str) -> None:
    [warning] = warnings(whole(**changed))
    assert said in plain(warning)


@pytest.mark.parametrize(
    "changed",
    [
        {"training_win_rates": (win(about(0.75)),)},
        {"judge": judge("J", position_bias=0.34, failures={"no_answer": 8})},  # may be 30%
        {"judge": judge("J", position_bias=0.5, compared=8)},
        {"win_rates": (win(about(0.64), wins=100, ties=60, losses=40),)},
        {"prompts": 30},
        {"audit": audit(alignment=0.6, alignment_ci=(0.51, 0.69), longer_baseline=0.5)},
    ],
)
def test_bounds_are_bounds(changed: dict[str, Any]) -> None:
    assert warnings(whole(**changed)) == []


def test_reasons_to_doubt_a_judge_stand_before_the_headline() -> None:
    doubted = whole(judge=judge("J", position_bias=0.5))
    for text in (render_evaluation(doubted), render_markdown(doubted), str(EvaluationResult(**dict(doubted)))):
        said = " ".join(plain(text).split())
        assert 0 <= said.index("J keeps to a position on 50%") < said.index("tuned is preferred to base 64%")
        assert said.count("keeps to a position") == 1


def test_the_gravest_reason_comes_first() -> None:
    ordered = warnings(
        whole(
            judge_trained=True,
            training_win_rates=(win(about(0.9)),),
            length_control=(control(about(0.64), about(0.4)),),
            judge=judge("J", position_bias=0.5),
            changes=(change("history", "exact match", -0.2, "regressed"),),
            prompts=9,
        )
    )
    starts = ["J keeps", "J trained", "The training judge", "Length decides", "Regressed", "Only 9"]
    assert [warning[: len(start)] for warning, start in zip(ordered, starts, strict=True)] == starts


def test_the_page_is_one_file_in_order_with_every_figure(page: str) -> None:
    labels = [plain(str(svg["aria-label"])) for svg in check_page(page).of("svg")]
    assert [re.split("[:;]", label)[0] for label in labels] == [
        "Win rates against base",
        "tuned against base",
        "Preference for tuned against difference in length over 90 comparisons",
        "Share of comparisons on which the judges disagree",
        "Position bias",
        "Reliability over 150 pairs that people rated",
        "Share of comparisons that tuned lost over time",
    ]
    assert "all cohorts 64% [58, 70], 59% [53, 65] at equal length; chat 71% [65, 77]" in labels[0]
    assert "history · exact match unchanged +0.01 [-0.04, +0.06]" in labels[1]
    assert labels[6].endswith("in the last window all cohorts 33% [25, 42]; history 33% [25, 42]")
    assert "tuned 64% [58, 70] in both orders, 70% [64, 76] shown first" in labels[4]


def test_what_is_shown_of_responses_is_the_whole_response_beside_the_other(page: str) -> None:
    for i in range(4):
        assert page.count(f"Tuned {i}: Lisbon.") == page.count(f"Base {i}: Lisbon.") == 5
    assert page.count("The judge's reasoning</summary>") == 20
    assert page.count("No verdict: the judge wrote an essay.") == 4
    assert "J, base shown first: 80% for tuned" in page


def test_several_policies_have_ratings_and_a_matrix() -> None:
    shown = check_page(render_evaluation(several()))
    text = " ".join(shown.words)
    assert any(str(svg["aria-label"]).startswith("Bradley-Terry ratings: base 0.00") for svg in shown.of("svg"))
    assert re.search(r"60% \*", text)
    assert re.search(r"54%(?! \*)", text)


def test_an_almost_empty_evaluation_has_a_page_and_a_document() -> None:
    assert check_page(render_evaluation(minimal())).of("svg") == []
    assert "None" not in render_markdown(minimal())


def test_hostile_names_and_texts_stay_text_on_the_page() -> None:
    text = render_evaluation(hostile())
    assert len(check_page(text).of("svg")) == 7
    assert text.count("&lt;script&gt;") > 50


def test_hostile_names_and_texts_stay_text_in_markdown() -> None:
    tokens, harmless = (MARKDOWN.parse(render_markdown(each)) for each in (hostile(), whole()))
    inline = [child for token in tokens for child in token.children or ()]
    assert {token.type for token in (*tokens, *inline)} & {"html_block", "html_inline", "link_open", "image"} == set()
    assert [token.type for token in tokens] == [token.type for token in harmless]
    assert [token.content for token in tokens if token.type == "fence"].count(f"Tuned 0: {HOSTILE}\n") == 5


def test_every_table_in_markdown_has_as_many_cells_as_columns() -> None:
    for evaluation in (hostile(), several(), minimal()):
        outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", render_markdown(evaluation), flags=re.S | re.M)
        for table in re.findall(r"(?:^\|.*\n)+", outside, flags=re.M):
            columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(columns) == 1, table


def test_markdown_is_readable_where_nothing_is_hostile() -> None:
    document = plain(render_markdown(whole()))
    assert "**tuned is preferred to base 64% [58, 70] of the time by J" in document
    assert "| tuned | base | 64% [58, 70] | 59% [53, 65] | 60% [54, 66] | 68% [62, 74] | 128, 0, 72 |" in document
    assert "| history | exact match | tuned | 0.70 | 0.71 | +0.01 [-0.04, +0.06] | 0.400 | unchanged |" in document
    assert "chat 10% [5, 20]" in document
    assert "\n\n\n" not in re.sub(r"```.*?```", "quoted", document, flags=re.S)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64% [58, 70] of", "64% [58, 70] of"),
        ("- x", r"\- x"),
        ("1. x", r"1\. x"),
        ("[1](http://x)", r"\[1\](http://x)"),
        ("see [1](http://x)", r"see \[1\](http://x)"),
        ("[1]: http://x", r"\[1\]: http://x"),
        ("a|b $c$ <b> &lt;", r"a\|b \$c\$ &lt;b&gt; &amp;lt;"),
        ("one\r\n\u2028two\x1b[31m", r"one two\\x1b\[31m"),
    ],
)
def test_escaping_for_markdown(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert fenced("a\n`````\nb") == "``````text\na\n`````\nb\n``````"


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag_aa_in_both_schemes() -> None:
    style = files("preceptor.reports").joinpath("style.css.jinja").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.S)
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    assert light.keys() == dark.keys()
    text = [(ink, ground) for ink in ("ink", "soft", "accent", "bad") for ground in ("page", "panel")]
    text += [("warn-ink", "warn"), ("ink", "added"), ("ink", "removed")]
    drawn = [(name, "panel") for name in light if name.startswith("figure-")]
    for scheme in (light, dark):
        assert [pair for pair in text if contrast(scheme[pair[0]], scheme[pair[1]]) < 4.5] == []
        assert [pair for pair in drawn if contrast(scheme[pair[0]], scheme[pair[1]]) < 3.0] == []
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


def test_a_page_with_too_much_text_holds_a_sample_and_says_so() -> None:
    every = [example("win", "x" * 300_000, i) for i in range(8)]
    found = check_page(render_evaluation(whole(examples=()), every))
    said = " ".join(found.words)
    assert "1 of 8, drawn at random (seed 0)" in said
    assert "Search these 1" in said
    assert sum(name == "article" for name, _ in found.elements) == 1
