"""How prompts and responses of a policy are tokens: with a thought before the answer, or without one."""

from collections.abc import Sequence
from typing import Any

from preceptor.backends.transformers.chat import encode_conversation, encode_text
from preceptor.backends.transformers.sampling import SampledResponse
from preceptor.backends.transformers.thinking import (
    thinking_template,
    thought_begun,
    thought_closed,
    without_thought,
)
from preceptor.backends.transformers.thoughts import Budget, ThoughtReader, policy_template
from preceptor.backends.transformers.trajectories import EncodedTrajectory, encode_trajectory
from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject, Prompt, Response, Rollout
from preceptor.store.thoughts import inline
from preceptor.training.thinking_settings import PolicyThinking


class UnfitThoughtError(UsageError):
    """Why a policy that thinks cannot learn a response; the same words for all responses of which it is true."""


class ResponseFormat:
    """The format of a tokenizer's chat template.

    Args:
        thinking: whether the policy thinks before it answers; None to leave that to the chat template, and to take
            everything for the answer.
    """

    def __init__(self, tokenizer: Any, thinking: PolicyThinking | None) -> None:
        self._tokenizer = tokenizer
        self._thinking = thinking
        self._thinks = thinking is not None and thinking.on

    def encode(self, prompt: Prompt, tools: Sequence[JsonObject] = ()) -> tuple[int, ...]:
        """Token ids of a prompt, up to where the response begins: a thought, if the policy thinks.

        Args:
            tools: JSON schemas of the tools that it shows, of policies that do not think; its own if there are none.

        Raises: UsageError as `encode_conversation`.
        """
        if self._thinking is None or not self._thinks:
            return self.encode_for_answer(prompt, tools)
        template = policy_template(self._tokenizer)
        return tuple(thought_begun(self._tokenizer, template, prompt.conversation, self._thinking.tokens))

    def encode_for_answer(self, prompt: Prompt, tools: Sequence[JsonObject] = ()) -> tuple[int, ...]:
        """Token ids of a prompt, up to where an answer without a thought begins.

        Raises: as `encode`.
        """
        template = None if self._thinking is None else thinking_template(self._tokenizer)
        if template is None:
            return tuple(encode_conversation(self._tokenizer, prompt.conversation, tools=tools or prompt.tools))
        return tuple(without_thought(self._tokenizer, template, prompt.conversation, ""))

    def encode_response(
        self, prompt: Prompt, response: Response, tools: Sequence[JsonObject] = ()
    ) -> EncodedTrajectory:
        """Token ids of a response after its prompt, and which of them the policy wrote: all of a plain answer's.

        If the policy thinks, its thought comes first: the response's own, or one between `<think>` tags at the
        beginning of the text. A policy that does not think learns the answer alone.

        Args:
            tools: JSON schemas of the tools that the prompt shows; its own if there are none.

        Raises: UnfitThoughtError when a policy that thinks could not have given the response; or as
            `encode_trajectory`.
        """
        if response.trajectory and not self._thinks:
            return encode_trajectory(
                self._tokenizer,
                prompt.conversation,
                response.trajectory,
                tools=tools or prompt.tools,
                finished=response.finished,
            )
        thought, answer = self._thought_through(response) if self._thinks else ((), response.text)
        end = (int(self._tokenizer.eos_token_id),) if response.finished else ()
        ids = (*thought, *encode_text(self._tokenizer, answer), *end)
        return EncodedTrajectory(ids, (True,) * len(ids))

    def _thought_through(self, response: Response) -> tuple[list[int], str]:
        """The tokens of a response's thought and of its end, and the answer."""
        if response.trajectory:
            raise UnfitThoughtError("a trajectory has no thought before it, and the policy is to think ([thinking])")
        thought, answer = (response.thought, response.text) if response.thought is not None else inline(response.text)
        if thought is None:
            raise UnfitThoughtError("a response has no thought, and the policy is to think ([thinking])")
        template = policy_template(self._tokenizer)
        if template.end in thought:
            raise UnfitThoughtError("a thought spells the tag that ends thoughts")
        return thought_closed(self._tokenizer, template, thought), answer

    def budget(self, max_new_tokens: int) -> Budget | None:
        """The limits of a response whose answer may have this many tokens; None if the policy does not think."""
        if self._thinking is None or not self._thinks:
            return None
        return Budget(self._reader, self._thinking.tokens, max_new_tokens)

    def rollout(self, prompt: Prompt, sampled: SampledResponse, policy: str) -> Rollout:
        """A sampled response as text, its thought apart.

        Args:
            policy: its identity.
        """
        about: dict[str, Any] = {
            "prompt_id": prompt.id,
            "policy": policy,
            "tokens": len(sampled.token_ids),
            "finished": sampled.finished,
        }
        if not self._thinks:
            return Rollout(**about, text=self._tokenizer.decode(list(sampled.content_ids), skip_special_tokens=True))
        parts = self._reader.parts(sampled)
        return Rollout(
            **about,
            text=parts.answer or "",
            thought=parts.thought,
            thought_tokens=parts.thought_tokens,
            unfinished_thought=parts.answer is None,
        )

    @property
    def _reader(self) -> ThoughtReader:
        return ThoughtReader(self._tokenizer, policy_template(self._tokenizer))
