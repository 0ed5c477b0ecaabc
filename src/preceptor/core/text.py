r"""Text from outside, made safe to show.

A model's answer, a server's list of models, a column, a policy, a constitution or a file may contain invisible
characters that have an effect: terminal escape sequences, marks that reverse the writing direction, separators that
begin a new line. Wherever text is shown they are escaped, as in `\x1b` and `\u202e`.
"""

import re
import unicodedata
from collections.abc import Callable

_UNUSUAL = re.compile(r"[^\n\t\x20-\x7e]")
_JOINERS = "\u200c\u200d"
"""Joiners: the only invisible characters that are part of the spelling of some languages and emoji."""
_JOINER_RUN = re.compile(f"[{_JOINERS}]+")
_KEPT = frozenset("\n\t" + _JOINERS)
_SEPARATORS = re.compile("[\u2028\u2029]")


def replace_hidden(text: str, instead: Callable[[str], str]) -> str:
    """The text with each invisible character replaced: control and format characters, surrogates.

    Line feeds and tabs stay. A joiner stays only between two characters outside ASCII: beside an ASCII character it
    spells nothing, and could hide a word.

    Args:
        instead: returns the replacement of a hidden character.
    """
    if not _UNUSUAL.search(text):
        return text
    hidden = {c: instead(c) for c in set(text) - _KEPT if unicodedata.category(c) in ("Cc", "Cf", "Cs")}
    seen = text.translate({ord(c): shown for c, shown in hidden.items()}) if hidden else text

    def joined(run: re.Match[str]) -> str:
        before, after = seen[max(0, run.start() - 1) : run.start()], seen[run.end() : run.end() + 1]
        return "".join(map(instead, run[0])) if before.isascii() or after.isascii() else run[0]

    return _JOINER_RUN.sub(joined, seen)


def printable(text: str) -> str:
    r"""The text with every hidden character and line separator escaped; line feeds and tabs stay.

    Examples:
        >>> printable("red \x1b[31m, back \u202eward")
        'red \\x1b[31m, back \\u202eward'
    """
    shown = replace_hidden(text.replace("\r\n", "\n"), _escape)
    return _SEPARATORS.sub(lambda match: _escape(match[0]), shown)


def printable_line(text: str) -> str:
    """The same on one line: line feeds and tabs are escaped too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def printable_json(document: str) -> str:
    """The same JSON document, with every hidden character written as a JSON escape.

    Args:
        document: valid JSON; hidden characters can occur only inside its strings.
    """
    shown = replace_hidden(document, _json_escape)
    return _SEPARATORS.sub(lambda match: _json_escape(match[0]), shown)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
