"""Checks of every command's arguments: no empty value, no NaN or infinity, no number that is too large."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from preceptor.core.errors import UsageError

MOST = 2**63 - 1
"""The largest whole number that an option accepts."""
_VALUES: dict[Any, str] = {int: "N", float: "NUMBER", Path: "PATH"}
"""The name of a value of this type in help."""
_EMPTY = re.compile(r"(--[a-z][a-z-]*)=")


def check_arguments(arguments: Sequence[str]) -> None:
    """Checks that every argument is valid text and not empty: `--out ""` would mean the current folder, and is usually
    an unset variable.

    Raises: UsageError naming the option or the argument.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UsageError(f'"{argument}": expected UTF-8; rename a file whose name is in another encoding') from None
    for before, argument in zip(("", *arguments), arguments, strict=False):
        empty = _EMPTY.fullmatch(argument)
        if empty or not argument:
            name = empty[1] if empty else before if before.startswith("--") else "an argument"
            raise UsageError(f"{name}: expected a value, got an empty one; is a variable not set?")


class Command(TyperCommand):
    """A command that refuses numbers that are not finite or too large. Its help does not interpret square brackets."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        for option in self.params:
            if isinstance(option, TyperOption):
                option.help = option.help and option.help.replace("[", r"\[")  # not rich markup

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        return described(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises: UsageError naming the option that is out of bounds.
        """
        for name, value in ctx.params.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UsageError(f"--{_dashed(name)} {value}: expected a finite number")
            if isinstance(value, int) and abs(value) > MOST:
                raise UsageError(f"--{_dashed(name)}: expected a whole number of at most {MOST}")
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands whose own help describes options in the same way as a command's."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        return described(super().get_params(ctx))


def described(parameters: list[Any]) -> list[Any]:
    """The parameters, changed so that help and usage name their values in the same way: `DATA` for an argument; `N`,
    `NUMBER`, `PATH` or `TEXT` for the value of an option without its own name; nothing beside a flag.
    """
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            _describe_argument(parameter)
        elif getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.metavar is None:
            parameter.metavar = _VALUES.get(parameter.type_descriptor.annotation, "TEXT")
    return parameters


def _describe_argument(argument: Any) -> None:
    name = argument.metavar or argument.name.upper() + ("..." if argument.nargs != 1 else "")
    argument.metavar = name
    argument.display_type_rich = lambda ctx: None  # its name says enough
    argument.get_usage_pieces = lambda ctx: [name if argument.required else f"[{name}]"]


def _dashed(name: str) -> str:
    return name.replace("_", "-")
