"""Reasons to doubt a judge: none from few rows of a sound one, all from what is gross, and labels say them first."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judging.judging_examples import compared, first_with, gives
from preceptor.backends.scripted import SCRIPTS, ChooseScript
from preceptor.core.progress import Silence
from preceptor.core.types import JudgeFailure, Preference, Presentation, Rater, Verdict, likeliest
from preceptor.judging.conduct import ConductTally, RowsTally, conduct_of
from preceptor.judging.specs import JudgeSpec
from preceptor.judging.warnings import Count, JudgeConduct, judge_warnings
from preceptor.results.label import LabelResult
from preceptor.store.comparisons import ComparisonRow
from preceptor.store.preference_row import PreferenceRow
from preceptor.tasks.label import label

RATER = Rater(model="m#0123456789abcdef:float32", constitution="c", constitution_hash="h")


def preferred(
    p_ab: float, p_ba: float, mass: float = 1.0, tie: float = 0.0, a: str = "long answer", b: str = "short"
) -> Preference:
    """A comparison shown in both orders: p_a in each."""
    verdict = Verdict(probabilities={"1": 0.5, "2": 0.5}, choice_mass=mass)
    shown = (
        Presentation(order="ab", p_a=p_ab, p_tie=tie, verdict=verdict),
        Presentation(order="ba", p_a=p_ba, p_tie=tie, verdict=verdict),
    )
    return Preference(comparison=compared(a, b), p_a=(p_ab + p_ba) / 2, p_tie=tie, rater=RATER, presentations=shown)


def kinds(conduct: JudgeConduct) -> list[str]:
    return [warning.kind for warning in judge_warnings(conduct)]


def conduct(*preferences: Preference | JudgeFailure) -> JudgeConduct:
    """Each of a prompt of its own."""
    own = [
        p if isinstance(p, JudgeFailure) else p.model_copy(update={"comparison": with_prompt(p, f"p{i}")})
        for i, p in enumerate(preferences)
    ]
    longer = lambda p: "tie" if isinstance(p, JudgeFailure) else "a"  # noqa: E731
    return conduct_of((p, longer(p)) for p in own)


def with_prompt(preference: Preference, name: str) -> Any:
    comparison = preference.comparison
    prompt = comparison.prompt.model_copy(update={"id": name})
    a, b = (r.model_copy(update={"prompt_id": name}) for r in (comparison.a, comparison.b))
    return comparison.model_copy(update={"prompt": prompt, "a": a, "b": b})


def test_wilsons_lower_end() -> None:
    """Of 8 of 10: (0.8 + 0.19208 - 1.959964 · √(0.016 + 0.0096036)) / 1.384146 = 0.4902 (z² = 3.841459)."""
    assert Count(hits=8, n=10, prompts=10).at_least == pytest.approx(0.49016, abs=1e-5)
    assert Count(hits=16, n=20, prompts=10).at_least == pytest.approx(0.49016, abs=1e-5)
    assert Count(hits=0, n=0, prompts=0).at_least == 0.0
    assert Count(hits=8, n=10, prompts=10).opposite.share == pytest.approx(0.2)


SOUND = [preferred(0.8, 0.7), preferred(0.2, 0.3), preferred(0.75, 0.9), preferred(0.1, 0.3)]


@pytest.mark.parametrize(
    ("preferences", "kind", "said"),
    [
        ([preferred(0.9, 0.2)] * 24, "position", "keeps to a position on 100% of 24 comparisons when the responses"),
        ([preferred(0.2, 0.9)] * 24, "position", "the response shown second wins 100% of presentations"),
        (
            [preferred(0.8, 0.7, mass=0.1), preferred(0.2, 0.3, mass=0.1)] * 12,
            "choice_mass",
            "wanted to answer something else: the choices that it was offered have a probability of 0.1 together",
        ),
        ([preferred(0.52, 0.51), preferred(0.49, 0.47)] * 12, "near_half", "100% of its 24 preferences are within 5"),
        (
            [*SOUND * 10, *[JudgeFailure(reason="no_answer", detail="x")] * 3],
            "failures",
            "failed on 3 of 43 comparisons (7.0%: 3 no answer)",
        ),
        (
            [
                *SOUND * 10,
                JudgeFailure(reason="no_answer", detail="x"),
                *[JudgeFailure(reason="unfinished_thought", detail="x")] * 2,
            ],
            "failures",
            "failed on 3 of 43 comparisons (7.0%: 1 no answer, 2 unfinished thought): its tokens run out",
        ),
        ([preferred(0.9, 0.8)] * 24, "length", "prefers the longer response in 100% of 24 comparisons"),
        ([preferred(0.1, 0.2)] * 24, "length", "prefers the shorter response in 100% of 24 comparisons"),
        (
            [*SOUND * 10, *[preferred(0.6, 0.6, tie=0.5)] * 2],
            "tie",
            "gives a tie as its likeliest answer in 2 of 42 comparisons: each of them counts for the response that it",
        ),
    ],
)
def test_each_reason_to_doubt(preferences: list[Preference | JudgeFailure], kind: str, said: str) -> None:
    [warning] = [w for w in judge_warnings(conduct(*preferences), "J") if w.kind in (kind,)]
    assert warning.sentence.startswith("J ")
    assert said in warning.sentence.replace("\u00a0", " ")
    assert [k for k in kinds(conduct(*preferences)) if k != "length" or kind == "length"] == [kind]


def test_a_sound_judge_is_not_doubted() -> None:
    assert kinds(conduct(*SOUND * 10)) == []
    assert kinds(conduct()) == []


def test_eight_rows_do_not_cry_wolf() -> None:
    """Three of eight in the same position, one failure, two thirds longer: an ordinary judge on few rows."""
    few = [*[preferred(0.8, 0.7)] * 3, *[preferred(0.2, 0.3)] * 2, *[preferred(0.7, 0.4)] * 3]
    assert kinds(conduct(*few, JudgeFailure(reason="no_answer", detail="x"))) == []
    # and what is gross is said of eight
    assert "position" in kinds(conduct(*[preferred(0.9, 0.1)] * 8))


def test_how_often_a_good_judge_is_doubted_and_a_bad_one_is_not() -> None:
    """A judge with Lee et al.'s 18% of position bias is hardly ever doubted; one with 56% is, from 50 rows on."""
    rng = np.random.default_rng(1)

    def doubted(bias: float, n: int) -> float:
        found = 0
        for _ in range(400):
            hits = int(rng.binomial(n, bias))
            found += kinds(JudgeConduct(same_position=Count(hits=hits, n=n, prompts=n))) == ["position"]
        return found / 400

    assert [doubted(0.18, n) for n in (8, 24, 100, 1000)] == [pytest.approx(0.0, abs=0.02)] * 4
    assert [doubted(0.56, n) > 0.9 for n in (50, 100, 1000)] == [True] * 3


