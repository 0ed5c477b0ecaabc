"""A judge with thinking off and on, audited against people's labels: `python -m benchmarks.thinking_audit [MODEL]`.

No model that was trained to think is small enough to come with preceptor, so an ordinary instruct model is given
Qwen3's chat template, as TRL ships it. The table shows what thinking does to tokens, time and conduct. It does not show
what thinking is worth, because the model never learned to think.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trl

import preceptor as pc
from preceptor.backends.transformers.loading import load
from preceptor.store.ledger import Ledger

ROWS = Path(__file__).parents[1] / "examples" / "comparisons.jsonl"
VARIANTS = ("detailed", "detailed+cot", "think-off", "think-64", "think-256")


def with_thinking_template(name: str, folder: Path) -> Path:
    """The model in a folder, with Qwen3's chat template."""
    from transformers import AutoModelForCausalLM

    loaded = load(name)
    settings = loaded.model.config.to_dict()
    settings.pop("quantization_config", None)
    plain: Any = AutoModelForCausalLM.from_config(
        type(loaded.model.config).from_dict(settings), dtype=loaded.model.dtype
    )
    plain.load_state_dict(loaded.model.state_dict())
    plain.save_pretrained(folder)
    template = Path(str(trl.__file__)).parent / "chat_templates" / "qwen3.jinja"
    loaded.tokenizer.chat_template = template.read_text(encoding="utf-8")
    loaded.tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    """Prints a line for each way of asking."""
    name = sys.argv[1] if len(sys.argv) > 1 else "embedded"
    print(f"{name} under Qwen3's chat template, {ROWS.name}\n")
    print("| variant | agrees with people | same position wins | tokens per call | seconds |\n|---|---|---|---|---|")
    with TemporaryDirectory() as scratch:
        folder = with_thinking_template(name, Path(scratch) / "judge")
        for variant in VARIANTS:
            out, begun = Path(scratch) / variant, time.perf_counter()
            audit = pc.audit(ROWS, judges=[pc.Judge(str(folder), "correct", variant)], out=out)
            print(row(variant, audit, out, time.perf_counter() - begun), flush=True)


def row(variant: str, audit: pc.AuditResult, out: Path, seconds: float) -> str:
    """A line of the table."""
    judged, totals = audit.judges[0], Ledger(out / "ledger.sqlite").totals()
    assert judged.alignment is not None
    agrees = f"{judged.alignment.value:.0%} [{judged.alignment.low:.0%}, {judged.alignment.high:.0%}]"
    same, written = judged.conduct.same_position, totals.completion_tokens / totals.calls
    return f"| `{variant}` | {agrees} | {same.share:.0%} | {written:.0f} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
