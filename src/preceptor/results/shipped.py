"""What ships with preceptor, or is fetched by it: recipes, a folder to start from, and the models that can be named."""

from pathlib import Path

from preceptor.core.types import Frozen, JsonObject
from preceptor.display.table import Table, pairs
from preceptor.results.base import Tabular


class RecipesResult(Tabular):
    """The recipes that ship with preceptor."""

    recipes: dict[str, str]
    """What each recipe does, by its name."""
    scales: tuple[str, ...]
    """Scales at which any recipe can be run."""
    arms: tuple[str, ...]
    """Sets of recipes for `arms`."""

    def table(self) -> Table:
        """The recipes, and below them the scales and the sets of recipes."""
        notes = [f"scales: {', '.join(self.scales)}", f"sets of recipes for arms: {', '.join(self.arms)}"]
        return pairs(list(self.recipes.items()), notes=["", *notes])


class EmbeddedModel(Frozen):
    """The model that is fetched from the Python package index when it is first used."""

    path: str
    """Its folder in the cache."""
    cached: bool
    """Whether it is there."""


class ModelsResult(Tabular):
    """The forms of a model string, and where the embedded model is."""

    forms: dict[str, str]
    """What each form names."""
    embedded: EmbeddedModel

    def table(self) -> Table:
        """The forms, and below them the state of the embedded model."""
        state = "in the cache" if self.embedded.cached else "not fetched yet"
        return pairs(list(self.forms.items()), notes=["", f"The embedded model is {state}: {self.embedded.path}"])


class InitResult(Frozen):
    """A folder to start from."""

    folder: Path
    files: tuple[str, ...]
    """Names of the files that were written."""
    commands: tuple[str, ...]
    """The next commands, to be run in the folder."""

    def __str__(self) -> str:
        steps = "\n".join(f"  {command}" for command in self.commands)
        return f"{', '.join(self.files)} are in {self.folder}. Run these commands there:\n{steps}"


class EngineConfig(Frozen):
    """A configuration of accelerate for the TRL engine."""

    values: JsonObject
    """What it says."""
    text: str
    """The same as YAML."""
    file: Path | None
    """Where it was written."""
    notes: tuple[str, ...]
    """What the machine that trains needs."""

    def __str__(self) -> str:
        if self.file is None:
            return "\n".join([self.text.rstrip(), *(f"# {note}" for note in self.notes)])
        launch = f"accelerate launch --config_file {self.file} -m preceptor run RECIPE --set engine.name=trl"
        return "\n".join([f"{self.file} is written. To train with it:", f"  {launch}", *self.notes])
