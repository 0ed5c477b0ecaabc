"""Model strings of the form `litellm:PROVIDER/NAME[@BASE_URL]`. Nothing here imports LiteLLM."""

import os
from dataclasses import dataclass
from typing import ClassVar, Self

from preceptor.backends.openai.address import Address
from preceptor.core.errors import UsageError

FORM = "litellm:PROVIDER/NAME[@BASE_URL], for instance litellm:anthropic/claude-haiku-4-5"
LOCAL = frozenset({"ollama", "ollama_chat", "hosted_vllm", "lm_studio", "llamafile", "docker_model_runner"})
"""Providers that are servers on the user's own machines: they need no key, and cost nothing."""
_KEYS = {
    "azure": ("AZURE_API_KEY",),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
    "fireworks_ai": ("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    "replicate": ("REPLICATE_API_TOKEN", "REPLICATE_API_KEY"),
    "together_ai": ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
}
"""Environment variables that may hold the key, where there is more than PROVIDER_API_KEY."""


@dataclass(frozen=True)
class ProviderAddress(Address):
    """A model's name at a provider, and where the provider is asked: its own server unless a base URL is given, for
    instance that of a gateway.
    """

    base_url: str = ""
    """Empty for the provider's own server."""
    scheme: ClassVar[str] = "litellm"
    form: ClassVar[str] = FORM
    turns_only: ClassVar[bool] = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a model string.

        Raises: UsageError when it does not have this form, or holds a password.
        """
        address = super().parse(text)
        if not all(address.name.partition("/")):
            raise UsageError(f'"{address}": expected {FORM}')
        return address

    @property
    def provider(self) -> str:
        """The provider as LiteLLM calls it, for instance `anthropic`."""
        return self.name.partition("/")[0]

    @property
    def model(self) -> str:
        """The model's name at the provider."""
        return self.name.partition("/")[2]

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The environment variables that may hold the key. A provider's key is sent to its own server only."""
        return ("PRECEPTOR_API_KEY",) if self.base_url else _KEYS.get(self.provider, (_usual(self.provider),))

    @property
    def key_variable(self) -> str:
        """The first of the variables that is set, or the usual one."""
        names = self.key_variables
        return next((name for name in names if os.environ.get(name)), names[0])

    @property
    def place(self) -> str:
        """Where the model is, for people."""
        return self.base_url or self.provider

    @property
    def hosted(self) -> bool:
        """False: OpenAI's own rules do not apply."""
        return False

    @property
    def encrypted(self) -> bool:
        """Whether the connection is encrypted; LiteLLM's addresses of providers are."""
        return super().encrypted if self.base_url else self.provider not in LOCAL

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        return super().loopback if self.base_url else self.provider in LOCAL

    @property
    def private(self) -> bool:
        """Whether the server is on this machine or in the local network."""
        return super().private if self.base_url else self.provider in LOCAL

    @property
    def caches_marked(self) -> bool:
        """Whether the provider caches the beginnings that are marked, and no others: Anthropic's models."""
        return "claude" in self.model

    @property
    def free(self) -> bool:
        """Whether tokens cost nothing unless the user says otherwise. A gateway in the local network asks a provider
        that is paid.
        """
        return self.provider in LOCAL and self.private

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}" + (f"@{self.base_url}" if self.base_url else "")


def _usual(provider: str) -> str:
    return f"{provider.upper()}_API_KEY"
