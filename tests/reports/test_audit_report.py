"""The audit's report: it says what the numbers say, and all text stays text."""

import random
import re
from dataclasses import replace
from typing import Literal

from pages import check_page, without_script

from preceptor.core.types import (
    Comparison,
    HumanLabel,
    JudgeFailure,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Verdict,
)
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.audit_words import context, doubts, headline, ranked, sample, with_short_labels
from preceptor.evaluation.judges.judge_audit import Audit, Judged, JudgeRun, audit
from preceptor.evaluation.judges.recommendation import recommendation
from preceptor.judging.warnings import Count, JudgeConduct
from preceptor.reports.audit.page import render_audit
from preceptor.reports.headlines import of_audit
from preceptor.store.selection import Selection

SCRIPT = "<script>document.title = 'taken over'</script>"


def judge_run(name: str, skill: float, variant: str = "", n: int = 120, failures: int = 0, people: int = 3) -> JudgeRun:
    """A judge that is right with probability `skill`; people agree with each other on most pairs."""
    rng, rows = random.Random(name + variant), list[Judged]()
    for i in range(n):
        prompt = Prompt(id=f"{i}", conversation=(Message(role="user", content="q"),))
        sides = (Response(prompt_id=f"{i}", text="x" * (3 + i % 2)), Response(prompt_id=f"{i}", text="x" * 3))
        pair = Comparison(id=f"{i}", prompt=prompt, a=sides[0], b=sides[1])
        opinion: Literal["a", "b"] = "b" if i % 4 > 1 and i % 5 else "a"
        human = HumanLabel.of(opinion for _ in range(people))
        p = 0.9 if (human.majority == "a") == (rng.random() < skill) else 0.1
        verdict = Verdict(probabilities={"1": p, "2": 1 - p}, choice_mass=1)
        outcome: Preference | JudgeFailure = Preference(
            comparison=pair,
            p_a=p,
            rater=Rater(model=name, constitution="c 1", constitution_hash="h", settings={"v": variant}),
            presentations=(
                Presentation(order="ab", p_a=p, verdict=verdict),
                Presentation(order="ba", p_a=p, verdict=verdict),
            ),
        )
        if i < failures:
            outcome = JudgeFailure(reason="no_answer", detail=SCRIPT)
        rows.append(Judged(pair, human, outcome, SCRIPT if i % 2 else r"from $5 to $10 \frac"))
    return JudgeRun(name, "c 1", rows, seconds=3.0, variant=variant)


TWO = audit([judge_run("weak", 0.75), judge_run("strong", 0.95)])


def test_all_text_is_escaped_and_nothing_comes_from_outside() -> None:
    page = render_audit(
        audit([judge_run(SCRIPT, 0.9), judge_run(f"other {SCRIPT}", 0.6)]), {"data": SCRIPT, "versions": {SCRIPT: 1}}
    )
    assert "<script" not in without_script(page)
    assert page.count("&lt;script&gt;") > 10
    references = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!#)([^"\')\s>]+)', page.replace("&#34;", '"'))
    assert [r for r in references if r.startswith(("http", "//"))] == []
    assert page.count("<svg") == 3
    assert "currentColor" in page


def test_the_headline_names_the_best_judge_and_whether_the_next_is_really_worse() -> None:
    assert headline(TWO).startswith("strong agrees most with people: on 9")
    assert "weak follows with" in headline(TWO)
    assert "the difference is beyond chance (p\u00a0<\u00a00.001)" in headline(TWO)
    near = audit([judge_run("one", 0.8), judge_run("two", 0.8)])
    assert re.match(
        r"(one|two) \(\d+%\) and (one|two) \(\d+%\) cannot be told apart: the difference is within noise",
        headline(near),
    )
    assert headline(audit([judge_run("only", 0.9)])).startswith("only prefers what most people prefer on ")
    nobody = headline(audit([judge_run("dumb", 0.9, failures=120)]))
    assert nobody == "Use none of these judges: none gave an answer on a pair on which people have a majority."


