"""Benchmarks of judges are read in the shapes in which their authors publish them."""

import gzip
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import published
from preceptor.core.errors import UsageError
from preceptor.store.benchmarks.files import read_published
from preceptor.store.benchmarks.read import BenchmarkName, BenchmarkRow, benchmark_rows, read_benchmark
from preceptor.store.rows import Malformed


def rows_of(path: Path, name: BenchmarkName, limit: int | None = None) -> list[BenchmarkRow]:
    found = list(benchmark_rows(path, name, limit))
    usable = [row for row in found if isinstance(row, BenchmarkRow)]
    assert len(usable) == len(found), found
    return usable


def right(row: BenchmarkRow) -> str:
    """The text of the response that people prefer, or that is right."""
    comparison, human = row.row.comparison, row.row.human
    assert human is not None
    return {"a": comparison.a.text, "b": comparison.b.text, "tie": ""}[human.majority]


def test_every_format_reads_its_file(tmp_path: Path) -> None:
    files = published.write_all(tmp_path)
    assert set(files) == set(get_args(BenchmarkName))
    counts = {name: len(rows_of(path, name)) for name, path in files.items()}
    assert counts == {
        "rewardbench": 6,
        "rewardbench2": 3 + 3 + 3 + (3 * 2 + 3),
        "judgebench": 4,
        "rm-bench": 27,
        "llmbar": 5,
        "mt-bench": 2,
        "hh-rlhf": 2,
        "pandalm": 3,
        "alpaca-eval": 2,
        "helpsteer": 3,
        "ultrafeedback": 2 * 3,
    }
    for name, path in files.items():
        assert [each.row.number for each in rows_of(path, name)] == list(range(counts[name]))
        assert len(read_benchmark(path, name)) == counts[name]


def test_rewardbench_is_read_from_parquet_too(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(published.REWARDBENCH), tmp_path / "filtered.parquet")
    rows = rows_of(tmp_path / "filtered.parquet", "rewardbench")
    assert [right(row) for row in rows] == [f"number {i}" for i in range(6)]
    assert rows[1].part.subset == rows[1].row.category == "math-prm"
    assert len({row.row.comparison.a.text.startswith("number") for row in rows}) == 2  # the place tells nothing


def test_items_of_several_responses_are_several_comparisons(tmp_path: Path) -> None:
    rows = rows_of(published.write_lines(tmp_path / "rb2.jsonl", published.REWARDBENCH2), "rewardbench2")
    assert [(r.part.item, r.part.cell) for r in rows[:3]] == [("1", (0, 0)), ("1", (0, 1)), ("1", (0, 2))]
    tied = [row for row in rows if row.part.item == "tied:7"]
    assert [row.part.both_right for row in tied] == [False] * 6 + [True] * 3
    assert {right(row) for row in tied if not row.part.both_right} == {"red", "blue", "green"}
    assert [right(row) for row in tied if row.part.both_right] == [""] * 3  # labelled a tie
    styles = rows_of(published.write_list(tmp_path / "rm.json", published.RM_BENCH), "rm-bench", limit=1)
    assert [row.part.cell for row in styles] == [(i, j) for i in range(3) for j in range(3)]
    assert right(styles[3]) == "right 0, at length"


def test_known_answers_and_categories(tmp_path: Path) -> None:
    judged = rows_of(published.write_lines(tmp_path / "jb.jsonl", published.JUDGEBENCH), "judgebench")
    assert [row.part.subset for row in judged] == ["Knowledge", "Reasoning", "Math", "Coding"]
    assert [right(row) for row in judged] == ["Answer B 0", "Answer A 1", "Answer B 2", "Answer A 3"]
    published.write_list(tmp_path / "LLMBar" / "Natural" / "dataset.json", published.LLMBAR)
    results = tmp_path / "LLMBar" / "Natural" / "evaluators" / "GPT-4" / "result.json"
    published.write_list(results, published.LLMBAR)  # the authors keep what judges said beside the data
    bar = rows_of(tmp_path / "LLMBar", "llmbar")
    assert [right(row) for row in bar] == ["One 0", "Two 1", "One 2"]
    assert {row.part.subset for row in bar} == {"Natural"}


def test_a_folder_with_the_data_twice_is_read_once(tmp_path: Path) -> None:
    published.write_list(tmp_path / "data" / "total_dataset.json", published.RM_BENCH)
    for row in published.RM_BENCH:
        published.write_list(tmp_path / "data" / f"{row['domain']}_filtered.json", [row])
    assert len(rows_of(tmp_path / "data", "rm-bench")) == 27
    (tmp_path / "data" / "chat_filtered.json").rename(tmp_path / "total_dataset.json")
    for row in published.RM_BENCH[1:]:
        (tmp_path / "data" / f"{row['domain']}_filtered.json").unlink()
    with pytest.raises(UsageError, match="_filtered"):
        rows_of(tmp_path / "data", "rm-bench")


def test_votes_of_mt_bench_are_joined_with_the_names_of_the_people(tmp_path: Path) -> None:
    path = published.write_lines(tmp_path / "human.jsonl", published.MT_BENCH)
    first, second = (row.row for row in rows_of(path, "mt-bench"))
    assert first.human is not None
    assert first.human.ratings == ("a", "b", "tie")  # the second vote had the models the other way round
    assert first.human.raters == ("expert_1", "expert_2", "author_1")
    assert first.comparison.prompt.text == "Hello?"
    assert (first.comparison.a.text, first.comparison.a.policy) == ("alpaca one", "alpaca")
    assert second.human is not None
    assert second.human.raters == ("expert_1", "expert_1 (2)")
    assert [message.role for message in second.comparison.b.messages] == ["assistant", "user", "assistant"]
    assert (first.category, second.category) == ("writing", "math")


