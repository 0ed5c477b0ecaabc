"""Rollouts of several turns: the policy speaks, its tools run, and it goes on with what they returned.

All episodes of a step advance together: one batch for the turns of all that are under way, then one round of all their
tool calls. An episode's tokens are exactly those that were sampled and, between them, the tools' answers with what the
chat template puts around them; no text that the policy wrote is ever tokenised again.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from preceptor.backends.transformers.choosing import PrefixCache
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.sampling import SampledResponse
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Message, Prompt, Rollout
from preceptor.environments.episodes import Episode, EpisodeResult, Observation
from preceptor.environments.loading import row_of
from preceptor.environments.outcomes import Ending, EpisodeOutcome
from preceptor.environments.pool import EnvironmentPool
from preceptor.environments.texts import error_text
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import ResponseGroup
from preceptor.training.rl.turn_format import ChatFormat, TurnFormat
from preceptor.training.rl.turn_settings import TurnSettings


class Speaker(Protocol):
    """What speaks in an episode: a `Policy`, or its model in another engine."""

    base: LocalModel

    @property
    def identity(self) -> str:
        """Base model and training step."""
        ...

    def sampling(self) -> AbstractContextManager[None]:
        """Within the context, `continued` samples."""
        ...

    def continued(
        self,
        token_ids_P: Sequence[Sequence[int]],
        group_size: int,
        max_new_tokens: int,
        temperature: float,
        seeds_P: Sequence[int],
        limits_P: Sequence[int],
        prefix_cache: PrefixCache,
    ) -> list[list[SampledResponse]]:
        """Samples `group_size` continuations of each of P texts, as token ids, each cut at its limit."""
        ...


@dataclass
class _Run:
    """An episode under way: its tokens after the prompt, and its messages."""

    episode: Episode
    prompt: Prompt
    prompt_ids: tuple[int, ...]
    seed: int
    most: int
    """Most tokens after the prompt."""
    window: int
    """Most tokens that the model's context window leaves after the prompt."""
    ids: list[int] = field(default_factory=list[int])
    learned: list[bool] = field(default_factory=list[bool])
    log_probs: list[float] = field(default_factory=list[float])
    """Of the tokens that the policy wrote, if its sampler keeps them."""
    messages: list[Message] = field(default_factory=list[Message])
    broken: str = ""
    """Why the calls of the last turn could not be read."""
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    ending: Ending | None = None

    @property
    def room(self) -> int:
        """How many more tokens fit."""
        return min(self.most, self.window) - len(self.ids)

    @property
    def full(self) -> Ending:
        """Which limit is reached first."""
        return "window" if self.window < self.most else "token_limit"

    def add(self, ids: Sequence[int], *, learned: bool) -> None:
        """Appends tokens."""
        self.ids += ids
        self.learned += [learned] * len(ids)


