"""Estimates and agreement: from files to numbers, and what is wrong with files in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.results.estimate import EstimateResult
from preceptor.store.preferences import write_parquet
from preceptor.tasks.agreement import agreement as agreement_of
from preceptor.tasks.estimate import estimate as estimate_of
from preceptor.tasks.label import label
from rows import read, write


def comparison(i: int, **more: Any) -> dict[str, Any]:
    policies = ("base", "tuned") if i % 2 else ("tuned", "base")
    return {
        "id": f"c{i}",
        "prompt": f"question {i}",
        "response_a": f"answer {i}",
        "response_b": f"other {i}",
        "policy_a": policies[0],
        "policy_b": policies[1],
        "cohort": "x" if i < 20 else "y",
        **more,
    }


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 comparisons labelled by a judge that answers at random."""
    folder = tmp_path_factory.mktemp("labels")
    data = write(folder / "rows.jsonl", [comparison(i) for i in range(60)])
    label(data, judges="scripted:random", out=folder / "out", progress=Silence())
    return folder / "out"


def p_a(row: dict[str, Any]) -> float:
    return row["p_chosen"] if row["chosen_is"] == "a" else 1 - row["p_chosen"]


def test_labels_of_people_meet_those_of_the_judge(labels: Path, tmp_path: Path) -> None:
    said = ["a" if i % 3 else "tie" for i in range(30)]
    people = write(tmp_path / "p.jsonl", [comparison(i, label=label) for i, label in enumerate(said)])
    found = estimate_of(labels, people=people, out=tmp_path / "out", sample="random")
    assert (found.preferred, found.comparisons, found.for_people) == ("response a", 60, None)
    assert found.estimates.human_only is not None
    assert found.estimates.human_only.value == pytest.approx((20 + 10 * 0.5) / 30)
    mean = np.mean([p_a(row) for row in read(labels / "preferences.jsonl")])
    assert found.estimates.judge_only.value == pytest.approx(mean)
    assert (found.estimates.n_human, found.estimates.n_judge) == (30, 30)
    assert found.people is not None
    assert found.people.model_dump() == {
        **{"labelled": 30, "malformed": 0, "unknown": 0, "other_responses": 0},
        "disputed": 0,
    }
    assert json.loads((tmp_path / "out" / "estimate.json").read_text()) == found.model_dump(mode="json")
    assert not (tmp_path / "out" / "for_people.jsonl").exists()


def test_who_saw_the_responses_the_other_way_round_is_understood(labels: Path, tmp_path: Path) -> None:
    straight = [comparison(i, label=1.0 if i % 3 else 0.25) for i in range(30)]
    turned = [
        row | {"response_a": row["response_b"], "response_b": row["response_a"], "label": 1 - row["label"]}
        for row in straight
    ]
    one = estimate_of(labels, people=write(tmp_path / "1.jsonl", straight), sample="random")
    other = estimate_of(labels, people=write(tmp_path / "2.jsonl", turned), sample="random")
    mixed = estimate_of(labels, people=write(tmp_path / "3.jsonl", straight[:15] + turned[15:]), sample="random")
    assert one.estimates == other.estimates == mixed.estimates


def test_a_policy_is_asked_about_wherever_it_stands(labels: Path, tmp_path: Path) -> None:
    """People prefer the tuned policy's response, which is a in every second comparison."""
    people = write(tmp_path / "p.jsonl", [comparison(i, label="b" if i % 2 else "a") for i in range(30)])
    tuned = estimate_of(labels, people=people, policy="tuned", sample="random")
    base = estimate_of(labels, people=people, policy="base", sample="random")
    assert tuned.preferred == "tuned"
    assert tuned.estimates.human_only is not None
    assert base.estimates.human_only is not None
    assert (tuned.estimates.human_only.value, base.estimates.human_only.value) == (1.0, 0.0)
    assert tuned.estimates.judge_only.value == pytest.approx(1 - base.estimates.judge_only.value)
    mean = np.mean([1 - p_a(row) if int(row["id"][1:]) % 2 else p_a(row) for row in read(labels / "preferences.jsonl")])
    assert tuned.estimates.judge_only.value == pytest.approx(mean)
    rows = read(labels / "preferences.jsonl")
    others = [row | {"chosen_policy": "third"} if row["chosen_policy"] == "tuned" else row for row in rows]
    given = write(tmp_path / "o.jsonl", others)
    some = estimate_of(given, people=people, policy="tuned", plan=100, out=tmp_path / "q", sample="random")
    by_tuned = {row["id"] for row in others if "tuned" in (row["chosen_policy"], row["rejected_policy"])}
    assert some.comparisons == len(by_tuned) < 60
    assert {row["id"] for row in read(tmp_path / "q" / "for_people.jsonl")} == {i for i in by_tuned if int(i[1:]) >= 30}
    with pytest.raises(UsageError, match='no comparison has a response of the policy "tune"; did you mean "tuned"'):
        estimate_of(labels, people=people, policy="tune")