def test_people_of_pandalm_and_alpaca_eval_have_names(tmp_path: Path) -> None:
    panda = rows_of(published.write_list(tmp_path / "testset-v1.json", published.PANDALM), "pandalm")
    assert [row.row.human and row.row.human.ratings for row in panda] == [
        ("a", "a", "b"),
        ("b", "tie", "a"),
        ("tie", "tie", "tie"),
    ]
    assert panda[0].row.comparison.b.text == "True"
    assert [row.row.comparison.prompt.text for row in panda[:2]] == ["Shorten 0", "Shorten 1\n\nA long text."]
    alpaca = rows_of(published.write_list(tmp_path / "cross.json", published.ALPACA_EVAL), "alpaca-eval")
    assert [row.row.human and row.row.human.ratings for row in alpaca] == [("a", "a", "b", "b"), ("a", "a", "b", "a")]
    assert alpaca[0].row.human is not None
    assert alpaca[0].row.human.raters == ("3", "5", "8", "9")


def test_transcripts_and_rated_preferences(tmp_path: Path) -> None:
    path = published.write_lines(tmp_path / "harmless-base" / "test.jsonl.gz", published.HH_RLHF)
    [first, _] = rows_of(path, "hh-rlhf")
    assert [message.role for message in first.row.comparison.prompt.conversation] == ["user", "assistant", "user"]
    assert (right(first), first.part.subset) == ("Because.", "harmless-base")
    steered = rows_of(published.write_lines(tmp_path / "hs3.jsonl", published.HELPSTEER), "helpsteer")
    assert [right(row) for row in steered] == ["First 0", "", "Second 2"]
    assert {row.part.subset for row in steered} == {"code"}
    rated = rows_of(published.write_lines(tmp_path / "hs2.jsonl", published.HELPSTEER2), "helpsteer")
    assert [right(row) for row in rated] == ["Response 0 4", "Response 1 4"]
    ultra = rows_of(published.write_lines(tmp_path / "uf.jsonl", published.ULTRAFEEDBACK), "ultrafeedback")
    assert [right(row) for row in ultra[:3]] == ["Told 0 1", "Told 0 2", ""]
    binary = published.write_lines(tmp_path / "uf2.jsonl", published.ULTRAFEEDBACK_BINARIZED)
    assert [right(row) for row in rows_of(binary, "ultrafeedback")] == ["Told."]


@pytest.mark.parametrize(
    ("name", "row", "says"),
    [
        ("rewardbench", {"id": 1, "prompt": "x", "chosen": "y", "rejected": "z"}, 'no "subset"'),
        ("rewardbench2", published.REWARDBENCH2[0] | {"num_correct": 2}, "num_correct: 2"),
        ("rewardbench2", published.REWARDBENCH2[0] | {"rejected": "one"}, "rejected: expected a list"),
        ("judgebench", published.JUDGEBENCH[0] | {"label": "A=B"}, "label: expected one of"),
        ("rm-bench", published.RM_BENCH[0] | {"chosen": ["a", "b"]}, "chosen: expected a list of 3"),
        ("mt-bench", published.MT_BENCH[0] | {"judge": ["gpt-4", "pair-v2"]}, "judge: expected a text"),
        ("mt-bench", published.MT_BENCH[0] | {"turn": 3}, "turn: expected 1 or 2"),
        ("pandalm", published.PANDALM[1] | {"annotator2": 7}, "annotator2: expected one of"),
        ("helpsteer", {"prompt": "x", "response": "y"}, "overall_preference"),
        ("ultrafeedback", {"instruction": "x", "completions": [{"response": "y"}]}, "overall_score"),
    ],
)
def test_a_row_of_another_shape_says_what_was_expected(
    name: BenchmarkName, row: published.Row, says: str, tmp_path: Path
) -> None:
    path = published.write_lines(tmp_path / "rows.jsonl", [row])
    [found] = benchmark_rows(path, name)
    assert isinstance(found, Malformed)
    assert says in found.reason
    with pytest.raises(UsageError, match=r"rows\.jsonl:1"):
        read_benchmark(path, name)


def test_an_item_with_one_bad_comparison_is_left_out_whole(tmp_path: Path) -> None:
    bad = published.REWARDBENCH2[0] | {"prompt": " "}
    path = published.write_lines(tmp_path / "rows.jsonl", [bad, published.REWARDBENCH2[1]])
    first, *rest = benchmark_rows(path, "rewardbench2")
    assert isinstance(first, Malformed)
    assert [row.row.number for row in rest if isinstance(row, BenchmarkRow)] == [1, 2, 3]


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "object.json").write_text('{"a": 1}')
    (tmp_path / "broken.json").write_text("[1,")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 50)[:-9])
    (tmp_path / "table.csv").write_text("a,b")
    (tmp_path / "mixed.jsonl").write_text('{"a": 1}\nnonsense\n[1]\n')
    (tmp_path / "deep.jsonl").write_text('{"a": ' + "[" * 150 + "]" * 150 + "}\n")
    for name in ("empty", "object.json", "broken.json", "cut.jsonl.gz", "table.csv", "missing.jsonl"):
        with pytest.raises(UsageError, match=name.replace(".", r"\.")):
            list(read_published(tmp_path / name))
    with pytest.raises(UsageError, match="local files"):
        list(read_published(Path("hf:allenai/reward-bench")))
    mixed = [row for _, _, row in read_published(tmp_path / "mixed.jsonl")]
    assert [isinstance(row, Malformed) for row in mixed] == [False, True, True]
    [(_, _, deep)] = read_published(tmp_path / "deep.jsonl")
    assert isinstance(deep, Malformed)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rewardbench"):
        read_benchmark(tmp_path / "rows.jsonl", "rewardbanch")  # pyright: ignore[reportArgumentType]
