"""Opens a model of another provider."""

from preceptor.backends.connection import Connection
from preceptor.backends.litellm.address import ProviderAddress
from preceptor.backends.litellm.catalogue import LISTING, check, check_key, price_of, settings_of, window_of
from preceptor.backends.litellm.library import require_litellm
from preceptor.backends.litellm.transport import ProviderTransport
from preceptor.backends.openai.abilities import MOST_LISTED, Abilities, Endpoint
from preceptor.backends.openai.keys import key_for
from preceptor.backends.openai.model import OpenAIModel


def open_provider(name: str, connection: Connection | None, *, unasked: bool) -> OpenAIModel:
    """Opens the model behind a model string.

    Args:
        unasked: do not ask the provider; assume what LiteLLM's tables say.

    Raises: UsageError for an unknown provider, a missing key or a missing package.
    """
    address, settings = ProviderAddress.parse(name), connection or Connection()
    require_litellm(name)
    check(address)
    if not unasked:
        check_key(address)
    transport = ProviderTransport(address, settings, key_for(address))
    return OpenAIModel(address, settings, _assumed(address) if unasked else None, transport, price_of(address))


def _assumed(address: ProviderAddress) -> Abilities:
    listed = MOST_LISTED if settings_of(address) >= LISTING else 0
    return Abilities(Endpoint(listed, {}), None, None, window_of(address))