def test_a_judge_no_better_than_chance_is_not_crowned() -> None:
    guessing = audit([judge_run("coin", 0.5), judge_run("penny", 0.55)])
    assert guessing.usable == ()
    said = headline(guessing)
    assert said.startswith("Use none of these 2 judges. ")
    assert "its agreement with people may be chance" in said
    assert "agrees most with people: on" not in said
    assert headline(audit([judge_run("coin", 0.5)])).startswith("Do not use coin: its agreement with people may be")
    assert headline(audit([judge_run("contrary", 0.1)])).startswith("Do not use contrary: it agrees with people less")
    # few rows: 8 of 8 would be needed to know
    assert headline(audit([judge_run("few", 0.75, n=8)])).startswith("Do not use few: ")
    mixed = audit([judge_run("coin", 0.5), judge_run("strong", 0.95)])
    assert mixed.usable == ("strong",)
    assert headline(mixed).startswith("strong is the only one to use: it agrees with people on 9")
    assert "coin does not count: its agreement with people may be chance" in headline(mixed)


def test_a_judge_that_learnt_these_prompts_is_not_crowned_and_replaces_nobody() -> None:
    run = judge_run("strong", 0.95)
    assert audit([run]).judges[0].replacement is not None
    taught = audit([judge_run("weak", 0.75), replace(run, learnt=7)])
    judge = taught.judges[1]
    assert (judge.unfit, judge.replacement) == ("learnt", None)
    assert taught.usable == ("weak",)
    assert "7 of these 120 rows" in headline(taught)
    alone = audit([replace(run, learnt=7)])
    assert "learnt" in recommendation(alone)[2]
    assert of_audit(alone).verdict == "not measured"
    assert "7 of these 120" in without_script(render_audit(alone, {}, [replace(run, learnt=7)]))


def test_a_judge_of_length_is_not_crowned() -> None:
    """People prefer the longer response in three of four pairs, and so does the rule that reads nothing."""

    def by_length(name: str, p_longer: float) -> JudgeRun:
        run = judge_run(name, 1.0)
        rows = [
            replace(
                row,
                comparison=(
                    pair := row.comparison.model_copy(
                        update={"a": row.comparison.a.model_copy(update={"text": "longer" if i % 2 else "x"})}
                    )
                ),
                human=HumanLabel.of(["a" if (i % 4 > 0) == (i % 2 == 1) else "b"]),
                outcome=row.outcome.model_copy(update={"comparison": pair, "p_a": p_longer if i % 2 else 1 - p_longer}),
            )
            for i, row in enumerate(run.rows)
        ]
        return replace(run, rows=rows)

    found = audit([by_length("ruler", 0.9)])
    [judge] = found.judges
    assert judge.alignment is not None
    assert judge.above_longer is not None
    assert (judge.alignment.value, judge.longer_baseline, judge.above_longer.value) == (0.75, 0.75, 0.0)
    assert judge.alignment.low is not None
    assert judge.alignment.low > 0.5  # beyond chance, and yet of no use
    assert (judge.unfit, found.usable) == ("longer", ())
    assert headline(found).startswith(
        "Do not use ruler: always preferring the longer response does about as well (75%). It prefers what most people"
    )
    assert "prefers the longer response in 100" in " ".join(doubts(judge)).replace("\u00a0", " ")


def test_far_above_the_longer_response_on_few_pairs_is_not_called_as_good_as_it() -> None:
    """Right on all 8 pairs, where the rule is right on half of them: 8 pairs do not prove the judge better."""
    found = audit([judge_run("lucky", 1.0, n=8)])
    [judge] = found.judges
    assert judge.alignment is not None
    assert (judge.alignment.value, judge.longer_baseline, judge.unfit) == (1.0, 0.5, "longer")
    assert "too few pairs" in headline(found)
    assert "as well" not in headline(found)


def test_disputed_rows_are_said_before_anything_else() -> None:
    rows = [judge_run("strong", 0.95)]
    page = render_audit(audit(rows, [Selection("disputed")] * 50 + [Selection()] * 70), {})
    said = "50 of 120 rows were chosen because judges dispute them."
    assert 0 < page.index(said) < page.index("strong prefers what most people prefer")
    unequal = audit(rows, [Selection("planned", p) for p in (0.1, 0.5)])
    assert "unequal probabilities" in " ".join(sample(unequal))
    assert sample(audit(rows, [Selection("planned", 0.2), Selection("random"), Selection()])) == []


