"""Labelling as `preceptor label` does it, with a model in this process or on a server."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import peak_mib, serve
from benchmarks.workers.label_server import Server
from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.openai.model import OpenAIModel
from preceptor.backends.resolve import open_model
from preceptor.core.progress import Silence
from preceptor.judging.label import label_rows
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.store.comparisons import read_comparisons
from preceptor.store.ledger import Ledger
from preceptor.store.outcomes import Outcomes
from preceptor.store.preferences import write_parquet

MAX_FAILURE_RATE = 0.1
"""The default of `preceptor label`."""

Facts = dict[str, Any]


def prepare(settings: dict[str, Any]) -> Callable[[], Facts]:
    """Loads the weights, or asks the server for its abilities. Everything else is measured: reading the data,
    rendering, tokenising, the ledger, the rows of labels.
    """
    server = Server.of(settings.get("server"))
    opened, tokens_computed = _served(settings) if server else _local(settings["model"])
    data, spec = Path(settings["data"]), JudgeSpec(model=settings["model"], variant=settings["variant"])

    def work() -> Facts:
        if server:
            server.begin()
        begun = time.process_time() + (server.cpu_seconds() if server else 0.0)
        before, model = tokens_computed(), opened()
        with tempfile.TemporaryDirectory(prefix="labels-") as folder:
            outcomes = Outcomes(Path(folder))
            with Ledger(Path(folder) / "ledger.sqlite") as ledger:
                judge = make_judge(spec, model, ledger)
                label_rows(
                    iter(read_comparisons(data)),
                    judge,
                    outcomes,
                    total=settings["units"],
                    at_once=4 * model.concurrency,
                    max_failure_rate=MAX_FAILURE_RATE,
                    progress=Silence(),
                )
                totals = ledger.totals()
            write_parquet(outcomes.preferences, Path(folder) / "preferences.parquet")
            facts = {"p_a": _p_a(outcomes), "failures": sum(1 for _ in outcomes.failure_rows())}
        return {
            **facts,
            "units": settings["units"],
            "tokens": totals.prompt_tokens if server else tokens_computed() - before,
            "prompt_tokens": totals.prompt_tokens,
            "cpu_seconds": time.process_time() + (server.cpu_seconds() if server else 0.0) - begun,
            "peak_mib": peak_mib() + (server.peak_mib() if server else 0.0),
        }

    return work


def _local(name: str) -> tuple[Callable[[], LanguageModel], Callable[[], int]]:
    """Functions that open the model again without reloading it, and that count computed tokens with padding."""
    import torch

    from preceptor.backends.transformers.loading import load
    from preceptor.backends.transformers.model import LocalModel

    loaded, computed = load(name), 0

    def count(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal computed
        computed += inputs[0].numel()

    loaded.model.get_input_embeddings().register_forward_pre_hook(count)
    return lambda: LocalModel(loaded), lambda: computed


def _served(settings: dict[str, Any]) -> tuple[Callable[[], LanguageModel], Callable[[], int]]:
    model = open_model(settings["model"], Connection(concurrency=settings["concurrency"]))
    assert isinstance(model, OpenAIModel)
    model.preflight()
    return lambda: model, lambda: 0


def _p_a(outcomes: Outcomes) -> dict[str, float]:
    """The probability that a is better, by comparison: the mean over both orders."""
    shown = {row.id: [verdict.p_a for verdict in row.verdicts] for row in outcomes.preference_rows()}
    return {name: sum(shares) / len(shares) for name, shares in shown.items()}


if __name__ == "__main__":
    serve(prepare)
