"""The served embedded model against the same weights in this process. Opt in with `make test-servers`.

PRECEPTOR_SERVER_PYTHON names the Python of an environment that has vLLM; PRECEPTOR_SERVER_URL one that runs already.
"""

import json
import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from preceptor.backends.base import ChoiceLogProbs, ChooseRequest, CompleteRequest, Completion, in_order
from preceptor.backends.openai.abilities import VLLM_PREFILL, Prefill
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.progress import Silence
from preceptor.core.types import JudgeFailure, Message, Preference
from preceptor.judging.constitution import load_constitution
from preceptor.judging.pairwise import PairwiseJudge
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.ledger import Ledger
from preceptor.tasks.label import label

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "comparisons.jsonl"
PYTHON = os.environ.get("PRECEPTOR_SERVER_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="PRECEPTOR_SERVER_PYTHON is not set (make test-servers)")

TOLERANCE_NATS = 1e-3
"""In fp32; 4e-5 was measured."""
SCALE = tuple(f" {i}" for i in range(1, 11))
WHICH = (
    Message(role="system", content="You compare two answers."),
    Message(role="user", content="Which is the capital of France? Answer 1: Paris. Answer 2: Rome. Say 1 or 2."),
)
REQUESTS = [
    ChooseRequest("Question: which number is greater, 1 or 2?\nAnswer:", (" 1", " 2")),
    ChooseRequest("Four is the sum of two and two. On a scale from 1 to 10 this is worth:", SCALE),
    ChooseRequest(WHICH, (" 1", " 2"), prefill="Preferred answer:"),
    ChooseRequest(WHICH, SCALE, prefill="On a scale from 1 to 10, the first answer is a"),
    ChooseRequest(WHICH, ("1", "2")),
    ChooseRequest(WHICH, (" Paris", " Paris, France", " Rome"), prefill="The capital of France is"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIModel]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert PYTHON
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(ensure_embedded())]
    command += ["--served-model-name", "smol", "--dtype", "float32", "--max-model-len", "2048"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={"VLLM_CPU_KVCACHE_SPACE": "2", **os.environ}
        )
    try:
        _until_healthy(server, f"http://127.0.0.1:{port}/health", log)
        model = open_model(f"openai:smol@http://127.0.0.1:{port}/v1")
        assert isinstance(model, OpenAIModel)
        yield model
        model.close()
    finally:
        server.terminate()
        server.wait(timeout=60)


def _until_healthy(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    for _ in range(600):
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=1.0)
            break  # it has ended
    raise RuntimeError(f"the server did not start:\n{log.read_text()[-3000:]}")


def test_what_the_server_can_do_is_found_out(served: OpenAIModel) -> None:
    abilities = served.preflight()
    assert abilities.chat
    assert abilities.text
    assert (abilities.chat.listed, abilities.text.listed) == (20, 20)
    assert abilities.prefill == Prefill(VLLM_PREFILL, keeps_trailing_space=True, echoes=False)
    assert served.context_window == 2048


def test_choices_are_as_probable_as_in_this_process(served: OpenAIModel) -> None:
    local = LocalModel(load("embedded", torch.float32))
    expected = in_order(local.choose(REQUESTS), len(REQUESTS))
    differences: list[float] = []
    for request, ours, theirs in zip(REQUESTS, expected, in_order(served.choose(REQUESTS), len(REQUESTS)), strict=True):
        assert isinstance(ours, ChoiceLogProbs)
        if isinstance(theirs, JudgeFailure):
            assert max(ours.log_probs) < -4.0, (request, theirs)  # too improbable to be listed
            continue
        differences += [abs(a - b) for a, b in zip(ours.log_probs, theirs.log_probs, strict=True)]
        print(request.choices, ours.log_probs, theirs.log_probs)
    print(f"{len(differences)} choices, greatest difference {max(differences):.2e} nats")
    assert len(differences) >= 24
    assert max(differences) < TOLERANCE_NATS


def test_greedy_completions_are_text(served: OpenAIModel) -> None:
    local = LocalModel(load("embedded", torch.float32))
    requests = [CompleteRequest("The capital of France is", 8), CompleteRequest(WHICH, 8, prefill="I prefer")]
    for ours, theirs in zip(in_order(local.complete(requests), 2), in_order(served.complete(requests), 2), strict=True):
        assert isinstance(ours, Completion)
        assert isinstance(theirs, Completion)
        assert theirs.text == ours.text


def test_a_request_longer_than_the_window_fails_alone(served: OpenAIModel) -> None:
    requests = [ChooseRequest("word " * 3000, (" 1", " 2")), REQUESTS[0]]
    too_long, fine = in_order(served.choose(requests), 2)
    assert isinstance(too_long, JudgeFailure)
    assert too_long.reason == "prompt_too_long"
    assert isinstance(fine, ChoiceLogProbs)


def test_the_same_labels_through_the_server_and_in_this_process(served: OpenAIModel, tmp_path: Path) -> None:
    def labels(model: str) -> list[dict[str, Any]]:
        out = tmp_path / model.partition(":")[0]
        label(EXAMPLES, judges=model, out=out, progress=Silence())
        rows = [json.loads(line) for line in (out / "preferences.jsonl").read_text().splitlines()]
        return [verdict for row in rows for verdict in row["verdicts"]]

    remote = labels(str(served.address))
    assert len(remote) == 48
    rows = [row.comparison for row in read_comparisons(EXAMPLES) if isinstance(row, ComparisonRow)]
    local = LocalModel(load("embedded", torch.float32))
    with Ledger(tmp_path / "fp32.sqlite") as ledger:
        judged = PairwiseJudge(local, load_constitution("helpful"), PairwiseSettings(), ledger).compare(rows)
    exact = [p.p_a for each in judged if isinstance(each, Preference) for p in each.presentations]
    gaps = [abs(verdict["p_a"] - p_a) for verdict, p_a in zip(remote, exact, strict=True)]
    print(f"p_a, served against local: at most {max(gaps):.1e} apart in fp32")
    assert max(gaps) < TOLERANCE_NATS
    rounded = [abs(r["p_a"] - v["p_a"]) for r, v in zip(remote, labels("embedded"), strict=True)]
    print(f"with the local model in its default precision: at most {max(rounded):.1e}")
    assert max(rounded) < 0.1
