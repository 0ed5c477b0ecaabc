"""TRL's KTOTrainer on preference pairs: each response of a pair is learnt by itself, as desirable or undesirable.

Ethayarajh et al. 2024, section 4.1, split preference pairs in the same way. The loss compares a response with the mean
divergence from the reference, which is estimated on responses that belong to other prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from preceptor.core.hashing import unit_hash
from preceptor.training.dpo.encoding import PackedPair
from preceptor.training.trl.dpo_trainer import learn_only, learned_of, rename_facts
from preceptor.training.trl.own_rows import OwnRows


@dataclass(frozen=True)
class KtoFacts:
    """The facts of an update, as far as its examples show them. They contain no times."""

    loss: float
    """Mean loss over the examples."""
    baseline: float | None
    """Mean of log π - log π_ref over responses to other prompts, at least 0, in nats: what a response is compared
    with."""
    margin: float | None
    """Mean implicit reward of desirable responses minus that of undesirable ones."""
    chosen_log_prob: float | None
    """Mean log-probability of the desirable responses, in nats."""
    rejected_log_prob: float | None
    grad_norm: float
    learning_rate: float


@dataclass(frozen=True)
class Example:
    """A response by itself."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    learned: tuple[bool, ...]
    """Which tokens of the response are learned."""
    desirable: bool


def examples_of(pairs: Sequence[PackedPair], seed: int) -> list[Example]:
    """Both responses of each pair, in an order that depends on the pairs and the seed alone.

    The responses of a pair are half a round apart, and desirable and undesirable ones take turns, so that a part of a
    batch has both kinds and hardly ever two responses to one prompt.
    """
    ordered = sorted(pairs, key=lambda pair: unit_hash(seed, "kto", pair.id))
    sides = [(pair, (place + turn) % 2) for turn in (0, 1) for place, pair in enumerate(ordered)]
    return [
        Example(
            pair.tokens.prompt,
            pair.tokens.responses[side],
            tuple(learned_of(pair.tokens, side)),
            desirable=(side == 0) == (pair.p_chosen > 0.5),
        )
        for pair, side in sides
    ]


def unpaired_rows(examples: Sequence[Example], at_once: int) -> list[dict[str, Any]]:
    """Rows for `UnpairedTrainer`.

    Args:
        at_once: examples that a process computes together; each gets, for the estimate of the divergence, a response
            to another prompt from among them.
    """
    rows: list[dict[str, Any]] = []
    for start in range(0, len(examples), at_once):
        part = examples[start : start + at_once]
        for place, example in enumerate(part):
            other = _other(part, place) if len(part) > 1 else _other(examples, start)
            rows.append(
                {
                    "prompt_ids": list(example.prompt),
                    "completion_ids": list(example.response),
                    "completion_learned": list(example.learned),
                    "KL_completion_ids": list(other.response),
                    "KL_completion_learned": list(other.learned),
                    "label": example.desirable,
                }
            )
    return rows


def _other(part: Sequence[Example], place: int) -> Example:
    """The nearest example before this one, going round, whose prompt is another; else the one before it."""
    before = [part[place - back] for back in range(1, len(part) + 1)]
    return next((example for example in before if example.prompt != part[place].prompt), before[0])


class UnpairedCollator(DataCollatorForUnpairedPreference):
    """TRL's collator, which also knows of tokens that are not learned."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch of responses, each with one to another prompt."""
        batch = super().torch_call(examples)
        for prefix in ("", "KL_"):
            learn_only(batch[f"{prefix}completion_mask"], examples, f"{prefix}completion_learned")
        return batch


class UnpairedTrainer(OwnRows, KTOTrainer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """TRL's trainer on the rows of `unpaired_rows`, with TRL's loss. Logs an update under the native names."""

    def _set_signature_columns_if_needed(self) -> None:
        sides = [f"{prefix}completion_{what}" for prefix in ("", "KL_") for what in ("ids", "learned")]
        self._signature_columns = ["prompt_ids", *sides, "label"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs an update, or the summary at the end."""
        metrics = self._metrics["train"]
        if "kl" in metrics:
            metrics["baseline"] = metrics.pop("kl")
        rename_facts(metrics)
        super().log(logs, start_time)
