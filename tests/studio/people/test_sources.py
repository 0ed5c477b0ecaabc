"""Where the rows of a queue are from, and that each says how it was chosen."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.outcomes import Outcomes
from preceptor.studio.folders import Library, Work
from preceptor.studio.people import sources
from preceptor.tasks.estimate import estimate
from preceptor.tasks.evaluate.evaluate import evaluate
from preceptor.tasks.label import label
from rows import write


def comparison(i: int, prompt: int | None = None, **more: Any) -> dict[str, Any]:
    asked = f"question {i if prompt is None else prompt}"
    return {"id": f"c{i}", "prompt": asked, "response_a": f"a {i}", "response_b": f"b {i}", **more}


def work(path: Path) -> Work:
    found = Library([path.parent]).works()
    return next(each for each in found if each.path == path.resolve())


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """40 labels: of cohort "en" every fourth, of "de" all others; 5 written for people."""
    out = tmp_path_factory.mktemp("labelled") / "labels"
    rows = [comparison(i, cohort="de" if i % 4 else "en") for i in range(40)]
    label(rows, judges="scripted:random", out=out, to_people=5, progress=Silence())
    return work(out)


def test_disputed_rows_keep_their_order_and_say_what_they_are(labels: Work) -> None:
    source = sources.written_for_people(labels)
    written = [
        row.comparison.id
        for row in read_comparisons(labels.path / "for_people.jsonl")
        if isinstance(row, ComparisonRow)
    ]
    assert [row["id"] for row in source.rows] == written
    assert {row["selection"] for row in source.rows} == {"disputed"}
    assert (source.kind, source.folder) == ("compare", labels.path)
    assert "5 disputed" in source.words


def test_a_plan_with_equal_probabilities_keeps_its_order(labels: Work, tmp_path: Path) -> None:
    estimate(labels.path, plan=10, out=tmp_path / "plan")
    source = sources.written_for_people(work(tmp_path / "plan"))
    written = list(read_comparisons(tmp_path / "plan" / "for_people.jsonl"))
    assert [row["id"] for row in source.rows] == [r.comparison.id for r in written if isinstance(r, ComparisonRow)]
    assert {row["selection_probability"] for row in source.rows} == {0.25}


def test_a_plan_with_unequal_probabilities_is_shuffled(tmp_path: Path) -> None:
    """Prompts with one comparison are likelier to be asked about than each of two; the plan takes the first turn."""
    rows = [comparison(i, prompt=i if i < 20 else i // 2) for i in range(40)]
    label(rows, judges="scripted:random", out=tmp_path / "labels", progress=Silence())
    estimate(tmp_path / "labels", plan=24, out=tmp_path / "plan")
    planned = [r for r in read_comparisons(tmp_path / "plan" / "for_people.jsonl") if isinstance(r, ComparisonRow)]
    source = sources.written_for_people(work(tmp_path / "plan"))
    assert len({row["selection_probability"] for row in source.rows}) == 2
    assert {row["id"]: row["selection_probability"] for row in source.rows} == {
        row.comparison.id: row.selection.probability for row in planned
    }
    assert [row["id"] for row in source.rows] != [row.comparison.id for row in planned]
    assert [row["id"] for row in sources.written_for_people(work(tmp_path / "plan"), 1).rows] != [
        row["id"] for row in source.rows
    ]


def test_a_random_sample_is_the_same_for_a_seed_and_its_beginning_is_one_too(labels: Work) -> None:
    ids = [
        [row["id"] for row in sources.sample_of_labels(labels, n, seed).rows] for n, seed in ((12, 1), (30, 1), (12, 2))
    ]
    assert ids[0] == ids[1][:12]
    assert ids[0] != ids[2]
    assert ids[0] != sorted(ids[0], key=lambda name: int(name[1:]))
    source = sources.sample_of_labels(labels, 12, 1)
    assert {row["selection"] for row in source.rows} == {"random"}
    assert len(sources.sample_of_labels(labels, 1000, 1).rows) == 40


def test_rows_of_a_cohort_say_that_they_stand_for_it_alone(labels: Work) -> None:
    source = sources.sample_of_labels(labels, 6, 0, "en")
    assert {(row["cohort"], row["selection"]) for row in source.rows} == {("en", "cohort")}
    assert len(source.rows) == 6
    assert '10 of cohort "en"' in source.words
    assert sources.cohorts_of_labels(labels) == {"de": 30, "en": 10}
    with pytest.raises(UsageError, match='no cohort "em"'):
        sources.sample_of_labels(labels, 6, 0, "em")


def test_comparisons_of_one_prompt_are_drawn_with_a_probability(tmp_path: Path) -> None:
    """8 comparisons of 4 prompts, of which 6 are drawn: each with 3/4."""
    rows = [comparison(i, prompt=i // 2) for i in range(8)]
    label(rows, judges="scripted:random", out=tmp_path / "labels", progress=Silence())
    source = sources.sample_of_labels(work(tmp_path / "labels"), 6, 0)
    assert {(row["selection"], row["selection_probability"]) for row in source.rows} == {("planned", 0.75)}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Work:
    out = tmp_path_factory.mktemp("evaluated") / "evaluation"
    prompts = [{"prompt": f"q{i}"} for i in range(8)]
    policies = {
        name: [{"prompt": f"q{i}", "response": f"{name} answers {i}"} for i in range(8)] for name in ("old", "new", "x")
    }
    evaluate(policies, prompts=prompts, judge="scripted:random", out=out, progress=Silence())
    return work(out)


def test_two_policies_are_compared_under_the_evaluations_ids(evaluation: Work) -> None:
    assert sources.policies_in(evaluation) == ["old", "new", "x"]
    source = sources.two_policies(evaluation, "new", "old", 5, 0)
    judged = {row.id: row for row in Outcomes(evaluation.path / "judged").preference_rows()}
    assert len(source.rows) == 5
    for row in source.rows:
        assert (row["policy_a"], row["policy_b"]) == judged[row["id"]].policies == ("new", "old")
        assert row["response_a"] == judged[row["id"]].responses[0][0].content
    assert all(
        "selection" not in row for row in source.rows
    )  # of all comparisons of three policies, these are no sample
    with pytest.raises(UsageError, match='no policy "nex"'):
        sources.two_policies(evaluation, "nex", "old", 5, 0)
    with pytest.raises(UsageError, match="two different policies"):
        sources.two_policies(evaluation, "old", "old", 5, 0)


def test_the_two_policies_of_an_evaluation_are_a_random_sample_of_it(tmp_path: Path) -> None:
    policies = {name: [{"prompt": f"q{i}", "response": f"{name} {i}"} for i in range(8)] for name in ("old", "new")}
    prompts = [{"prompt": f"q{i}"} for i in range(8)]
    evaluate(policies, prompts=prompts, judge="scripted:random", out=tmp_path / "two", progress=Silence())
    source = sources.two_policies(work(tmp_path / "two"), "old", "new", 5, 0)
    assert {row["selection"] for row in source.rows} == {"random"}
    people = [row | {"ratings": ["a"]} for row in source.rows]
    found = estimate(tmp_path / "two" / "judged" / "preferences.jsonl", people=people, policy="new")
    assert (found.chosen, found.estimates.n_human) == ({"random": 5}, 5)


def test_several_policies_are_ranked(evaluation: Work) -> None:
    source = sources.several_policies(evaluation, ["x", "old", "new"], 3, 0)
    assert source.kind == "rank"
    assert [row["policies"] for row in source.rows] == [["old", "new", "x"]] * 3
    assert all(row["responses"][2].startswith("x answers") for row in source.rows)


def test_an_uploaded_file_is_read_in_any_format(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": "r", "responses": ["1", "2", "3"]},
        comparison(7, label="a", selection="random", reference="r", weight=2.0),
    ]
    source = sources.uploaded_comparisons(write(tmp_path / "rows.jsonl", rows), "rows.jsonl", 0)
    assert len(source.rows) == 5
    [last] = [row for row in source.rows if row["id"] == "c7"]
    assert (last["selection"], last["reference"], last["weight"], "label" in last) == ("random", "r", 2.0, False)
    bad = write(tmp_path / "bad.jsonl", [rows[0], {"prompt": "q"}])
    with pytest.raises(UsageError, match=r"bad\.jsonl:2"):
        sources.uploaded_comparisons(bad, "bad.jsonl", 0)
    twice = write(tmp_path / "twice.jsonl", [comparison(1), comparison(1) | {"response_a": "other"}])
    with pytest.raises(UsageError, match='two rows have the id "c1"'):
        sources.uploaded_comparisons(twice, "twice.jsonl", 0)


def test_responses_to_one_prompt_are_joined_for_ranking(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [{"prompt": f"q{i}", "response": f"1 {i}"} for i in range(3)])
    two = write(tmp_path / "two.jsonl", [{"prompt": f"q{i}", "response": f"2 {i}", "policy": "p"} for i in range(2)])
    source = sources.uploaded_rankings([one, two], "two files", 0)
    assert [row["responses"] for row in source.rows] == [["1 0", "2 0"], ["1 1", "2 1"]]
    listed = write(
        tmp_path / "k.jsonl", [{"id": "k", "prompt": "q", "responses": ["x", "y", "z"], "selection": "random"}]
    )
    [row] = sources.uploaded_rankings([listed], "k.jsonl", 0).rows
    assert (row["id"], row["selection"]) == ("k", "random")
    many = write(tmp_path / "many.jsonl", [{"prompt": "q", "responses": [str(i) for i in range(10)]}])
    with pytest.raises(UsageError, match="more than 9 responses"):
        sources.uploaded_rankings([many], "many.jsonl", 0)


def test_known_answers(tmp_path: Path) -> None:
    rows = [comparison(0, label="b"), comparison(1, ratings=["a", "a", "tie"])]
    items = sources.known_answers(write(tmp_path / "known.jsonl", rows), "compare")
    assert [item.known for item in items] == [{"choice": "b"}, {"choice": "a"}]
    with pytest.raises(UsageError, match=r'known\.jsonl:1: expected "label"'):
        sources.known_answers(write(tmp_path / "known.jsonl", [comparison(0)]), "compare")
    ranked = write(tmp_path / "ranks.jsonl", [{"prompt": "q", "responses": ["x", "y", "z"], "rankings": [[1, 3, 2]]}])
    [item] = sources.known_answers(ranked, "rank")
    assert item.known == {"ranks": [1, 3, 2]}
    typed = sources.known_answer("q", "x", "y", "tie")
    assert (typed.row["response_b"], typed.known) == ("y", {"choice": "tie"})
    with pytest.raises(UsageError, match="a, b or tie"):
        sources.known_answer("q", "x", "y", "first")


def test_the_shares_of_cohorts_in_a_random_sample_are_those_of_all_rows(labels: Work) -> None:
    drawn = Counter(row["cohort"] for seed in range(40) for row in sources.sample_of_labels(labels, 10, seed).rows)
    assert 0.19 <= drawn["en"] / 400 <= 0.31  # 3 standard deviations around a quarter
