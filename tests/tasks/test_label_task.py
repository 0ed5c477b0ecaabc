"""`preceptor label` from a file to a dataset, on scripted judges and on a server that misbehaves."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import preceptor as pc
from backends.fault_server import TABLE, FaultServer, Script
from labelling import Job, labelled, planned
from preceptor.backends.connection import Connection
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.judging.specs import JudgeSpec
from preceptor.results.label import LabelResult
from preceptor.tasks.candidates import Sampling
from small import Told

ROWS = [{"prompt": f"question {i}", "response_a": f"answer {i}", "response_b": f"other {i} yes"} for i in range(70)]
RANDOM = (JudgeSpec(model="scripted:random"),)


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return {"rows": write(tmp_path / "rows.jsonl", ROWS), "out": tmp_path / "out", "judges": RANDOM}


def test_every_row_becomes_a_preference_in_its_place(job: Job) -> None:
    labels = labelled(job)
    rows = read(job["out"] / "preferences.jsonl")
    assert [row["row"] for row in rows] == list(range(70))
    assert labels.counts.preferences == 70
    assert labels.ledger.calls == 140
    for row in rows:
        by_order = {verdict["order"]: verdict["p_a"] for verdict in row["verdicts"]}
        p_a = (by_order["ab"] + by_order["ba"]) / 2
        assert row["p_chosen"] == pytest.approx(max(p_a, 1 - p_a))
        assert row["chosen_is"] == ("a" if p_a >= 0.5 else "b")
    assert (job["out"] / "preferences.parquet").exists()
    assert "hash `" in (job["out"] / "README.md").read_text()


def test_a_second_call_asks_nothing_and_a_larger_limit_asks_the_rest(job: Job) -> None:
    assert labelled(job, limit=30).calls_in_this_process == 60
    assert labelled(job).calls_in_this_process == 80
    assert labelled(job).calls_in_this_process == 0
    assert [row["row"] for row in read(job["out"] / "preferences.jsonl")] == list(range(70))


def test_a_folder_keeps_to_what_it_was_begun_with(job: Job) -> None:
    labelled(job, limit=3)
    log = (job["out"] / "log.txt").read_text()
    with pytest.raises(UsageError, match="made with other judges"):
        labelled(job, judges="scripted:first")
    write(job["rows"], ROWS[:5])
    with pytest.raises(UsageError, match="made with other data"):
        labelled(job)
    assert (job["out"] / "log.txt").read_text() == log


def test_malformed_rows_are_reported_with_their_line(tmp_path: Path, job: Job) -> None:
    data = write(tmp_path / "mixed.jsonl", [ROWS[0], "{broken", {"prompt": "q"}, ROWS[1]])
    labels = labelled(job, rows=data)
    assert labels.counts.preferences == 2
    assert labels.counts.malformed == 2
    assert [row["place"] for row in read(job["out"] / "failures.jsonl")] == [f"{data}:2", f"{data}:3"]
    with pytest.raises(UsageError, match=r"mixed\.jsonl:2: .*2 unusable"):
        labelled(job, rows=data, strict=True, out=tmp_path / "strict")
    with pytest.raises(UsageError, match="there are no rows"):
        labelled(job, rows=write(tmp_path / "empty.jsonl", []), out=tmp_path / "empty")


def test_a_dry_run_counts_what_the_run_then_asks(tmp_path: Path, job: Job) -> None:
    counted = planned(job)
    assert counted.calls == labelled(job).ledger.calls
    assert counted.prompt_tokens > 70 * 20
    judges = (JudgeSpec(model="scripted:random", variant="cot"),)
    reasoned = planned(job, judges=judges)
    assert reasoned.calls == 2 * counted.calls
    assert reasoned.completion_tokens == 140 * 161


def test_a_dry_run_with_a_served_judge_needs_no_server(job: Job) -> None:
    with FaultServer(Script(table=JUDGE)) as server:
        there = served(job, server)
        counted = planned(there)
        assert server.asked == []
        assert counted.calls == labelled(there).ledger.calls
    assert planned(there) == counted  # the server is gone
    assert "no server was contacted" in str(counted.assumed)
    by_tables = planned({**job, "judges": [JudgeSpec(model="litellm:anthropic/claude-haiku-4-5")]})
    assert "LiteLLM's tables" in str(by_tables.assumed)
    assert "no server was contacted" not in str(by_tables.assumed)
    assert planned(job).assumed is None
    hosted = planned(job, judges="openai:gpt-4o-mini")
    assert hosted.calls == counted.calls
    assert hosted.cost_usd is not None
    assert hosted.cost_usd > 0.0


def test_candidates_of_a_policy_are_sampled_and_compared(tmp_path: Path, job: Job) -> None:
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": f"What is {i}?"} for i in range(5)])
    sampling = Sampling(policy="scripted:random", samples=3, design="circular", max_new_tokens=12)
    sampled = job | {"rows": prompts, "sampling": sampling}
    assert planned(sampled).rows == 15
    labels = labelled(sampled)
    assert labels.counts.preferences == 15
    assert {row["cohort"] for row in read(job["out"] / "preferences.jsonl")} == {"all"}


def test_prompts_that_share_an_id_are_noted(tmp_path: Path, job: Job) -> None:
    rows = [{"id": "x" if i < 2 else str(i), "prompt": f"What is {i}?"} for i in range(4)]
    prompts = write(tmp_path / "prompts.jsonl", rows)
    sampled = job | {"rows": prompts, "sampling": Sampling(policy="scripted:random", samples=3, max_new_tokens=12)}
    told = Told()
    assert labelled(sampled, progress=told).counts.preferences == 12
    [note] = [note for note in told.notes if "one id" in note]
    assert '"x"' in note
    write(prompts, rows[1:])
    told = Told()
    labelled(sampled, out=tmp_path / "other", progress=told)
    assert not [note for note in told.notes if "one id" in note]


def test_an_ensemble_keeps_its_judges_apart(job: Job) -> None:
    labelled(job, limit=4, judges=["scripted:random", "scripted:first"])
    rows = read(job["out"] / "preferences.jsonl")
    assert all(len(row["verdicts"]) == 4 for row in rows)
    assert rows[0]["judge"] == "scripted:random + scripted:first"
    # The second judge contradicts itself after the swap: 0.5. So the ensemble is half as sure as the first.
    alone = [(v[0]["p_a"] + v[1]["p_a"]) / 2 for v in (row["verdicts"] for row in rows)]
    assert [row["p_chosen"] - 0.5 for row in rows] == pytest.approx([abs(p - 0.5) / 2 for p in alone])


# Kills its own process at the n-th append of outcomes, or at the n-th answer before it is on record.
DRIVER = """
import os, signal, sys
kind, count = sys.argv[1], int(sys.argv[2])
left = [count]
def die(*_):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
if kind == "append":
    real = os.fsync
    os.fsync = lambda handle: (die(), real(handle))
