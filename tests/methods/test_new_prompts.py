"""The prompts of later rounds and of a reproduction's runs: none that is held out is trained on."""

from pathlib import Path

from preceptor.core.types import JsonObject
from preceptor.methods.paper.policies.prompts import prompt_row
from preceptor.methods.parts.round_recipes import new_prompts
from preceptor.recipes.rounds import RoundsSettings
from preceptor.runs.inputs import Split
from preceptor.store.files import write_rows
from preceptor.store.prompts import read_prompts, split_held_out

SHARE = 0.3


def in_threes(count: int) -> list[JsonObject]:
    """Prompts of which each three belong together."""
    return [{"id": f"a{i}", "prompt": f"q{i}", "metadata": {"together": f"g{i // 3}"}} for i in range(count)]


def test_a_held_out_text_under_another_id_is_not_new(tmp_path: Path) -> None:
    first, later = tmp_path / "first.jsonl", tmp_path / "later.jsonl"
    write_rows(first, in_threes(90))
    write_rows(later, [{"id": f"b{i}", "prompt": f"q{i}"} for i in range(60, 120)])
    training, held_out = split_held_out(read_prompts(str(first)), SHARE)
    split = Split(training=training, validation=held_out[:9], test=held_out[9:])
    new = new_prompts(
        RoundsSettings(count=2, prompts=str(later)), SHARE, split, {prompt.text for prompt in training[:30]}
    )
    assert {prompt.text for prompt in new} & {f"q{i}" for i in range(90, 120)}
    assert not {prompt.text for prompt in new} & {prompt.text for prompt in held_out}


def test_a_prompt_file_of_a_reproduction_keeps_what_belongs_together(tmp_path: Path) -> None:
    source, copy = tmp_path / "source.jsonl", tmp_path / "copy.jsonl"
    write_rows(source, in_threes(60))
    prompts = read_prompts(str(source))
    write_rows(copy, [prompt_row(prompt) for prompt in prompts])
    assert split_held_out(read_prompts(str(copy)), SHARE)[1] == split_held_out(prompts, SHARE)[1]