def test_rows_that_hold_peoples_labels_need_no_second_file(tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", [comparison(i, **({"label": "a"} if i < 12 else {})) for i in range(30)])
    label(data, judges="scripted:random", out=tmp_path / "l", progress=Silence())
    found = estimate_of(tmp_path / "l", sample="random")
    assert found.people is None
    assert found.estimates.human_only is not None
    assert (found.estimates.human_only.value, found.estimates.n_human) == (1.0, 12)
    (tmp_path / "parquet").mkdir()
    write_parquet(tmp_path / "l" / "preferences.jsonl", tmp_path / "parquet" / "preferences.parquet")
    assert estimate_of(tmp_path / "parquet", sample="random") == found


def test_the_plan_is_labelled_and_comes_back(labels: Path, tmp_path: Path) -> None:
    found = estimate_of(labels, plan=24, out=tmp_path / "asked")
    assert found.for_people == 24
    assert found.estimates.human_only is None
    asked = read(tmp_path / "asked" / "for_people.jsonl")
    assert [row["cohort"] for row in asked].count("x") == 8  # a third, as of all
    planned = {"selection": "planned", "selection_probability": 0.4}  # 24 of 60, and of each cohort
    assert all(row == comparison(int(row["id"][1:]), **planned) for row in asked)
    people = write(tmp_path / "p.jsonl", [{**row, "ratings": ["a", "a", "b"]} for row in asked])
    again = estimate_of(labels, people=people)
    assert again.people is not None
    assert (again.people.labelled, again.people.unknown, again.estimates.n_human) == (24, 0, 24)
    # what people have is not asked for again, and their work is not written over
    more = estimate_of(labels, people=people, plan=100, out=tmp_path / "more")
    assert more.for_people == 36
    assert not {r["id"] for r in read(tmp_path / "more" / "for_people.jsonl")} & {row["id"] for row in asked}
    write(tmp_path / "asked" / "for_people.jsonl", [{**row, "label": "a"} for row in asked])
    with pytest.raises(UsageError, match="people's labels; move the file away"):
        estimate_of(labels, plan=24, out=tmp_path / "asked")


def test_labels_that_do_not_fit_are_counted(labels: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [comparison(i, label="a") for i in range(12)]
    rows += [{**rows[0], "response_a": "rewritten"}, comparison(99, label="a"), {"label": "a"}, comparison(13)]
    found = estimate_of(labels, people=write(tmp_path / "p.jsonl", rows), sample="random")
    assert found.people is not None
    assert found.people.model_dump() == {
        **{"labelled": 14, "malformed": 1, "unknown": 1, "other_responses": 1},
        "disputed": 0,
    }
    assert found.estimates.n_human == 12


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([comparison(i, id=f"d{i}", label="a") for i in range(3)], 'their ids differ, such as "d0"'),
        ([comparison(i, label="a", response_a="else") for i in range(3)], "their responses differ"),
        ([comparison(0)], 'no row has a "label" or "ratings" of people'),
        ([{"prompt": "q", "response_a": "x", "label": "a"}], 'people.jsonl:1: no "response_b"'),
    ],
)
def test_labels_of_no_use_are_an_error(
    labels: Path, tmp_path: Path, people: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        estimate_of(labels, people=write(tmp_path / "people.jsonl", people), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_asked_is_said(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"half_width 5: expected a number between 0 and 0\.5"):
        estimate_of(labels, half_width=5)
    with pytest.raises(UsageError, match=r'rows\.jsonl:1: "prompt_id" is missing .*as `preceptor label` writes it'):
        estimate_of(labels.parent / "rows.jsonl")
    with pytest.raises(UsageError, match="its rows name no policies"):
        rows = [
            row | {"chosen_policy": "unknown", "rejected_policy": "unknown"}
            for row in read(labels / "preferences.jsonl")
        ]
        estimate_of(write(tmp_path / "u.jsonl", rows), policy="tuned")
    with pytest.raises(UsageError, match="there are no rows"):
        estimate_of(write(tmp_path / "empty.jsonl", []))


def test_a_table_for_people(labels: Path, tmp_path: Path) -> None:
    people = write(tmp_path / "p.jsonl", [comparison(i, label="b" if i % 4 else "a") for i in range(30)])
    table = str(estimate_of(labels, people=people, out=tmp_path / "out", sample="random"))
    assert "response a" in table
    assert "For ± 5 points: 311 prompts" in table
    assert "For ± 20 points: about 20 prompts" in str(
        estimate_of(labels, people=people, half_width=0.2, sample="random")
    )
    few = write(tmp_path / "few.jsonl", read(people)[:4])
    result = estimate_of(labels, people=few, plan=3, sample="random")
    assert "4 prompts" in str(result)
    assert "at least 10" in str(result)
    assert "for people to label: 3" in str(result)
    assert len(read(result.path / "for_people.jsonl")) == 3  # a temporary folder
    assert EstimateResult.load(result.path) == result


def test_rows_in_memory_are_estimated_from(labels: Path) -> None:
    people = [comparison(i, label="b" if i % 4 else "a") for i in range(30)]
    judged = read(labels / "preferences.jsonl")
    result = estimate_of(judged, people=people, sample="random")
    assert result.estimates.human_only is not None
    assert result.estimates.human_only.value == pytest.approx(8 / 30)
    assert result.best == result.estimates.prediction_powered


def test_agreement_of_opinions_and_of_rankings(tmp_path: Path) -> None:
    opinions = [comparison(0, ratings=["a", "a", "b"]), comparison(1, ratings=["b", "b"]), comparison(2, label="a")]
    found = agreement_of(write(tmp_path / "c.jsonl", opinions))
    assert (found.agreement.kind, found.agreement.rows, found.left_out) == ("preferences", 2, 1)
    assert found.agreement.pairwise is not None
    assert found.agreement.pairwise.value == pytest.approx(2 / 3)
    assert (
        found.first_left_out
        == f'{tmp_path / "c.jsonl"}:3: expected "ratings" with the opinions of two people or more, as in ["a", "tie"]'
    )
    disputed = [opinions[0] | {"selection": "disputed"}, opinions[1]]
    assert str(agreement_of(disputed)).startswith("! 1 of 2 rows")
    rankings = [
        {"id": "x", "rankings": [[1, 2, 3], [1, 3, 2], [1, 2, 3]]},
        {"rankings": [[1, 1, 2], [1, None, 2]]},
        {"rankings": [[1, 2], [1, 2, 3]]},
        {"rankings": [[1, 2]]},
        {"rankings": [[1, "2"], [1, 2]]},
    ]
    found = agreement_of(write(tmp_path / "r.jsonl", rankings))
    assert (found.agreement.kind, found.agreement.rows, found.left_out) == ("rankings", 2, 3)
    assert found.first_left_out is not None
    assert (
        "r.jsonl:3: rankings: expected every list to have one rank for each item, got 2 and 3" in found.first_left_out
    )
    assert [each.id for each in found.agreement.concordance] == ["x", f"{tmp_path / 'r.jsonl'}:2"]
    assert "Kendall's W" in str(found)
    assert "0.78" in str(found)
    assert agreement_of(opinions).agreement.opinions == 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([comparison(0, label="a")], r'x\.jsonl:1: expected "ratings" with the opinions of two people or more'),
        ([{"rankings": [[1, 2]]}], r"x\.jsonl:1: rankings: expected lists of ranks of two raters or more"),
        ([{"rankings": "1 2"}], r"x\.jsonl:1: rankings: expected lists of ranks"),
        ([{"rankings": [[1], [1]]}], "expected two items or more"),
        ([{"rankings": [[1, True], [1, 2]]}], "expected numbers, or null for an item not ranked"),
        ([], "there are no rows"),
    ],
)
def test_nothing_to_compare_is_an_error(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        agreement_of(write(tmp_path / "x.jsonl", rows))
