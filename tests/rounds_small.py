"""Two small rounds: the tiny random model, forty prompts, a scripted judge."""

import json
from pathlib import Path

DPO = [
    "preferences.max_new_tokens=4", "preferences.samples_per_prompt=2", "dpo.batch_size=8", "dpo.epochs=2",
    "dpo.gradient_accumulation_steps=1", "dpo.learning_rate=1e-2",
]  # fmt: skip
RL = ["rl.steps=1", "rl.prompts_per_step=2", "rl.max_new_tokens=4", "rl.gradient_accumulation_steps=1"]


def small(folder: Path, policy: Path) -> list[str]:
    """Overrides of any recipe with rounds; also writes the files that they name. All rounds are run."""
    prompts, references = folder / "prompts.jsonl", folder / "references.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"Say {number}"}) + "\n" for number in range(40)))
    references.write_text("".join(json.dumps({"prompt": w, "reference": w * 2}) + "\n" for w in ("ant", "bee", "cow")))
    return [
        f"policy={policy}",
        f"prompts={prompts}",
        f"evaluation.references={references}",
        "judge.model=scripted:random",
        "licence.waived=true",
        "judge.constitution=warm_tone",
        "evaluation.judge.model=scripted:random",
        "evaluation.heldout_share=0.6",
        "evaluation.validation_share=0.5",
        "evaluation.checkpoint_every=1",
        "evaluation.samples_per_prompt=1",
        "evaluation.max_new_tokens=4",
        "evaluation.stop_early=false",
        "evaluation.bounds.max_kl=1e6",
        "evaluation.bounds.max_perplexity_ratio=1e6",
        "evaluation.bounds.min_distinct_ratio=0.01",
        "tuning.rank=2",
        "tuning.precision=fp32",
    ]