class TurnSampler:
    """Samples episodes of a policy in an environment.

    Args:
        pool: this process's environments; the caller closes it.
        written: how turns are written; as the policy's own chat template does if None.
    """

    def __init__(
        self, policy: Speaker, pool: EnvironmentPool, settings: TurnSettings, written: TurnFormat | None = None
    ) -> None:
        self._policy = policy
        self._pool = pool
        self._settings = settings
        self._format = written or ChatFormat(policy.base.tokenizer, pool.environment.tools)

    def spoken_by(self, speaker: Speaker) -> "TurnSampler":
        """The same sampler with something else that speaks."""
        return TurnSampler(speaker, self._pool, self._settings, self._format)

    def sample(
        self,
        prompts_P: Sequence[Prompt],
        group_size: int,
        max_new_tokens: int,
        temperature: float,
        seeds_P: Sequence[int],
    ) -> list[ResponseGroup]:
        """Samples `group_size` episodes for each of P prompts, each in an environment of its own.

        An episode is finished if the policy's last turn ended by itself and called no tool. Random numbers depend on
        the prompt's seed, the place in the group and the turn.

        Args:
            max_new_tokens: most tokens of an episode after the prompt, what tools returned included.

        Raises: PreceptorError when `reset` fails; UsageError when the window leaves no room after a prompt.
        """
        if not prompts_P:
            return []
        episodes = self._pool.start([row_of(prompt) for prompt in prompts_P for _ in range(group_size)])
        try:
            episodes_PG = [episodes[i : i + group_size] for i in range(0, len(episodes), group_size)]
            opened_P = [_opened(prompt, group) for prompt, group in zip(prompts_P, episodes_PG, strict=True)]
            runs_PG = [
                self._begun(prompt, group, max_new_tokens, seed)
                for prompt, group, seed in zip(opened_P, episodes_PG, seeds_P, strict=True)
            ]
            self._play(runs_PG, max_new_tokens, temperature, seeds_P)
            runs = [run for group in runs_PG for run in group]
            results = iter(self._pool.finish(episodes, [_last_words(run) for run in runs]))
            return [self._group(p, runs_G, results) for p, runs_G in zip(opened_P, runs_PG, strict=True)]
        finally:
            self._pool.end(episodes)

    def _begun(self, prompt: Prompt, episodes: Sequence[Episode], most: int, seed: int) -> list[_Run]:
        ids = tuple(self._format.begun(prompt.conversation))
        window = self._policy.base.context_window - len(ids)
        if window < 1:
            raise UsageError(
                f"the prompt {prompt.id} takes {len(ids):,} tokens with its tools, and the window of "
                f"{self._policy.base.identity} {self._policy.base.context_window:,}; shorten it or take another model"
            )
        return [
            _Run(e, prompt, ids, derive_seed(seed, "turns", place), most, window) for place, e in enumerate(episodes)
        ]

    def _play(
        self, runs_PG: Sequence[Sequence[_Run]], max_new_tokens: int, temperature: float, seeds_P: Sequence[int]
    ) -> None:
        """Plays all episodes to their ends."""
        of_turn, first = self._settings.of_turn(max_new_tokens), [runs[0] for runs in runs_PG]
        running = [run for runs in runs_PG for run in runs]
        beginnings = PrefixCache()  # all prompts describe the same tools
        asked, size, seeds = [run.prompt_ids for run in first], len(runs_PG[0]), list(seeds_P)
        rooms = [run.room for run in first]
        with self._policy.sampling():
            while running:
                said = self._policy.continued(asked, size, of_turn, temperature, seeds, rooms, beginnings)
                for run, sampled in zip(running, [one for said_G in said for one in said_G], strict=True):
                    self._hear(run, sampled)
                self._act([run for run in running if run.ending is None])
                running = [run for run in running if run.ending is None]
                asked, size = [(*run.prompt_ids, *run.ids) for run in running], 1
                seeds, rooms = [derive_seed(run.seed, run.turns) for run in running], [run.room for run in running]

    def _hear(self, run: _Run, sampled: SampledResponse) -> None:
        """Takes a turn that was sampled into the episode."""
        cut_by_turn = len(sampled.token_ids) < run.room
        turn = self._format.read(sampled.content_ids, run.tool_calls)
        run.add(sampled.token_ids, learned=True)
        run.log_probs += sampled.log_probs
        run.messages.append(turn.message)
        run.broken = turn.broken
        run.turns += 1
        if not sampled.finished:
            run.ending = "token_limit" if cut_by_turn else run.full
        elif not turn.message.tool_calls and not turn.broken:
            run.ending = "answered"
        elif run.turns == self._settings.max_turns:
            run.ending = "turn_limit"

    def _act(self, runs: Sequence[_Run]) -> None:
        """Runs what the last turns called, and appends what came of it."""
        calls = [(run.episode, call.function) for run in runs for call in run.messages[-1].tool_calls]
        observations = iter(self._pool.call(calls))
        for run in runs:
            said = (*run.prompt.conversation, *run.messages)
            observed = self._observed(run, observations)
            run.messages += observed
            if run.episode.ended is not None:
                run.ending = "environment"
                continue
            ids = self._format.between(said, observed)
            if len(ids) < run.room:
                run.add(ids, learned=False)
            else:
                run.ending = run.full

    def _observed(self, run: _Run, observations: Iterator[Observation]) -> list[Message]:
        """What came of the last turn's calls, as messages; of broken ones, what is wrong with them."""
        if run.broken:
            run.tool_calls += 1
            run.tool_errors += 1
            return [Message(role="tool", content=error_text(run.broken))]
        observed: list[Message] = []
        for call in run.messages[-1].tool_calls:
            observation = next(observations)
            run.tool_calls += 1
            run.tool_errors += observation.failure is not None
            observed.append(observation.message(call))
        return observed

    def _group(self, prompt: Prompt, runs_G: Sequence[_Run], results: Iterator[EpisodeResult]) -> ResponseGroup:
        return ResponseGroup(
            prompt,
            tuple(self._rollout(prompt, run) for run in runs_G),
            TokenGroup(
                runs_G[0].prompt_ids,
                tuple(tuple(run.ids) for run in runs_G),
                tuple(tuple(run.learned) for run in runs_G),
                tuple(tuple(run.log_probs) for run in runs_G) if runs_G[0].log_probs else None,
            ),
            tuple(_outcome(run, next(results)) for run in runs_G),
        )

    def _rollout(self, prompt: Prompt, run: _Run) -> Rollout:
        return Rollout(
            prompt_id=prompt.id,
            text=_last_words(run),
            policy=self._policy.identity,
            trajectory=tuple(run.messages),
            finished=run.ending == "answered",
            tokens=sum(run.learned),
        )


def _last_words(run: _Run) -> str:
    """The policy's last message."""
    return next(message.content for message in reversed(run.messages) if message.role == "assistant")


def _outcome(run: _Run, result: EpisodeResult) -> EpisodeOutcome:
    assert run.ending is not None
    return EpisodeOutcome(
        result=result, ending=run.ending, turns=run.turns, tool_calls=run.tool_calls, tool_errors=run.tool_errors
    )


def _opened(prompt: Prompt, episodes: Sequence[Episode]) -> Prompt:
    """The prompt with what `reset` appended to its last message.

    Raises: PreceptorError when that differs among the episodes, which then are no group.
    """
    texts = list(dict.fromkeys(episode.appended for episode in episodes))
    if len(texts) > 1:
        raise PreceptorError(
            f"reset returned different texts for the same prompt {prompt.id}; its episodes are compared with each "
            "other, so they must begin alike (numbers from Python's `random` are the same for the same row)"
        )
    if texts[0] is None:
        return prompt
    *before, last = prompt.conversation
    longer = last.model_copy(update={"content": last.content + texts[0]})
    return prompt.model_copy(update={"conversation": (*before, longer)})
