"""A judge and the tasks that it is given to hold the weights of a local model in memory once."""

import gc
from pathlib import Path
from typing import Any

from transformers import LlamaForCausalLM

import preceptor as pc
from conftest import make_model
from preceptor.backends.resolve import open_model
from preceptor.core.progress import Silence

ROWS = [{"prompt": f"q{i}", "response_a": "x", "response_b": "yes", "label": "a"} for i in range(3)]


def saved(folder: Path, seed: int = 0, window: int = 4096) -> Path:
    tiny = make_model(seed, window=window)
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    return folder


def opened(name: Path) -> Any:
    return open_model(str(name))


def copies_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, LlamaForCausalLM) for each in gc.get_objects())


class CountingModels(Silence):
    """Counts the models in memory whenever work advances."""

    def __init__(self) -> None:
        self.counted = set[int]()

    def advance(self, done: int, total: int, facts: str = "") -> None:
        self.counted.add(copies_in_memory())


def test_a_model_that_is_open_is_shared_until_nobody_uses_it(tiny_folder: Path) -> None:
    before = copies_in_memory()
    first, second = opened(tiny_folder), opened(tiny_folder)
    assert first.model is second.model
    assert copies_in_memory() == before + 1
    del first, second
    assert copies_in_memory() == before


def test_changed_files_are_another_model(tmp_path: Path) -> None:
    first = opened(saved(tmp_path, seed=0))
    second = opened(saved(tmp_path, seed=1))
    assert first.model is not second.model
    assert first.identity != second.identity


def test_tasks_share_the_model_of_a_judge_and_give_the_same_labels(tmp_path: Path) -> None:
    name = str(saved(tmp_path))
    alone = [row.p_chosen for row in pc.label(ROWS, judges=name)]
    before, judge, progress = copies_in_memory(), pc.Judge(name), CountingModels()
    judge.compare("q", "x", "yes")
    labels = pc.label(ROWS, judges=[judge], progress=progress)
    pc.audit(ROWS, judges=[judge], progress=progress)
    pc.evaluate(one=["x"], two=["yes"], prompts=["q"], judge=judge, progress=progress)
    assert progress.counted == {before + 1}
    assert [row.p_chosen for row in labels] == alone
    assert labels.calls_in_this_process == 6  # the judge's own ledger is another
