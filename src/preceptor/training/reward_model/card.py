"""The model card of a reward model."""

from collections.abc import Mapping

from preceptor.core.markdown import code, escaped

_CARD = """---
library_name: transformers
pipeline_tag: text-classification
tags: [reward-model, trl]
---
# Reward model

Says how good a response to a prompt is. Only rewards of responses to the same prompt can be compared; their difference,
through a sigmoid, is the probability that one is better than the other.

Trained with preceptor: {identity}. A conversation in the model's chat template has at most {max_length} tokens.
{facts}
```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
text = tokenizer.apply_chat_template(messages, tokenize=False)
reward = model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits[0, 0]
```

TRL's trainers take the folder as `reward_funcs`.
"""


def model_card(identity: str, max_length: int, facts: Mapping[str, object]) -> str:
    """The card's text.

    Args:
        facts: rows of its table, by name.
    """
    rows = [f"| {escaped(name)} | {escaped(value)} |" for name, value in facts.items()]
    table = "\n".join(["", "| | |", "|---|---|", *rows, ""]) if rows else ""
    return _CARD.format(identity=code(identity), max_length=max_length, facts=table)
