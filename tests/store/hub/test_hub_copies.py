from itertools import islice
from pathlib import Path

import pytest

from hub_server import Hub, json_lines
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.ticks import listening
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.files import content_of
from preceptor.store.prompts import read_prompts
from preceptor.store.rows import read_raw_rows

ROWS = [{"prompt": f"q{i}", "chosen": "x", "rejected": "y"} for i in range(200)]


def _add(hub: Hub, name: str = "rows", **files: bytes) -> str:
    held = {"README.md": b"---\nlicense: mit\n---\n"} | {f"{split}.jsonl": data for split, data in files.items()}
    return hub.add(f"datasets/org/{name}", held)


def _copy(tmp_path: Path) -> Path:
    (copy,) = (tmp_path / "cache").rglob("rows.jsonl")
    return copy


def test_rows_are_read_and_named(hub: Hub) -> None:
    _add(hub, train=json_lines(*ROWS))
    rows = list(read_comparisons(Path("hf:org/rows")))
    assert [row.comparison.prompt.text for row in rows if isinstance(row, ComparisonRow)] == [
        f"q{i}" for i in range(200)
    ]
    assert rows[6].place == "hf:org/rows: row 7"


def test_no_more_is_fetched_than_is_read(hub: Hub, tmp_path: Path) -> None:
    _add(hub, train=json_lines(*ROWS))
    assert len(list(islice(read_raw_rows(Path("hf:org/rows")), 10))) == 10
    assert len(_copy(tmp_path).read_text().splitlines()) == 64
    assert len(read_prompts("hf:org/rows", 70)) == 70
    assert len(_copy(tmp_path).read_text().splitlines()) == 128


def test_what_was_fetched_is_not_fetched_again(hub: Hub) -> None:
    _add(hub, train=json_lines(*ROWS))
    first = list(read_raw_rows(Path("hf:org/rows")))
    before = len(hub.read("train.jsonl"))
    assert list(read_raw_rows(Path("hf:org/rows"))) == first
    assert len(hub.read("train.jsonl")) == before > 0


def test_a_copy_that_a_killed_process_tore_is_mended(hub: Hub, tmp_path: Path) -> None:
    _add(hub, train=json_lines(*ROWS))
    list(islice(read_raw_rows(Path("hf:org/rows")), 10))
    with _copy(tmp_path).open("ab") as copy:
        copy.write(b'{"prompt": "q6')
    prompts = read_prompts("hf:org/rows")
    assert [prompt.text for prompt in prompts] == [f"q{i}" for i in range(200)]


def test_two_readers_at_once_share_the_copy(hub: Hub, tmp_path: Path) -> None:
    _add(hub, train=json_lines(*ROWS))
    one, two = (read_raw_rows(Path("hf:org/rows")) for _ in range(2))
    read = list(zip(one, two, strict=True))
    assert len(read) == 200
    assert all(first == second for first, second in read)
    assert len(_copy(tmp_path).read_text().splitlines()) == 200


def test_the_content_of_a_dataset_is_its_commit(hub: Hub) -> None:
    commit = _add(hub, train=json_lines(*ROWS))
    assert content_of(Path("hf:org/rows:train")) == f"hf:org/rows@{commit}:train"


def test_an_older_commit_is_still_read(hub: Hub) -> None:
    first = _add(hub, train=json_lines(*ROWS))
    hub.repositories["datasets/org/rows"].commit({"train.jsonl": json_lines(*ROWS[:3])})
    assert len(read_prompts("hf:org/rows")) == 3
    assert len(read_prompts(f"hf:org/rows@{first}")) == 200


def test_one_split_needs_no_name_and_several_do(hub: Hub) -> None:
    _add(hub, "one", test=json_lines(*ROWS[:2]))
    _add(hub, "two", validation=json_lines(*ROWS[:2]), test=json_lines(*ROWS[:3]))
    assert len(read_prompts("hf:org/one")) == 2
    assert len(read_prompts("hf:org/two:test")) == 3
    for name in ("hf:org/two", "hf:org/two:train"):
        with pytest.raises(UsageError, match='":validation", ":test"'):
            read_prompts(name)


def test_configurations_are_named(hub: Hub) -> None:
    configs = [
        f"- config_name: {name}\n  data_files: {file}.jsonl\n" for name, file in (("first", "a"), ("second", "b"))
    ]
    card = f"---\nconfigs:\n{''.join(configs)}---\n"
    hub.add(
        "datasets/org/rows",
        {"README.md": card.encode(), "a.jsonl": json_lines(ROWS[0]), "b.jsonl": json_lines(*ROWS[:5])},
    )
    assert len(read_prompts("hf:org/rows/second")) == 5
    for name in ("hf:org/rows", "hf:org/rows/third"):
        with pytest.raises(UsageError, match='"hf:org/rows/first", "hf:org/rows/second"'):
            read_prompts(name)


def test_prompts_that_repeat_and_rows_without_one_are_left_out(hub: Hub) -> None:
    rows = [{"question": "q", "id": 1}, {"question": "q", "id": 2}, {"question": ""}, {"question": "p", "id": 1}]
    _add(hub, train=json_lines(*rows))
    assert [prompt.text for prompt in read_prompts("hf:org/rows")] == ["q", "p"]


def test_a_dataset_without_prompts_says_why(hub: Hub) -> None:
    _add(hub, train=json_lines({"pixels": 3}))
    with pytest.raises(UsageError, match=r"row 1: .*prompt"):
        read_prompts("hf:org/rows")


def test_a_rubric_from_the_hub_runs_no_code_here(hub: Hub) -> None:
    safe, unsafe = [{"criterion": "Is kind."}], [{"criterion": "Is kind.", "check": "own.py:check"}]
    rows = [{"prompt": "safe", "rubric": safe}, {"prompt": "unsafe", "rubric": unsafe}]
    _add(hub, train=json_lines(*rows))
    assert [prompt.text for prompt in read_prompts("hf:org/rows")] == ["safe"]
    _add(hub, "others", train=json_lines(rows[1]))
    with pytest.raises(UsageError, match="function"):
        read_prompts("hf:org/others")


def test_a_gated_dataset_says_how_to_log_in(hub: Hub) -> None:
    _add(hub, train=json_lines(*ROWS))
    hub.repositories["datasets/org/rows"].gated = True
    with pytest.raises(UsageError, match=r"gated.*datasets/org/rows.*HF_TOKEN"):
        read_prompts("hf:org/rows")


def test_a_copy_outlives_the_hub(hub: Hub) -> None:
    name = f"hf:org/rows@{_add(hub, train=json_lines(*ROWS[:70]))}"
    assert len(read_prompts(name, 64)) == 64
    hub.refuses = 400
    assert len(read_prompts(name, 64)) == 64
    with pytest.raises(PreceptorError, match="org/rows"):
        read_prompts(name)


def test_fetching_is_shown(hub: Hub) -> None:
    _add(hub, train=json_lines(*ROWS))
    heard: list[tuple[str, int, int]] = []
    with listening(lambda what, done, total: heard.append((what, done, total))):
        read_prompts("hf:org/rows")
    assert heard[0][:2] == ("fetching hf:org/rows", 0)
    assert heard[-1][1:] == (200, 200)


def test_a_folder_of_the_same_name_is_not_taken_for_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(hub, train=json_lines(*ROWS))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "rows").mkdir(parents=True)
    with pytest.raises(UsageError, match="folder"):
        read_prompts("hf:org/rows")
