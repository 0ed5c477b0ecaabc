"""Checks of every command's arguments: no empty value, no NaN or infinity, no number too large to count with."""

import math
import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperOption

from preceptor.core.errors import UsageError

MOST = 2**63 - 1
"""The largest whole number that an option accepts."""
_EMPTY = re.compile(r"(--[a-z][a-z-]*)=")


def check_arguments(arguments: Sequence[str]) -> None:
    """Checks that every argument is text and that none is empty: `--out ""` would mean the current folder, and usually
    comes from a variable that is not set.

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
    """A command that refuses numbers that are not finite or too large to count with. Its help shows no type beside
    flags, and square brackets as they are.
    """

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **settings)
        for option in self.params:
            if isinstance(option, TyperOption):
                option.help = option.help and option.help.replace("[", r"\[")  # not markup of rich

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, `--help` included."""
        return without_flag_types(super().get_params(ctx))

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


def without_flag_types(parameters: list[Any]) -> list[Any]:
    """The parameters, changed so that help does not write `<bool>` beside a flag."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def _dashed(name: str) -> str:
    return name.replace("_", "-")