def test_comparisons_of_one_prompt_are_no_independent_trials() -> None:
    tally = ConductTally()
    for _ in range(24):
        tally.presentations("same", [("ab", 0.9), ("ba", 0.1)], [1.0, 1.0])
    found = tally.conduct({})
    assert (found.same_position.n, found.same_position.prompts) == (24, 1)
    assert kinds(found) == []


def test_one_order_alone_says_what_it_can() -> None:
    tally = ConductTally()
    for i in range(24):
        tally.presentations(f"p{i}", [("ab", 0.9)], [1.0])
    [warning] = judge_warnings(tally.conduct({}))
    assert warning.kind == "position"
    assert "no comparison was shown in both orders" in warning.sentence


def test_the_likeliest_answer_by_hand() -> None:
    # a 0.35, b 0.2, tie 0.45: p_a is 0.575
    assert likeliest(0.575, 0.45) == "tie"
    assert (likeliest(0.575, 0.1), likeliest(0.3, 0.2), likeliest(0.5, 0.0)) == ("a", "b", "tie")


def test_rows_say_the_same_as_preferences() -> None:
    preferences = [*SOUND * 3, *[preferred(0.9, 0.2, mass=0.2, tie=0.3)] * 9]
    own = [p.model_copy(update={"comparison": with_prompt(p, f"p{i}")}) for i, p in enumerate(preferences)]
    rows = [PreferenceRow.of(ComparisonRow(i, "f", p.comparison, None, None), p) for i, p in enumerate(own)]
    tally = RowsTally()
    for row in rows:
        tally.add(row)
    [(judge, found)] = tally.conducts({})
    assert judge == RATER.model
    assert found == conduct_of((p, "a") for p in own)


