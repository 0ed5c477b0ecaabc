"""Errors that a person reads: what happened, where, what was expected, what to do.

The command line prints `str(error)` on one line and exits with `exit_code`; nothing else is shown, so the message
must stand alone.
"""

import difflib
from collections.abc import Iterable


class PreceptorError(Exception):
    """The work failed for a reason that a person can act on. Exit code 1."""

    exit_code = 1


class UsageError(PreceptorError):
    """The request cannot be carried out as given: a wrong key, name, file or value. Exit code 2."""

    exit_code = 2


class BudgetError(PreceptorError):
    """The budget allows no further call."""


class CheckpointError(PreceptorError):
    """A checkpoint is incomplete, truncated or altered."""


def nearest(name: str, known: Iterable[str], other: str = "") -> str:
    """A phrase that offers the known name nearest to `name`, or lists them all when none is near.

    Args:
        other: what can be given in place of a known name, for instance "the path of a .toml"; said where none is near.

    Returns: for instance `did you mean "rloo"?` or `known: "reinforce", "rloo"`.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return "known: " + ", ".join(f'"{known_name}"' for known_name in names) + (f", or give {other}" if other else "")
