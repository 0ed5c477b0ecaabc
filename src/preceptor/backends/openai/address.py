"""Model strings of the form `openai:NAME[@BASE_URL]`."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from preceptor.core.errors import UsageError

HOSTED_URL = "https://api.openai.com/v1"
FORM = "openai:NAME@BASE_URL, for instance openai:llama@http://localhost:8000/v1"


@dataclass(frozen=True)
class Address:
    """A model's name at its server, and where the server is."""

    name: str
    base_url: str = HOSTED_URL

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads a model string; without `@BASE_URL` the server is OpenAI's own.

        Raises: UsageError when it has not this form, or holds a password: model strings are recorded and shown.
        """
        name, at, rest = text.removeprefix("openai:").partition("@http")
        base_url = f"http{rest}".rstrip("/") if at else HOSTED_URL
        try:
            url = urlsplit(base_url)
            port = url.port
        except ValueError:  # a port that is no number, brackets that do not close
            raise UsageError(f'"openai:{name}@...": the address after @ is no URL; expected {FORM}') from None
        if "@" in url.netloc:
            raise UsageError(
                f'"openai:{name}@...": an address must not hold a user name or a password; '
                f"put the key into the environment variable {cls(name, base_url).key_variable}"
            )
        if not (name and url.scheme in ("http", "https") and url.hostname) or port == 0 or url.query or url.fragment:
            raise UsageError(f'"openai:{name}@{base_url}": expected {FORM}')
        return cls(name, base_url)

    @property
    def key_variable(self) -> str:
        """The environment variable whose key this server is sent: OpenAI's key goes to OpenAI's server alone."""
        return "OPENAI_API_KEY" if self.hosted else "PRECEPTOR_API_KEY"

    def __str__(self) -> str:
        return f"openai:{self.name}@{self.base_url}"

    @property
    def hosted(self) -> bool:
        """Whether this is OpenAI's own server."""
        return urlsplit(self.base_url).hostname == urlsplit(HOSTED_URL).hostname

    @property
    def private(self) -> bool:
        """Whether the server is on this machine or in the local network."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            return "." not in host or host.endswith((".localhost", ".local", ".internal"))
