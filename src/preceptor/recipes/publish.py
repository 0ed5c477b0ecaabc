"""What a run gives away: the chosen checkpoint, the merged model where asked for, their model card, the report."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from preceptor.recipes.run_directory import RunDirectory
from preceptor.store.files import check_folder, write_folder, write_text
from preceptor.training.policy import Policy


def publish(policy: Policy, directory: RunDirectory, summary: dict[str, Any], *, merge: bool) -> None:
    """Writes `checkpoints/best`, and `merged` if asked for, each with a model card. What is there already is verified
    and kept. The policy must hold the chosen checkpoint.
    """

    def adapter(folder: Path) -> None:
        policy.save_adapter(folder)
        write_text(folder / "README.md", model_card(summary, "peft"))

    def merged(folder: Path) -> None:
        policy.save_merged(folder)
        write_text(folder / "README.md", model_card(summary, "transformers"))

    for folder, fill, wanted in ((directory.best, adapter, True), (directory.merged, merged, merge)):
        if folder.exists():
            check_folder(folder)
        elif wanted:
            write_folder(folder, fill)


def model_card(summary: dict[str, Any], library: str) -> str:
    """The model card in Markdown: method, judge, constitution, measured results.

    Args:
        library: the library that loads the model.
    """
    environment = Environment(
        loader=PackageLoader("preceptor.recipes", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("model_card.md.jinja").render(s=summary, library=library)
