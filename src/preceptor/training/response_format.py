"""How prompts and responses of a policy are tokens: with a thought before the answer, or without one."""

from typing import Any

from preceptor.backends.transformers.chat import encode_conversation
from preceptor.backends.transformers.sampling import SampledResponse
from preceptor.backends.transformers.thinking import thinking_template, thought_begun, without_thought
from preceptor.backends.transformers.thoughts import Budget, ThoughtReader, policy_template
from preceptor.core.types import Prompt, Rollout
from preceptor.training.thinking_settings import PolicyThinking


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

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt, up to where the response begins: a thought, if the policy thinks.

        Raises: UsageError as `encode_conversation`.
        """
        if self._thinking is None or not self._thinks:
            return self.encode_for_answer(prompt)
        template = policy_template(self._tokenizer)
        return tuple(thought_begun(self._tokenizer, template, prompt.conversation, self._thinking.tokens))

    def encode_for_answer(self, prompt: Prompt) -> tuple[int, ...]:
        """Token ids of a prompt, up to where an answer without a thought begins.

        Raises: as `encode`.
        """
        template = None if self._thinking is None else thinking_template(self._tokenizer)
        if template is None:
            return tuple(encode_conversation(self._tokenizer, prompt.conversation))
        return tuple(without_thought(self._tokenizer, template, prompt.conversation, ""))

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