# ---- Labels


def data(folder: Path, n: int = 24) -> Path:
    rows = [{"prompt": f"question {i}", "response_a": f"answer {i}", "response_b": f"{i} other yes"} for i in range(n)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def judged_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LabelResult]:
    """Labels the data by a function."""

    def labelled(script: ChooseScript, **more: Any) -> LabelResult:
        monkeypatch.setitem(SCRIPTS, "test", script)
        return label(
            data(tmp_path), judges=JudgeSpec(model="scripted:test", **more), out=tmp_path / "out", progress=Silence()
        )

    return labelled


def test_labels_of_a_judge_of_places_say_so_before_anything_else(
    judged_by: Callable[..., LabelResult], tmp_path: Path
) -> None:
    """As the embedded model on the README's example: the first wins, a tenth of the mass on the choices."""
    nearly = first_with(lambda first, _: 0.1 * (0.505 + 0.01 * (len(first) % 2)))

    def script(request: Any) -> Any:
        answer = nearly(request)
        assert not isinstance(answer, JudgeFailure)
        return gives(math.exp(answer.log_probs[0]), 0.1 - math.exp(answer.log_probs[0]))

    labels = judged_by(script)
    assert [warning.kind for warning in labels.warnings] == ["position", "choice_mass", "near_half"]
    written = json.loads((tmp_path / "out" / "summary.json").read_text())["judge_warnings"]
    assert written == [warning.model_dump() for warning in labels.warnings]
    card = (tmp_path / "out" / "README.md").read_text()
    assert 0 < card.index("scripted:test keeps to a position") < card.index("Pairs of responses")
    shown = labels.table().text(200)
    assert shown.startswith("! scripted:test keeps to a position on 100")
    assert shown.index("wanted to answer something else") < shown.index("preferences")


def test_labels_of_a_sound_judge_have_no_warning(judged_by: Callable[..., LabelResult], tmp_path: Path) -> None:
    """It likes what is odd, wherever it stands, and says so in half of the comparisons of either."""
    labels = judged_by(
        first_with(lambda first, second: 0.9 if sum(map(ord, first)) % 3 > sum(map(ord, second)) % 3 else 0.1)
    )
    assert labels.warnings == ()
    assert "Before you use" not in (tmp_path / "out" / "README.md").read_text()
    assert "!" not in str(labels)


def test_a_tie_that_is_likeliest_is_said_where_the_label_leans(
    judged_by: Callable[..., LabelResult], tmp_path: Path
) -> None:
    """`honest` offers a tie: with 0.35, 0.2 and 0.45 a is chosen, and a tie is what the judge would say."""

    def script(request: Any) -> Any:
        text = request.prompt[-1].content
        a_first = text.rindex("answer ") < text.rindex(" other yes")
        return gives(0.35, 0.2, 0.45) if a_first else gives(0.2, 0.35, 0.45)

    labels = judged_by(script, constitution="honest")
    rows = [json.loads(line) for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
    assert {(row["chosen_is"], row["likeliest"]) for row in rows} == {("a", "tie")}
    assert rows[0]["p_chosen"] == pytest.approx(0.575)
    assert labels.counts.likeliest_ties == 24
    assert "tie" in [warning.kind for warning in labels.warnings]
    assert "a tie is the likeliest answer: 24." in (tmp_path / "out" / "README.md").read_text()
    assert "a tie is likeliest" in str(labels)


def test_each_judge_of_an_ensemble_is_doubted_by_itself(tmp_path: Path) -> None:
    """The judge that always says 1 keeps to a position; the other one hides it in their mean."""
    judges = (JudgeSpec(model="scripted:random"), JudgeSpec(model="scripted:first"))
    labels = label(data(tmp_path), judges=judges, out=tmp_path / "out", progress=Silence())
    assert [conduct.judge for conduct in labels.conduct] == [None, "scripted:random", "scripted:first"]
    said = [warning.sentence for warning in labels.warnings if warning.kind == "position"]
    assert any(sentence.startswith("scripted:first keeps to a position on 100") for sentence in said)
