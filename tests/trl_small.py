"""Settings of a TRL trainer that is as small as it can be."""

from pathlib import Path
from typing import Any


def trl_settings(config: Any, folder: Path, steps: int) -> Any:
    """A few steps on the CPU, four responses each in groups of two, logged at every step and saved nowhere."""
    return config(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=4,
        logging_steps=1,
        report_to="none",
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        disable_tqdm=True,
    )
