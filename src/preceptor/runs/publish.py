"""Publishing a run's model: the kept checkpoint, the merged model if asked for, and their model cards."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from preceptor.recipes.base import Recipe
from preceptor.reports.run import words
from preceptor.reports.run.words import Words
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.report import words_of
from preceptor.store.documents import document
from preceptor.store.files import MANIFEST, check_folder, write_folder, write_text


def publish(
    directory: RunDirectory,
    summary: RunSummary,
    save: Callable[[Path], None],
    save_merged: Callable[[Path], None],
    *,
    merge: bool,
) -> None:
    """Writes `checkpoints/best`, and `merged` if requested, each with a model card. Existing ones are verified and
    kept.

    Args:
        save: writes the chosen model into a folder; `save_merged` writes it whole.
    """
    said = words_of(directory.recipe, summary)
    for folder, fill, wanted in ((directory.best, save, True), (directory.merged, save_merged, merge)):
        if folder.exists():
            check_folder(folder)
        elif wanted:
            write_folder(folder, _with_card(fill, summary, said))


def linked(source: Path) -> Callable[[Path], None]:
    """Saves a model that is already on disk with hard links, or copies if the file system has no links."""

    def save(folder: Path) -> None:
        for file in source.iterdir():
            if file.name in (MANIFEST, "README.md", "metrics.jsonl") or not file.is_file():
                continue
            try:
                os.link(file, folder / file.name)
            except OSError:
                shutil.copy2(file, folder / file.name)

    return save


def checkpoint_card(recipe: Recipe, step: int) -> str:
    """The model card of a checkpoint of an unfinished run: where it comes from, and where it was measured."""
    return document("preceptor.runs", "checkpoint_card.md.jinja", recipe=recipe, step=step, judge=recipe.training_judge)


def model_card(summary: RunSummary, said: Words, library: str) -> str:
    """The model card in Markdown: method, judge, constitution, measured results.

    Args:
        said: the sentences of the run's method.
        library: the library that loads the model.
    """
    return document(
        "preceptor.runs",
        "model_card.md.jinja",
        s=summary,
        library=library,
        done=said.done,
        results=said.results,
        chosen=words.chosen_on_validation(summary),
    )


def _with_card(fill: Callable[[Path], None], summary: RunSummary, said: Words) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        fill(folder)
        library = "peft" if (folder / "adapter_config.json").exists() else "transformers"
        write_text(folder / "README.md", model_card(summary, said, library))

    return write
