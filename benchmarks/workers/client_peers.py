"""Other libraries ask a server that answers at once: the same prompts, one token each, as many calls in flight.

Imports nothing from preceptor, since it runs in each library's own environment.
"""

# pyright: reportMissingImports=false

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import serve

Asked = Callable[[list[str]], int]
"""Asks all prompts; returns how many were answered."""
LISTED = 20
PORTION = 25
"""Prompts for Verdict at a time: with more, its threads interfere with each other, and it gives up."""


def prepare(settings: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Prepares the library `peer` to ask the prompts in a file."""
    os.environ.update({"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": settings["url"], "LITELLM_LOG": "ERROR"})
    os.chdir(tempfile.mkdtemp(prefix="peer-"))  # some write logs and caches into the folder that they run in
    prompts: list[str] = json.loads(Path(settings["prompts"]).read_text())
    ask = LIBRARIES[settings["peer"]](settings)

    def work() -> dict[str, Any]:
        begun = time.process_time()
        answered = ask(prompts)
        if answered != len(prompts):
            raise RuntimeError(f"{answered} of {len(prompts)} prompts were answered")
        return {"units": answered, "cpu_seconds": time.process_time() - begun}

    return work


async def _spread(ask: Callable[[str], Awaitable[bool]], prompts: list[str], concurrency: int) -> int:
    """Asks with so many calls in flight."""
    left = iter(prompts)

    async def some() -> int:
        return sum([await ask(prompt) for prompt in left])

    return sum(await asyncio.gather(*(some() for _ in range(concurrency))))


def litellm(settings: dict[str, Any]) -> Asked:
    """`acompletion`, with the router and callbacks off."""
    import litellm

    async def ask(prompt: str) -> bool:
        answer: Any = await litellm.acompletion(
            model=f"openai/{settings['name']}",
            api_base=settings["url"],
            messages=[{"role": "user", "content": prompt}],
            max_tokens=1,
            temperature=0.0,
            logprobs=True,
            top_logprobs=LISTED,
        )
        return len(answer.choices[0].logprobs.content[0].top_logprobs) == LISTED

    return lambda prompts: asyncio.run(_spread(ask, prompts, settings["concurrency"]))


def inspect(settings: dict[str, Any]) -> Asked:
    """`Model.generate`, without an evaluation and its log around it."""
    from inspect_ai.model import GenerateConfig, get_model

    config = GenerateConfig(
        max_tokens=1, temperature=0.0, logprobs=True, top_logprobs=LISTED, max_connections=settings["concurrency"]
    )

    async def all_of(prompts: list[str]) -> int:
        model = get_model(
            f"openai/{settings['name']}", base_url=settings["url"], config=config, memoize=False, responses_api=False
        )

        async def ask(prompt: str) -> bool:
            answer = await model.generate(prompt)
            listed = answer.choices[0].logprobs
            return listed is not None and len(listed.content[0].top_logprobs or ()) == LISTED

        return await _spread(ask, prompts, settings["concurrency"])

    return lambda prompts: asyncio.run(all_of(prompts))


def verdict(settings: dict[str, Any]) -> Asked:
    """A judge unit that reads the probabilities of its answer's first token."""
    from verdict import Pipeline
    from verdict.common.judge import JudgeUnit
    from verdict.extractor import WeightedSummedScoreExtractor
    from verdict.model import vLLMModel
    from verdict.scale import DiscreteScale
    from verdict.schema import Schema
    from verdict.util import ratelimit

    ratelimit.disable()
    model = vLLMModel(settings["name"], api_base=settings["url"], api_key="none")

    def ask(prompts: list[str]) -> int:
        unit = JudgeUnit(DiscreteScale((1, 2))).prompt("{source.text}").extract(WeightedSummedScoreExtractor())
        judge = Pipeline() >> unit.via(model, temperature=0.0, max_tokens=1)
        answered = 0
        for start in range(0, len(prompts), PORTION):
            asked = [Schema.of(text=prompt) for prompt in prompts[start : start + PORTION]]
            table, columns = judge.run_from_list(asked, max_workers=settings["concurrency"])
            answered += int(table[columns[0]].notna().sum())
        return answered

    return ask


def openjudge(settings: dict[str, Any]) -> Asked:
    """Its chat model, which its graders call; without parsing a grade."""
    from openjudge.models.openai_chat_model import OpenAIChatModel

    options: dict[str, Any] = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": LISTED}

    async def all_of(prompts: list[str]) -> int:
        model = OpenAIChatModel(model=settings["name"], api_key="none", base_url=settings["url"])

        async def ask(prompt: str) -> bool:
            return bool((await model.achat([{"role": "user", "content": prompt}], **options)).content)

        return await _spread(ask, prompts, settings["concurrency"])

    return lambda prompts: asyncio.run(all_of(prompts))


def distilabel(settings: dict[str, Any]) -> Asked:
    """A text generation task in a pipeline, in batches as large as the number of calls in flight."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    def ask(prompts: list[str]) -> int:
        with Pipeline(name="peer") as pipeline:
            load = LoadDataFromDicts(
                data=[{"instruction": prompt} for prompt in prompts], batch_size=settings["concurrency"]
            )
            llm = OpenAILLM(
                model=settings["name"],
                base_url=settings["url"],
                api_key="none",
                generation_kwargs={"max_new_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": LISTED},
            )
            load.connect(TextGeneration(llm=llm, input_batch_size=settings["concurrency"]))
        rows = pipeline.run(use_cache=False)["default"]["train"]
        return sum(row["generation"] is not None for row in rows)

    return ask


LIBRARIES: dict[str, Callable[[dict[str, Any]], Asked]] = {
    "LiteLLM": litellm,
    "inspect_ai": inspect,
    "Verdict": verdict,
    "OpenJudge": openjudge,
    "distilabel": distilabel,
}

if __name__ == "__main__":
    serve(prepare)
