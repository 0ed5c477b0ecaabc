"""API keys: where they come from, where they may be sent, and how they are kept out of output and records."""

import os
import re
from typing import Any

from preceptor.backends.openai.address import Address
from preceptor.core.errors import UsageError
from preceptor.core.secrets import MASK, SHORTEST_SECRET, without_secret

NO_KEY = "none"
"""Sent if there is no key: local servers need none."""
_BILLED_TO = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}


def key_for(address: Address) -> str:
    """The key to send to a server, from the environment; empty if there is none.

    Keys are sent over https. Over plain http, OpenAI's key is never sent, and other servers' keys are sent only to this
    machine and the private network.
    Raises: UsageError, which does not show the key, if no HTTP header can hold it or it would be sent in clear text.
    """
    key = os.environ.get(address.key_variable, "").strip()
    if not all(" " < c <= "~" for c in key):
        raise UsageError(
            f"the environment variable {address.key_variable} holds no valid key; "
            "expected printable ASCII characters without spaces"
        )
    if key and not address.encrypted and (address.hosted or not address.private):
        raise UsageError(
            f"{address.place}: the key in {address.key_variable} would be sent in clear text; write https://, or "
            f"unset {address.key_variable} if the server needs no key"
        )
    return key


def headers_for(address: Address, key: str) -> dict[str, str]:
    """The headers of every request. OpenAI's own server also learns the organisation and the project that OPENAI_ORG_ID
    and OPENAI_PROJECT_ID name; nothing that OPENAI_* variables hold goes to any other server.
    """
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Authorization": f"Bearer {key}",
        "User-Agent": "preceptor",
    }
    if address.hosted:
        named = {header: os.environ.get(variable, "").strip() for header, variable in _BILLED_TO.items()}
        headers |= {header: name for header, name in named.items() if name}
    return headers


def masked(value: Any, key: str) -> Any:
    """JSON from a server, with the key masked in every string that contains it.

    Raises: RecursionError for a value that is nested too deeply.
    """
    if len(key) < SHORTEST_SECRET:
        return value
    if isinstance(value, str):
        return value.replace(key, MASK)
    if isinstance(value, list):
        return [masked(inner, key) for inner in value]
    if isinstance(value, dict):
        return {masked(name, key): masked(inner, key) for name, inner in value.items()}
    return value


def line_without(key: str, line: str) -> str:
    """A line of JSON from a server, in which the key is masked however it is escaped."""
    return without_secret(line, key) if len(key) >= SHORTEST_SECRET else line


def words_without(key: str, text: str) -> str:
    """A server's message on one line, in which the key and anything that looks like an OpenAI key are masked."""
    if key != NO_KEY:
        text = without_secret(text, key)
    visible = "".join(c if c.isprintable() else " " for c in re.sub(r"\bsk-[\w*.-]+", MASK, text))
    return " ".join(visible.split())
