"""Model strings of the form `openai:NAME[@BASE_URL]`, and `ollama:NAME`, which is short for one."""

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar, Self
from urllib.parse import urlsplit

from preceptor.core.errors import UsageError

HOSTED_URL = "https://api.openai.com/v1"
OLLAMA = "ollama:"
OLLAMA_URL = "http://localhost:11434/v1"
"""Where Ollama serves the OpenAI API unless it is told otherwise."""
FORM = "openai:NAME@BASE_URL, for instance openai:llama@http://localhost:8000/v1"
_HOST = re.compile(r"[\w.-]{1,253}|\[[0-9a-fA-F:.%\w]+\]", re.ASCII)
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?")
"""A host that is an IPv4 address in one of its odd forms, such as 134744072 for 8.8.8.8."""


def without_secrets(text: str) -> str:
    """The text without the secrets that addresses may hold: user names, passwords and queries."""
    text = re.sub(r"(?<=://)[^/\s]*@", "***@", text)
    return re.sub(r"(://[^?#]*)[?#].*", r"\1?***", text, flags=re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A model's name at its server, and where the server is."""

    name: str
    base_url: str = HOSTED_URL
    scheme: ClassVar[str] = "openai"
    form: ClassVar[str] = FORM
    turns_only: ClassVar[bool] = False
    """Whether the server is known to take whole conversations only, neither plain text nor a begun answer. What others
    take is found out by asking.
    """

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a model string; without `@BASE_URL` the server is OpenAI's own.

        Raises: UsageError when it does not have this form, or holds a password: model strings are recorded and shown.
        """
        if text.startswith(OLLAMA):
            if "@" in text:
                raise UsageError(f'"{without_secrets(text)}": expected ollama:NAME, or {FORM}')
            text = f"openai:{text.removeprefix(OLLAMA)}@{OLLAMA_URL}"
        name, at, rest = text.removeprefix(f"{cls.scheme}:").partition("@http")
        if not text.isprintable() or "://" in name:
            raise UsageError(f"{without_secrets(text)!r}: expected {cls.form}")
        if not name:
            raise UsageError(f'"{without_secrets(text)}": expected {cls.form}')
        return cls._at(name, f"http{rest}".rstrip("/")) if at else cls(name)

    @classmethod
    def _at(cls, name: str, base_url: str) -> Self:
        """The address of a named server.

        Raises: UsageError when the URL is malformed or holds a secret.
        """
        try:
            url = urlsplit(base_url)
            port, host = url.port, url.hostname
        except ValueError:  # a port that is not a number, unclosed brackets
            raise UsageError(
                f'"{cls.scheme}:{name}@...": the address after @ is not a URL; expected {cls.form}'
            ) from None
        if "@" in url.netloc:
            raise UsageError(
                f'"{cls.scheme}:{name}@...": an address must not hold a user name or a password; '
                f"put the key into the environment variable {cls(name, base_url).key_variable}"
            )
        if "?" in base_url or "#" in base_url:
            raise UsageError(
                f'"{cls.scheme}:{name}@{without_secrets(base_url)}": an address ends before "?"; put the key into the '
                f"environment variable {cls(name, base_url).key_variable}"
            )
        if not (url.scheme in ("http", "https") and host) or port == 0:
            raise UsageError(f'"{cls.scheme}:{name}@{base_url}": expected {cls.form}')
        written = url.netloc if port is None else url.netloc.rpartition(":")[0]
        if not _HOST.fullmatch(written.removesuffix(":")) or any(len(label) > 63 for label in host.split(".")):
            raise UsageError(
                f'"{cls.scheme}:{name}@{base_url}": the host name is malformed; expected letters, digits, "-" and "." '
                "(an international name in its form that begins with xn--)"
            )
        return cls(name, base_url)

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the key for this server. OpenAI's key is sent to OpenAI's server only."""
        return "OPENAI_API_KEY" if self.hosted else "PRECEPTOR_API_KEY"

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}@{self.base_url}"

    @property
    def place(self) -> str:
        """Where the model is, for people."""
        return self.base_url

    @property
    def caches_marked(self) -> bool:
        """Whether the provider caches the beginnings that are marked, and no others."""
        return False

    @property
    def free(self) -> bool:
        """Whether tokens cost nothing unless the user says otherwise."""
        return self.private

    @property
    def hosted(self) -> bool:
        """Whether this is OpenAI's own server."""
        return self._host.removesuffix(".") == urlsplit(HOSTED_URL).hostname

    @property
    def encrypted(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.base_url).scheme == "https"

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        address = self._ip
        if address is not None:
            return address.is_loopback
        return self._host == "localhost" or self._host.endswith(".localhost")

    @property
    def private(self) -> bool:
        """Whether the server is on this machine or in the local network."""
        address = self._ip
        if address is not None:
            return address.is_private or address.is_link_local
        if _NUMBER.fullmatch(self._host):
            return False
        return "." not in self._host or self._host.endswith((".localhost", ".local", ".internal"))

    @property
    def _host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def _ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The host as an IP address, IPv4-mapped IPv6 addresses as IPv4; None for a name."""
        try:
            address = ipaddress.ip_address(self._host)
        except ValueError:
            return None
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return mapped or address
