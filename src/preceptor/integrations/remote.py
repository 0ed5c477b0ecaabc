"""Rewards from `preceptor serve`, for trainers in other processes and on other machines. Needs nothing but Python."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import preceptor as pc

_LOG = logging.getLogger("preceptor.integrations")
_AT_ONCE = 128
"""Responses in one request, and requests in flight: well below what a service lets wait."""
_POOL = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="preceptor-remote")
_SEND = build_opener(ProxyHandler({})).open


class RemoteReward:
    """A judge of a service as a reward function with TRL's signature: `reward_funcs=[RemoteReward(URL)]`.

    The token, where the service wants one, comes from PRECEPTOR_SERVICE_TOKEN.

    Args:
        url: of the service, such as http://127.0.0.1:8643.
        judge: name of the judge; may be left out where the service has only one.
        patience_s: seconds to go on asking a service that is busy or not there.
    """

    def __init__(self, url: str, judge: str | None = None, patience_s: float = 300.0) -> None:
        self.url, self.judge, self.patience_s = url.rstrip("/"), judge, patience_s
        self.__name__ = judge or "preceptor_service"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One reward for each completion, as `preceptor.Judge.reward` gives it; None where the judge failed.

        Raises: UsageError for what the service refuses; PreceptorError when it cannot be reached or cannot go on.
        """
        pairs = list(zip(prompts, completions, strict=True))
        parts = [pairs[start : start + _AT_ONCE] for start in range(0, len(pairs), _AT_ONCE)]
        outcomes = [outcome for part in parts for outcome in self._ask(part)]
        failures = [outcome for outcome in outcomes if isinstance(outcome, pc.JudgeFailure)]
        if failures:
            said = f"{failures[0].reason} ({failures[0].detail[:200]})"
            _LOG.warning("%s: no reward for %d of %d: %s", self.url, len(failures), len(outcomes), ascii(said))
        return [None if isinstance(outcome, pc.JudgeFailure) else outcome for outcome in outcomes]

    async def areward(self, prompt: Any, response: Any) -> float | pc.JudgeFailure:
        """The reward for one response, or the reason why the judge failed. Raises: as a call."""
        [outcome] = await asyncio.get_running_loop().run_in_executor(_POOL, self._ask, [(prompt, response)])
        return outcome

    def _ask(self, pairs: Sequence[tuple[Any, Any]]) -> list[float | pc.JudgeFailure]:
        groups = [
            {"prompt": prompt, "responses": [response for _, response in group]}
            for prompt, group in groupby(pairs, key=lambda pair: pair[0])
        ]
        answer = self._post({"groups": groups} | ({"judge": self.judge} if self.judge else {}))
        return [
            pc.JudgeFailure(reason=failure["reason"], detail=failure["detail"]) if reward is None else float(reward)
            for group in answer["groups"]
            for reward, failure in zip(group["rewards"], group["failures"], strict=True)
        ]

    def _post(self, body: dict[str, Any]) -> Any:
        headers, token = {"Content-Type": "application/json"}, os.environ.get("PRECEPTOR_SERVICE_TOKEN")
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(f"{self.url}/v1/reward", json.dumps(body).encode(), headers)  # noqa: S310
        until = time.monotonic() + self.patience_s
        while True:
            try:
                with _SEND(request, timeout=self.patience_s) as answer:
                    return json.load(answer)
            except HTTPError as error:
                wait = _wait_or_raise(error, self.url)
                said = f"it answers {error.code}"
            except (URLError, OSError) as error:
                wait, said = 1.0, str(error)
            if time.monotonic() + wait > until:
                raise pc.PreceptorError(f"{self.url} gave no rewards for {self.patience_s:g} s: {said}")
            time.sleep(wait)


def _wait_or_raise(error: HTTPError, url: str) -> float:
    """Seconds to wait before asking again. Raises: the service's own words, where asking again cannot help."""
    if error.code in (429, 502, 503, 504):
        wait = error.headers.get("Retry-After", "")
        return float(wait) if wait.isdecimal() else 1.0
    try:
        said = str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        said = error.reason
    kind = pc.UsageError if error.code in (401, 403, 404, 413, 415, 422) else pc.PreceptorError
    raise kind(f"{url} answers {error.code}: {said}") from error
