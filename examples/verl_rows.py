"""Writes a file of prompts as verl's training data, with each prompt where verl's reward functions can see it.

    python examples/verl_rows.py [PROMPTS.jsonl [ROWS.parquet]]

The prompts are JSON lines with a field `prompt`: a text, or a list of messages.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def row(prompt: Any) -> dict[str, Any]:
    """A row of verl's data. verl formats `prompt` with the policy's chat template; the judge reads `extra_info`."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return {
        "data_source": "preceptor",
        "prompt": messages,
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"question": messages},
    }


def main(prompts: str = "examples/prompts.jsonl", out: str = "train.parquet") -> None:
    """Writes the rows."""
    lines = Path(prompts).read_text(encoding="utf-8").splitlines()
    rows = [row(json.loads(line)["prompt"]) for line in lines if line.strip()]
    pq.write_table(pa.Table.from_pylist(rows), out)
    print(f"{len(rows)} rows in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