if kind == "judge":
    import preceptor.backends.scripted as scripted
    script = scripted.SCRIPTS["random"]
    scripted.SCRIPTS["random"] = lambda request: (die(), script(request))[1]
from preceptor.cli.app import main
sys.argv = ["preceptor", *sys.argv[3:]]
main()
"""


def drive(kind: str, count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, kind, str(count), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))


def test_killed_and_given_again_equals_uninterrupted(tmp_path: Path) -> None:
    plain = [{**row, "prompt": f"question {i}"} for i, row in enumerate(ROWS * 5)]
    rows = [*plain, "{broken", *({"prompt": f"p{i}", "responses": ["x", "y", f"z{i}"]} for i in range(60))]
    data = write(tmp_path / "many.jsonl", rows)
    command = ["label", str(data), "--judge", "scripted:random", "--out"]
    assert drive("never", 0, *command, str(tmp_path / "whole")).returncode == 0
    cut = tmp_path / "cut"
    for kind, count in (("judge", 50), ("append", 6), ("judge", 111), ("append", 3), ("append", 1)):
        killed = drive(kind, count, *command, str(cut))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert drive("never", 0, *command, str(cut)).returncode == 0
    for name in ("preferences.jsonl", "failures.jsonl"):
        assert (cut / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert calls(cut) == calls(tmp_path / "whole")


def calls(folder: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        return connection.execute("SELECT key, outcome FROM calls ORDER BY key").fetchall()


# Through a server: what goes wrong on the way is asked again, reported, and never a number.

JUDGE = {**TABLE, "Preferred response:": {" 1": 0.6, " 2": 0.3, "A": 0.1}}
IMPATIENT = Connection(concurrency=4, retries=2, timeout_s=0.5, first_wait_s=0.001)


def served(job: Job, server: FaultServer, **changes: Any) -> Job:
    judges = (JudgeSpec(model=f"openai:tiny@{server.url}"),)
    return job | {"judges": judges, "connection": IMPATIENT} | changes


def test_faults_on_the_way_lose_nothing(job: Job) -> None:
    faults = {
        "answer 1\\": ["drop", "500"],
        "answer 2\\": ["malformed", "429"],
        "answer 3\\": ["html", "truncated"],
        "answer 4\\": ["stall"],
        "answer 5\\": ["503"],
    }
    with FaultServer(Script(table=JUDGE, faults=faults)) as server:
        labels = labelled(served(job, server, limit=12))
    assert labels.counts.preferences == 12
    assert labels.counts.failures == 0
    assert labels.ledger.calls == 24
    assert labels.ledger.failed_attempts == 0
    assert not any(faults.values())


def test_a_pace_that_adapts_is_in_the_log(job: Job) -> None:
    with FaultServer(Script(table=JUDGE)) as server:
        labelled(served(job, server, limit=12, connection=Connection()))
    assert "requests in flight" in (job["out"] / "log.txt").read_text()


def test_what_does_not_get_through_is_reported_and_can_be_asked_again(job: Job) -> None:
    faults = {"answer 3\\": ["500"] * 6, "answer 7\\": ["400"] * 2}
    with FaultServer(Script(table=JUDGE, faults=faults)) as server:
        changed = served(job, server, limit=25)
        labels = labelled(changed)
        assert labels.counts.failures_by_reason == {"backend_error": 1, "refused": 1}
        failed = read(job["out"] / "failures.jsonl")
        assert [row["row"] for row in failed] == [3, 7]
        kept = [row["row"] for row in read(job["out"] / "preferences.jsonl")]
        assert kept == [i for i in range(25) if i not in (3, 7)]
        again = labelled(changed, retry_failed=True)
    assert again.counts.failures_by_reason == {"refused": 1}  # refused is final, and in the ledger
    assert 1 <= again.calls_in_this_process <= 2
    assert 3 in [row["row"] for row in read(job["out"] / "preferences.jsonl")]


def test_a_server_that_dies_stops_the_run_with_the_reasons(job: Job) -> None:
    with FaultServer(Script(table=JUDGE, dies_after=80)) as server:
        dying = served(job, server)
        with pytest.raises(PreceptorError, match="backend_error"):
            labelled(dying)
        before = read(job["out"] / "preferences.jsonl")
    with sqlite3.connect(job["out"] / "ledger.sqlite") as connection:
        (paid,) = connection.execute("SELECT count(*) FROM calls").fetchone()
    assert paid > 2 * len(before) > 0
    with pytest.raises(PreceptorError, match="no model server answers"):
        labelled(dying)
    assert read(job["out"] / "preferences.jsonl") == before


def test_a_first_start_that_fails_does_not_claim_the_folder(job: Job) -> None:
    with (
        FaultServer(Script(models=({"id": "other"},))) as server,
        pytest.raises(PreceptorError, match='no model "tiny"'),
    ):
        labelled(served(job, server))
    assert labelled(job).counts.preferences == 70


def test_too_many_failures_are_too_many_however_often_the_run_was_begun(job: Job) -> None:
    """One failure in 70 is allowed by the whole, though not by the last chunk alone."""
    rows = [*ROWS[:69], {**ROWS[69], "prompt": "long " * 100}]
    table = Script(table=JUDGE, faults={"long long": ["too_long"] * 4})
    with FaultServer(table) as server:
        changed = served(job, server, limit=64, rows=write(job["rows"], rows), max_failure_rate=0.05)
        labelled(changed)
        assert labelled(changed, limit=None).counts.failures_by_reason == {"prompt_too_long": 1}


def test_a_policy_that_does_not_answer_is_a_failure_and_not_a_malformed_row(tmp_path: Path, job: Job) -> None:
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": f"What is {i}?"} for i in range(30)])
    with FaultServer(Script(votes=("fine",), faults={"What is 3?": ["400"] * 9})) as server:
        sampling = Sampling(policy=f"openai:tiny@{server.url}", samples=2, max_new_tokens=4)
        labels = labelled(job, rows=prompts, sampling=sampling, connection=IMPATIENT)
    assert labels.counts.failures_by_reason == {"refused": 1}
    assert labels.counts.malformed == 0
    [failed] = read(job["out"] / "failures.jsonl")
    assert failed["row"] == 3
    assert failed["detail"].startswith("policy: 400")


def test_the_key_is_in_no_file(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_API_KEY", "sk-very-secret-0123456789")
    with FaultServer(Script(table=JUDGE, key="sk-very-secret-0123456789", faults={"answer 2": ["400"]})) as server:
        labelled(served(job, server, limit=30))
    for file in job["out"].rglob("*.*"):
        assert b"very-secret" not in file.read_bytes()
    with (
        FaultServer(Script(key="another")) as server,
        pytest.raises(PreceptorError, match="PRECEPTOR_API_KEY") as caught,
    ):
        labelled(served(job, server, out=job["out"].with_name("refused")))
    assert "very-secret" not in str(caught.value)


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(job: Job, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text("[tiny]\nprompt = 1000.0\ncompletion = 1000.0\n")
    with FaultServer(Script(table=JUDGE)) as server:
        changed = served(job, server, connection=IMPATIENT.model_copy(update={"prices": prices}))
        with pytest.raises(PreceptorError, match=r"budget of \$1 allows no further call"):
            labelled(changed, budget=1.0)
        with sqlite3.connect(job["out"] / "ledger.sqlite") as connection:
            cost, count = connection.execute("SELECT sum(cost_usd), count(*) FROM calls").fetchone()
        assert cost < 1.0 + cost / count  # this server counts a token for each byte, three times the estimate
        labels = labelled(changed, budget=1e9)
    assert labels.calls_in_this_process == 140 - count
    assert labels.counts.preferences == 70


# ---- The result


def test_the_result_is_what_the_summary_holds(job: Job) -> None:
    labels = labelled(job, limit=6)
    written = json.loads((job["out"] / "summary.json").read_text())
    assert written == labels.model_dump(mode="json")
    again = LabelResult.load(job["out"])
    assert again.model_dump() == labels.model_dump()
    assert again.path == labels.path == job["out"]
    assert [row.row for row in again] == list(range(6))
    assert (again.position_bias, again.warnings) == (labels.counts.position_bias, labels.judge_warnings)
    assert "preferences" in str(labels)
    assert "<table>" in labels._repr_html_()  # pyright: ignore[reportPrivateUsage]


def test_rows_in_memory_are_labelled_as_the_file_would_be(job: Job, tmp_path: Path) -> None:
    rows = [*ROWS[:5], {"prompt": "no responses"}]
    labels = labelled(job, rows=rows)
    file = labelled(job, rows=write(tmp_path / "few.jsonl", rows), out=tmp_path / "file")
    assert (job["out"] / "preferences.jsonl").read_bytes() == (file.path / "preferences.jsonl").read_bytes()
    assert [(row.row, row.place) for row in labels.malformed] == [(5, "row 6 of the rows given")]
    assert labels.failures == ()
    assert labelled(job, rows=iter(rows)).calls_in_this_process == 0
    with pytest.raises(UsageError, match="other rows"):
        labelled(job, rows=rows[:3])
    assert labelled(job, rows=rows).calls_in_this_process == 0


def test_rows_in_memory_that_were_wrong_may_be_corrected(job: Job) -> None:
    with pytest.raises(UsageError, match=r"row 2 of the rows given: .*1 unusable"):
        labelled(job, rows=[ROWS[0], {"prompt": "no responses"}], strict=True)
    assert labelled(job, rows=ROWS[:2], strict=True).counts.preferences == 2


def test_without_a_folder_the_labels_live_as_long_as_the_result(job: Job) -> None:
    labels = labelled(job, out=None, limit=3)
    folder = labels.path
    table: Any = labels.to_pandas()
    data = labels.to_dataset()
    assert (folder / "preferences.jsonl").exists()
    assert list(table["p_chosen"]) == data["p_chosen"][:] == [row.p_chosen for row in labels]
    assert table["chosen"][0] == data[0]["chosen"] == [message.wire() for message in next(iter(labels)).chosen]
    del labels
    assert not folder.exists()


def test_texts_are_prompts_where_a_policy_is_sampled(job: Job) -> None:
    sampling = Sampling(policy="scripted:random", samples=2, max_new_tokens=4)
    asked = ["What is one?", "What is two?"]
    assert planned(job, rows=asked, sampling=sampling).rows == 2
    assert labelled(job, rows=asked, sampling=sampling).counts.preferences == 2
    with pytest.raises(UsageError, match="expected a dict, got str"):
        planned(job, rows=asked)


def test_a_folder_of_another_version_is_refused_in_a_word(job: Job) -> None:
    labelled(job, limit=2)
    summary = json.loads((job["out"] / "summary.json").read_text())
    (job["out"] / "summary.json").write_text(json.dumps({name: summary[name] for name in ("data", "judges")}))
    with pytest.raises(UsageError, match=r"summary\.json: is not a LabelResult that this version"):
        LabelResult.load(job["out"])


def test_a_result_counts_its_preferences_and_may_be_looped_over_at_once() -> None:
    labels = pc.label([*ROWS[:3], {"prompt": "no responses"}], judges="scripted:random")
    assert len(labels) == len(list(labels)) == labels.to_dataset().num_rows == 3
    assert [row.row for row in pc.label(ROWS[:2], judges="scripted:random")] == [0, 1]
