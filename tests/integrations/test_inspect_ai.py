"""inspect_ai's own evaluation scores with a judge of preceptor, and its logs become comparisons and responses."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import preceptor as pc
from backends.fault_server import FaultServer, Script

MISSING = "inspect_ai is not installed"
inspect_ai: Any = pytest.importorskip("inspect_ai", reason=MISSING)
dataset: Any = pytest.importorskip("inspect_ai.dataset", reason=MISSING)
models: Any = pytest.importorskip("inspect_ai.model", reason=MISSING)
adapter: Any = pytest.importorskip("preceptor.integrations.inspect_ai", reason=MISSING)
logs: Any = pytest.importorskip("preceptor.integrations.inspect_logs", reason=MISSING)

CONVERSATION = [("system", "You like insects."), ("user", "Say bee")]
EXPECTED = [{"role": role, "content": text} for role, text in CONVERSATION]


def samples() -> list[Any]:
    kinds = {"system": models.ChatMessageSystem, "user": models.ChatMessageUser}
    conversation = [kinds[role](content=text) for role, text in CONVERSATION]
    return [dataset.Sample("Say ant", target="ant", id="ant"), dataset.Sample(conversation, id="bee")]


def evaluate(folder: Path, *outputs: Any, scorer: Any = None, kind: str = "eval", **more: Any) -> Any:
    """The log of an evaluation in which the model says the outputs."""
    said = [models.ModelOutput.from_content("mock", text) if isinstance(text, str) else text for text in outputs]
    for output in said:
        output.usage = models.ModelUsage()  # otherwise a tokenizer is fetched to count tokens
    task = inspect_ai.Task(samples(), scorer=scorer, **more)
    model = models.get_model("mockllm/model", custom_outputs=said, memoize=False)
    settings = {"log_dir": str(folder), "log_format": kind, "display": "none", "max_samples": 1}
    [log] = inspect_ai.eval(task, model, **settings, fail_on_error=False)
    return log


def scores(log: Any) -> list[Any]:
    return [next(iter(sample.scores.values())) for sample in log.samples]


def test_samples_are_scored_from_0_to_1(tmp_path: Path) -> None:
    scorer = adapter.preceptor_judge("scripted:random", constitution="warm_tone", variant="base")
    log = evaluate(tmp_path, "an ant", "a bee", scorer=scorer)
    judge = pc.Judge("scripted:random", constitution="warm_tone", variant="base")
    expected = [judge.score("Say ant", "an ant"), judge.score(EXPECTED, "a bee")]
    rescaled = [(score.rescaled + 1) / 2 for score in expected if isinstance(score, pc.Score)]
    assert [score.value for score in scores(log)] == pytest.approx(rescaled)
    assert log.results.scores[0].metrics["mean"].value == pytest.approx(sum(rescaled) / 2)
    assert scores(log)[0].metadata["scale"] == [-1.0, 1.0]


def test_a_failure_is_unscored_and_not_0(tmp_path: Path) -> None:
    with FaultServer(Script(most_listed=0, votes=("7",), faults={"a bee": ["400"] * 40})) as server:
        log = evaluate(tmp_path, "an ant", "a bee", scorer=adapter.preceptor_judge(f"openai:tiny@{server.url}"))
    ant, bee = scores(log)
    assert ant.value == pytest.approx(6 / 9)  # every vote is a 7 of 10
    assert bee.reason == "grader_failed"
    assert "refused" in bee.explanation
    assert log.results.scores[0].unscored_samples == 1
    assert log.results.scores[0].metrics["mean"].value == pytest.approx(6 / 9)


def test_tools_are_judged_with_the_whole_trace(tmp_path: Path) -> None:
    solver, tool = pytest.importorskip("inspect_ai.solver"), pytest.importorskip("inspect_ai.tool")

    @tool.tool
    def count() -> Any:
        async def execute(what: str) -> str:
            """Counts.

            Args:
                what: the insects.
            """
            return "6"

        return execute

    calls = [models.ModelOutput.for_tool_call("mock", "count", {"what": "legs"}) for _ in range(2)]
    log = evaluate(
        tmp_path, calls[0], "six", calls[1], "six too", solver=[solver.use_tools(count()), solver.generate()]
    )
    trajectory = logs.responses(log.location, whole=True)[0]["response"]
    assert [message["role"] for message in trajectory] == ["assistant", "tool", "assistant"]
    called = trajectory[0]["tool_calls"][0]
    assert (called["function"]["name"], json.loads(called["function"]["arguments"])) == ("count", {"what": "legs"})
    assert (trajectory[1]["content"], trajectory[1]["tool_call_id"]) == ("6", called["id"])
    judge = pc.Judge("scripted:random", constitution="warm_tone")
    assert isinstance(judge.score("Say ant", trajectory), pc.Score)


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_two_logs_become_comparisons(tmp_path: Path, kind: str) -> None:
    first = evaluate(tmp_path / "a", "an ant", "a bee", kind=kind).location
    second = evaluate(tmp_path / "b", "ANT", "BEE", kind=kind).location
    ant, bee = logs.comparisons(first, second)
    assert (ant["prompt"], ant["response_a"], ant["response_b"]) == ("Say ant", "an ant", "ANT")
    assert (ant["reference"], bee["prompt"], bee["policy_a"]) == ("ant", EXPECTED, "mockllm/model")
    labels = pc.label([ant, bee], judges=[pc.Judge("scripted:random")], out=tmp_path / "labels")
    assert len(labels.to_pandas()) == 2
    judge = pc.Judge("scripted:random", constitution="warm_tone")
    policies = {"first": logs.responses(first), "second": logs.responses(second)}
    assert pc.evaluate(policies, judge=judge, out=tmp_path / "evaluation").prompts == 2


def test_samples_without_an_output_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = evaluate(tmp_path / "a", "an ant", "a bee").location, evaluate(tmp_path / "b", "ANT").location
    with caplog.at_level(logging.WARNING, "preceptor.integrations"):
        assert len(logs.comparisons(first, second)) == 1  # the model had nothing left to say to the other sample
    assert "1 samples" in caplog.text
    with pytest.raises(pc.UsageError, match="1 of 2"):
        logs.responses(second)


def test_the_example_is_a_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "examples")
    example: Any = pytest.importorskip("inspect_task")
    said = [models.ModelOutput.from_content("mock", "You are wonderful.") for _ in range(2)]
    for output in said:
        output.usage = models.ModelUsage()
    model = models.get_model("mockllm/model", custom_outputs=said, memoize=False)
    [log] = inspect_ai.eval(example.kindness(), model, log_dir=str(tmp_path), display="none")
    assert log.results.scores[0].metrics["mean"].value > 0.5
