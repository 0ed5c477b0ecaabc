"""API keys in text: masked in every form in which something may quote them."""

import re
from functools import lru_cache

SHORTEST_SECRET = 8
"""Shortest key that is masked. A shorter one is a placeholder, and may be an ordinary word."""
MASK = "***"


def without_secret(text: str, secret: str) -> str:
    r"""The text with a key masked: as it is, and as Python, JSON and URLs escape it, once or several times.

    Args:
        secret: printable ASCII characters.

    Examples:
        >>> without_secret("in JSON sk-\\\"1, in a URL sk-%221", 'sk-"1')
        'in JSON ***, in a URL ***'
    """
    return _quoted(secret).sub(MASK, text) if secret else text


@lru_cache(maxsize=16)
def _quoted(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_forms, secret)))


def _forms(character: str) -> str:
    r"""A pattern of one character: behind some backslashes, or by its number, as in `%22` and `\u0022`."""
    code = f"(?i:{ord(character):02x})"
    return rf"(?:\\{{0,8}}{re.escape(character)}|%(?:25){{0,8}}{code}|\\{{1,8}}(?:u00|x){code})"
