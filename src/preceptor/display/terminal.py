"""The only module that writes to a terminal. Output may contain text from servers, models and files, so characters that
would control the terminal or be invisible are escaped, and nothing in square brackets or between colons is markup.
"""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from preceptor.core.text import printable, printable_json, printable_line


class Terminal(Console):
    """A console that prints strings and tables of strings literally, each string on one line: a name with a line feed
    in it cannot begin a line that looks like another message.

    Args:
        stderr: write to standard error, where progress and errors go.
        settings: other settings of the console, such as its width or its file.
    """

    def __init__(self, *, stderr: bool = False, **settings: Any) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, *args: Any, **settings: Any) -> Text:
        """A string as it is shown; rich passes every string of a table, a title or a line through here."""
        return super().render_str(printable_line(text), *args, **settings)


def say(text: str, *, end: str = "\n") -> None:
    """Prints text on standard output."""
    print(printable(text), end=end)


def say_json(document: str) -> None:
    """Prints JSON on standard output."""
    print(printable_json(document))


def complain(text: str, *, lines: bool = False) -> None:
    """Prints what went wrong on standard error, on one line.

    Args:
        lines: keep the text's own lines.
    """
    print(printable(text) if lines else printable_line(text), file=sys.stderr)
