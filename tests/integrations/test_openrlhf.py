"""OpenRLHF's own client of remote rewards asks a service in another process.

OpenRLHF needs CUDA to install; `pip install --no-deps openrlhf` is enough here, since the file of its client needs only
aiohttp and a logger.
"""

import asyncio
import importlib.util
import logging
import sys
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import preceptor as pc
from conftest import make_tokenizer
from serve_small import service_process

TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    folder = tmp_path_factory.mktemp("service")
    with service_process(folder, "warm=scripted:random:warm_tone", "ten=scripted:random", token=TOKEN) as address:
        yield address.replace("http://", f"http://any:{TOKEN}@") + "/v1/openrlhf"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    """OpenRLHF's openrlhf/utils/agent.py."""
    found = importlib.util.find_spec("openrlhf")
    if found is None or not found.submodule_search_locations:
        pytest.skip("openrlhf is not installed")
    file = Path(found.submodule_search_locations[0]) / "utils" / "agent.py"
    monkeypatch.setitem(sys.modules, "openrlhf.utils.logging_utils", SimpleNamespace(init_logger=logging.getLogger))
    spec = importlib.util.spec_from_file_location("openrlhf_agent", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rollout(client: Any, url: str, response: str) -> dict[str, Any]:
    """What OpenRLHF makes of one rollout; the engine says the response."""
    tokenizer: Any = make_tokenizer()
    conversation = [{"role": "user", "content": "Say ant"}]
    prompt = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    said = SimpleNamespace(token_ids=tokenizer(f"{response}<|im_end|>")["input_ids"], finish_reason="stop")

    class Engine:
        async def generate(self, *_: Any, **__: Any) -> Any:
            return SimpleNamespace(outputs=[said])

    sampling = SimpleNamespace(max_tokens=64, logprobs=None)
    executor = client.SingleTurnAgentExecutor(url)
    return asyncio.run(executor.execute(prompt, "no label", sampling, 256, tokenizer, Engine()))


@pytest.mark.parametrize(("name", "constitution"), [("warm", "warm_tone"), ("ten", "helpful")])
def test_its_rollouts_get_the_judges_rewards(client: Any, url: str, name: str, constitution: str) -> None:
    [expected] = pc.Judge("scripted:random", constitution=constitution).reward(["Say ant"], ["an ant"])
    output = rollout(client, f"{url}/{name}", "an ant")
    assert output["reward"] == [pytest.approx(expected)]
    assert output["scores"] == output["reward"]
    assert output["extra_logs"] == {}
