"""The settings that TRL's configuration classes have, read from their source, because importing them loads torch."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from preceptor.core.errors import UsageError, nearest
from preceptor.core.extras import require
from preceptor.core.types import JsonObject

_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
}
"""Values that a setting of each annotated type takes."""


@cache
def config_fields(trainer: str) -> dict[str, str]:
    """The names of the settings of a trainer's configuration class, with their annotations as the source has them.

    Args:
        trainer: its module, such as "grpo" for `GRPOConfig`, or "kto".

    Raises: UsageError when TRL is not installed.
    """
    require('engine.name = "trl" needs', "trl", "transformers")
    trl, transformers = _package("trl"), _package("transformers")
    sources = (
        transformers / "training_args.py",
        trl / "trainer" / "base_config.py",
        *(path for path in _places(trl, trainer) if path.is_file()),
    )
    return {name: kind for source in sources for name, kind in _annotated(source)}


def check_fields(trainer: str, given: JsonObject, owned: dict[str, str]) -> None:
    """Checks settings that are passed on to a trainer.

    Args:
        given: `engine.trl`.
        owned: the settings that preceptor makes itself, with what to set instead.

    Raises: UsageError for a setting that preceptor owns, one that the class does not have, or a value of a wrong type.
    """
    if not given:
        return
    fields = config_fields(trainer)
    for key, value in given.items():
        if key in owned:
            raise UsageError(f"engine.trl.{key}: preceptor sets this itself; {owned[key]}")
        if key not in fields:
            meant = nearest(key, sorted(fields))
            raise UsageError(f"engine.trl.{key}: TRL's configuration of this trainer has no such setting; {meant}")
        if kinds := _kinds(fields[key]):
            allowed = tuple(kind for name in kinds for kind in _KINDS[name])
            if not isinstance(value, allowed) or (isinstance(value, bool) and "bool" not in kinds):
                raise UsageError(f"engine.trl.{key} = {value!r}: TRL expects {' or '.join(kinds)}")


def _places(trl: Path, trainer: str) -> Iterator[Path]:
    """Where TRL may keep the configuration of a trainer."""
    yield trl / "trainer" / f"{trainer}_config.py"
    yield trl / "experimental" / trainer / f"{trainer}_config.py"


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None  # `require` has looked
    return Path(spec.origin).parent


def _annotated(source: Path) -> Iterator[tuple[str, str]]:
    """The annotated fields of the classes of a file."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id, ast.unparse(line.annotation)


def _kinds(annotation: str) -> list[str]:
    """The simple types of an annotation such as `float | None`; none if one of them is not simple."""
    parts = [part.strip().partition("[")[0] for part in annotation.split("|")]
    parts = [part for part in parts if part != "None"]
    return parts if all(part in _KINDS for part in parts) else []
