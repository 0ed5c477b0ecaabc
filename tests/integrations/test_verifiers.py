"""verifiers runs an evaluation of its own with a judge of preceptor plugged in; the policy is a model server of the
tests.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from backends.fault_server import FaultServer, Script
from preceptor import Judge, Score

MISSING = "verifiers 0.4 is not installed"
vf: Any = pytest.importorskip("verifiers.v1", reason=MISSING)
eval_runner: Any = pytest.importorskip("verifiers.v1.cli.eval.runner", reason=MISSING)
eval_config: Any = pytest.importorskip("verifiers.v1.configs.cli.eval", reason=MISSING)

INSECTS = '''
"""A taskset of two prompts, and a harness that asks the model once without leaving the process."""

import verifiers.v1 as vf
from openai import AsyncOpenAI
from verifiers.v1.runtimes import ProgramResult

from preceptor.integrations.verifiers import PreceptorJudge, PreceptorJudgeConfig


class InsectTask(vf.Task[vf.TaskData]):
    @vf.reward(weight=0.5)
    async def warm(self, trace) -> float:
        judge = PreceptorJudge(PreceptorJudgeConfig(model="scripted:random", constitution="warm_tone"))
        return await judge.score(self.data, trace)


class Insects(vf.Taskset[InsectTask, vf.TasksetConfig]):
    def load(self):
        for text in ("Say ant", "Say bee"):
            yield InsectTask(vf.TaskData(prompt=text), self.config.task)


class AskOnce(vf.Harness[vf.HarnessConfig]):
    EXECUTES_CODE = NEEDS_CONTAINER = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url=None):
        async with AsyncOpenAI(base_url=endpoint, api_key=secret) as client:
            asked = [{"role": "user", "content": data.prompt}]
            await client.chat.completions.create(model=ctx.model, messages=asked, max_tokens=2)
        return ProgramResult(0, "", "")


__all__ = ["AskOnce", "Insects"]
'''


@pytest.fixture
def taskset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    monkeypatch.setenv("KEY_OF_THE_POLICY", "any")
    (tmp_path / "insects.py").write_text(INSECTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("insects", None)


class Policy(BaseHTTPRequestHandler):
    """A model that answers every question with the same words."""

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "an insect"}}
        usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice]}
        body = json.dumps(answer | {"usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def policy() -> Generator[str]:
    """The address of a model server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Policy) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def evaluate(folder: Path, **judge: Any) -> list[Any]:
    """The traces of an evaluation with a plugged judge, one for each prompt."""
    with policy() as url:
        settings = eval_config.EvalConfig.model_validate(
            {
                "env": {
                    "taskset": {"id": "insects", "task": {"judges": [{"id": "preceptor-judge"} | judge]}},
                    "agent": {"runtime": {"type": "subprocess"}},
                },
                "model": "tiny",
                "client": {"base_url": url, "api_key_var": "KEY_OF_THE_POLICY"},
                "output_dir": folder,
                "push": False,
                "rich": None,
            }
        )
        return [episode.traces[0] for episode in asyncio.run(eval_runner.run_eval(settings))]


def test_an_evaluation_of_verifiers_scores_with_the_judge(taskset: None, tmp_path: Path) -> None:
    first, second = evaluate(tmp_path, model="scripted:random", arguments={"variant": "base"}, weight=2.0)
    assert first.last_reply == "an insect"
    helpful, warm = Judge("scripted:random", variant="base"), Judge("scripted:random", constitution="warm_tone")
    expected, tone = helpful.score("Say ant", "an insect"), warm.score("Say ant", "an insect")
    assert isinstance(expected, Score)
    assert isinstance(tone, Score)
    assert first.rewards["preceptor-judge"].score == pytest.approx((expected.rescaled + 1) / 2)
    assert first.reward == pytest.approx(2 * (expected.rescaled + 1) / 2 + 0.5 * (tone.rescaled + 1) / 2)
    assert second.rewards["preceptor-judge"].score != first.rewards["preceptor-judge"].score
    assert sorted(call["name"] for call in first.info["judge_calls"]) == ["preceptor-judge"] * 2
    assert sum(usage.prompt_tokens for usage in first.extra_usage) > 0


def test_the_whole_trace_can_be_judged(taskset: None, tmp_path: Path) -> None:
    whole, _ = evaluate(tmp_path, model="scripted:random", view="full_trace")
    [recorded] = [call for call in whole.info["judge_calls"] if isinstance(call["request"]["response"], list)]
    assert recorded["request"]["response"] == [{"role": "assistant", "content": "an insect"}]
    assert recorded["request"]["messages"] == [{"role": "user", "content": "Say ant"}]


def test_a_failure_is_an_error_of_the_trace_and_no_reward(taskset: None, tmp_path: Path) -> None:
    with FaultServer(Script(most_listed=0, votes=("7",), faults={"Say bee": ["400"] * 40})) as server:
        ant, bee = evaluate(tmp_path, model=f"openai:tiny@{server.url}", name="help")
    assert ant.rewards["help"].score == pytest.approx(6 / 9)  # every vote is a 7 of 10
    assert bee.rewards["help"] is None
    assert "refused" in bee.errors[0].message
    assert any("refused" in call["response"]["message"]["content"] for call in bee.info["judge_calls"])


def test_settings_without_effect_are_refused() -> None:
    config = vf.judge_config_type("preceptor-judge")
    with pytest.raises(ValueError, match="constitution"):
        config(sampling={"temperature": 0.5})
