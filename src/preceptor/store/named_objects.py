"""Functions and classes that settings name: as `package.module:name`, or as `path/file.py:name`."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from preceptor.core.errors import UsageError, nearest
from preceptor.store.reading import check_file


def load_object(name: str, what: str, form: str) -> Any:
    """Loads the object named by `package.module:name` or `path/file.py:name`. A file is executed once per content.

    Args:
        what: what the object is, for messages, for instance "the reward function".
        form: what follows the colon, for messages, for instance "function".

    Raises: UsageError when there is no object of that name, or its module cannot be imported.
    """
    place, colon, attribute = name.rpartition(":")
    if not (colon and place and attribute):
        raise UsageError(f'{what} "{name}": expected package.module:{form}, or path/file.py:{form} for a file')
    if not place.endswith(".py") and ("/" in place or place.startswith(".")):
        raise UsageError(f'{what} "{name}": the name of a file ends in .py, as in path/file.py:{form}')
    if place.endswith(".py") and Path(place).exists():
        check_file(Path(place), f"{what}'s file")
    module = _module(name, what, form, place)
    if not hasattr(module, attribute):
        there = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        hint = f"; {nearest(attribute, there)}" if there else ""
        raise UsageError(f'{what} "{name}": {place} has no "{attribute}"{hint}')
    return getattr(module, attribute)


def name_of(thing: Any) -> str:
    """The name by which `load_object` finds a class or a function: with its module's name, or with its file if that
    module is a script.
    """
    module = sys.modules[thing.__module__]
    file = getattr(module, "__file__", None)
    by_file = file is not None and (module.__name__ == "__main__" or module.__name__.startswith(_OF_A_FILE))
    return f"{Path(str(file)).absolute() if by_file else module.__name__}:{thing.__qualname__}"


def file_of(name: str) -> Path | None:
    """The file of an object that is named by its path; None for one that is named by its package."""
    return Path(name.rpartition(":")[0]) if ".py:" in name else None


_OF_A_FILE = "preceptor_own_"
"""Prefix of the names of modules that were loaded from a file."""


def _module(name: str, what: str, form: str, place: str) -> ModuleType:
    try:
        return _from_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except FileNotFoundError as error:
        raise UsageError(f'{what} "{name}": there is no file {error.filename}') from error
    except (Exception, SystemExit) as error:  # whatever somebody else's module may raise
        remedy = "" if place.endswith(".py") else f"; a file is named by its path: path/file.py:{form}"
        said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise UsageError(f'{what} "{name}": {place} cannot be imported: {said}{remedy}') from error


def _from_file(path: Path) -> ModuleType:
    """The module of a file; loaded again only if the file's content changes."""
    content = path.read_bytes()
    digest = hashlib.sha256(str(path.absolute()).encode() + b"\0" + content).hexdigest()[:16]
    name = f"{_OF_A_FILE}{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None and spec.loader is not None  # a .py file has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look modules up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
