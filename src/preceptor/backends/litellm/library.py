"""LiteLLM itself, imported so that it fetches nothing, reads no `.env` file, prints nothing and logs nothing."""

import importlib
import logging
import os
from functools import cache
from typing import Any

from preceptor.core.extras import require

_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # prices are those of the installed version
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_MODE": "PRODUCTION",  # otherwise the import reads a .env file into the environment
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "true",  # requests of OpenAI's form go through our HTTP too
}
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


def require_litellm(model: str) -> None:
    """Checks that LiteLLM is installed, without importing it.

    Raises: UsageError with the command that installs it.
    """
    require(f'the model "{model}" is reached through LiteLLM and needs', "litellm")


@cache
def library() -> Any:
    """The package `litellm`. The first call imports it, which takes some seconds."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True
    for name in _LOGGERS:
        logging.getLogger(name).disabled = True
    return litellm


def part(name: str) -> Any:
    """A module of the package, for instance `exceptions`."""
    library()
    return importlib.import_module(f"litellm.{name}")
