"""How a model server is reached."""

from pathlib import Path

from pydantic import Field

from preceptor.core.types import Frozen


class Connection(Frozen):
    """Settings of the connection to a model server. Only `votes` and `vote_tokens` change what an answer means.

    The key is no setting: settings are recorded. It comes from the environment variable OPENAI_API_KEY for OpenAI's
    own server (api.openai.com), and from PRECEPTOR_API_KEY for every other one, which is sent none when that is unset.
    It goes over https; that of other servers over plain http too, within this machine and the private network.
    """

    concurrency: int = Field(default=8, ge=1, le=1024)
    """Requests in flight at once, at most."""
    requests_per_minute: float | None = Field(default=None, ge=0.01, le=1e6)
    """Calls are spaced evenly so that no more are sent in a minute, retries included; None: as fast as they come."""
    tokens_per_minute: float | None = Field(default=None, ge=1, le=1e12)
    """Tokens per minute, prompt and answer, as estimated before each call; None for no limit."""
    timeout_s: float = Field(default=120.0, gt=0, le=86_400)
    """Seconds for one attempt at a call, from the connection to the end of the answer. What takes longer is given up
    and tried again."""
    retries: int = Field(default=6, ge=0, le=20)
    """Attempts after the first one, where trying again can help."""
    votes: int = Field(default=8, ge=1, le=1024)
    """Answers sampled per question where the server gives no log-probabilities."""
    vote_tokens: int = Field(default=16, ge=1, le=100_000)
    """Tokens that such an answer may take. Raise it for a model that reasons before it answers."""
    prices: Path | None = None
    """A TOML file of prices, in the form of `backends/openai/prices.toml`, that goes before the built-in one. A server
    on this machine or a private network that is in neither counts as free."""
