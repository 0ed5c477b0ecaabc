"""The report of runs side by side: which is ahead, whether by chance, and what was set differently."""

from typing import Any

from evaluation_examples import HOSTILE, about, whole
from markdown_it import MarkdownIt
from pages import check_page

from preceptor.evaluation.intervals import Estimate
from preceptor.reports.compare.page import (
    diff,
    render_compare,
    render_compare_markdown,
)
from preceptor.results.comparison import (
    ComparisonResult,
    ConstitutionVersion,
    ResultRow,
    RunDifference,
    RunSide,
    Setting,
)
from run_examples import OVER, data

FIRST = "name = 'kind'\n[[principles]]\ntext = 'Be kind.'\n"
SECOND = "name = 'kind'\n[[principles]]\ntext = 'Be kind and short.'\n"


def side(name: str, **more: Any) -> RunSide:
    known: dict[str, Any] = {"summary": data().summary, "recipe": {}, "constitution": FIRST, "evaluation": None}
    return RunSide(name=name, **(known | more))


def difference(name: str, against: str, by: float, p_holm: float = 0.01) -> RunDifference:
    measured = about(by, 0.05)
    return RunDifference(
        name=name, against=against, measure="held-out score", difference=measured, p_value=p_holm / 3, p_holm=p_holm
    )


def compared(names: tuple[str, ...] = ("one", "two"), **more: Any) -> ComparisonResult:
    known: dict[str, Any] = {
        "sides": tuple(side(name) for name in names),
        "settings": (Setting(key="rl.learning_rate", values=("0.1", *["0.2"] * (len(names) - 1))),),
        "results": (
            ResultRow(measure="held-out score, gain", values=tuple(about(0.1) for _ in names), signed=True),
            ResultRow(measure="judge calls", values=tuple(1234.0 for _ in names), digits=0),
            ResultRow(measure="win rate", values=(about(0.6), *[None] * (len(names) - 1)), percent=True),
        ),
        "differences": (difference(names[1], names[0], 0.2),),
        "constitutions": (
            ConstitutionVersion(title="kind 1 (aaaa)", text=FIRST, sides=names[:1]),
            ConstitutionVersion(title="kind 2 (bbbb)", text=SECOND, sides=names[1:], note="The file has changed."),
        ),
    }
    return ComparisonResult(**(known | more))


def test_the_headline_says_who_is_ahead_beyond_chance_and_what_was_set_differently() -> None:
    ahead = compared().headline
    assert ahead.startswith("two is ahead of one")
    assert "beyond chance: +0.20 [+0.15, +0.25]" in ahead
    assert ahead.endswith("rl.learning_rate.")
    behind = compared(differences=(difference("two", "one", -0.2),), settings=())
    assert behind.headline.startswith("two is behind one by the held-out score, beyond chance: -0.20")
    assert behind.headline.endswith("No setting differs.")


def test_neither_an_interval_nor_a_p_value_alone_makes_a_difference() -> None:
    for same in (difference("two", "one", 0.02), difference("two", "one", 0.2, p_holm=0.2)):
        assert compared(differences=(same,)).headline.startswith("No difference beyond chance was found between two")
    few = RunDifference(
        name="two", against="one", measure="m", difference=Estimate(value=1, low=None, high=None, n=2), p_value=None,
        p_holm=None,
    )  # fmt: skip
    assert not few.significant


def test_of_several_the_first_is_named_with_those_it_cannot_be_told_from() -> None:
    found = (difference("b", "a", 0.2), difference("c", "a", 0.02), difference("c", "b", -0.18, p_holm=0.2))
    close = compared(("a", "b", "c"), differences=found).headline
    assert close.startswith("b comes first")
    assert "from c." in close
    clear = (*found[:2], difference("c", "b", -0.18))
    assert compared(("a", "b", "c"), differences=clear).headline.startswith("b is ahead of every other by the held-out")


def test_without_prompts_in_common_nothing_is_claimed() -> None:
    assert compared(differences=()).headline.startswith("These 2 cannot be compared")
    assert len(check_page(render_compare(compared(differences=()))).of("svg")) == 2


def test_settings_that_every_side_has_are_named_first() -> None:
    settings = (
        *(Setting(key=f"dpo.{i}", values=("1", None)) for i in range(4)),
        Setting(key="method", values=("a", "b")),
    )
    said = compared(settings=settings).headline
    assert said.endswith("They differ in method, dpo.0, dpo.1, dpo.2 and 1 more.")
    assert "4 settings that not every run has" in render_compare(compared(settings=settings))


def test_a_constitution_is_shown_by_its_difference_with_the_results_of_its_runs() -> None:
    text = render_compare(compared())
    check_page(text)
    assert "<del>-text = &#39;Be kind.&#39;</del><ins>+text = &#39;Be kind and short.&#39;</ins>" in text
    assert "The file has changed." in text
    assert text.count("+0.10 <span") == 4  # in the results, and again beside each version
    lost = ConstitutionVersion(title="kind 2", text=None, sides=("two",))
    assert "Its file is gone" in render_compare(compared(constitutions=(compared().constitutions[0], lost)))


def test_a_diff_marks_its_lines() -> None:
    assert diff("a\nb\nc\n", "a\nx\nc\n") == [
        ("place", "@@ -1,3 +1,3 @@"), ("same", " a"), ("removed", "-b"), ("added", "+x"), ("same", " c"),
    ]  # fmt: skip
    assert diff("a\n", "a\n") == []


def test_results_are_written_as_their_rows_say() -> None:
    texts = [[text.replace("\u00a0", " ") for text in row.texts] for row in compared().results]
    assert texts == [["+0.10 [+0.04, +0.16]"] * 2, ["1,234"] * 2, ["60% [54, 66]", "none"]]


def test_reasons_to_doubt_name_the_run() -> None:
    sides = (
        side("one", summary=data(over_optimisation=OVER).summary),
        side("two", evaluation=whole(judge_trained=True)),
    )
    note, over, judged = compared(sides=sides, notes=("A note.",)).warnings
    assert note == "A note."
    assert over.startswith("one: over-optimisation from step 5")
    assert judged.startswith("two: ")
    assert "trained one of the policies" in judged


def test_evaluations_without_a_run_can_be_compared() -> None:
    alone: dict[str, Any] = {"summary": None, "recipe": None, "constitution": None, "evaluation": whole()}
    sides = (side("one", **alone), side("two", **alone))
    text = render_compare(compared(sides=sides, constitutions=(), settings=(), differences=()))
    assert check_page(text).of("svg") == []
    assert "tuned is preferred to base" in text


def test_hostile_names_and_texts_stay_text() -> None:
    names = (HOSTILE, f"two {HOSTILE}")
    settings = (Setting(key=HOSTILE, values=(HOSTILE, None)),)
    versions = tuple(ConstitutionVersion(title=n, text=f"{n} {i}", sides=(n,), note=n) for i, n in enumerate(names))
    hostile = compared(names, settings=settings, constitutions=versions, notes=names)
    text = render_compare(hostile)
    check_page(text)
    assert text.count("&lt;script&gt;") > 15
    parse = MarkdownIt("commonmark").enable("table").parse
    tokens, harmless = (
        [token.type for token in parse(render_compare_markdown(each))]
        for each in (hostile, compared(settings=(Setting(key="k", values=("1", None)),), notes=("a", "b")))
    )
    assert tokens == harmless
    assert {"html_block", "html_inline"} & set(tokens) == set()
