"""What LiteLLM knows about providers and their models: names, keys, prices, and which settings they take."""

import os

from preceptor.backends.base import FREE, Price
from preceptor.backends.litellm.address import ProviderAddress
from preceptor.backends.litellm.library import library
from preceptor.core.errors import UsageError, nearest
from preceptor.core.types import JsonObject

LISTING = frozenset({"logprobs", "top_logprobs"})
"""The settings that ask for log-probabilities."""


def check(address: ProviderAddress) -> None:
    """Checks that LiteLLM knows the provider.

    Raises: UsageError with the nearest name.
    """
    known = {str(getattr(provider, "value", provider)) for provider in library().provider_list}
    if address.provider not in known:
        raise UsageError(
            f'"{address}": LiteLLM knows no provider "{address.provider}"; {nearest(address.provider, known)[:200]}'
        )


def check_key(address: ProviderAddress) -> None:
    """Checks that the environment holds the provider's key, where the provider needs one.

    Raises: UsageError naming the variable.
    """
    if address.base_url or any(os.environ.get(name) for name in address.key_variables):
        return
    missing: list[str] = library().validate_environment(model=address.name)["missing_keys"]
    if any(name.endswith("_API_KEY") for name in missing):  # others, such as AWS, have credentials in files too
        raise UsageError(
            f'the model "{address}" needs a key: set the environment variable {" or ".join(address.key_variables)}'
        )


def settings_of(address: ProviderAddress) -> frozenset[str]:
    """The settings that LiteLLM can pass on to the model, by their names in the OpenAI API."""
    known = library().get_supported_openai_params(model=address.model, custom_llm_provider=address.provider)
    return frozenset(known or ())


def price_of(address: ProviderAddress) -> Price | None:
    """The list price in LiteLLM's table, for prompts of usual length; None where the table has none."""
    if address.free:
        return FREE
    entry = _entry(address)
    prompt, completion = _dollars(entry, "input_cost_per_token"), _dollars(entry, "output_cost_per_token")
    if prompt is None or completion is None:
        return None
    cached, written = (_dollars(entry, f"cache_{way}_input_token_cost") for way in ("read", "creation"))
    try:
        return Price(prompt, completion, cached, written or None)  # some entries have 0 for unknown
    except ValueError:
        return None


def _dollars(entry: JsonObject, name: str) -> float | None:
    """Dollars for a million tokens; None where the table does not say."""
    price = entry.get(name)
    return round(1e6 * price, 9) if isinstance(price, int | float) else None


def window_of(address: ProviderAddress) -> int | None:
    """Most tokens of prompt and answer together, by LiteLLM's table; None where it does not say."""
    window = _entry(address).get("max_input_tokens")
    return window if isinstance(window, int) else None


def _entry(address: ProviderAddress) -> JsonObject:
    """The model's entry in LiteLLM's table, empty if there is none. Some names are listed with their provider."""
    table: dict[str, JsonObject] = library().model_cost
    if address.name in table:
        return table[address.name]
    entry = table.get(address.model, {})
    return entry if entry.get("litellm_provider") == address.provider else {}
