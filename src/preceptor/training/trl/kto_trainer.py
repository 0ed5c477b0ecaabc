"""TRL's KTOTrainer on preceptor's own tokens: the examples of the native engine, with hard labels."""

from collections.abc import Sequence
from typing import Any

from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

from preceptor.training.dpo.examples import Example, to_another_prompt
from preceptor.training.trl.dpo_trainer import learn_only, rename_facts
from preceptor.training.trl.own_rows import OwnRows


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
            other = to_another_prompt(part, place) if len(part) > 1 else to_another_prompt(examples, start)
            rows.append(
                {
                    "prompt_ids": list(example.prompt),
                    "completion_ids": list(example.response),
                    "completion_learned": list(example.learned),
                    "KL_completion_ids": list(other.response),
                    "KL_completion_learned": list(other.learned),
                    "label": example.desirable > 0.5,
                }
            )
    return rows


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
