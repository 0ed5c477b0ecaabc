"""Settings of the connection to a model server."""

from pathlib import Path

from pydantic import Field

from preceptor.core.settings import Settings
from preceptor.core.types import Flag


class Connection(Settings):
    """Settings of the connection to a model server. Only `votes` and `vote_tokens` change what an answer means.

    The key is not a setting, because settings are recorded. It comes from the environment: OPENAI_API_KEY for OpenAI's
    own server (api.openai.com), PRECEPTOR_API_KEY for all others, which get no key when the variable is unset. Keys are
    sent over https only, except that PRECEPTOR_API_KEY also goes over plain http within this machine and the private
    network.
    """

    concurrency: int | None = Field(default=None, ge=1, le=1024)
    """Most requests in flight at once, of all that use the model in this process; by default as many as the server
    answers well, from 1 to 128: more while they are answered as fast as few are, fewer when it refuses (status 429),
    does not answer in time, or answers slowly."""
    requests_per_minute: float | None = Field(default=None, ge=0.01, le=1e6)
    """Most calls in a minute, retries included, spaced evenly; None for no limit."""
    tokens_per_minute: float | None = Field(default=None, ge=1, le=1e12)
    """Most tokens in a minute, of prompts and answers, as estimated before each call; None for no limit."""
    timeout_s: float = Field(default=120.0, gt=0, le=86_400)
    """Seconds for one attempt at a call, from connecting to the end of the answer. An attempt that takes longer is
    abandoned and retried."""
    retries: int = Field(default=6, ge=0, le=20)
    """Attempts after the first, for errors that may be temporary."""
    first_wait_s: float = Field(default=0.5, ge=0, le=120)
    """Seconds before the first retry, if the server does not say how long to wait; doubled before each further
    retry."""
    votes: int = Field(default=8, ge=1, le=1024)
    """Answers sampled for each question if the server gives no log-probabilities."""
    vote_tokens: int = Field(default=16, ge=1, le=100_000)
    """Most tokens of such an answer, without the thought of a model that is asked to think."""
    batch: Flag = False
    """Whether to send calls to the server's batch endpoint: for half the price, within a day. For `label`, `audit` and
    `evaluate`, which keep the batches in their folder."""
    prices: Path | None = None
    """A TOML file of prices in the form of `backends/openai/prices.toml`, which takes precedence over it. A server on
    this machine or a private network that is in neither file is free."""
