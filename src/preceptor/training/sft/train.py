"""Supervised fine-tuning on demonstrations: takes a model string, writes a folder with a complete new model.

NAME/            the model with tokenizer, chat template, model card and `metrics.jsonl`
NAME.training/   `training.json`, what it was made from, and checkpoints to resume from while it trains
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from preceptor.backends.transformers.loading import LoadedModel, context_window, load
from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.core.markdown import code, fenced
from preceptor.core.types import JsonObject
from preceptor.store.demonstrations import Demonstration
from preceptor.store.files import check_folder, read_json, write_folder, write_json, write_rows, write_text, writing
from preceptor.training.memory import memory_for
from preceptor.training.policy import dtype_of
from preceptor.training.processes import Processes
from preceptor.training.sft.encoding import encode_demonstrations
from preceptor.training.sft.settings import SftSettings
from preceptor.training.thinking_settings import PolicyThinking
from preceptor.training.trl.divided import check_whole
from preceptor.training.tuning import TuningSettings

ABOUT = "training.json"
"""The file that says what a model was made from."""


def train_sft(
    base: str,
    demonstrations: Sequence[Demonstration],
    tuning: TuningSettings,
    settings: SftSettings,
    *,
    folder: Path,
    seed: int,
    on_log: Callable[[dict[str, float]], None],
    on_note: Callable[[str], None],
    passed_on: JsonObject | None = None,
    tools: Sequence[JsonObject] = (),
    thinking: PolicyThinking | None = None,
    about: Sequence[str] = (),
) -> Path:
    """Fine-tunes a model, continuing from the newest checkpoint if there is one.

    Every process of an `accelerate launch` calls it; only the main process writes files and reports progress.

    Args:
        base: the model to begin from, as a model string.
        folder: the folder of the new model. A finished one made with the same inputs is verified and kept.
        on_log: called with the facts of each update: the total `steps`, and the `FACTS` of the trainer.
        on_note: called with notes for a person, for instance how many demonstrations were left out.
        passed_on: further settings of TRL's trainer.
        tools: JSON schemas of the tools that prompts show.
        thinking: whether the model learns to think before it answers, from the thoughts of the demonstrations.
        about: further sentences for the model card.

    Returns: the folder, which is a model string: complete weights in the computing precision, with adapters merged.
    Raises: UsageError when no demonstration is usable, or the folder holds a model made with other inputs;
        CheckpointError when a finished model is truncated or altered; PreceptorError when training diverges.
    """
    processes = Processes()
    made_from = _made_from(base, demonstrations, tuning, settings, seed)
    shown: list[JsonValue] = [*tools]
    made_from |= ({"engine": passed_on} if passed_on else {}) | ({"tools": shown} if tools else {})
    made_from |= {"thinking": thinking.model_dump(mode="json")} if thinking else {}
    work = folder.with_name(folder.name + ".training")
    if processes.on_main(lambda: _finished(folder, work, made_from)):
        return folder
    check_whole("a model in fine-tuning", processes)
    loaded = load(base, torch.float32 if tuning.method == "full" else dtype_of(tuning))
    made_from |= {"identity": loaded.identity}
    processes.on_main(lambda: _begin(work, made_from))
    longest = min(settings.max_length, context_window(loaded.model))
    rows, notes = encode_demonstrations(loaded.tokenizer, demonstrations, longest, tools, thinking)
    for note in notes if processes.is_main else []:
        on_note(note)
    if not rows:
        raise UsageError(f"no demonstration to learn: {'; '.join(notes) or 'there are none'}")
    model, metrics = _train(loaded, rows, tuning, settings, work, seed, processes, on_log, passed_on or {})
    processes.on_main(
        lambda: write_folder(folder, lambda partial: _fill(partial, model, loaded.tokenizer, metrics, made_from, about))
    )
    processes.on_main(lambda: _remove_checkpoints(work))
    return folder


def _train(
    loaded: LoadedModel,
    rows: list[dict[str, list[int]]],
    tuning: TuningSettings,
    settings: SftSettings,
    work: Path,
    seed: int,
    processes: Processes,
    on_log: Callable[[dict[str, float]], None],
    passed_on: JsonObject,
) -> tuple[Any, list[dict[str, float]]]:
    """The trained model with adapters merged, and a row for each update since the beginning."""
    from preceptor.training.sft.trainer import facts_of, is_step, make_trainer
    from preceptor.training.trl.arguments import newest_checkpoint, quietly

    use_cache, lower = loaded.model.config.use_cache, "sft.max_length, or raise gradient_accumulation_steps"
    try:
        with quietly(), memory_for("fine-tuning", lower):
            trainer = make_trainer(
                loaded,
                rows,
                tuning,
                settings,
                work=work,
                seed=seed,
                processes=processes,
                on_log=on_log,
                passed_on=passed_on,
            )
            checkpoint = processes.on_main(lambda: newest_checkpoint(work))
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    finally:
        loaded.model.config.use_cache = use_cache
    model = trainer.model.eval()
    merged = model.merge_and_unload() if tuning.method == "lora" else model.to(dtype_of(tuning))
    return merged, [facts_of(row) for row in trainer.state.log_history if is_step(row)]


def _made_from(
    base: str, demonstrations: Sequence[Demonstration], tuning: TuningSettings, settings: SftSettings, seed: int
) -> JsonObject:
    listed = [
        [
            [message.wire() for message in demonstration.prompt.conversation],
            demonstration.answer,
            demonstration.finished,
            *([[message.wire() for message in demonstration.trajectory]] if demonstration.trajectory else []),
            *([] if demonstration.thought is None else [{"thought": demonstration.thought}]),
            *([{"tools": list[JsonValue](demonstration.prompt.tools)}] if demonstration.prompt.tools else []),
        ]
        for demonstration in demonstrations
    ]
    return {
        "method": "supervised fine-tuning",
        "base": base,
        "demonstrations": len(demonstrations),
        "demonstrations_hash": content_hash(listed),
        "tuning": tuning.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }


def _finished(folder: Path, work: Path, made_from: JsonObject) -> bool:
    """Whether the folder already holds a complete model made with the same inputs."""
    if not folder.exists():
        return False
    if not (work / ABOUT).is_file():
        raise UsageError(
            f"{folder}: exists, but no {work.name}/{ABOUT} says what it was made from; name another folder"
        )
    check_folder(folder)
    _check_same(work, made_from)
    _remove_checkpoints(work)
    return True


def _remove_checkpoints(work: Path) -> None:
    for checkpoint in work.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def _begin(work: Path, made_from: JsonObject) -> None:
    """Records beside the checkpoints what they were made from, or checks that they belong to the same training."""
    if (work / ABOUT).exists():
        _check_same(work, made_from)
        return
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    write_json(work / ABOUT, made_from)


def _check_same(work: Path, made_from: JsonObject) -> None:
    kept = read_json(work / ABOUT)
    changed = [name for name, value in made_from.items() if kept.get(name) != value]
    if changed:
        raise UsageError(
            f"{work}: belongs to a training with other {', '.join(changed)}; name another folder, or delete this one "
            "and the model beside it"
        )


def _fill(
    folder: Path,
    model: Any,
    tokenizer: Any,
    metrics: list[dict[str, float]],
    made_from: JsonObject,
    about: Sequence[str],
) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_rows(folder / "metrics.jsonl", metrics)
    write_text(folder / "README.md", _card(made_from, metrics, about))


def _card(made_from: JsonObject, metrics: list[dict[str, float]], about: Sequence[str]) -> str:
    """The model card: what the model is and what it was made from."""
    settings = {name: made_from[name] for name in ("tuning", "settings", "engine") if name in made_from}
    more = "".join(f"{sentence}\n\n" for sentence in about)
    last = f"{metrics[-1]['loss']:.4f}" if metrics else "unknown"
    return (
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- preceptor\n- sft\n---\n\n"
        "# A fine-tuned model\n\n"
        f"{code(made_from['identity'])}, fine-tuned by preceptor on {made_from['demonstrations']} demonstrations "
        f"(SHA-256 of their content: `{made_from['demonstrations_hash']}`): {len(metrics)} updates, loss of the last "
        f"one {last} nats per token. The loss is on the answers alone.\n\n"
        f"{more}It was made with seed {made_from['seed']} and these settings:\n\n"
        f"{fenced(json.dumps(settings, indent=1), 'json')}\n"
    )