def test_a_tie_that_most_say_where_more_prefer_one_is_said() -> None:
    run = judge_run("strong", 0.95)
    rows = [replace(row, human=HumanLabel.of(["a", "tie", "tie"])) if i < 5 else row for i, row in enumerate(run.rows)]
    found = audit([replace(run, rows=rows)])
    assert (found.judges[0].human_ties, found.judges[0].human_ties_leaning) == (5, 5)
    assert "in 5 of them most people say tie" in render_audit(found, {})


def test_alignment_is_held_against_length_and_against_people() -> None:
    said = " ".join(context(TWO))
    assert "the best judge does clearly more than that" in said
    assert "Two people agree with each other on 100% of pairs" in said
    assert "not known" in " ".join(context(audit([judge_run("only", 0.9, people=1)])))


def test_reasons_to_doubt() -> None:
    strong, weak = ranked(audit([judge_run("weak", 0.55), judge_run("strong", 0.95)]))
    assert doubts(strong) == []
    assert any("off by" in reason for reason in doubts(weak))
    conduct = JudgeConduct(
        same_position=Count(hits=48, n=120, prompts=120),
        failed=Count(hits=6, n=120, prompts=120),
        failures={"no_answer": 6},
    )
    poor = weak.model_copy(
        update={
            "alignment": Estimate(value=0.52, low=0.42, high=0.62, n=99), "longer_baseline": 0.58, "conduct": conduct,
            "ece": 0.12, "n": 99,
        }
    )  # fmt: skip
    assert [reason.replace("\u00a0", " ") for reason in doubts(poor)] == [
        "its agreement with people may be chance (42 to 62% includes 50%)",
        "always preferring the longer response does better (58%)",
        "it keeps to a position on 40% of 120 comparisons when the responses are swapped: there it judges places, not "
        "responses",
        "it failed on 6 of 120 comparisons (5.0%: 6 no answer)",
        "its confidence is off by 12 points on average (ECE 0.12)",
        "only 99 pairs are behind these numbers",
    ]
    worse = poor.model_copy(update={"alignment": Estimate(value=0.35, low=0.3, high=0.4, n=99)})
    assert doubts(worse)[0] == "it agrees with people less than chance"


def test_labels_are_shortened_as_long_as_they_stay_apart() -> None:
    model = "m@0123456789abcdef"
    same = with_short_labels(audit([judge_run(model, 0.9, "base"), judge_run(model, 0.8, "cot")]))
    assert [judge.label for judge in same.judges] == ["base", "cot"]
    assert (same.comparisons[0].judge_1, same.comparisons[0].judge_2) == ("base", "cot")
    page = render_audit(audit([judge_run(model, 0.9, "base"), judge_run(model, 0.8, "cot")]), {"rows": 120})
    assert f"Every judge is <code>{model}</code>" in page
    alone = with_short_labels(audit([judge_run(model, 0.9)]))
    assert alone.judges[0].label == "m@01234567"
    twins = audit([judge_run("m@0123456789ab", 0.9), judge_run("m@0123456789ac", 0.8)])
    assert with_short_labels(twins) == twins


def test_a_page_is_there_even_where_there_is_nothing_to_show() -> None:
    for empty in (Audit(judges=(), comparisons=()), audit([judge_run("dumb", 0.9, failures=120)])):
        page = render_audit(empty, {})
        assert "<svg" not in page
        assert "None" not in page
        assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", page)


def test_every_pair_can_be_read_with_what_people_and_judges_said() -> None:
    runs = [judge_run("weak", 0.75, failures=1), judge_run("strong", 0.95)]
    page = check_page(render_audit(audit(runs), {"data": "d"}, runs))
    assert len([1 for name, a in page.elements if (name, a.get("class")) == ("article", "example")]) == 120
    said = " ".join(page.words)
    assert "People: response a (a, a, a)." in said
    assert "weak: failed (no answer)." in said
    assert said.count("strong: response") == 120
    assert "by 90%, as people." in said
