"""Labelling with Verdict, a library of LLM judges, on the same server: probabilities of the answer's first token.

Imports nothing from preceptor, since it runs in its own environment.
"""

# pyright: reportMissingImports=false

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import peak_mib, serve
from benchmarks.workers.label_server import Server

Facts = dict[str, Any]


def prepare(settings: dict[str, Any]) -> Callable[[], Facts]:
    """Reads the prompts and builds the judge: a unit that answers with one token, weighted over its alternatives."""
    os.chdir(Path(settings["prompts"]).parent)  # it writes logs into the folder that it is imported in
    from verdict import Pipeline
    from verdict.common.judge import JudgeUnit
    from verdict.extractor import WeightedSummedScoreExtractor
    from verdict.model import vLLMModel
    from verdict.scale import DiscreteScale
    from verdict.schema import Schema
    from verdict.util import ratelimit

    ratelimit.disable()
    server = Server.of(settings["server"])
    assert server is not None
    prompts = [Schema.of(text=text) for text in json.loads(Path(settings["prompts"]).read_text())]
    model = vLLMModel(settings["name"], api_base=f"{server.url}/v1", api_key="none")
    scale = DiscreteScale((1, settings["highest"]))

    def work() -> Facts:
        server.begin()
        begun = time.process_time() + server.cpu_seconds()
        unit = JudgeUnit(scale).prompt("{source.text}").extract(WeightedSummedScoreExtractor())
        judge = Pipeline() >> unit.via(model, temperature=0.0, max_tokens=1)
        table, columns = judge.run_from_list(prompts, max_workers=settings["concurrency"])
        scores = [float(score) for score in table[columns[0]]]
        if len(scores) < len(prompts):
            raise RuntimeError(f"{len(prompts) - len(scores)} of {len(prompts)} prompts have no score")
        return {
            "units": settings["units"],
            "tokens": None,
            "cpu_seconds": time.process_time() + server.cpu_seconds() - begun,
            "peak_mib": peak_mib() + server.peak_mib(),
            "mean_score": sum(scores) / len(scores),
        }

    return work


if __name__ == "__main__":
    serve(prepare)
