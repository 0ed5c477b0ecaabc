"""What a tool returned, as text that a model may be shown: bounded, valid, and without control tokens."""

from preceptor.core.control_tokens import defused
from preceptor.core.text import printable

_CUT = "\n[cut here: the tool's answer was longer than {} characters]"
_NAME_LENGTH = 64


def shown(text: str, characters: int) -> str:
    r"""The text as the model is shown it. Hidden characters, NULs and lone surrogates are escaped, as in `\x00`;
    whatever a model might read as a control token gets a space inside; a text longer than the limit is cut and says
    so.

    Args:
        characters: how many characters are kept.
    """
    safe = defused(printable(text[: characters + 1]))  # escapes lengthen: what is cut here is cut below too
    return safe if len(safe) <= characters else safe[:characters] + _CUT.format(f"{characters:,}")


def shown_name(name: str) -> str:
    """A tool's name as the model wrote it, safe to show and on one line."""
    return " ".join(defused(printable(name[:_NAME_LENGTH])).split())


def error_text(message: str) -> str:
    """An error as the model is shown it: in TRL's words, so that both engines show the same."""
    return str({"error": message})


def one_line(message: str) -> str:
    """The first line of a message that is not empty."""
    return next((line.strip() for line in message.splitlines() if line.strip()), "")
